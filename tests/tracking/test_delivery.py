"""What waits is sent once, whatever the trackers do."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from nbmlops.errors import NbmlopsError, TrackerUnavailable
from nbmlops.tracking.conformance import example_run
from nbmlops.tracking.delivery import Delivery, Report, sync
from nbmlops.tracking.mlflow import RUN_ID_TAG, MlflowTracker
from nbmlops.tracking.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nbmlops.executors.events import Event


class _Recording:
    """A tracker that keeps what it is told and can be told to refuse."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.told: list[tuple[str, int, int]] = []

    def deliver(self, history: list[Event], *, new: int, reference: dict[str, str]) -> dict[str, str]:  # noqa: ARG002
        self.told.append((history[0].run_id, new, len(history)))
        if self.error is not None and history[0].run_id == "r1":
            raise self.error
        return {"run_id": "m", "experiment": "e"}

    def close(self) -> None:
        pass


class _Recorded(Delivery):
    def __init__(self, outbox: Outbox, tracker: _Recording) -> None:
        super().__init__(outbox, ("mlflow",), outbox.folder)
        self.tracker = tracker

    def _tracker(self, name: str) -> _Recording:  # noqa: ARG002
        return self.tracker


def _count(project: Path, run_id: str) -> int:
    client = MlflowTracker(project).connect()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return len(client.search_runs(experiments, f"tags.`{RUN_ID_TAG}` = '{run_id}'"))


def test_sync_empties_the_outbox(outbox: Outbox, project: Path, fill: Callable[..., list[Event]]) -> None:
    """A run that waits is sent, found by its reference, and not sent again."""
    fill("r1")
    assert sync(outbox, ("mlflow",), project) == Report(delivered={"mlflow": ["r1"]})
    assert sync(outbox, ("mlflow",), project) == Report()
    assert outbox.reference("r1")["mlflow"]["experiment"] == "flights/<b>"


def test_only_what_is_new_is_told(outbox: Outbox, fill: Callable[..., list[Event]]) -> None:
    """The tracker learns where the new events begin."""
    delivery = _Recorded(outbox, _Recording())
    events = fill("r1", 2)
    delivery.send_all()
    outbox.append(example_run("r1")[2])
    delivery.send_all()
    delivery.send_all()
    assert delivery.tracker.told == [("r1", 0, len(events)), ("r1", 2, 3)]


def test_a_damaged_line_makes_all_be_sent_again(outbox: Outbox, fill: Callable[..., list[Event]]) -> None:
    """Where places no longer count events, none is skipped."""
    delivery = _Recorded(outbox, _Recording())
    fill("r1", 3)
    delivery.send_all()
    path = outbox.folder / "r1.jsonl"
    path.write_bytes(path.read_bytes().replace(b"parameter C", b"parameter D"))
    outbox.append(example_run("r1")[3])
    delivery.send_all()
    assert delivery.tracker.told[-1] == ("r1", 0, 3)


def test_a_refused_run_does_not_hold_up_the_next(outbox: Outbox, fill: Callable[..., list[Event]]) -> None:
    """One run that a tracker refuses waits with its reason; the others are sent."""
    delivery = _Recorded(outbox, _Recording(NbmlopsError("no\nthanks")))
    fill("r1")
    fill("r2")
    assert delivery.send_all() == {"mlflow": ["r2"]}
    assert delivery.left == {"mlflow": {"r1": "no thanks"}}
    assert outbox.pending("mlflow") == ["r1"]


def test_a_tracker_that_is_down_is_asked_once(outbox: Outbox, fill: Callable[..., list[Event]]) -> None:
    """With the tracker down the other runs are not tried, since each try may take long."""
    delivery = _Recorded(outbox, _Recording(TrackerUnavailable("down")))
    fill("r1")
    fill("r2")
    assert delivery.send_all() == {}
    assert [run_id for run_id, _, _ in delivery.tracker.told] == ["r1"]


def test_a_tracker_learns_when_others_have_had_a_turn(outbox: Outbox, fill: Callable[..., list[Event]]) -> None:
    """It is told at its first turn, and again after another process's; a tracker that does not want to know is not."""

    class _Watching(_Recording):
        def alone_since(self, time_s: float) -> None:
            self.told.append(("alone", 0, int(time_s > 0)))

    one, two = _Recorded(outbox, _Watching()), _Recorded(outbox, _Recording())
    for delivery, run_id in ((one, "r1"), (one, "r2"), (two, "r3"), (one, "r4")):
        fill(run_id)
        delivery.send_all()
    assert [name for name, _, _ in one.tracker.told] == ["alone", "r1", "r2", "alone", "r4"]
    assert [name for name, _, _ in two.tracker.told] == ["r3"]


def test_a_limit_leaves_the_rest_for_later(outbox: Outbox, fill: Callable[..., list[Event]]) -> None:
    """Past its time a pass begins no further run, and the next one goes on where it ended."""

    class _Slow(_Recording):
        def deliver(self, history: list[Event], *, new: int, reference: dict[str, str]) -> dict[str, str]:
            time.sleep(0.05)
            return super().deliver(history, new=new, reference=reference)

    for number in range(3):
        fill(f"r{number}")
    delivery = _Recorded(outbox, _Slow())
    assert [delivery.send_all(0.02) for _ in range(4)] == [{"mlflow": ["r0"]}, {"mlflow": ["r1"]}, {"mlflow": ["r2"]}, {}]


def test_an_unknown_tracker_raises_nothing(outbox: Outbox, project: Path) -> None:
    """A tracker's name that leads nowhere is a reason, not a failure."""
    other = Outbox(outbox.folder, ("mlfow",))
    other.append(example_run("r1")[0])
    assert "choose one of" in sync(other, ("mlfow",), project).left["mlfow"]["r1"]


def test_two_that_send_at_once_make_one_run(outbox: Outbox, project: Path, fill: Callable[..., list[Event]]) -> None:
    """The right to send is one process's at a time."""
    fill("r1")
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            sync(outbox, ("mlflow",), project)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert _count(project, "r1") == 1
    assert outbox.pending("mlflow") == []


def test_a_dead_run_is_shown_as_killed(project: Path) -> None:
    """No run of a process that died is left RUNNING."""
    outbox = Outbox(project / "outbox", ("mlflow",))
    child = os.fork()
    if child == 0:
        for event in example_run("r1")[:2]:
            outbox.append(event)
        sync(outbox, ("mlflow",), project)
        os._exit(0)
    os.waitpid(child, 0)
    report = sync(outbox, ("mlflow",), project)
    assert report.closed == ["r1"]
    client = MlflowTracker(project).connect()
    assert client.get_run(outbox.reference("r1")["mlflow"]["run_id"]).info.status == "KILLED"
    assert _count(project, "r1") == 1
