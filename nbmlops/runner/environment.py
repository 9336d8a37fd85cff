"""What surrounds a notebook and decides its results: files, variables of the environment, installed distributions."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from nbmlops.pattern import pattern
from nbmlops.store.replacing import make_folder, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import Distribution
    from pathlib import Path

__all__ = [
    "EVERY_VARIABLE",
    "FOLDER",
    "SHELL_VARIABLES",
    "THREAD_VARIABLES",
    "Distributions",
    "file_digest",
    "folder_digest",
    "installed_stamp",
    "path_digest",
    "python_version",
    "variable_digest",
]

EVERY_VARIABLE = "*"
"""Stands for the whole environment, where code looks at all of it (``dict(os.environ)``)."""

# what each shell sets for itself
SHELL_VARIABLES = frozenset({"_", "OLDPWD", "SHLVL"})

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""How many threads OpenMP and the kinds of BLAS start; their number may show in the last digits of a result."""

FOLDER = b"folder"
"""What the store keeps of a folder that a stage made."""

_CHUNK = 1 << 20
_TABLE_FORM = 2
_INSTALLED = (".dist-info", ".egg-info", ".egg-link")
# of each line of a RECORD, the first part of a path below a folder, with its slash, or a module
_TOP = pattern(r"^\"?([^/,\n]+(?:/|\.(?:py|so)(?=[,\"])))", re.MULTILINE)
# made by tools beside the user's data: a listing that leaves these out is the same tomorrow
_TOOLS = (
    ".nbmlops",
    ".ipynb_checkpoints",
    ".git",
    ".nfs",
    ".~",
    ".virtual_documents",
    ".DS_Store",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
)


def variable_digest(name: str) -> str | None:
    """Return the digest of a variable of the environment, None where it is not set; of `EVERY_VARIABLE` that of the whole environment.

    Only a digest: variables hold credentials more often than not.
    """
    if name == EVERY_VARIABLE:
        text = json.dumps(sorted((key, value) for key, value in os.environ.items() if key not in SHELL_VARIABLES))
    elif name in os.environ:
        text = os.environ[name]
    else:
        return None
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def python_version() -> str:
    """Return the minor version that keys carry, such as ``"3.11"``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def file_digest(path: Path) -> str | None:
    """Return the blake3 digest of a file's bytes, of a folder's the names in it; None where there is neither.

    What tools leave in a folder does not count, and nothing is read of a pipe, a socket or a device: it would be waited for, or have no end.

    Raises
    ------
    OSError
        If the file is there and cannot be read.
    """
    from blake3 import blake3  # noqa: PLC0415 - magics load without it

    hasher = blake3()
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return hasher.update(b"special %o" % stat.S_IFMT(mode)).hexdigest()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError:
        names = sorted(item.name for item in path.iterdir() if not item.name.startswith(_TOOLS))
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
        self._known: tuple[list[str], dict[str, dict[str, str]]] | None = None

    def look_again(self) -> None:
        """Let the next question look whether something was installed since."""
        self._table = None

    def versions(self, modules: Iterable[str]) -> dict[str, str]:
        """Return the version of each distribution that the modules belong to, by its name; the standard library has none."""
        found: dict[str, str] = {}
        for top in sorted({module.partition(".")[0] for module in modules} - sys.stdlib_module_names):
            table = self._load()
            for name in table["modules"].get(top, "").split():
                found[name] = table["versions"][name]
        return found

    def provides(self, module: str) -> bool:
        """Tell whether a module comes with the standard library or a distribution whose version stands for its code: not one in editable mode."""
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names:
            return True
        table = self._load()
        names = table["modules"].get(top, "").split()
        return bool(names) and not any(name in table["editable"] for name in names)

    def version(self, distribution: str) -> str | None:
        """Return the installed version of a distribution, or None."""
        return self._load()["versions"].get(distribution)

    def _load(self) -> dict[str, dict[str, str]]:
        if self._table is None:
            stamp = installed_stamp()
            if self._known is not None and self._known[0] == stamp:
                self._table = self._known[1]
                return self._table
            try:
                cached = json.loads(self._cache.read_text())
            except (OSError, ValueError):
                cached = None
            if isinstance(cached, dict) and cached.get("stamp") == stamp:
                self._table = cached["table"]
            else:
                self._table = _read_distributions()
                _keep(self._cache, {"stamp": stamp, "table": self._table})
            self._known = (stamp, self._table)
        return self._table


def installed_stamp() -> list[str]:
    """Return what changes when a distribution on the search path is installed, upgraded or removed."""
    found: list[str] = [str(_TABLE_FORM)]
    for entry in sys.path:
        with suppress(OSError), os.scandir(entry or ".") as items:
            found += sorted(f"{item.path} {item.stat().st_mtime_ns}" for item in items if item.name.endswith(_INSTALLED))
    return found


def _read_distributions() -> dict[str, dict[str, str]]:
    """Read the installed distributions' own files: `importlib.metadata` parses each four times over, as mail (0.4 s with 200 of them)."""
    from importlib.metadata import distributions  # noqa: PLC0415 - 30 ms, and only when the cache is stale

    modules: dict[str, set[str]] = {}
    versions: dict[str, str] = {}
    editable: dict[str, str] = {}
    for item in distributions():
        name, version = _name_and_version(item.read_text("METADATA") or item.read_text("PKG-INFO") or "")
        if not name:
            continue  # an installation that broke off leaves a folder without it
        versions.setdefault(name, version)  # the first on the search path is the one that is imported
        for top in _top_levels(item):
            modules.setdefault(top, set()).add(name)
        if _is_editable(item.read_text("direct_url.json")):
            editable[name] = ""
    return {"modules": {top: " ".join(sorted(names)) for top, names in modules.items()}, "versions": versions, "editable": editable}


def _name_and_version(metadata: str) -> tuple[str, str]:
    found = dict.fromkeys(("name", "version"), "")
    for line in metadata.split("\n\n", 1)[0].splitlines():
        field, _, text = line.partition(":")
        if field.lower() in found:
            found[field.lower()] = text.strip()
    return found["name"], found["version"]


def _top_levels(item: Distribution) -> set[str]:
    """Return the modules and packages that a distribution puts on the search path: as it says, else by its files."""
    names = set((item.read_text("top_level.txt") or "").split())
    if not names:
        files = item.read_text("RECORD")
        paths = _TOP.findall(files) if files else ["/".join(path.parts[:2]) for path in item.files or ()]
        names = {path.partition("/")[0] if "/" in path else path.partition(".")[0] for path in paths}
    return {name for name in names if name.isidentifier()} - {"__pycache__"}


def _is_editable(direct_url: str | None) -> bool:
    try:
        origin = json.loads(direct_url or "{}")
    except ValueError:
        return False
    return bool(isinstance(origin, dict) and (origin.get("dir_info") or {}).get("editable"))


def _keep(path: Path, data: object) -> None:
    with suppress(OSError):  # a cache that cannot be kept costs time, nothing else
        make_folder(path.parent)
        replace_file(path, json.dumps(data).encode(), point="cache")
