"""Locks between processes that die with whoever holds them.

`flock` belongs to an open file, so the kernel drops it when the holder ends, however it ends: there is no lock to clean
up and no process number to mistake for another.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nbmlops.errors import StoreError
from nbmlops.failpoints import failpoint
from nbmlops.store.replacing import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["HELD", "file_lock"]

# the code of a lock, or a lease, that somebody else has: whoever waits will get it
HELD = "NB805"

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.1
_held: set[int] = set()


def _drop_in_child() -> None:
    # A forked child shares the open file: if it outlived a killed parent, the lock would stay taken.
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_drop_in_child)


@contextmanager
def file_lock(
    path: Path,
    *,
    shared: bool = False,
    timeout_s: float | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold the lock of the file `path`, which is made if it is not there and is never removed.

    Not re-entrant: a thread that takes the same lock twice waits for itself.

    Parameters
    ----------
    path : Path
        The file; its folder is made if needed.
    shared : bool
        Let others that also ask for a shared lock in.
    timeout_s : float or None
        How long to wait, in seconds; None waits for ever, 0 does not wait.
    on_wait : callable or None
        Called once, before waiting, if somebody else holds the lock.

    Raises
    ------
    StoreError
        If the lock was not free within `timeout_s`, or the file cannot be opened.
    """
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    descriptor = _acquire(path, mode, deadline, on_wait)
    owner = os.getpid()
    try:
        yield
    finally:
        # In a forked child the descriptor is already closed, and its number may be that of a lock of the child's own.
        if os.getpid() == owner:
            _held.discard(descriptor)
            os.close(descriptor)


def _acquire(path: Path, mode: int, deadline: float | None, on_wait: Callable[[], None] | None) -> int:
    while True:
        descriptor = _open(path)
        _held.add(descriptor)
        try:
            with _explained(path, "taken"):
                taken = _take(descriptor, mode | fcntl.LOCK_NB)
            if not taken:
                if on_wait is not None:
                    on_wait()
                    on_wait = None
                with _explained(path, "taken"):
                    _wait(descriptor, mode, deadline, path)
            with _explained(path, "held"):
                failpoint("lock.held")
                if _is_still(path, descriptor):
                    return descriptor
        except BaseException:
            _held.discard(descriptor)
            os.close(descriptor)
            raise
        _held.discard(descriptor)
        os.close(descriptor)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    with _explained(path, "opened"):
        failpoint("lock.open")
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileNotFoundError:
            make_folder(path.parent)
            descriptor = os.open(path, flags, 0o600)
        _share(path, descriptor)
    return descriptor


@contextmanager
def _explained(path: Path, act: str) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"the lock {path} cannot be {act}: {error.strerror}",
            code="NB807",
            fix="make its folder writable and free space on its disk, or choose another store",
        ) from error


def _share(path: Path, descriptor: int) -> None:
    # In a folder that a group may write to, the lock must be one that all of the group can open.
    status = os.fstat(descriptor)
    if status.st_uid == os.getuid() and not status.st_mode & stat.S_IWGRP and path.parent.stat().st_mode & stat.S_IWGRP:
        os.fchmod(descriptor, 0o660)


def _take(descriptor: int, operation: int) -> bool:
    failpoint("lock.take")
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        return False
    return True


def _wait(descriptor: int, mode: int, deadline: float | None, path: Path) -> None:
    if deadline is None:
        fcntl.flock(descriptor, mode)
        return
    pause_s = _FIRST_PAUSE_S
    while not _take(descriptor, mode | fcntl.LOCK_NB):
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise StoreError(f"the lock {path.name} is held by another process", code=HELD, fix="wait until it has ended")
        time.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _is_still(path: Path, descriptor: int) -> bool:
    # Whoever removed the file while we waited may have let another process make and lock a new one.
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
