"""Files that code has written to and not closed: what waits in their buffers is part of what it wrote."""

from __future__ import annotations

import gc
import io
import os
import stat
from contextlib import suppress
from pathlib import Path

from nbmlops.errors import StoreError

__all__ = ["files_written_to", "flush_open_files"]

_DESCRIPTORS = Path("/proc/self/fd")
_BUFFERED = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def flush_open_files(before: frozenset[tuple[int, int]] = frozenset()) -> None:
    """Write what code has put into open files and not flushed, as the end of an interpreter would: a stage's process ends without it.

    Parameters
    ----------
    before : frozenset of (int, int)
        What `files_written_to` gave before the code ran: if nothing has come since, nothing is looked for.

    Raises
    ------
    StoreError
        If it cannot be written, as on a full disk.
    """
    if files_written_to() <= before:
        return
    files = [item for item in gc.get_objects() if issubclass(type(item), _BUFFERED)]
    for file in sorted(files, key=lambda item: not isinstance(item, io.TextIOWrapper)):  # text goes to a buffer of bytes first
        try:
            if not file.closed and file.writable():
                file.flush()
        except ValueError:  # detached, or closed meanwhile
            continue
        except OSError as error:
            message = f"what was written to {getattr(file, 'name', 'a file')} cannot be kept: {error.strerror}"
            raise StoreError(message, code="NB801", fix="free space, then run again") from error


def files_written_to() -> frozenset[tuple[int, int]]:
    """Return device and inode of each file on disk that this process has open and may write to, the standard streams aside."""
    names: list[str] = []
    with suppress(OSError):  # code may have left itself no descriptor to look with
        names = os.listdir(_DESCRIPTORS)  # noqa: PTH208 - names are all that is wanted
    found: set[tuple[int, int]] = set()
    for number in map(int, names):
        with suppress(OSError, ValueError):
            status = os.fstat(number)
            if number > 2 and stat.S_ISREG(status.st_mode) and _is_written(number):  # noqa: PLR2004 - beside the standard ones
                found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def _is_written(number: int) -> bool:
    flags = next(line for line in Path(f"/proc/self/fdinfo/{number}").read_text().splitlines() if line.startswith("flags:"))
    return int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
