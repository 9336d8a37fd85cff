"""A copy of the project's folder in which stages may run without changing the project."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Replica", "copy_file"]

_LEFT_OUT = frozenset(
    {
        ".git", ".hg", ".ipynb_checkpoints", ".mypy_cache", ".nbmlops", ".pytest_cache", ".ruff_cache", ".svn", ".tox", "__pycache__", "mlruns",
        "node_modules", "wandb",
    },
)  # fmt: skip
_ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")
_MOST_FILES = 100_000
_MOST_NEIGHBOURS = 1_000
# larger files share their bytes with the project's own until they are written to
_COPIED_BYTES = 64 << 20
_CLONE = 0x40049409  # the ioctl FICLONE: the bytes are shared until one of the two is written to
_Stamp = tuple[int, int, int]


class Replica:
    """A copy of the project, and what has changed in it.

    Parameters
    ----------
    original : Path
        The project's root, absolute.
    root : Path
        Where the copy goes; its folder must not be there yet.

    Raises
    ------
    UsageError
        If the project has more files than anybody keeps in a project.
    StoreError
        If the copy cannot be written.
    """

    def __init__(self, original: Path, root: Path) -> None:
        self.original = original
        self.root = root
        try:
            root.mkdir(parents=True)
            (root / ".nbmlops").mkdir(mode=0o700)  # what marks a project's root
            self._copy_tree()
            self._link_neighbours()
        except OSError as error:
            raise StoreError(
                f"the project cannot be copied: {error.strerror or error}",
                code="NB609",
                fix=f"make {root.parent} writable, or free space on its disk",
            ) from error
        self._stamps = dict(_walk(root))
        self._settled: dict[str, Callable[[Path], None]] = {}

    def folder(self, folder: Path) -> Path:
        """Return the place of one of the project's folders in this copy."""
        return self.root / folder.relative_to(self.original)

    def changed(self) -> tuple[str, ...]:
        """Return the files that are not what `restore` left, relative to the root: new, other or gone."""
        now = dict(_walk(self.root))
        return tuple(sorted(path for path in {*now, *self._stamps} if now.get(path) != self._stamps.get(path)))

    def restore(self, settled: Mapping[str, Callable[[Path], None]]) -> None:
        """Put back what the project holds, and on top of it what earlier stages are held to have written.

        Parameters
        ----------
        settled : mapping of str to callable
            For each file, relative to the root, what writes it to a path.
        """
        changed = self.changed()
        for path in {*changed, *(path for path, write in settled.items() if self._settled.get(path) is not write)}:
            target, source = self.root / path, self.original / path
            target.unlink(missing_ok=True)
            if path in settled:
                target.parent.mkdir(parents=True, exist_ok=True)
                settled[path](target)
            elif os.path.lexists(source):
                target.parent.mkdir(parents=True, exist_ok=True)
                self._copy(source, target)
        self._stamps, self._settled = dict(_walk(self.root)), dict(settled)

    def _copy_tree(self) -> None:
        for count, (path, entry) in enumerate(_entries(self.original)):
            if count >= _MOST_FILES:
                raise UsageError(
                    f"the project {self.original} has more than {_MOST_FILES:,} files, which verify would copy",
                    code="NB012",
                    fix="put an empty pyproject.toml into the folder that is the notebook's project",
                )
            target = self.root / path
            if entry.is_dir(follow_symlinks=False):
                target.mkdir(exist_ok=True)
            else:
                self._copy(Path(entry.path), target)

    def _copy(self, source: Path, target: Path) -> None:
        if source.is_symlink():
            # a link within the project leads to the copy's own file; one that leaves it keeps leading there
            inside = source.resolve().is_relative_to(self.original.resolve())
            target.symlink_to(source.readlink() if inside and not source.readlink().is_absolute() else source.resolve())
        elif source.is_file() and os.access(source, os.R_OK):  # a stage cannot read the others either
            copy_file(source, target)

    def _link_neighbours(self) -> None:
        """Let ``../data`` lead where it leads from the project."""
        with suppress(OSError):
            names = os.listdir(self.original.parent)  # noqa: PTH208 - names are all that is wanted
            for name in names if len(names) <= _MOST_NEIGHBOURS else ():
                place = self.root.parent / name
                if name != self.original.name and not os.path.lexists(place):
                    place.symlink_to(self.original.parent / name)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file with its times; a large one as a clone or a link, where the disk can."""
    status = source.stat()
    if not stat.S_ISREG(status.st_mode):
        return  # a pipe or a socket is nobody's data
    if status.st_size < _COPIED_BYTES:
        shutil.copy2(source, target)
        return
    try:
        _clone(source, target)
    except OSError:
        target.unlink(missing_ok=True)
        try:
            target.hardlink_to(source)
        except OSError:
            target.symlink_to(source.resolve())


def _clone(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as written:
        fcntl.ioctl(written.fileno(), _CLONE, read.fileno())
    shutil.copystat(source, target)


def _walk(root: Path) -> Iterator[tuple[str, _Stamp]]:
    for path, entry in _entries(root):
        if not entry.is_dir(follow_symlinks=False):
            status = entry.stat(follow_symlinks=False)
            yield path, (status.st_mtime_ns, status.st_size, status.st_ino)


def _entries(root: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield what is below a folder, each folder before what it holds."""
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(root / folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            path = os.path.join(folder, entry.name)  # noqa: PTH118 - a hundred thousand of them
            if entry.name in _LEFT_OUT or entry.name.endswith(".pyc"):
                continue
            if entry.is_dir(follow_symlinks=False):
                marks = (os.path.join(entry.path, mark) for mark in _ENVIRONMENT_MARKS)  # noqa: PTH118
                if any(map(os.path.exists, marks)) or not os.access(entry.path, os.R_OK | os.X_OK):
                    continue
                folders.append(path)
            yield path, entry
