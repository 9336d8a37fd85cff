"""Modules that are the user's own, whose source a key holds: of the project, and of folders on the search path that nobody installed."""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.runner.environment import file_digest
from nbmlops.runner.importing import ModuleSource, read_module
from nbmlops.runner.ownsource import is_own_code, is_own_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

__all__ = [
    "LocalModules",
    "has_own_modules",
    "imported_from",
    "is_loaded_from",
    "is_local",
    "local_module_path",
    "source_digest",
]

_ENDINGS = (*EXTENSION_SUFFIXES, ".py")


def local_module_path(module: ModuleType | None) -> Path | None:
    """Return the file of a module that is the user's own, or None for any other."""
    name = getattr(module, "__file__", None)
    return Path(name) if isinstance(name, str) and name.endswith(_ENDINGS) and is_own_code(name) else None


def imported_from(names: Iterable[str]) -> set[Path]:
    """Return the files of those of the modules of these dotted names, and of their packages, that are the user's own and are imported here."""
    found = {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 2)}
    return {path for name in found if (path := local_module_path(sys.modules.get(name)))}


def is_local(path: Path, project_root: Path) -> bool:
    """Tell whether a file is code of the project."""
    return is_own_code(path) and os.path.realpath(path).startswith(os.path.realpath(project_root) + os.sep)


def is_loaded_from(file: str, project_root: Path) -> bool:
    """Tell whether the file that a module was loaded from is Python code of the project; asked of each loaded module around each cell."""
    return file.endswith(".py") and _is_own_module(file) and is_local(Path(file), project_root)


def has_own_modules() -> bool:
    """Tell whether a module is loaded that is the user's own; what is found out of each is kept."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return sum(_is_own_module(file) for file in files if isinstance(file, str) and file.endswith(".py")) > 0


def source_digest(path: Path) -> str:
    """Return the digest of a module's normalised source, as keys hold it."""
    return _read(path, "").digest


@cache
def _is_own_module(file: str) -> bool:
    # of a module that is loaded this is settled, whatever becomes of the links that led to it
    if os.path.islink(file) or not os.path.isabs(file):  # noqa: PTH114, PTH117 - a Path costs more than the look at the disk
        return is_own_code(file)
    folder, name = os.path.split(file)
    return is_own_file(f"{_real_folder(folder)}/{name}")


@cache
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


_OURS = __name__.partition(".")[0]


class LocalModules:
    """Follow the imports of the user's own modules to their sources.

    Parameters
    ----------
    folder : Path
        The notebook's folder, first on the search path of a stage.
    project_root : Path
        Modules below it are the user's even if a distribution has the same name.
    installed : callable
        Tells of a module's name whether a distribution's version stands for its code.
    """

    def __init__(self, folder: Path, project_root: Path, installed: Callable[[str], bool]) -> None:
        self._folder = folder
        self._root = os.path.realpath(project_root) + os.sep
        self._installed = installed
        paths = [folder, *(Path(entry) for entry in sys.path if entry)]
        self._search = [path for path in dict.fromkeys(paths) if path == folder or is_own_code(path / "x.py")]
        self._parsed: dict[Path, ModuleSource] = {}
        self._located: dict[tuple[str, tuple[Path, ...]], list[Path]] = {}

    def fingerprints(self, modules: Iterable[str], paths: Iterable[str] = ()) -> tuple[dict[str, str], set[str]]:
        """Return what the user's own modules hold, and which other modules they and the notebook import.

        Parameters
        ----------
        modules : iterable of str
            Dotted names that the notebook imports.
        paths : iterable of str
            Files of modules that were seen imported, relative to the notebook's folder.

        Returns
        -------
        (dict of str to str, set of str)
            Fingerprint of each file, by path relative to the notebook's folder, transitively; and every dotted
            name that is somebody else's.
        """
        found: dict[str, str] = {}
        foreign: set[str] = set()
        for path, parsed in self._reached(modules, paths, foreign).items():
            found[os.path.relpath(path, self._folder)] = parsed.digest
        return found, foreign

    def acting(self, modules: Iterable[str]) -> list[str]:
        """Return those of the modules whose import may change more than their own names, or imports a module that does."""
        return sorted(name for name in set(modules) if _act(self._reached([name], (), set()).values()))

    def _reached(self, modules: Iterable[str], paths: Iterable[str], foreign: set[str]) -> dict[Path, ModuleSource]:
        found: dict[Path, ModuleSource] = {}
        queue = [Path(os.path.normpath(self._folder / path)) for path in paths]
        # setup may put folders on the search path, which shows in where modules were found
        added = tuple(folder for folder in dict.fromkeys(map(_top, queue)) if folder not in self._search)
        names = list(modules)
        seen: set[str] = set()
        while names or queue:
            if names:
                name = names.pop()
                if name in seen:
                    continue
                seen.add(name)
                located = self._located.get((name, added))
                if located is None:
                    located = self._located[name, added] = self._locate(name, added)
                if not located:
                    foreign.add(name)
                queue += located
                continue
            path = queue.pop()
            if path not in found:
                found[path] = self._parse(path)
                names += found[path].imports
        return found

    def _locate(self, name: str, added: Iterable[Path]) -> list[Path]:
        """Return the files that importing `name` runs: its packages' and its own."""
        parts = name.split(".")
        if parts[0] == _OURS:
            return []  # in a checkout it would be read, all of it, for every notebook that logs a metric: its version stands for it
        for folder in self._search:
            files = _files(folder, parts)
            if files and (str(files[0]).startswith(self._root) or os.path.realpath(files[0]).startswith(self._root) or not self._installed(name)):
                return files
        if self._installed(name):
            return []
        return self._found_elsewhere(parts) or next((files for folder in added if (files := _files(folder, parts))), [])

    def _found_elsewhere(self, parts: list[str]) -> list[Path]:
        """Ask the import system for what is in no folder of the search path, such as a package in editable mode."""
        try:
            spec = importlib.util.find_spec(parts[0])
        except (ImportError, ValueError, AttributeError):
            return []
        places = [*(spec.submodule_search_locations or ())] if spec else []
        if spec is None or not (places or spec.origin) or not is_own_code(places[0] if places else str(spec.origin)):
            return []
        if not places:
            return [Path(str(spec.origin))]
        return [file for place in places for file in _files(Path(place).parent, [Path(place).name, *parts[1:]])]

    def _parse(self, path: Path) -> ModuleSource:
        if path not in self._parsed:
            self._parsed[path] = _read(path, self._package(path))
        return self._parsed[path]

    def _package(self, path: Path) -> str:
        """Return the dotted package that relative imports in `path` start from."""
        for folder in self._search:
            if path.is_relative_to(folder):
                parts = path.relative_to(folder).with_suffix("").parts
                return ".".join(parts[:-1])
        return ".".join(path.relative_to(_top(path)).with_suffix("").parts[:-1])


def _top(path: Path) -> Path:
    """Return the folder from which a module's dotted name starts."""
    top = path.parent
    while (top / "__init__.py").is_file():
        top = top.parent
    return top


def _read(path: Path, package: str) -> ModuleSource:
    if path.suffix != ".py":
        return ModuleSource(digest=f"binary:{file_digest(path)}", acts=False)
    try:
        return read_module(path.read_bytes(), package)
    except (OSError, SyntaxError, ValueError):
        return ModuleSource(digest=f"unreadable:{file_digest(path)}")


def _act(sources: Iterable[ModuleSource]) -> bool:
    found = list(sources)
    return any(item.acts for item in found) or (any(item.derives for item in found) and any(item.notes for item in found))


def _files(folder: Path, parts: list[str]) -> list[Path]:
    files: list[Path] = []
    for depth in range(1, len(parts) + 1):
        base = folder.joinpath(*parts[:depth])
        file = next((item for item in (*_named(base / "__init__"), *_named(base)) if item.is_file()), None)
        if file is not None:
            files.append(file)
        elif not base.is_dir():
            break  # the last part may be an attribute, not a module
    return files


def _named(base: Path) -> list[Path]:
    return [base.with_name(base.name + ending) for ending in _ENDINGS]
