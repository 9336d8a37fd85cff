"""What setup cells and modules have read when they ran here: every stage depends on it, and it may have changed since."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbmlops.runner.localmodules import local_module_path
from nbmlops.runner.watching.attribution import Attribution

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping
    from types import FrameType

    from nbmlops.runner.watching.observation import Observation

__all__ = ["ImportReads", "ReadAbove", "SetupReads"]


class ImportReads(Attribution):
    """Counts everything, and notes what was read by which module while it was imported: that is not read again before a reload."""

    def __init__(self) -> None:
        super().__init__()
        self.importing: dict[str, set[str]] = {}
        self.caching: dict[str, dict[tuple[str, str], _Caching]] = {}

    def note(self, kind: str, name: str) -> None:
        """Note that the code that runs now reads something."""
        super().note(kind, name)
        if kind != "file":
            return
        frame = sys._getframe(1)  # noqa: SLF001 - who reads is told by the stack alone
        module = _importing(frame)
        if module is not None:
            self.importing.setdefault(name, set()).add(module)
        for function in _caching(frame):
            self.caching.setdefault(name, {})[function.key] = function


@dataclass(frozen=True, slots=True)
class _Caching:
    """A function with `functools.cache`, where it stands, as long as it is there and keeps something."""

    module: str
    name: str
    function: Any
    namespace: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        return self.module, self.name

    @property
    def keeps(self) -> bool:
        return bool(self.function.cache_info().currsize) and self.namespace.get(self.name) is self.function


def _caching(frame: FrameType | None) -> Iterator[_Caching]:
    """Give the functions on the stack that keep what they give: they will not read again."""
    while frame is not None:
        name, namespace = frame.f_code.co_name, frame.f_globals
        function: Any = namespace.get(name)
        if callable(getattr(function, "cache_info", None)) and callable(getattr(function, "cache_clear", None)):
            path = local_module_path(sys.modules.get(str(namespace.get("__name__"))))
            if path is not None or namespace.get("__name__") == "__main__":
                yield _Caching(os.path.realpath(path) if path is not None else "", name, function, namespace)
        frame = frame.f_back


def _importing(frame: FrameType | None) -> str | None:
    """Return the file of the project's module whose code is being executed."""
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            path = local_module_path(sys.modules.get(str(frame.f_globals.get("__name__"))))
            return os.path.realpath(path) if path is not None else None
        frame = frame.f_back
    return None


@dataclass(frozen=True, slots=True)
class _Read:
    files: Mapping[str, str | None] = field(default_factory=dict)
    environment: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAbove:
    """What was read for a stage before it runs.

    Parameters
    ----------
    by_cell, by_cache, by_module : mapping of str to mapping of str to (str or None)
        Files, with what they held then; by the cell's id, by the function that keeps what it gave, and by the module that read them while
        it was imported.
    environment, modules : frozenset of str
    """

    by_cell: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    by_cache: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    by_module: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    environment: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()

    @property
    def files(self) -> dict[str, str | None]:
        """All the files, with what they held when they were read last."""
        return {
            path: digest for found in (*self.by_cell.values(), *self.by_module.values(), *self.by_cache.values()) for path, digest in found.items()
        }


class SetupReads:
    """What was read, by the setup cell, or by the module."""

    def __init__(self) -> None:
        self._cells: dict[str, _Read] = {}
        self._modules: dict[str, dict[str, str | None]] = {}
        self._caches: dict[tuple[str, str], tuple[_Caching, dict[str, str | None]]] = {}

    def note_cell(self, cell: str, seen: Observation) -> None:
        """Take note of what a setup cell has read; what it read when it ran before does not count any more, what it imported does."""
        files = {path: digest for path, digest in seen.files_read().items() if path not in _imported(seen)}
        before = self._cells.get(cell, _Read())
        self._cells[cell] = _Read(files, frozenset(seen.environment), before.modules | set(seen.modules()))

    def note_imports(self, seen: Observation) -> None:
        """Take note of what modules have read while they were imported or reloaded, and functions that keep what they give, in any cell."""
        found = seen.files_read()
        for path, functions in (seen.attribution.caching if isinstance(seen.attribution, ImportReads) else {}).items():
            for key, function in functions.items() if path in found else ():
                if key not in self._caches or self._caches[key][0].function is not function.function:
                    self._caches[key] = (function, {})
                self._caches[key][1][path] = found[path]
        for path, modules in _imported(seen).items():
            for module in modules if path in found else ():
                self._modules.setdefault(module, {})[path] = found[path]

    def forget_modules(self, modules: Iterable[str]) -> None:
        """Take note that the code of modules, by path, was executed again."""
        for module in modules:
            self._modules.pop(os.path.realpath(module), None)

    def above(self, cells: Iterable[str], modules: Mapping[str, str], names: Container[str]) -> ReadAbove:
        """Return what some cells have read, by their ids, some modules, by a name for each and its path, and some functions of the notebook."""
        read = {cell: self._cells[cell] for cell in cells if cell in self._cells}
        imported = {name: self._modules[full] for name, path in modules.items() if (full := os.path.realpath(path)) in self._modules}
        paths = {os.path.realpath(path) for path in modules.values()}
        kept = [
            item for item in self._caches.values() if item[0].keeps and (item[0].module in paths or (not item[0].module and item[0].name in names))
        ]
        return ReadAbove(
            by_cache={function.name: files for function, files in kept},
            by_cell={cell: item.files for cell, item in read.items()},
            by_module=imported,
            environment=frozenset(name for item in read.values() for name in item.environment),
            modules=frozenset(name for item in read.values() for name in item.modules),
        )


def _imported(seen: Observation) -> dict[str, set[str]]:
    return seen.attribution.importing if isinstance(seen.attribution, ImportReads) else {}
