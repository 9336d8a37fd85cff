"""The tests that every tracker must pass; a third party's tests derive from the class.

::

    class TestMine(TrackerConformance):
        @pytest.fixture
        def tracker(self, tmp_path): return MyTracker(tmp_path)
        def shown(self, tracker, run_id): return ...
"""
# ruff: noqa: S101

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmlops.executors.events import Event, RunFinished, RunStarted, StageFinished

if TYPE_CHECKING:
    from nbmlops.tracking.base import Tracker

__all__ = ["TrackerConformance", "example_run"]

_START_S = 1_750_000_000.0


def example_run(run_id: str, status: str = "done") -> list[Event]:
    """Return the events of a small run, hostile names and values included."""
    started = RunStarted(
        run_id=run_id,
        time_s=_START_S,
        notebook="notebooks/flight delay.ipynb",
        experiment="flights/<b>",
        parameters={"C": 0.5, "columns": ["a", "b"], "long": "x" * 7000, "empty": "", "surrogate": "\ud800", "größe": None},
        tags={"git_commit": "0123456789abcdef", "user": "me"},
        environment={"python": "3.11.7", "pandas": "3.1.1"},
    )
    train = StageFinished(
        run_id=run_id,
        time_s=_START_S + 1,
        stage="train",
        status="ran",
        key="k1",
        seconds=1.5,
        reason="parameter C 0.5 -> 1.0",
        metrics={"loss": 0.25, "auc": 0.5},
        artifacts=[{"name": "model", "digest": "a" * 64, "format": "pickle5", "size_bytes": 3, "type": "Model", "summary": ""}],
        files={"data/flights.csv": "b" * 64},
    )
    evaluate = StageFinished(
        run_id=run_id,
        time_s=_START_S + 2,
        stage="evaluate",
        status="ran",
        seconds=0.5,
        metrics={"auc": 0.75, "f1@k (%)": 0.5, "worst": float("nan"), "huge": float("inf"), "ok": True, "by": {"AA": 0.1}},
        gates=[{"name": "auc >= 0.7", "value": 0.75, "threshold": 0.7, "passed": True}],
    )
    return [started, train, evaluate, RunFinished(run_id=run_id, time_s=_START_S + 3, status=status, seconds=3.0)]


class TrackerConformance:
    """What a tracker promises, as tests; `tracker` is a fixture that gives a fresh one."""

    def shown(self, tracker: Tracker, run_id: str) -> list[Any]:
        """Return all that the tracker shows of the run `run_id`: an item for each time that it would be counted."""
        raise NotImplementedError

    def test_a_whole_run_is_shown_once(self, tracker: Tracker) -> None:
        """A run that has ended is found under the reference's keys."""
        reference = tracker.deliver(example_run("r1"), new=0, reference={})
        assert reference is not None
        assert {"run_id", "experiment"} <= set(reference)
        assert len(self.shown(tracker, "r1")) == 1

    def test_sending_again_changes_nothing(self, tracker: Tracker) -> None:
        """All events sent again, as after a kill before the progress was written, leave one run as it was."""
        first = tracker.deliver(example_run("r1"), new=0, reference={})
        before = self.shown(tracker, "r1")
        assert tracker.deliver(example_run("r1"), new=0, reference={}) == first
        assert self.shown(tracker, "r1") == before

    def test_a_run_in_pieces_equals_a_whole_one(self, tracker: Tracker) -> None:
        """Events that come one by one show what they show when they come together."""
        events = example_run("r1")
        reference: dict[str, str] = {}
        delivered = 0
        for end in range(1, len(events) + 1):
            answer = tracker.deliver(events[:end], new=delivered, reference=reference)
            if answer is not None:
                reference, delivered = answer, end
        assert delivered == len(events)
        before = self.shown(tracker, "r1")
        assert tracker.deliver(events, new=0, reference={}) == reference
        assert self.shown(tracker, "r1") == before

    def test_runs_are_kept_apart(self, tracker: Tracker) -> None:
        """Two runs of one experiment are two."""
        one = tracker.deliver(example_run("r1"), new=0, reference={})
        two = tracker.deliver(example_run("r2", "failed"), new=0, reference={})
        assert one is not None
        assert two is not None
        assert one["run_id"] != two["run_id"]
        assert len(self.shown(tracker, "r1")) == len(self.shown(tracker, "r2")) == 1
