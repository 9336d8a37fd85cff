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

import os
import threading
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nbmlops.errors import StoreError
from nbmlops.executors.events import Event, RunFinished, RunStarted, event_to_json
from nbmlops.failpoints import failpoint
from nbmlops.pattern import pattern
from nbmlops.store.locks import file_lock
from nbmlops.store.replacing import make_folder, replace_file
from nbmlops.tracking.journal import Journal, append_lines, read_journal, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

__all__ = ["Outbox", "Progress"]

T = TypeVar("T")
_SWEEPS_WAIT_S = 5.0
_NAME = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


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
        self._journals = _Remembered(read_journal)
        self._progress = _Remembered(_read_progress)
        self._guard = threading.Lock()

    def append(self, *events: Event) -> None:
        """Write `events` of one run to disk, in this order; they survive a crash of the machine from here on.

        Raises
        ------
        StoreError
            If the disk is full or the folder cannot be written; the journal is as it was.
        ValueError
            If the events are not of one run.
        """
        run_id = _only({event.run_id for event in events})
        path = self._journal_path(run_id)
        with self._guard, _disk_errors(path):
            bodies = [event_to_json(event) for event in events]
            if isinstance(events[0], RunStarted):
                self._begin(run_id, path, bodies)
            else:
                append_lines(path, bodies)
            if isinstance(events[-1], RunFinished):
                self._disown(run_id)
            self._live()

    def readdress(self, run_id: str, trackers: Sequence[str]) -> None:
        """Say again who is to get a run that this object has begun and that has not ended."""
        path = self._journal_path(run_id)
        with self._guard, _disk_errors(path):
            append_lines(path, [{"trackers": list(trackers)}])

    def leave(self, finished: RunFinished) -> None:
        """Append the end of a sweep's run: with the status `left` while another living process works on the same sweep.

        Of two that end at once, one is the last.
        """
        sweep_id = self.journal(finished.run_id).of_sweep
        with self._sweeps():
            others = sweep_id is not None and self._others_sweep(finished.run_id, sweep_id)
            self.append(replace(finished, status="left") if others else finished)

    def _sweeps(self) -> AbstractContextManager[None]:
        # Whoever looks whether others live, and then says how the sweep ends, must not be looked at meanwhile.
        return file_lock(self.folder / "locks" / "sweeps", timeout_s=_SWEEPS_WAIT_S)

    def _begin(self, run_id: str, path: Path, bodies: list[dict[str, Any]]) -> None:
        self._own(run_id)
        try:
            append_lines(path, [*self._addressees(), *bodies])
        except BaseException:
            self._disown(run_id)
            raise

    def _live(self) -> None:
        # A sweep's journal says nothing between its start and its end: what its process writes of the trials is its sign of life.
        for run_id in self._owned:
            with suppress(OSError):
                os.utime(self._owner_path(run_id))

    def _addressees(self) -> list[dict[str, Any]]:
        return [] if self.trackers is None else [{"trackers": list(self.trackers)}]

    def journal(self, run_id: str) -> Journal:
        """Return what is kept of the run `run_id`; an empty journal if there is nothing."""
        for path in (self._journal_path(run_id), self._delivered_path(run_id)):
            with suppress(FileNotFoundError):
                return self._journals.read(path)
        return Journal()

    def undelivered(self) -> list[str]:
        """List the runs that some tracker still waits for, the oldest first."""
        try:
            with os.scandir(self.folder) as entries:
                found = [(entry.stat().st_mtime_ns, entry.name) for entry in entries if entry.name.endswith(".jsonl")]
        except FileNotFoundError:
            return []
        self._journals.keep({self.folder / name for _, name in found})
        return [name.removesuffix(".jsonl") for _, name in sorted(found)]

    def awaited(self, trackers: Sequence[str]) -> bool:
        """Tell whether one of `trackers` waits for a run's events, or would for the end of one whose process died."""
        meant = (self.journal(run_id).trackers for run_id in self.undelivered())
        return any(names is None or not set(names).isdisjoint(trackers) for names in meant)

    def pending(self, tracker: str) -> list[str]:
        """List the runs of which `tracker` has not got everything, the oldest first."""
        return [run_id for run_id in self.undelivered() if self.waits(tracker, run_id)]

    def waits(self, tracker: str, run_id: str) -> bool:
        """Tell whether `tracker` has not got everything of the run `run_id`."""
        journal = self.journal(run_id)
        if not journal.started or (journal.trackers is not None and tracker not in journal.trackers):
            return False
        return self.progress(tracker, run_id).position < journal.lines

    def progress(self, tracker: str, run_id: str) -> Progress:
        """Return how far `tracker` has the run; from the beginning if that was never written, or is damaged."""
        with suppress(FileNotFoundError):
            return self._progress.read(self._progress_path(tracker, run_id))
        return Progress()

    def advance(self, tracker: str, run_id: str, journal: Journal, reference: dict[str, str]) -> None:
        """Note that `tracker` has all of `journal`, and where it shows the run."""
        progress = Progress(position=journal.lines, events=len(journal.events), reference=reference)
        path = self._progress_path(tracker, run_id)
        with _disk_errors(path):
            make_folder(path.parent)
            replace_file(path, seal(asdict(progress)), point="progress", durable=True)

    def settle(self, run_id: str, trackers: Sequence[str]) -> None:
        """File the run away if it has ended and everybody has it; `trackers` are meant if the run names none."""
        journal = self.journal(run_id)
        meant = trackers if journal.trackers is None else journal.trackers
        if not journal.finished or any(self.waits(tracker, run_id) for tracker in meant):
            return
        self._move(run_id, self._delivered_path(run_id))
        self._progress.drop(self._progress_path(tracker, run_id) for tracker in meant)
        self._owner_path(run_id).unlink(missing_ok=True)

    def delivered(self, tracker: str) -> list[str]:
        """List the runs that are filed away and that `tracker` has told where to find, the oldest first."""
        found = []
        for path in (self.folder / "progress" / _checked(tracker)).glob("*.json"):
            with suppress(FileNotFoundError):
                found.append((self._delivered_path(path.stem).stat().st_mtime_ns, path.stem))
        return [run_id for _, run_id in sorted(found) if self.progress(tracker, run_id).reference]

    def owe(self, tracker: str, run_id: str) -> None:
        """Let a run that is filed away wait for `tracker` again; if this is broken off in between, it is filed away again."""
        path = self._journal_path(run_id)
        with _disk_errors(path):
            self._delivered_path(run_id).rename(path)
            self._progress_path(tracker, run_id).unlink(missing_ok=True)

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

    def take_turn(self, tracker: str, who: str) -> bool:
        """Note that `who` sends to `tracker` now; return whether somebody else was the last to do so.

        To be called with the right of `sending`. Who is killed before its progress is written leaves its name here all the same.
        """
        path = self.folder / "locks" / f"{_checked(tracker)}.turn"
        with suppress(OSError):
            if path.read_text() == who:
                return False
        with suppress(OSError):
            path.write_text(who)
        return True

    def close_dead(self) -> list[str]:
        """End, as cancelled, the runs whose process died; return their ids."""
        return [run_id for run_id in self.undelivered() if self._close_if_dead(run_id)]

    def _close_if_dead(self, run_id: str) -> bool:
        journal = self.journal(run_id)
        if journal.finished:
            return False
        try:
            with nullcontext() if journal.of_sweep is None else self._sweeps(), file_lock(self._owner_path(run_id), timeout_s=0):
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
        status = "cancelled"
        if journal.of_sweep is not None:
            last = max(last, self._owner_path(run_id).stat().st_mtime)
            status = "left" if self._others_sweep(run_id, journal.of_sweep) else status
        self.append(RunFinished(run_id=run_id, time_s=last, status=status, seconds=max(0.0, last - first)))
        return True

    def _others_sweep(self, run_id: str, sweep_id: str) -> bool:
        others = [other for other in self.undelivered() if other != run_id]
        return any(self.journal(other).of_sweep == sweep_id and not self.journal(other).finished and self._lives(other) for other in others)

    def _lives(self, run_id: str) -> bool:
        try:
            with file_lock(self._owner_path(run_id), timeout_s=0):
                return False
        except StoreError:
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


def _only(run_ids: set[str]) -> str:
    if len(run_ids) != 1:
        raise ValueError(f"events of one run are written at once, not of {sorted(run_ids)}")
    return next(iter(run_ids))


def _read_progress(path: Path) -> Progress:
    body = unseal(path.read_bytes())
    return Progress(**body) if body is not None else Progress()


class _Remembered(Generic[T]):
    """What was read from a file, for as long as the file is the same: a sender looks at a thousand that wait ten times a second."""

    def __init__(self, read: Callable[[Path], T]) -> None:
        self._read = read
        self._known: dict[Path, tuple[tuple[int, int, int], T]] = {}

    def read(self, path: Path) -> T:
        status = path.stat()
        state = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._known.get(path)
        if known is None or known[0] != state:
            known = self._known[path] = (state, self._read(path))
        return known[1]

    def drop(self, paths: Iterable[Path]) -> None:
        for path in paths:
            self._known.pop(path, None)

    def keep(self, paths: set[Path]) -> None:
        self._known = {path: known for path, known in self._known.items() if path in paths}


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
