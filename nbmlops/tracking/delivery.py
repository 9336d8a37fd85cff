"""Send what an outbox holds to its trackers, each run whole and once."""

from __future__ import annotations

import math
import os
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbmlops.errors import NbmlopsError, StoreError, TrackerUnavailable
from nbmlops.tracking.base import TRACKERS, Recalling, Tracker, Watchful

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from nbmlops.tracking.outbox import Outbox

__all__ = ["QUIET", "Delivery", "Report", "sync"]

_SENDING_WAIT_S = 2.0
# No network of the trackers' own, nothing on the console, no hanging longer than a command waits. What the user sets wins.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "DO_NOT_TRACK": "true",
    "WANDB_ERROR_REPORTING": "false",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `sync` did.

    Parameters
    ----------
    delivered : dict of str to list of str
        By tracker, the runs of which something was sent.
    left : dict of str to dict of str to str
        By tracker, the runs that still wait, with the reason in one line.
    closed : list of str
        The runs that were ended as cancelled since their process had died.
    """

    delivered: dict[str, list[str]] = field(default_factory=dict)
    left: dict[str, dict[str, str]] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)


def sync(outbox: Outbox, trackers: Sequence[str], project_root: Path) -> Report:
    """Close the runs whose process died, send all that waits, and again what a tracker has lost; never raise for a tracker.

    It imports the trackers into this process: whatever must stay light starts a `nbmlops.tracking.sender.Sender` instead.

    Parameters
    ----------
    outbox : Outbox
    trackers : sequence of str
        Names in `nbmlops.tracking.base.TRACKERS`.
    project_root : Path
        Where trackers keep what they keep locally.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    closed = outbox.close_dead()
    delivery = Delivery(outbox, trackers, project_root)
    try:
        delivery.recall()
        delivered = delivery.send_all()
        left = {name: runs for name, runs in delivery.left.items() if runs}
        return Report(delivered=delivered, left=left, closed=closed)
    finally:
        delivery.close()


class Delivery:
    """The trackers of one sending process, made on first use.

    Parameters
    ----------
    outbox : Outbox
    trackers : sequence of str
    project_root : Path

    Attributes
    ----------
    left : dict of str to dict of str to str
        Why runs still wait, by tracker and run; kept up to date by every attempt.
    """

    def __init__(self, outbox: Outbox, trackers: Sequence[str], project_root: Path) -> None:
        self.outbox = outbox
        self.trackers = tuple(trackers)
        self.project_root = project_root
        self.left: dict[str, dict[str, str]] = {}
        self._name = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._made: dict[str, Tracker] = {}

    def send_all(self, limit_s: float = math.inf) -> dict[str, list[str]]:
        """Try every run that waits; return by tracker those of which something was sent.

        Parameters
        ----------
        limit_s : float
            For how long new runs are begun, for each tracker: a thousand trials that wait must not keep the sender from a run that ends.
        """
        sent: dict[str, list[str]] = {}
        waiting: set[str] = set()
        for name in self.trackers:
            pending = self.outbox.pending(name)
            waiting.update(pending)
            if runs := self._send_each(name, pending, limit_s):
                sent[name] = runs
        for run_id in self.outbox.undelivered():
            if run_id not in waiting:
                self.outbox.settle(run_id, self.trackers)  # a sender that was killed may have sent it all and not filed it away
        return sent

    def recall(self) -> None:
        """Let the runs wait again that a tracker has had and lost, as far as it can tell; one that does not answer has nothing to tell now."""
        for name in self.trackers:
            with suppress(Exception):
                self._recall(name, self._tracker(name))

    def _recall(self, name: str, tracker: Tracker | Recalling) -> None:
        if isinstance(tracker, Recalling):
            for run_id in self.outbox.delivered(name):
                if tracker.lacks(self.outbox.journal(run_id).events, self.outbox.progress(name, run_id).reference):
                    self.outbox.owe(name, run_id)

    def send_run(self, run_id: str) -> bool:
        """Try one run; return whether every tracker now has all of it that was written."""
        for name in self.trackers:
            if self.outbox.waits(name, run_id):
                self._send_each(name, [run_id])
        return not any(self.outbox.waits(name, run_id) for name in self.trackers)

    @property
    def waits(self) -> bool:
        """Whether the last attempt at some run failed."""
        return any(self.left.values())

    def close(self) -> None:
        """Close the trackers."""
        while self._made:
            self._made.popitem()[1].close()

    def _send_each(self, name: str, run_ids: Iterable[str], limit_s: float = math.inf) -> list[str]:
        sent: list[str] = []
        deadline_s = time.monotonic() + limit_s
        for run_id in run_ids:
            if time.monotonic() > deadline_s:
                break
            self.left.get(name, {}).pop(run_id, None)
            try:
                if self._send(name, run_id):
                    sent.append(run_id)
            except TrackerUnavailable as error:
                self._leave(name, run_id, error)
                break
            except Exception as error:  # noqa: BLE001 - a tracker's fault must reach neither the run nor the other trackers
                self._leave(name, run_id, error)
        return sent

    def _leave(self, name: str, run_id: str, error: Exception) -> None:
        text = str(error) if isinstance(error, NbmlopsError) else f"{type(error).__name__}: {error}"
        self.left.setdefault(name, {})[run_id] = " ".join(text.split())

    def _send(self, name: str, run_id: str) -> bool:
        try:
            with self.outbox.sending(name, timeout_s=_SENDING_WAIT_S):
                others = self.outbox.take_turn(name, self._name)
                tracker = self._tracker(name)
                if others and isinstance(tracker, Watchful):
                    tracker.alone_since(time.time())
                sent = self._send_alone(name, run_id, tracker)
        except StoreError as error:
            raise TrackerUnavailable(f"another process sends to {name}", code="NB904", fix="it sends this run too") from error
        self.outbox.settle(run_id, self.trackers)
        return sent

    def _send_alone(self, name: str, run_id: str, tracker: Tracker) -> bool:
        journal = self.outbox.journal(run_id)
        progress = self.outbox.progress(name, run_id)
        if not journal.started or progress.position >= journal.lines:
            return False
        # With a damaged line, places in the journal no longer count events: what was sent is sent again, which is harmless.
        new = 0 if journal.damaged else progress.events
        reference = tracker.deliver(journal.events, new=new, reference=progress.reference)
        if reference is None:
            return False
        self.outbox.advance(name, run_id, journal, reference)
        return True

    def _tracker(self, name: str) -> Tracker:
        if name not in self._made:
            self._made[name] = TRACKERS.get(name)(self.project_root)
        return self._made[name]
