"""What running a stage taught that reading it could not tell (DESIGN 4)."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from nbmlops.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ALL_NAMES", "NO_EFFECTS", "Effects"]

ALL_NAMES = "*"
"""Stands among an effect's reads for every name that there is: the stage listed its namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What one execution of a stage was seen to do.

    Every field is sorted, so that equal effects are equal values and have equal JSON.

    Parameters
    ----------
    reads : tuple of str
        Names that the stage's code took from its namespace, beyond what reading the code found; `ALL_NAMES` where it listed them.
    writes : tuple of str
        Names that it bound beyond what reading found (``exec``, ``globals()["x"] = 1``).
    mutated : tuple of str
        Input names whose value was changed in place.
    aliases : tuple of tuple of str
        Sets of names that share mutable state once the stage has run.
    touched : tuple of str
        Functions and classes of setup cells whose attributes, default arguments or closures were changed, and which no later cell read.
    files_read : tuple of str
        Paths opened for reading inside the project, relative to the notebook's folder, or absolute; with a slash at the end, folders
        that were seen to be there.
    files_absent : tuple of str
        Paths whose opening failed because nothing was there.
    files_written : tuple of str
        Paths opened for writing; with a slash at the end, folders that were made.
    files_made : tuple of str
        Paths that the code names as read, and that were not there before the stage wrote them: no inputs.
    files_removed : tuple of (str, str)
        Paths that were there before and are gone, each with the digest of what was there.
    environment : tuple of str
        Names of the environment variables that were read.
    modules : tuple of str
        Project-local modules imported while the stage ran.
    imports : tuple of str
        Dotted names of modules that its code looked for by name, found or not (``import_module``, ``find_spec``).
    distributions : tuple of str
        Distributions that the stage's own code imported.
    unseen : tuple of str
        The processes that it started and whose files nobody sees: "worker processes", "the program 'sort'".
    random : tuple of str
        Global random states that were drawn from: "random", "numpy".
    left_behind : tuple of tuple of str
        What it changed that is neither a variable nor a file: a kind, what, and in which of its cells (from 0). The kinds: ``module``
        (path and name; then the paths of the modules whose import changes it, if it was an import), ``submodule`` (likewise, of a package that
        was given a module imported from it), ``opaque``, ``cache``, ``definition``, ``object``, ``iterator``, ``accessor``, ``process``,
        ``variable``, ``shown``, ``lossy`` (a name, and what its object does not get back when it is loaded), ``thread`` (the function that it runs).
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    mutated: tuple[str, ...] = ()
    aliases: tuple[tuple[str, ...], ...] = ()
    touched: tuple[str, ...] = ()
    files_read: tuple[str, ...] = ()
    files_absent: tuple[str, ...] = ()
    files_written: tuple[str, ...] = ()
    files_made: tuple[str, ...] = ()
    files_removed: tuple[tuple[str, str], ...] = ()
    environment: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    random: tuple[str, ...] = ()
    left_behind: tuple[tuple[str, ...], ...] = ()

    @property
    def structure(self) -> tuple[object, ...]:
        """The part that changes how stages are linked, or what is said of them."""
        return (
            self.random,
            self.unseen,
            self.reads,
            self.writes,
            self.mutated,
            self.aliases,
            self.files_read,
            self.files_absent,
            self.files_written,
            self.files_removed,
            self.left_behind,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the effects as JSON data; empty fields are left out."""
        return {item.name: value for item in fields(self) if (value := getattr(self, item.name))}

    def joined(self, known: Effects | None, outputs: Iterable[str]) -> Effects:
        """Add what was learnt before and is now foreseen, so that it is not seen again.

        Parameters
        ----------
        known : Effects or None
            What was known of the stage before it ran.
        outputs : iterable of str
            The names that it has handed on: of those that it was known to bind, only these still count.
        """
        if known is None:
            return self
        still = set(known.writes) & set(outputs)
        return replace(self, reads=tuple(sorted({*known.reads, *self.reads})), writes=tuple(sorted({*self.writes, *still})))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Effects:
        """Rebuild effects from `to_json`; fields of a newer version are ignored."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: _tuples(value) for name, value in data.items() if name in known})


def _tuples(value: object) -> Any:  # noqa: ANN401 - a tuple of str, or of tuples of str
    return tuple(_tuples(item) for item in value) if isinstance(value, (list, tuple)) else value


NO_EFFECTS = Effects()
