"""A store in a folder of this machine.

Folders are opened one by one below the root and never through a symbolic link, so that a planted link leads nowhere.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import mmap
import os
import stat
from collections import deque
from typing import TYPE_CHECKING

from nbmlops.errors import StoreError
from nbmlops.failpoints import failpoint
from nbmlops.store.locks import file_lock
from nbmlops.store.objects import FileInfo, Planted, split_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

__all__ = ["LocalBlobs"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a planted FIFO must not wait for a writer.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAP_FROM_BYTES = 1 << 18
_MOST_AT_ONCE = 1024  # buffers; Linux takes no more
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}
_OURS = {
    ".gitignore",
    "attempts",
    "cache",
    "index",
    "locks",
    "notebooks",
    "objects",
    "outbox",
    "promotions",
    "quarantine",
    "records",
    "runs",
    "sweeps",
    "trials",
    "verify",
    "wandb",
}


class LocalBlobs:
    """Named bytes in a folder.

    Parameters
    ----------
    root : Path
        Made on the first write, readable by its owner only. A folder that its group may write to is a shared one: what
        is put in there is open to the group too.
    synced : bool
        Whether what is written durably is on disk when `write` returns. Otherwise it gets there with time, and a power failure may
        lose or tear it; a process that dies loses nothing.
    """

    def __init__(self, root: Path, *, synced: bool = True) -> None:
        self.root = root
        self._synced = synced

    def read(self, path: str) -> memoryview:
        """Map the file privately; a small one is read, which is cheaper and cannot be cut under the reader."""
        *folders, name = split_path(path)
        with _explained(path, "read"), self._folder(folders) as folder:
            try:
                descriptor = os.open(name, _READ, dir_fd=folder)
            except OSError as error:
                if error.errno in {errno.ELOOP, errno.ENXIO}:
                    raise Planted(path) from error
                raise
            try:
                return _load(descriptor, path)
            finally:
                os.close(descriptor)

    def write(self, path: str, buffers: Sequence[memoryview], *, overwrite: bool, durable: bool = True) -> None:
        """Write to a temporary file in the same folder, sync, link or rename, sync the folder."""
        *folders, name = split_path(path)
        durable = durable and self._synced
        point = path.partition("/")[0]
        with _explained(path, "write"):
            self._prepare()
            with self._folder(folders, create=True) as folder:
                if overwrite or not self._refresh(folder, name, durable=durable):
                    self._place(folder, name, buffers, overwrite=overwrite, durable=durable, point=point)
                if durable:
                    failpoint(f"{point}.sync")
                    os.fsync(folder)

    def stat(self, path: str) -> FileInfo | None:
        """Return what lies at `path`; something in place of its folder counts as nothing."""
        *folders, name = split_path(path)
        try:
            with _explained(path, "read"), self._folder(folders) as folder:
                return _info(path, os.stat(name, dir_fd=folder, follow_symlinks=False))
        except (FileNotFoundError, Planted):
            return None

    def stat_in(self, folder: str, names: Collection[str]) -> dict[str, FileInfo | None]:
        """Return what lies under each of these names in a folder, as `stat` does, opening the folder once."""
        parts, found = split_path(folder), dict[str, FileInfo | None]()
        try:
            with _explained(folder, "read"), self._folder(parts) as descriptor:
                for name in names:
                    try:
                        status = os.stat(split_path(name)[-1], dir_fd=descriptor, follow_symlinks=False)
                    except FileNotFoundError:
                        found[name] = None
                    else:
                        found[name] = _info(f"{folder}/{name}", status)
        except (FileNotFoundError, Planted):
            return dict.fromkeys(names)
        return found

    def list(self, folder: str) -> Iterator[FileInfo]:
        """Walk the folder; what vanishes meanwhile is left out."""
        try:
            with _explained(folder, "read"), self._folder(split_path(folder)) as descriptor, os.scandir(descriptor) as entries:
                # An entry's own stat would need the descriptor, which is closed before the caller asks for more.
                found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
        except (FileNotFoundError, Planted):
            return
        for name, is_folder in found:
            if is_folder:
                yield from self.list(f"{folder}/{name}")
            elif (info := self.stat(f"{folder}/{name}")) is not None:
                yield info

    def remove(self, path: str, *, when: Callable[[], bool], to: str | None = None) -> bool:
        """Ask and act under the lock that every writer's commit shares."""
        *folders, name = split_path(path)
        with _explained(path, "write"), contextlib.ExitStack() as stack:
            try:
                folder = stack.enter_context(self._folder(folders))
            except (FileNotFoundError, Planted):
                return False
            *others, new_name = split_path(to or path)
            other = stack.enter_context(self._folder(others, create=True))
            stack.enter_context(self._lock(shared=False))
            try:
                if not when():
                    return False
                failpoint("blobs.remove")
                if to is None:
                    os.unlink(name, dir_fd=folder)
                else:
                    os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=other)
            except FileNotFoundError:
                return False
        return True

    def folder(self, *parts: str) -> Path:
        """Return a folder of the store, made like every other one."""
        with _explained("/".join(parts), "write"):
            self._prepare()
            with self._folder(parts, create=True):
                return self.root.joinpath(*parts)

    def _prepare(self) -> None:
        """Make the root, with a `.gitignore` that keeps it out of git, unless both are there."""
        with _explained(self.root.name, "write"):
            if not self.root.is_dir():
                failpoint("store.make")
                self.root.parent.mkdir(parents=True, exist_ok=True)
                self.root.mkdir(mode=0o700, exist_ok=True)
                _sync(self.root.parent)
            # `--store .` must not hide a whole project from git.
            if not os.path.lexists(self.root / ".gitignore") and _OURS.issuperset(entry.name for entry in self.root.iterdir()):
                # On a full disk or a read-only one what comes next tells; reading needs no .gitignore.
                with contextlib.suppress(OSError), self._folder([]) as folder:
                    self._place(folder, ".gitignore", [memoryview(b"*\n")], overwrite=False, durable=True, point="store")

    def _refresh(self, folder: int, name: str, *, durable: bool) -> bool:
        # What is wanted again is young again: a `gc` that is about to delete it looks at its age under the same lock.
        with self._lock(shared=True):
            try:
                if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    raise Planted(name)
                if durable:
                    _sync_data(folder, name)  # a kernel may have written it a moment ago, without waiting for the disk
                # A colleague's object in a shared store may be used although its times are not ours to set.
                with contextlib.suppress(PermissionError):
                    os.utime(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                return False
        return True

    def _place(self, folder: int, name: str, buffers: Sequence[memoryview], *, overwrite: bool, durable: bool, point: str) -> None:
        temporary = f".tmp-{os.urandom(8).hex()}"
        try:
            self._write_temporary(folder, temporary, buffers, durable=durable, point=point)
            with self._lock(shared=True):
                failpoint(f"{point}.commit")
                _commit(folder, temporary, name, overwrite=overwrite)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=folder)

    def _write_temporary(self, folder: int, name: str, buffers: Sequence[memoryview], *, durable: bool, point: str) -> None:
        descriptor = os.open(name, _CREATE, 0o600, dir_fd=folder)
        try:
            if _is_shared(folder):
                os.fchmod(descriptor, 0o660)
            failpoint(f"{point}.write")
            _write_all(descriptor, buffers)
            if durable:
                failpoint(f"{point}.fsync")
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _lock(self, *, shared: bool) -> Iterator[None]:
        with self._folder(["locks"], create=True), file_lock(self.root / "locks" / "store.lock", shared=shared):
            yield

    @contextlib.contextmanager
    def _folder(self, parts: Sequence[str], *, create: bool = False) -> Iterator[int]:
        descriptor = os.open(self.root, _FOLDER)
        try:
            for part in parts:
                above, descriptor = descriptor, _open_child(descriptor, part, create=create, synced=self._synced)
                os.close(above)  # only now: an interrupt before would have it closed twice
            yield descriptor
        finally:
            os.close(descriptor)


def _open_child(folder: int, name: str, *, create: bool, synced: bool = True) -> int:
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        if not create:
            raise
    except OSError as error:
        if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
            raise
        raise Planted(name) from error
    failpoint("store.make")
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)
        if _is_shared(folder):
            os.chmod(name, stat.S_IMODE(os.fstat(folder).st_mode), dir_fd=folder)
        if synced:
            os.fsync(folder)
    return _open_child(folder, name, create=False)


def _is_shared(folder: int) -> bool:
    return bool(os.fstat(folder).st_mode & stat.S_IWGRP)


def _sync_data(folder: int, name: str) -> None:
    descriptor = os.open(name, _READ, dir_fd=folder)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _commit(folder: int, temporary: str, name: str, *, overwrite: bool) -> None:
    if overwrite:
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        return
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        # Somebody else was first with the same bytes.
        with contextlib.suppress(PermissionError):
            os.utime(name, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # File systems without hard links: a rename may replace, but only by equal bytes.
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def _write_all(descriptor: int, buffers: Sequence[memoryview]) -> None:
    """Write many at once: a forest of 200 trees has 1,400 arrays."""
    waiting = deque(buffer for buffer in buffers if buffer.nbytes)
    while waiting:
        written = os.writev(descriptor, list(itertools.islice(waiting, _MOST_AT_ONCE)))
        while waiting and written >= waiting[0].nbytes:
            written -= waiting.popleft().nbytes
        if written:
            waiting[0] = waiting[0][written:]


def _load(descriptor: int, path: str) -> memoryview:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise Planted(path)
    if status.st_size >= _MAP_FROM_BYTES:
        return memoryview(mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_COPY))
    content = bytearray()
    while part := os.read(descriptor, _MAP_FROM_BYTES):
        content += part
    return memoryview(content)


def _info(path: str, status: os.stat_result) -> FileInfo:
    return FileInfo(
        path=path,
        size_bytes=status.st_size,
        modified_s=status.st_mtime,
        regular=stat.S_ISREG(status.st_mode),
        inode=status.st_ino,
    )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, _FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(path: str, act: str) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except Planted as error:
        if act == "read":
            raise
        raise StoreError(
            f"something that the store did not make lies in it as {error}",
            code="NB803",
            fix="look at what it is and remove it: the store never makes links",
        ) from error
    except FileNotFoundError as error:
        if act == "read":
            raise
        raise StoreError(f"the store vanished while {path} was written", code="NB801", fix="run again") from error
    except OSError as error:
        raise _explain(path, act, error) from error


def _explain(path: str, act: str, error: OSError) -> StoreError:
    if error.errno in _FULL:
        return StoreError(f"no room to write {path}", code="NB801", fix="free space or run nbmlops store gc, then run again")
    if error.errno in _FORBIDDEN:
        fix = "mend the folder's permissions, or choose another store with --store"
        return StoreError(f"the store does not let this user {act} {path}", code="NB802", fix=fix)
    return StoreError(f"the store cannot {act} {path}: {error.strerror}", code="NB801", fix="look at the disk, then run again")
