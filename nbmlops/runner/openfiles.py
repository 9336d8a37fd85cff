"""Files that code has written to and not closed: what waits in their buffers is part of what it wrote."""

from __future__ import annotations

import gc
import io
import os
import stat
from contextlib import suppress
from pathlib import Path

from nbmlops.errors import StoreError

__all__ = ["flush_open_files"]

_DESCRIPTORS = Path("/proc/self/fd")
_BUFFERED = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def flush_open_files() -> None:
    """Write what code has put into open files and not flushed, as the end of an interpreter would: a stage's process ends without it.

    Raises
    ------
    StoreError
        If it cannot be written, as on a full disk.
    """
    if not _some_are_open():
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


def _some_are_open() -> bool:
    """Tell whether this process may write to files on disk: then it is worth a look at all objects."""
    names: list[str] = []
    with suppress(OSError):  # code may have left itself no descriptor to look with
        names = os.listdir(_DESCRIPTORS)  # noqa: PTH208 - names are all that is wanted
    for name in names:
        with suppress(OSError, ValueError):
            number = int(name)
            if number > 2 and stat.S_ISREG(os.fstat(number).st_mode) and _is_written(number):  # noqa: PLR2004 - beside the standard ones
                return True
    return False


def _is_written(number: int) -> bool:
    flags = next(line for line in Path(f"/proc/self/fdinfo/{number}").read_text().splitlines() if line.startswith("flags:"))
    return int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
