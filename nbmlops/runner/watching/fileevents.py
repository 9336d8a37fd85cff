"""What code does to files, as the interpreter tells it: audit events, and the look-ups for which there are none."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

__all__ = ["FILE_EVENTS", "FileObserver", "note_event", "watching_lookups"]

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
# what stands between the code and the look-up: `Path.exists`, `os.path.getsize`
_BETWEEN = frozenset({"os", "genericpath", "posixpath", "pathlib", "pathlib._local", "pathlib._abc", "glob", "shutil", "fnmatch", "contextlib"})
_LOOKUPS = ("stat", "lstat", "access")


class FileObserver(Protocol):
    """Takes note of what is done to files."""

    active: bool

    def opened(self, path: str, mode: str | None, flags: int, frame: FrameType | None = None) -> None:
        """Note that a file is about to be opened."""

    def looked_at(self, path: str) -> None:
        """Note that code asks about a file or folder without opening it."""

    def made_folder(self, path: str) -> None:
        """Note that a folder is about to be made."""

    def removed(self, path: str) -> None:
        """Note that a file or folder is about to be removed."""

    def linked(self, path: str) -> None:
        """Note that a symbolic link is about to be made."""

    def lists(self, frame: FrameType | None) -> bool:
        """Tell whether the notebook's or the project's code is among the callers, and no import before it."""

    def is_own(self, frame: FrameType) -> bool:
        """Tell whether a frame runs code of the notebook or of a project-local module."""


def note_event(observer: FileObserver, event: str, args: tuple[Any, ...], frame: FrameType | None) -> None:
    """Tell an observer about an audit event.

    Parameters
    ----------
    observer : FileObserver
    event : str
        One of `FILE_EVENTS`.
    args : tuple
        As `sys.addaudithook` gives them.
    frame : frame or None
        The caller.
    """
    if event in _LISTING and not observer.lists(frame):
        return
    observer.active = True  # hashing opens files too
    try:
        _TOLD[event](observer, args, frame)
    except (OSError, ValueError, TypeError):
        pass  # a path that cannot be looked at will fail in the user's own call, with its own message
    finally:
        observer.active = False


def _open(observer: FileObserver, args: tuple[Any, ...], frame: FrameType | None) -> None:
    path, mode, flags = args
    if path is not None and not isinstance(path, int):
        observer.opened(os.fsdecode(path), mode, flags or 0, frame)


def _load(observer: FileObserver, args: tuple[Any, ...], frame: FrameType | None) -> None:
    if isinstance(args[1], str):  # of a compiled module; of others the event tells no path
        observer.opened(args[1], "rb", 0, frame)


def _connect(observer: FileObserver, args: tuple[Any, ...], _frame: FrameType | None) -> None:
    observer.opened(os.fsdecode(args[0]), "r+", 0)


def _list(observer: FileObserver, args: tuple[Any, ...], _frame: FrameType | None) -> None:
    if not isinstance(args[0], int):
        observer.opened(os.fsdecode(args[0] or "."), "r", 0)


def _rename(observer: FileObserver, args: tuple[Any, ...], _frame: FrameType | None) -> None:
    source, target, *folders = args
    if all(folder == -1 for folder in folders):
        for below, to in _tree(os.fsdecode(source), os.fsdecode(target)):
            observer.opened(below, "r", 0)
            observer.removed(below)
            observer.opened(to, "w", 0)


def _link(observer: FileObserver, args: tuple[Any, ...], _frame: FrameType | None) -> None:
    source, target, *folders = args
    if all(folder == -1 for folder in folders):
        observer.opened(os.path.join(os.path.dirname(os.fsdecode(target)), os.fsdecode(source)), "r", 0)  # noqa: PTH118, PTH120 - texts
        observer.opened(os.fsdecode(target), "w", 0)


def _symlink(observer: FileObserver, args: tuple[Any, ...], frame: FrameType | None) -> None:
    _link(observer, args, frame)
    if args[2] == -1:
        observer.linked(os.fsdecode(args[1]))


def _remove(observer: FileObserver, args: tuple[Any, ...], _frame: FrameType | None) -> None:
    if args[1] == -1:  # below a descriptor only `shutil.rmtree` removes, which says so itself
        observer.removed(os.fsdecode(args[0]))


def _remove_tree(observer: FileObserver, args: tuple[Any, ...], _frame: FrameType | None) -> None:
    for below, _ in _tree(os.fsdecode(args[0]), ""):
        observer.removed(below)
    observer.removed(os.fsdecode(args[0]))


def _make_folder(observer: FileObserver, args: tuple[Any, ...], _frame: FrameType | None) -> None:
    if args[2] == -1:
        observer.made_folder(os.fsdecode(args[0]))


def _truncate(observer: FileObserver, args: tuple[Any, ...], _frame: FrameType | None) -> None:
    if not isinstance(args[0], int):
        observer.opened(os.fsdecode(args[0]), "r+", 0)


def _tree(source: str, target: str) -> Iterator[tuple[str, str]]:
    """Yield every file at or below a path, with the path that it gets where the tree is moved."""
    if os.path.islink(source) or not os.path.isdir(source):  # noqa: PTH112, PTH114
        yield source, target
        return
    for folder, _, names in os.walk(source):
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118
            yield path, os.path.join(target, os.path.relpath(path, source))  # noqa: PTH118


_TOLD: dict[str, Callable[[FileObserver, tuple[Any, ...], FrameType | None], None]] = {
    "import": _load,
    "open": _open,
    "os.link": _link,
    "os.listdir": _list,
    "os.mkdir": _make_folder,
    "os.remove": _remove,
    "os.rename": _rename,
    "os.rmdir": _remove,
    "os.scandir": _list,
    "os.symlink": _symlink,
    "os.truncate": _truncate,
    "shutil.rmtree": _remove_tree,
    "sqlite3.connect": _connect,
}
FILE_EVENTS = frozenset(_TOLD)
"""The audit events that `note_event` understands."""

_LISTING = frozenset({"os.listdir", "os.scandir"})


@contextmanager
def watching_lookups(observer: FileObserver) -> Iterator[None]:
    """Notice what the notebook's own code asks about files without opening them."""
    before = {name: getattr(os, name) for name in _LOOKUPS}
    for name, function in before.items():
        setattr(os, name, _Lookup(function, observer))
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(os, name, function)


class _Lookup:
    """`os.stat` and the like; equal to what it stands for, since `os.supports_dir_fd` is asked for these functions."""

    def __init__(self, function: Callable[..., Any], observer: FileObserver) -> None:
        self._function = function
        self._observer = observer
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__

    def __call__(self, path: Path | int, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the function's own signature
        observer = self._observer
        if not observer.active and not isinstance(path, int) and kwargs.get("dir_fd") is None and _asks(observer, sys._getframe(1)):  # noqa: SLF001
            observer.active = True
            try:
                observer.looked_at(os.fsdecode(path))
            except (OSError, ValueError, TypeError):
                pass
            finally:
                observer.active = False
        return self._function(path, *args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return other is self or other == self._function

    def __hash__(self) -> int:
        return hash(self._function)


def _asks(observer: FileObserver, frame: FrameType | None) -> bool:
    """Tell whether the notebook's own code asks: libraries look for dozens of files of their own."""
    while frame is not None and frame.f_globals.get("__name__") in _BETWEEN:
        frame = frame.f_back
    return frame is not None and observer.is_own(frame)
