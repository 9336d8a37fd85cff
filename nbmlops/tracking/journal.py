"""The file of one run's events: a sealed line for each, so that a torn or damaged one is noticed and loses itself only."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmlops.executors.events import Event, RunFinished, RunStarted, event_from_json
from nbmlops.failpoints import failpoint
from nbmlops.store.replacing import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["Journal", "append_lines", "read_journal", "seal", "unseal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What the outbox holds of one run.

    Parameters
    ----------
    events : tuple of Event
        The whole events, in the order in which they were written.
    lines : int
        How many lines were written, whole or not; positions count these.
    trackers : tuple of str, or None
        Who is to get the run; None where that line was lost, which means everybody.
    """

    events: tuple[Event, ...] = ()
    lines: int = 0
    damaged: int = 0
    trackers: tuple[str, ...] | None = None

    @property
    def started(self) -> bool:
        """Whether the run's beginning can be read, without which no tracker can show it."""
        return bool(self.events) and isinstance(self.events[0], RunStarted)

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return any(isinstance(event, RunFinished) for event in self.events)

    @property
    def of_sweep(self) -> str | None:
        """The id of the sweep whose own journal this is; None for that of a trial or of any other run."""
        first = self.events[0] if self.events else None
        return first.sweep.get("id") if isinstance(first, RunStarted) and first.sweep.get("role") == "sweep" else None


def seal(body: dict[str, Any]) -> bytes:
    """Return `body` as a line that says itself whether it is whole."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return f'{{"seal":"{_digest(text)}","body":{text}}}\n'.encode()


def unseal(line: bytes) -> dict[str, Any] | None:
    """Return the body of a sealed line, None if it is damaged."""
    try:
        whole = json.loads(line)
        body: dict[str, Any] = whole["body"]
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return body if whole["seal"] == _digest(text) else None
    except (ValueError, TypeError, KeyError):
        return None


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def append_lines(path: Path, bodies: Sequence[dict[str, Any]]) -> None:
    """Add a line for each body, with one fsync for them all; a line that a crash has cut short is removed first.

    Raises
    ------
    OSError
        If there is no room; the file is as it was.
    """
    make_folder(path.parent)
    new = not path.exists()
    data = b"".join(seal(body) for body in bodies)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        end = _cut_torn_tail(descriptor)
        try:
            failpoint("outbox.write")
            _write_all(descriptor, data)
            failpoint("outbox.fsync")
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)
    if new:
        failpoint("outbox.sync")
        _sync_folder(path.parent)


def _cut_torn_tail(descriptor: int) -> int:
    # A line that a crash cut short would swallow the next one.
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        size = os.pread(descriptor, size, 0).rfind(b"\n") + 1
        os.ftruncate(descriptor, size)
    return size


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def read_journal(path: Path) -> Journal:
    """Return what the file at `path` holds.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    events: list[Event] = []
    trackers: tuple[str, ...] | None = None
    lines = damaged = 0
    for body in _bodies(path.read_bytes()):
        lines += 1
        if body is None:
            damaged += 1
        elif "trackers" in body and "kind" not in body:
            trackers = tuple(body["trackers"])
        else:
            events.append(event_from_json(body))
    return Journal(events=tuple(events), lines=lines, damaged=damaged, trackers=trackers)


def _bodies(data: bytes) -> Iterator[dict[str, Any] | None]:
    # What follows the last line feed is a line that is being written, or that a crash cut short.
    for line in data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]:
        yield unseal(line)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
