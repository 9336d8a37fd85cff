"""Put new bytes in the place of a file's, whole or not at all, and make private folders: for what is no part of the store itself."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from nbmlops.failpoints import failpoint

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Buffer

__all__ = ["make_folder", "replace_file"]


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone; in one that its group may write to, for the group too.

    `Path.mkdir` leaves the parents that it makes to the umask, so that others might read, or even change, what a stage is told.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        mode = folder.parent.stat().st_mode
        if mode & stat.S_IWGRP:
            folder.chmod(stat.S_IMODE(mode))


def replace_file(path: Path, data: Buffer, *, point: str, durable: bool = False) -> None:
    """Write a file so that `path` holds all of `data` or what it held before, whoever else writes it at the same time.

    Parameters
    ----------
    path : Path
        Its folder must be there.
    data : bytes-like
    point : str
        What the failpoints of this file are called.
    durable : bool
        Whether it must survive a crash of the machine, too.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind then.
    """
    _refuse_device(path)
    temporary = path.with_name(f".tmp-{os.getpid()}-{os.urandom(8).hex()}")  # a name that grew with the file's could be too long
    try:
        failpoint(f"{point}.write")
        with temporary.open("xb") as file:
            file.write(data)
            if durable:
                file.flush()
                failpoint(f"{point}.fsync")
                os.fsync(file.fileno())
        failpoint(f"{point}.commit")
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        failpoint(f"{point}.sync")
        _sync(path.parent)


def _refuse_device(path: Path) -> None:
    """Leave a device or a pipe in its place: root could put a file there, and ``/dev/null`` would be gone."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe", str(path))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
