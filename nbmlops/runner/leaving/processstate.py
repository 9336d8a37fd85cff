"""State of the whole process that code may change: every stage has a process of its own, so a later one would not see it."""

from __future__ import annotations

import builtins
import operator
import os
import sys
import types
from contextlib import contextmanager, suppress
from importlib.machinery import ExtensionFileLoader, SourceFileLoader
from typing import TYPE_CHECKING, Any

from nbmlops.runner.imports import around_imports
from nbmlops.runner.leaving.processlooks import LOOKS, Look, State, kind_of, library_folders
from nbmlops.runner.ownsource import is_own_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

__all__ = ["ProcessState"]

Found = dict[tuple[str, ...], None]
_GONE = object()
_LOADERS = (SourceFileLoader, ExtensionFileLoader)  # each module has one of its own, so that it can be wrapped


class ProcessState:
    """Compares the process's state before and after a stage's own cells.

    Parameters
    ----------
    folder : Path
        The notebook's folder; modules are named by their path relative to it.
    roots : iterable of str
        Names that the code sets attributes of; where they are modules or classes of libraries, these are compared too.
    """

    def __init__(self, folder: Path, roots: Iterable[str] = ()) -> None:
        self._roots = tuple(roots)
        self._folder = folder
        self._before: dict[Look, State] = {}
        self._first: dict[Look, State] = {}
        self._after: dict[Look, State] = {}
        self._found: Found = {}
        self._patchable: dict[str, dict[str, object]] = {}
        self._active = False
        self._depth = 0

    def begin(self, namespace: Mapping[str, Any], *, unchanged: bool = False) -> None:
        """Take the present state for the one to compare with: that which `changes` has found, if nothing can have changed since."""
        self._active = True
        self._found = {}
        known = self._after if unchanged else {}
        self._before = {look: known[look] if look in known else look.look() for look in LOOKS if look.module in sys.modules}
        self._first = dict(self._before)
        if not unchanged:
            self._patchable = self._attributes(namespace)

    def changes(self, namespace: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
        """Return what differs now: each a kind and what, as effects hold them; then the path of the module whose import changed it, if one did."""
        self._active = False
        self._after = {look: look.look() for look in self._before}
        for look, before in self._before.items():
            after = self._after[look]
            # one that is as it was at first was changed for a while only, perhaps by an import
            changed = [what for what in look.differing(before, after) if self._first.get(look, before).get(what) != after.get(what)]
            self._found.update({kind_of(what, after.get(what, "")): None for what in changed})
        now = self._attributes(namespace)
        for what, attributes in now.items():
            # classes do not load their attributes lazily
            patched = _patched(self._patchable.get(what, attributes), attributes, grows=what not in sys.modules)
            self._found.update({("process", f"{what}.{name}"): None for name in patched})
        self._patchable = now
        return tuple(self._found)

    @contextmanager
    def following(self) -> Iterator[None]:
        """See modules as they are imported: the options that a library comes with, and what it registers, are those to compare with."""
        with around_imports(lambda spec: self._importing(spec.name, spec.origin) if isinstance(spec.loader, _LOADERS) else None):
            yield

    @contextmanager
    def _importing(self, name: str, origin: str | None) -> Iterator[None]:
        outermost = self._active and self._depth == 0
        earlier = {look: look.look() for look in self._before if look.registers} if outermost else {}
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            with suppress(Exception):  # a library that is half there is the user's own trouble
                self._before.update({look: look.look() for look in LOOKS if self._active and look.module == name and look not in self._before})
            for look in [look for look in self._before if outermost and look.registers]:
                self._registered(look, earlier.get(look, self._before[look]), origin)

    def _registered(self, look: Look, before: State, origin: str | None) -> None:
        """Take what an import has registered for what was there: every process that imports it has it, and of the user's own modules it is said."""
        after, known = look.look(), dict(self._before[look])
        for what in look.differing(before, after):
            if known.pop(what, None) == before.get(what):
                known |= {what: after[what]} if what in after else {}
            elif what in self._before[look]:
                known[what] = self._before[look][what]
            kind, subject = kind_of(what, after.get(what, ""))
            if kind != "shown" and origin is not None and is_own_code(origin):
                self._found[kind, subject, os.path.relpath(origin, self._folder)] = None
        self._before[look] = known

    def _attributes(self, namespace: Mapping[str, Any]) -> dict[str, dict[str, object]]:
        """Return what the libraries' modules and classes hold that the code may patch."""
        found: dict[str, dict[str, object]] = {"builtins": dict(vars(builtins))}
        for root in self._roots:
            value = namespace.get(root)
            if isinstance(value, types.ModuleType) and _is_library(value):
                found[value.__name__] = dict(vars(value))
                for name, item in list(vars(value).items()):
                    if isinstance(item, type):
                        found[f"{value.__name__}.{name}"] = dict(vars(item))
            elif isinstance(value, type) and _is_library(sys.modules.get(value.__module__)):
                found[f"{value.__module__}.{value.__qualname__}"] = dict(vars(value))
        return found


def _patched(before: Mapping[str, object], after: Mapping[str, object], *, grows: bool) -> list[str]:
    """Return the attributes that are others now, but for submodules and underscored names, which libraries change themselves.

    Parameters
    ----------
    before, after : mapping of str to object
    grows : bool
        Whether new ones count.
    """
    # nearly always nothing has changed, which is told without looking at each name
    if len(before) == len(after) and all(map(operator.is_, before.values(), after.values())) and before.keys() == after.keys():
        return []
    others = [name for name, value in before.items() if not isinstance(value, types.ModuleType) and after.get(name, _GONE) is not value]
    new = [name for name in after.keys() - before.keys() if not isinstance(after[name], types.ModuleType)] if grows else []
    return sorted(name for name in (*others, *new) if not name.startswith("_"))


def _is_library(module: types.ModuleType | None) -> bool:
    file = getattr(module, "__file__", None)
    folders = tuple(folder + os.sep for folder in library_folders())
    return module is not None and module.__name__ != "__main__" and (not isinstance(file, str) or file.startswith(folders))
