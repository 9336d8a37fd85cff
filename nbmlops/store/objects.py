"""Objects: immutable bytes under their own digest, verified against it on every read.

How bytes get to disk or to a bucket is the matter of a `Blobs`: `local.LocalBlobs` or `remote.RemoteBlobs`.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Protocol

from blake3 import blake3

from nbmlops.dataclass import dataclass
from nbmlops.errors import StoreError
from nbmlops.store.records import is_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from typing_extensions import Buffer

__all__ = ["Blobs", "FileInfo", "Objects", "Planted", "digest_of", "digest_of_buffers", "quarantine_path", "split_path"]

_TEMPORARY = ".tmp-"


class Planted(ValueError):
    """A path of the store where something else than a plain file lies, such as a symbolic link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """What a listing tells about one file of the store.

    Parameters
    ----------
    path : str
        Relative to the store, with ``/``.
    size_bytes : int
    modified_s : float
        Unix time at which it was last written or wanted again.
    regular : bool
        False for a link, a device or anything else that the store never makes.
    inode : int
        Another one each time that a file is written; 0 where nothing tells.
    """

    path: str
    size_bytes: int
    modified_s: float
    regular: bool
    inode: int = 0

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def temporary(self) -> bool:
        """Whether this is what a writer that was killed left behind, or one at work is writing."""
        return self.name.startswith(_TEMPORARY)


class Blobs(Protocol):
    """Named bytes that are whole or not there. Any thread may call any method."""

    def read(self, path: str) -> memoryview:
        """Return the bytes at `path`, writable and private to the caller.

        Raise FileNotFoundError if nothing is there, `Planted` if it is no plain file, StoreError if it cannot be read.
        """
        ...

    def write(self, path: str, buffers: Sequence[memoryview], *, overwrite: bool, durable: bool = True) -> None:
        """Write the buffers, one after the other, so that `path` holds all of them or what it held before.

        Without `overwrite` a file that is there stays, and counts as written now. Without `durable` a power failure may
        lose or tear it. Raise StoreError, naming the remedy, if it cannot be written.
        """
        ...

    def stat(self, path: str) -> FileInfo | None:
        """Return what lies at `path`, links not followed; None if nothing does."""
        ...

    def list(self, folder: str) -> Iterator[FileInfo]:
        """Yield everything below `folder` that is no folder, sorted by path."""
        ...

    def remove(self, path: str, *, when: Callable[[], bool], to: str | None = None) -> bool:
        """Delete `path`, or move it to the path `to`, if `when()` holds; return whether it was done.

        No writer of this machine commits anything between the asking and the doing. Nothing there is not an error.
        """
        ...


class Objects:
    """The objects of one store.

    Parameters
    ----------
    blobs : Blobs
    folder : str, default "objects"
        Where they lie.
    """

    def __init__(self, blobs: Blobs, folder: str = "objects") -> None:
        self._blobs = blobs
        self.folder = folder

    def put(self, buffers: Sequence[Buffer]) -> str:
        """Store the bytes of `buffers`, one after the other, and return their digest once they are on disk.

        Parameters
        ----------
        buffers : sequence of bytes-like
            Each contiguous, in C or Fortran order.

        Raises
        ------
        StoreError
            If they cannot be written; nothing is left behind then.
        """
        flat = _flatten(buffers)
        digest = digest_of(flat)
        if self._blobs.stat(self.path(digest)) is not None:
            with contextlib.suppress(KeyError):
                # Moves a damaged object away, so that the good bytes at hand take its place.
                self.view(digest).release()
        self._blobs.write(self.path(digest), flat, overwrite=False)
        return digest

    def view(self, digest: str) -> memoryview:
        """Return the object's bytes, verified, writable and private to the caller.

        Raises
        ------
        KeyError
            If the store does not hold it, or held something else under its name, which is then in quarantine.
        """
        path = self.path(digest)
        try:
            view = self._read_sound(digest)
        except FileNotFoundError:
            raise KeyError(digest) from None
        if view is not None:
            return view
        # A reader without the right to write still must not see it: a miss, whether or not it can be moved away.
        with contextlib.suppress(StoreError):
            self._blobs.remove(path, when=lambda: not self.sound(digest), to=quarantine_path(path))
        raise KeyError(digest)

    def sound(self, digest: str) -> bool:
        """Tell whether the object is there and is what its name says; never moves it."""
        try:
            return self._read_sound(digest) is not None
        except FileNotFoundError:
            return False

    def exists(self, digest: str) -> bool:
        """Tell whether the object seems to be there, without reading it."""
        info = self._blobs.stat(self.path(digest))
        return info is not None and info.regular

    def delete(self, digest: str) -> None:
        """Remove the object, if it is there."""
        self._blobs.remove(self.path(digest), when=lambda: True)

    def all(self) -> Iterator[str]:
        """Yield the digest of every object, sorted."""
        for info in self._blobs.list(self.folder):
            if is_digest(info.name) and info.path == self.path(info.name):
                yield info.name

    def path(self, digest: str) -> str:
        """Return where the object lies, relative to the store; KeyError for what is no digest."""
        if not is_digest(digest):
            raise KeyError(digest)
        return f"{self.folder}/{digest[:2]}/{digest}"

    def _read_sound(self, digest: str) -> memoryview | None:
        try:
            view = self._blobs.read(self.path(digest))
        except Planted:
            return None
        return view if digest_of([view]) == digest else None


def digest_of(buffers: Sequence[memoryview]) -> str:
    """Return the digest of the buffers' bytes, one after the other."""
    hasher = blake3()
    for buffer in buffers:
        hasher.update(buffer)
    return hasher.hexdigest()


def digest_of_buffers(buffers: Sequence[Buffer]) -> str:
    """Return the digest under which `Objects.put` would store the buffers."""
    return digest_of(_flatten(buffers))


def quarantine_path(path: str) -> str:
    """Return where a bad file is moved to: a name that nothing has yet."""
    return f"quarantine/{path.replace('/', '-')}-{os.urandom(4).hex()}"


def split_path(path: str) -> list[str]:
    """Split a path of the store into its parts.

    Raises
    ------
    StoreError
        If it would lead out of the store.
    """
    parts = path.split("/")
    if any(part in {"", ".", ".."} or "\0" in part for part in parts):
        raise StoreError(f"{path!r} is no path in the store", code="NB808", fix="names come from digests and ids only")
    return parts


def _flatten(buffers: Sequence[Buffer]) -> list[memoryview]:
    from pickle import PickleBuffer  # noqa: PLC0415 - whoever only reads does without

    # PickleBuffer.raw also takes Fortran order and views of zero bytes, which memoryview.cast refuses.
    return [raw for raw in (PickleBuffer(buffer).raw() for buffer in buffers) if raw.nbytes]
