"""A store behind an fsspec URL, such as ``s3://bucket/folder``.

An object store shows a file whole or not at all. Other file systems get a temporary name and a rename.
"""

from __future__ import annotations

import contextlib
import os
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbmlops.errors import StoreError, UsageError
from nbmlops.failpoints import failpoint
from nbmlops.store.objects import FileInfo, Planted, split_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["RemoteBlobs"]

_ATOMIC = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "r2", "memory"}
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
# Below the hour in which `gc` deletes nothing, with room for a slow upload.
_FRESH_S = 1800.0


class RemoteBlobs:
    """Named bytes on an fsspec file system.

    Parameters
    ----------
    url : str

    Raises
    ------
    UsageError
        If no installed file system knows the URL.
    """

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self.url = url
        try:
            self._files, self._root = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UsageError(f"the store {url!r} cannot be opened: {error}", code="NB804", fix="install its package or mend the URL") from error
        names = self._files.protocol
        self._atomic = bool(_ATOMIC.intersection([names] if isinstance(names, str) else names))

    def read(self, path: str) -> memoryview:
        """Fetch the file."""
        with self._explained(path, "read"):
            try:
                return memoryview(bytearray(self._files.cat_file(self._full(path))))
            except IsADirectoryError as error:
                raise Planted(path) from error

    def write(self, path: str, buffers: Sequence[memoryview], *, overwrite: bool, durable: bool = True) -> None:  # noqa: ARG002 - what a service has taken is durable
        """Send the file; one that is there and is not to be replaced is sent again only if `gc` might think it old."""
        with self._explained(path, "write"):
            info = None if overwrite else self.stat(path)
            if info is not None and time.time() - info.modified_s < _FRESH_S:
                return
            failpoint("remote.write")
            if self._atomic:
                self._files.pipe_file(self._full(path), b"".join(buffers))
            else:
                self._write_and_rename(path, b"".join(buffers))

    def stat(self, path: str) -> FileInfo | None:
        """Ask for the file, past any listing that is kept in memory."""
        with self._explained(path, "read"):
            self._files.invalidate_cache()
            try:
                return self._info(self._files.info(self._full(path)))
            except FileNotFoundError:
                return None

    def list(self, folder: str) -> Iterator[FileInfo]:
        """Ask for the whole folder at once."""
        with self._explained(folder, "read"):
            self._files.invalidate_cache()
            try:
                found = self._files.find(self._full(folder), detail=True)
            except FileNotFoundError:
                return
        for name in sorted(found):
            yield self._info(found[name])

    def remove(self, path: str, *, when: Callable[[], bool], to: str | None = None) -> bool:
        """Ask, then act: a writer on another machine can come between, which the hour that `gc` spares makes unlikely."""
        with self._explained(path, "write"):
            try:
                if not when():
                    return False
                failpoint("remote.remove")
                if to is None:
                    self._files.rm_file(self._full(path))
                else:
                    self._make_folder(to)
                    self._files.mv(self._full(path), self._full(to))
            except FileNotFoundError:
                return False
        return True

    def _write_and_rename(self, path: str, content: bytes) -> None:
        folder = path.rpartition("/")[0]
        temporary = self._full(f"{folder}/.tmp-{os.urandom(8).hex()}")
        self._make_folder(path)
        try:
            self._files.pipe_file(temporary, content)
            self._files.mv(temporary, self._full(path))
        except BaseException:
            with contextlib.suppress(OSError):
                self._files.rm_file(temporary)
            raise

    def _make_folder(self, path: str) -> None:
        if not self._atomic:
            self._files.makedirs(self._full(path).rpartition("/")[0], exist_ok=True)

    def _full(self, path: str) -> str:
        return "/".join([self._root.rstrip("/"), *split_path(path)])

    def _info(self, info: Mapping[str, Any]) -> FileInfo:
        return FileInfo(
            path=str(info["name"])[len(self._root.rstrip("/")) + 1 :],
            size_bytes=int(info.get("size") or 0),
            modified_s=_modified_s(info),
            regular=info.get("type") == "file" and not info.get("islink", False),
        )

    @contextlib.contextmanager
    def _explained(self, path: str, act: str) -> Iterator[None]:
        try:
            yield
        except (StoreError, Planted):
            raise
        except Exception as error:  # each service's client has exceptions of its own, few of them OSError
            if act == "read" and isinstance(error, FileNotFoundError):
                raise
            message = f"the store {self.url} cannot {act} {path}: {type(error).__name__}: {error}"
            raise StoreError(message, code="NB801", fix="check the connection and the permissions, then run again") from error


def _modified_s(info: Mapping[str, Any]) -> float:
    for name in _TIMES:
        value = info.get(name)
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.timestamp()
    # Unknown age: young, so that `gc` never deletes what it cannot judge.
    return time.time()
