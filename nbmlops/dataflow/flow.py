"""What reading one piece of code tells: names taken, bound, changed, and what its objects will read when used."""

from __future__ import annotations

import ast
from dataclasses import field
from typing import TYPE_CHECKING, Literal

from nbmlops.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NO_CARRY", "Binding", "Carry", "Flow", "PathUse"]


@dataclass(frozen=True, slots=True)
class Binding:
    """How a name is bound.

    Parameters
    ----------
    kind : {"definite", "maybe"}
        Whether the name is bound by this code on every way through it.
    line : int
        The first line that binds it, from 1.
    """

    kind: Literal["definite", "maybe"]
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Carry:
    """What an object brings along: the code in it, and the names that this code uses when it runs.

    Parameters
    ----------
    kind : {"function", "class", "value"}
        Whether calling it runs its body, makes an instance that keeps it, or calls what it holds.
    reads : frozenset of str
        Global names that its code reads, looked up when it runs.
    binds : frozenset of str
        Global names that its code binds (``global counter``) or deletes.
    mutates : frozenset of str
        Global names whose objects its code changes in place.
    loads : frozenset of str
        Names whose objects it holds: ``g`` in ``h = partial(g)``.
    calls : frozenset of str
        Names of what was called to make it: ``Model`` in ``m = Model()``.
    returns : Carry or None
        What calling it gives; its names are looked up at the call.
    """

    kind: Literal["function", "class", "value"] = "value"
    reads: frozenset[str] = frozenset()
    binds: frozenset[str] = frozenset()
    mutates: frozenset[str] = frozenset()
    loads: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()
    returns: Carry | None = None

    @property
    def writes(self) -> frozenset[str]:
        """The global names that its code binds or changes."""
        return self.binds | self.mutates


NO_CARRY = Carry()


@dataclass(frozen=True, slots=True)
class PathUse:
    """A path that the code names, in parts to be joined.

    Parameters
    ----------
    parts : tuple of str or ast.Name
        Literal text, and names to be resolved through constants and parameters; separators are among the parts.
    line : int
        Where, from 1.
    function : str
        The name of the function that is given the path, where it has no owner: it may be one of the notebook's own.
    """

    parts: tuple[str | ast.Name, ...]
    line: int
    function: str = ""

    @property
    def path(self) -> str | None:
        """The path, if it is a literal."""
        return "".join(part for part in self.parts if isinstance(part, str)) if not self.names else None

    @property
    def name(self) -> str | None:
        """The name, if the path is a name alone."""
        return self.names[0] if len(self.parts) == 1 and self.names else None

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it is made of."""
        return tuple(part.id for part in self.parts if isinstance(part, ast.Name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What a piece of module-level code takes and gives.

    Parameters
    ----------
    reads : mapping of str to int
        Names that running the code may take from outside, with the first line; builtins among them.
    soft : frozenset of str
        Those of `reads` that nothing outside need provide: every read follows a binding here that may have happened, is
        guarded by ``except NameError``, or is in code that may not run here.
    binds : mapping of str to Binding
        Names that the code leaves bound.
    deleted : frozenset of str
        Names that the code has deleted when it ends.
    perhaps_deleted : frozenset of str
        Names that it does not leave bound itself and may have deleted: ``if c: del x``, the ``e`` of ``except E as e``.
    mutates : mapping of str to int
        Names whose object is changed by attribute, item or augmented assignment or ``del x[k]``.
    carries : mapping of str to Carry
        For names bound here (and containers that were given code), what their objects bring along.
    before : mapping of str to frozenset of str
        For a name in `reads`, the names that this code has surely bound when it is first read.
    imports : mapping of str to str
        Names bound by an import, to the dotted name of what they are.
    star_imports : tuple of str
        Modules of ``from m import *``.
    modules : frozenset of str
        Dotted names of every module imported anywhere in the code, function bodies included.
    files_read, files_written : tuple of PathUse
        Paths in calls that are known to read or write a file.
    environment : frozenset of str
        Literal names of environment variables that are read.
    dynamic : tuple of (str, int)
        What hides names from reading (``exec``, ``globals()``, ``%run``, ``!``, star imports), with the line.
    process_state : tuple of (str, int)
        What changes the process (``os.environ``, ``os.chdir``, ``sys.path``, pandas options, an imported module's attribute), with the line.
    """

    reads: Mapping[str, int] = field(default_factory=dict)
    soft: frozenset[str] = frozenset()
    binds: Mapping[str, Binding] = field(default_factory=dict)
    deleted: frozenset[str] = frozenset()
    perhaps_deleted: frozenset[str] = frozenset()
    mutates: Mapping[str, int] = field(default_factory=dict)
    carries: Mapping[str, Carry] = field(default_factory=dict)
    before: Mapping[str, frozenset[str]] = field(default_factory=dict)
    imports: Mapping[str, str] = field(default_factory=dict)
    star_imports: tuple[str, ...] = ()
    modules: frozenset[str] = frozenset()
    files_read: tuple[PathUse, ...] = ()
    files_written: tuple[PathUse, ...] = ()
    environment: frozenset[str] = frozenset()
    dynamic: tuple[tuple[str, int], ...] = ()
    process_state: tuple[tuple[str, int], ...] = ()

    @property
    def carried(self) -> Mapping[str, frozenset[str]]:
        """For each name, the global names that its object's code reads, and those of the code it holds."""
        return {name: carry.reads | carry.loads | carry.calls for name, carry in self.carries.items()}

    @property
    def carried_writes(self) -> Mapping[str, frozenset[str]]:
        """For each name, the global names that its object's code may bind or change."""
        return {name: carry.writes for name, carry in self.carries.items() if carry.writes}
