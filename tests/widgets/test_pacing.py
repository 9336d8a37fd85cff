"""Handing on the last of many values."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from nbmlops.widgets.pacing import Pacer

if TYPE_CHECKING:
    import pytest


class Seen:
    """Takes values, and tells when there are enough."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self.changed = threading.Condition()

    def __call__(self, value: int) -> None:
        """Take a value; three times seven is refused."""
        if value == 21:
            raise ValueError(value)
        with self.changed:
            self.values.append(value)
            self.changed.notify_all()

    def wait_for(self, value: int) -> None:
        """Wait until a value is the last one."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.values[-1:] == [value], timeout=20), self.values


def test_last_of_many_values_arrives() -> None:
    """Of a thousand values offered at once few are delivered, in order, and the last one is among them."""
    seen = Seen()
    pacer = Pacer(seen, 0.05)
    for value in range(1000):
        pacer.offer(value)
    seen.wait_for(999)
    assert len(seen.values) <= 3
    assert seen.values == sorted(seen.values)


def test_first_value_does_not_wait() -> None:
    """After a pause a value is delivered at once."""
    seen = Seen()
    pacer = Pacer(seen, 30)
    begun = time.monotonic()
    pacer.offer(1)
    seen.wait_for(1)
    assert time.monotonic() - begun < 15


def test_what_is_delivered_now_replaces_what_waits() -> None:
    """A value that waits is not delivered after one that did not."""
    seen = Seen()
    pacer = Pacer(seen, 0.2)
    pacer.offer(1)
    seen.wait_for(1)
    pacer.offer(2)
    pacer.deliver_now(3)
    time.sleep(0.5)
    assert seen.values == [1, 3]


def test_failed_delivery_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is offered after a delivery that raised is delivered."""
    raised = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: raised.set())
    seen = Seen()
    pacer = Pacer(seen, 0.01)
    pacer.offer(21)
    assert raised.wait(20)
    pacer.offer(5)
    seen.wait_for(5)
