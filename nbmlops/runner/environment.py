"""What surrounds a notebook and decides its results: files, local modules, installed distributions."""

from __future__ import annotations

import ast
import json
import os
import sys
import sysconfig
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.dataflow.normalise import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

__all__ = [
    "FOLDER",
    "Distributions",
    "LocalModules",
    "file_digest",
    "folder_digest",
    "is_local",
    "local_module_path",
    "path_digest",
    "python_version",
]

FOLDER = b"folder"
"""What the store keeps of a folder that a stage made."""

_CHUNK = 1 << 20


def python_version() -> str:
    """Return the minor version that keys carry, such as ``"3.11"``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def file_digest(path: Path) -> str | None:
    """Return the blake3 digest of a file's bytes, of a folder's the names in it; None where there is neither.

    Hidden entries of a folder do not count: `glob` leaves them out too.

    Raises
    ------
    OSError
        If the file is there and cannot be read.
    """
    from blake3 import blake3  # noqa: PLC0415 - magics load without it

    hasher = blake3()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError:
        names = sorted(item.name for item in path.iterdir() if not item.name.startswith((".", "__pycache__")))
        hasher.update("\0".join(["folder", *names]).encode("utf-8", "surrogateescape"))
    return hasher.hexdigest()


def folder_digest() -> str:
    """Return what stands for a folder where only its being there counts: the digest of `FOLDER`."""
    from blake3 import blake3  # noqa: PLC0415

    return blake3(FOLDER).hexdigest()


def path_digest(folder: Path, name: str) -> str | None:
    """Return the digest of what lies at a path below `folder`; a name that ends with a slash asks only whether there is a folder."""
    full = folder / name
    return folder_digest() if name.endswith("/") and full.is_dir() else file_digest(full)


def local_module_path(module: ModuleType | None, project_root: Path) -> Path | None:
    """Return the file of a module that belongs to the project, or None for any other."""
    name = getattr(module, "__file__", None)
    if not isinstance(name, str) or not name.endswith(".py"):
        return None
    path = Path(name)
    return path if is_local(path, project_root) else None


def is_local(path: Path, project_root: Path) -> bool:
    """Tell whether a file is code of the project: not installed code, nor ours."""
    full = str(path.resolve())
    if full.startswith(_libraries()) or "site-packages" in full:
        return False
    return full.startswith(str(project_root.resolve()) + os.sep)


@cache
def _libraries() -> tuple[str, ...]:
    """Return the folders of installed code, and our own: a project that is nbmlops does not make stages depend on what runs them."""
    folders = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")}
    return tuple(folder + os.sep for folder in (*folders, str(Path(__file__).resolve().parents[1])))


def source_digest(path: Path) -> str:
    """Return the digest of a module's normalised source, as keys hold it."""
    return _source_digest(path, _parse(path))


def _parse(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def _source_digest(path: Path, tree: ast.Module | None) -> str:
    return fingerprint(tree) if tree is not None else f"unreadable:{file_digest(path)}"


class LocalModules:
    """Follow the imports of project-local modules to their sources.

    Parameters
    ----------
    folder : Path
        The notebook's folder, first on the search path of a stage.
    project_root : Path
        Modules outside it are not local.
    """

    def __init__(self, folder: Path, project_root: Path) -> None:
        self._folder = folder
        self._root = project_root
        paths = [folder, *(Path(entry) for entry in sys.path if entry)]
        self._search = [path for path in dict.fromkeys(paths) if path == folder or is_local(path / "x.py", project_root)]
        self._parsed: dict[Path, tuple[str, tuple[str, ...]]] = {}

    def fingerprints(self, modules: Iterable[str], paths: Iterable[str] = ()) -> tuple[dict[str, str], set[str]]:
        """Return what local modules hold, and which other modules they and the notebook import.

        Parameters
        ----------
        modules : iterable of str
            Dotted names that the notebook imports.
        paths : iterable of str
            Files of local modules that were seen imported, relative to the notebook's folder.

        Returns
        -------
        (dict of str to str, set of str)
            Fingerprint of each local file, by path relative to the notebook's folder, transitively; and every dotted
            name that is not local.
        """
        found: dict[str, str] = {}
        foreign: set[str] = set()
        queue: list[Path] = [self._folder / path for path in paths]
        names = list(modules)
        while names or queue:
            if names:
                name = names.pop()
                located = self._locate(name)
                if not located:
                    foreign.add(name)
                queue.extend(located)
                continue
            path = queue.pop()
            shown = os.path.relpath(path, self._folder)
            if shown in found:
                continue
            digest, imports = self._parse(path)
            found[shown] = digest
            names.extend(imports)
        return found, foreign

    def _locate(self, name: str) -> list[Path]:
        """Return the files that importing `name` runs: its packages' and its own."""
        parts = name.split(".")
        for folder in self._search:
            files: list[Path] = []
            for depth in range(1, len(parts) + 1):
                base = folder.joinpath(*parts[:depth])
                file = base / "__init__.py" if (base / "__init__.py").is_file() else base.with_suffix(".py")
                if file.is_file():
                    files.append(file)
                elif not base.is_dir():
                    break  # the last part may be an attribute, not a module
            if files:
                return files
        return []

    def _parse(self, path: Path) -> tuple[str, tuple[str, ...]]:
        if path not in self._parsed:
            tree = _parse(path)
            imports = tuple(_imports(tree, self._package(path))) if tree is not None else ()
            self._parsed[path] = (_source_digest(path, tree), imports)
        return self._parsed[path]

    def _package(self, path: Path) -> str:
        """Return the dotted package that relative imports in `path` start from."""
        for folder in self._search:
            if path.is_relative_to(folder):
                parts = path.relative_to(folder).with_suffix("").parts
                return ".".join(parts[:-1])
        return ""


def _imports(tree: ast.AST, package: str) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if base)


class Distributions:
    """Which distribution a module belongs to, and its version.

    `importlib.metadata` reads a file of every installed distribution to tell (0.3 s with 180 of them), so the answer is kept in a file
    and holds until one of the folders that it was read from changes.

    Parameters
    ----------
    cache : Path
        Where the answer is kept.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._table: dict[str, dict[str, str]] | None = None

    def versions(self, modules: Iterable[str]) -> dict[str, str]:
        """Return the version of each distribution that the modules belong to, by its name; the standard library has none."""
        table = self._load()
        found: dict[str, str] = {}
        for top in sorted({module.partition(".")[0] for module in modules}):
            if top not in sys.stdlib_module_names:
                for name in table["modules"].get(top, "").split():
                    found[name] = table["versions"][name]
        return found

    def version(self, distribution: str) -> str | None:
        """Return the installed version of a distribution, or None."""
        return self._load()["versions"].get(distribution)

    def _load(self) -> dict[str, dict[str, str]]:
        if self._table is None:
            stamp = _path_stamp()
            try:
                cached = json.loads(self._cache.read_text())
            except (OSError, ValueError):
                cached = None
            if isinstance(cached, dict) and cached.get("stamp") == stamp:
                self._table = cached["table"]
            else:
                self._table = _read_distributions()
                _keep(self._cache, {"stamp": stamp, "table": self._table})
        return self._table


def _path_stamp() -> list[list[str | int]]:
    return [[entry, os.stat(entry).st_mtime_ns] for entry in sys.path if entry and os.path.isdir(entry) and "-packages" in entry]  # noqa: PTH112, PTH116


def _read_distributions() -> dict[str, dict[str, str]]:
    from importlib.metadata import distributions, packages_distributions  # noqa: PLC0415 - 30 ms, and only when the cache is stale

    versions = {str(item.metadata["Name"]): item.version for item in distributions() if item.metadata["Name"]}
    modules = {
        top: " ".join(sorted({name for name in names if name in versions})) for top, names in packages_distributions().items() if top.isidentifier()
    }
    return {"modules": modules, "versions": versions}


def _keep(path: Path, data: object) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(data))
        temporary.replace(path)
    except OSError:
        with suppress(OSError):  # a cache that cannot be kept costs time, nothing else
            temporary.unlink(missing_ok=True)
