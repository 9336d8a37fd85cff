"""One execution of a stage for `verify`: at another date, and without a way to change the user's project.

The folder that it runs in is a copy, in which large files are links to the project's own.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Rehearsal", "rehearse"]

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_CREAT
# audit events that change a file itself, and those that change which names there are, with the number of paths among their arguments
_CHANGE_FILE = frozenset({"os.chmod", "os.chown", "os.truncate", "os.utime"})
_CHANGE_NAMES = {"os.link": 2, "os.mkdir": 1, "os.remove": 1, "os.rename": 2, "os.rmdir": 1, "os.symlink": 2}
_WATCHED = frozenset({"open", "sqlite3.connect", *_CHANGE_FILE, *_CHANGE_NAMES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What such an execution is made to see.

    Parameters
    ----------
    project : str
        The user's project, in which nothing may change.
    scratch : str
        The folder inside it, or elsewhere, that may be written to.
    shift_s : float
        By how many seconds the clock is ahead.
    clock_s : float or None
        The Unix time at which the clock stands still; None lets it go.
    """

    project: str
    scratch: str
    shift_s: float = 0.0
    clock_s: float | None = None


def rehearse(rehearsal: Rehearsal) -> None:
    """Turn this process, which runs one stage and ends, into what the rehearsal says."""
    _set_clock(rehearsal)
    # libraries keep caches beside themselves, and a virtual environment often lies in the project
    writable = (os.path.realpath(rehearsal.scratch), os.path.realpath(sys.prefix))
    sys.addaudithook(_Guard(os.path.realpath(rehearsal.project), writable))


def _set_clock(rehearsal: Rehearsal) -> None:
    if rehearsal.clock_s is None and not rehearsal.shift_s:
        return
    import datetime as dt  # noqa: PLC0415 - no other execution of a stage needs them

    import time_machine

    if rehearsal.clock_s is None:
        time_machine.travel(dt.timedelta(seconds=rehearsal.shift_s), tick=True).start()
    else:
        time_machine.travel(rehearsal.clock_s, tick=False).start()


@dataclass(slots=True)
class _Guard:
    """An audit hook that lets nothing be written to the project, and turns a linked file into a copy before it is written to."""

    project: str
    writable: tuple[str, ...]
    busy: bool = field(default=False)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """Look at one event; what it raises is raised where the file was to be changed."""
        if event not in _WATCHED or self.busy:
            return
        self.busy = True  # looking at files raises events too
        try:
            self._look(event, args)
        finally:
            self.busy = False

    def _look(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            writes = any(letter in mode for letter in "wax+") if mode else (flags or 0) & _WRITES
        else:
            path, writes = args[0], True
        if not writes or not _is_path(path):
            return
        if event in _CHANGE_NAMES:
            for name in filter(_is_path, args[: _CHANGE_NAMES[event]]):
                # a link itself is what is removed or renamed, not what it leads to
                self._refuse(os.fsdecode(name), _place_of(os.fsdecode(name)))
            return
        self._own(os.fsdecode(path))
        if event != "sqlite3.connect":  # which also reads
            self._refuse(os.fsdecode(path), os.path.realpath(path))

    def _own(self, path: str) -> None:
        """Make the copy of a file that shares its bytes with the project's own."""
        full = _place_of(path)
        shared = os.path.islink(full) or (os.path.isfile(full) and os.stat(full).st_nlink > 1)  # noqa: PTH113, PTH114, PTH116
        if shared and os.path.isfile(full) and _is_below(full, self.writable):  # noqa: PTH113
            temporary = f"{full}.{os.getpid()}.nbmlops"
            shutil.copy2(full, temporary)
            os.replace(temporary, full)  # noqa: PTH105

    def _refuse(self, path: str, place: str) -> None:
        if _is_below(place, (self.project,)) and not _is_below(place, self.writable):
            reason = "verify works in a copy and leaves the project as it is: write to a path relative to the notebook"
            raise PermissionError(errno.EACCES, reason, path)


def _place_of(path: str) -> str:
    """Return where a name itself stands, with the links of its folders resolved."""
    folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100 - resolving would follow the name too
    return os.path.join(os.path.realpath(folder), name)  # noqa: PTH118


def _is_below(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(folder + os.sep) for folder in folders)


def _is_path(value: object) -> bool:
    return isinstance(value, (str, bytes, os.PathLike)) and value != ":memory:"
