"""Events on disk before anybody is told, and how far each tracker has been told.

::

    <folder>/<run id>.jsonl              sealed lines of a run that some tracker still waits for
    <folder>/delivered/<run id>.jsonl    the same, when every tracker has it
    <folder>/progress/<tracker>/<run id>.json
    <folder>/locks/                      who lives and who sends

The process that writes a run's `RunStarted` holds the run's lock until `RunFinished`. The kernel frees it when that
process dies, so a run that has no end and a free lock is dead. (A process number would be wrong in another container.)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from nbmlops.errors import StoreError
from nbmlops.executors.events import Event, RunFinished, RunStarted, event_from_json, event_to_json
from nbmlops.failpoints import failpoint
from nbmlops.store.locks import file_lock
from nbmlops.store.replacing import make_folder, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["Journal", "Outbox", "Progress"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one tracker has one run.

    Parameters
    ----------
    position : int
        How many lines of the run's journal are delivered.
    events : int
        How many events that was; differs from `position` by the lines that are no events.
    reference : dict of str to str
        Where the tracker shows the run.
    """

    position: int = 0
    events: int = 0
    reference: dict[str, str] = field(default_factory=dict)


class Outbox:
    """The events of a project's runs, kept until they are delivered.

    Keep the object that appended `RunStarted` until the run has ended: with it goes the proof that the run is alive.
    Any thread may call `append`; the other methods may be called by any process at any time.

    Parameters
    ----------
    folder : Path
        Always local; made when needed.
    trackers : sequence of str or None
        Who is to get the runs that this object starts; None means whoever is asked for when they are sent.
    """

    def __init__(self, folder: Path, trackers: Sequence[str] | None = None) -> None:
        self.folder = folder
        self.trackers = trackers
        self._owned: dict[str, ExitStack] = {}
        self._guard = threading.Lock()

    def append(self, event: Event) -> None:
        """Write `event` to disk; it survives a crash of the machine from here on.

        Raises
        ------
        StoreError
            If the disk is full or the folder cannot be written; the journal is as it was.
        """
        path = self._journal_path(event.run_id)
        with self._guard, _disk_errors(path):
            if isinstance(event, RunStarted):
                self._begin(event, path)
            else:
                _append(path, [event_to_json(event)])
            if isinstance(event, RunFinished):
                self._disown(event.run_id)

    def _begin(self, event: RunStarted, path: Path) -> None:
        self._own(event.run_id)
        try:
            _append(path, [*self._addressees(), event_to_json(event)])
        except BaseException:
            self._disown(event.run_id)
            raise

    def _addressees(self) -> list[dict[str, Any]]:
        return [] if self.trackers is None else [{"trackers": list(self.trackers)}]

    def journal(self, run_id: str) -> Journal:
        """Return what is kept of the run `run_id`; an empty journal if there is nothing."""
        for path in (self._journal_path(run_id), self._delivered_path(run_id)):
            with suppress(FileNotFoundError):
                return _read(path)
        return Journal()

    def undelivered(self) -> list[str]:
        """List the runs that some tracker still waits for, the oldest first."""
        try:
            with os.scandir(self.folder) as entries:
                found = [(entry.stat().st_mtime_ns, entry.name) for entry in entries if entry.name.endswith(".jsonl")]
        except FileNotFoundError:
            return []
        return [name.removesuffix(".jsonl") for _, name in sorted(found)]

    def awaited(self, trackers: Sequence[str]) -> bool:
        """Tell whether one of `trackers` waits for a run's events, or would for the end of one whose process died."""
        meant = (self.journal(run_id).trackers for run_id in self.undelivered())
        return any(names is None or not set(names).isdisjoint(trackers) for names in meant)

    def pending(self, tracker: str) -> list[str]:
        """List the runs of which `tracker` has not got everything, the oldest first."""
        return [run_id for run_id in self.undelivered() if self._waits(tracker, run_id)]

    def _waits(self, tracker: str, run_id: str) -> bool:
        journal = self.journal(run_id)
        if not journal.started or (journal.trackers is not None and tracker not in journal.trackers):
            return False
        return self.progress(tracker, run_id).position < journal.lines

    def progress(self, tracker: str, run_id: str) -> Progress:
        """Return how far `tracker` has the run; from the beginning if that was never written, or is damaged."""
        try:
            body = _unseal(self._progress_path(tracker, run_id).read_bytes())
        except FileNotFoundError:
            return Progress()
        return Progress(**body) if body is not None else Progress()

    def advance(self, tracker: str, run_id: str, journal: Journal, reference: dict[str, str]) -> None:
        """Note that `tracker` has all of `journal`, and where it shows the run."""
        progress = Progress(position=journal.lines, events=len(journal.events), reference=reference)
        path = self._progress_path(tracker, run_id)
        with _disk_errors(path):
            make_folder(path.parent)
            replace_file(path, _seal(asdict(progress)), point="progress", durable=True)

    def settle(self, run_id: str, trackers: Sequence[str]) -> None:
        """File the run away if it has ended and everybody has it; `trackers` are meant if the run names none."""
        journal = self.journal(run_id)
        meant = trackers if journal.trackers is None else journal.trackers
        if not journal.finished or any(self._waits(tracker, run_id) for tracker in meant):
            return
        self._move(run_id, self._delivered_path(run_id))
        self._owner_path(run_id).unlink(missing_ok=True)

    def reference(self, run_id: str) -> dict[str, dict[str, str]]:
        """Return where each tracker shows the run, by the tracker's name; those without an answer yet are absent."""
        folder = self.folder / "progress"
        try:
            trackers = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
        except FileNotFoundError:
            return {}
        found = {tracker: self.progress(tracker, run_id).reference for tracker in trackers}
        return {tracker: reference for tracker, reference in found.items() if reference}

    def sending(self, tracker: str, *, timeout_s: float | None = None) -> AbstractContextManager[None]:
        """Hold the right to send to `tracker`, so that two processes never look for, and then make, the same run.

        Raises
        ------
        StoreError
            On entry, if another process has it for longer than `timeout_s`.
        """
        return file_lock(self.folder / "locks" / f"{_checked(tracker)}.tracker", timeout_s=timeout_s)

    def close_dead(self) -> list[str]:
        """End, as cancelled, the runs whose process died; return their ids."""
        return [run_id for run_id in self.undelivered() if self._close_if_dead(run_id)]

    def _close_if_dead(self, run_id: str) -> bool:
        if self.journal(run_id).finished:
            return False
        try:
            with file_lock(self._owner_path(run_id), timeout_s=0):
                return self._close(run_id)
        except StoreError:
            return False

    def _close(self, run_id: str) -> bool:
        # Another process may have ended it between the look and the lock.
        journal = self.journal(run_id)
        if journal.finished:
            return False
        if not journal.lines:
            self._journal_path(run_id).unlink(missing_ok=True)  # killed, or out of room, before it had told anything
            self._owner_path(run_id).unlink(missing_ok=True)
            return False
        if not journal.started:
            self._move(run_id, self.folder / "quarantine" / f"{run_id}.jsonl")
            return False
        # When it died is not known: the last sign of life is the time that can be told without guessing.
        first, last = journal.events[0].time_s, max(event.time_s for event in journal.events)
        self.append(RunFinished(run_id=run_id, time_s=last, status="cancelled", seconds=max(0.0, last - first)))
        return True

    def _move(self, run_id: str, target: Path) -> None:
        make_folder(target.parent)
        failpoint("outbox.move")
        with suppress(FileNotFoundError):
            self._journal_path(run_id).rename(target)

    def _own(self, run_id: str) -> None:
        stack = ExitStack()
        stack.enter_context(file_lock(self._owner_path(run_id), timeout_s=1.0))
        self._owned[run_id] = stack

    def _disown(self, run_id: str) -> None:
        if run_id in self._owned:
            self._owned.pop(run_id).close()

    def _journal_path(self, run_id: str) -> Path:
        return self.folder / f"{_checked(run_id)}.jsonl"

    def _delivered_path(self, run_id: str) -> Path:
        return self.folder / "delivered" / f"{_checked(run_id)}.jsonl"

    def _progress_path(self, tracker: str, run_id: str) -> Path:
        return self.folder / "progress" / _checked(tracker) / f"{_checked(run_id)}.json"

    def _owner_path(self, run_id: str) -> Path:
        return self.folder / "locks" / f"{_checked(run_id)}.run"


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise StoreError(f"{name!r} cannot name a file of the outbox", code="NB905", fix="use letters, digits, '.', '_' and '-'")
    return name


class _disk_errors(AbstractContextManager[None]):  # noqa: N801 - read as a statement
    def __init__(self, path: Path) -> None:
        self._path = path

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, StoreError):
            raise StoreError(
                f"the outbox of events cannot be written: {error.strerror or error} ({self._path})",
                code="NB901",
                fix="make room or make the folder writable; the run's results are not touched",
            ) from error


def _seal(body: dict[str, Any]) -> bytes:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return f'{{"seal":"{_digest(text)}","body":{text}}}\n'.encode()


def _unseal(line: bytes) -> dict[str, Any] | None:
    try:
        whole = json.loads(line)
        body: dict[str, Any] = whole["body"]
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return body if whole["seal"] == _digest(text) else None
    except (ValueError, TypeError, KeyError):
        return None


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _append(path: Path, bodies: list[dict[str, Any]]) -> None:
    make_folder(path.parent)
    new = not path.exists()
    data = b"".join(_seal(body) for body in bodies)
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


def _read(path: Path) -> Journal:
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
        yield _unseal(line)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
