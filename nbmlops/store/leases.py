"""Leases: what stands in for a file lock on a store that other machines share.

A lease is a file that names its holder and when it expires; the holder renews it while it works. There is no compare-and-swap
that every service has, so two holders are possible in rare races: harmless, because both store the same under the same key.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from nbmlops.dataclass import dataclass
from nbmlops.errors import StoreError
from nbmlops.store.locks import HELD
from nbmlops.store.objects import Blobs, Planted
from nbmlops.store.records import BadSeal, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Lease", "any_lease", "hold_lease"]

_LIFE_S = 60.0
# Long enough for a rival's write, begun before ours was visible, to land.
_SETTLE_S = 0.1
_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds what until when.

    Parameters
    ----------
    holder : str
    expires_s : float
        Unix time.
    """

    holder: str
    expires_s: float

    @property
    def live(self) -> bool:
        """Whether it still holds."""
        return time.time() < self.expires_s


@contextmanager
def hold_lease(
    blobs: Blobs,
    path: str,
    *,
    life_s: float = _LIFE_S,
    timeout_s: float | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold the lease at `path`, renewed by a thread; one whose holder died is free `life_s` seconds after its last renewal.

    Raises
    ------
    StoreError
        If it was not free within `timeout_s` seconds.
    """
    holder = os.urandom(16).hex()
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while not _try(blobs, path, holder, life_s):
        if on_wait is not None:
            on_wait()
            on_wait = None
        if deadline is not None and time.monotonic() >= deadline:
            raise StoreError(f"the lease {path} is held by another machine", code=HELD, fix="wait until it has ended")
        time.sleep(_PAUSE_S)
    done = threading.Event()
    renewal = threading.Thread(target=_renew, args=(blobs, path, holder, life_s, done), daemon=True)
    renewal.start()
    try:
        yield
    finally:
        done.set()
        renewal.join()
        # The lease runs out by itself: what was computed under it is stored already.
        with suppress(StoreError):
            blobs.remove(path, when=lambda: _holder(blobs, path) == holder)


def any_lease(blobs: Blobs) -> bool:
    """Tell whether any lease of the store is live: whether a run may be going on somewhere."""
    return any(lease is not None and lease.live for lease in (_read(blobs, info.path) for info in blobs.list("leases")))


def _try(blobs: Blobs, path: str, holder: str, life_s: float) -> bool:
    lease = _read(blobs, path)
    if lease is not None and lease.live:
        return False
    _write(blobs, path, holder, life_s)
    time.sleep(_SETTLE_S)
    return _holder(blobs, path) == holder


def _renew(blobs: Blobs, path: str, holder: str, life_s: float, done: threading.Event) -> None:
    while not done.wait(life_s / 3):
        # A renewal that fails is tried again a third of a life later.
        with suppress(StoreError):
            _write(blobs, path, holder, life_s)


def _holder(blobs: Blobs, path: str) -> str | None:
    lease = _read(blobs, path)
    return None if lease is None else lease.holder


def _read(blobs: Blobs, path: str) -> Lease | None:
    try:
        data = unseal(blobs.read(path))
        return Lease(str(data["holder"]), float(data["expires_s"]))
    except (FileNotFoundError, Planted, BadSeal, KeyError, TypeError, ValueError):
        return None


def _write(blobs: Blobs, path: str, holder: str, life_s: float) -> None:
    sealed = seal({"holder": holder, "expires_s": time.time() + life_s})
    blobs.write(path, [memoryview(sealed)], overwrite=True)
