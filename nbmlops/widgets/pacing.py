"""Hand on the last of many values, not more often than somebody can look."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pacer"]

Value = TypeVar("Value")


class Pacer(Generic[Value]):
    """Delivers values from a thread of its own: the first at once, then the newest one after each interval, the last one always.

    Parameters
    ----------
    deliver : callable
        Takes a value; is never called twice at a time.
    interval_s : float
        The least time from one delivery to the next.
    """

    def __init__(self, deliver: Callable[[Value], None], interval_s: float) -> None:
        self._deliver = deliver
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._delivering = threading.Lock()
        self._waiting: list[Value] = []
        self._due_s = 0.0
        self._thread: threading.Thread | None = None

    def offer(self, value: Value) -> None:
        """Let a value be delivered when its time has come, unless a newer one is offered before; returns at once."""
        with self._lock:
            self._waiting[:] = [value]
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nbmlops-panel", daemon=True)
                self._thread.start()

    def deliver_now(self, value: Value) -> None:
        """Deliver a value in this thread, instead of whatever waits."""
        with self._delivering:
            with self._lock:
                self._waiting.clear()
            self._deliver(value)
            self._due_s = time.monotonic() + self._interval_s

    def _run(self) -> None:
        while True:
            time.sleep(max(0.0, self._due_s - time.monotonic()))
            with self._delivering:
                with self._lock:
                    if not self._waiting:
                        self._thread = None
                        return
                    value = self._waiting.pop()
                try:
                    self._deliver(value)
                except BaseException:
                    with self._lock:
                        self._thread = None  # the next offer starts another
                    raise
                self._due_s = time.monotonic() + self._interval_s
