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

__all__ = ["TrackerConformance", "example_run", "example_sweep", "example_sweep_run", "example_trial"]

_START_S = 1_750_000_000.0


def example_run(run_id: str, status: str = "done", sweep: dict[str, Any] | None = None) -> list[Event]:
    """Return the events of a small run, hostile names and values included."""
    started = RunStarted(
        run_id=run_id,
        time_s=_START_S,
        notebook="notebooks/flight delay.ipynb",
        experiment="flights/<b>",
        parameters={"C": 0.5, "columns": ["a", "b"], "long": "x" * 7000, "empty": "", "surrogate": "\ud800", "größe": None},
        tags={"git_commit": "0123456789abcdef", "user": "me"},
        environment={"python": "3.11.7", "pandas": "3.1.1"},
        sweep=sweep or {},
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


def example_sweep(sweep_id: str, role: str, number: int | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return what a `RunStarted` says of the sweep `sweep_id`, hostile names included."""
    told = {
        "role": role,
        "id": sweep_id,
        "name": "flight <delay>",
        "space": {"C": "float(0.01, 1, log)", "größe": "choice(a, b)"},
        "objectives": {"auc": "maximize", "f1@k (%)": "minimize"},
        "sampler": "tpe",
        "pruner": "median",
        "seed": 0,
        **more,
    }
    return told if number is None else {**told, "number": number}


def example_trial(run_id: str, number: int, sweep_id: str = "s1", state: str = "COMPLETE", start_s: float = _START_S) -> list[Event]:
    """Return the events of a trial that reports by steps."""
    started = RunStarted(
        run_id=run_id,
        time_s=start_s,
        notebook="notebooks/flight delay.ipynb",
        experiment="flights/<b>",
        parameters={"C": 0.5 + number, "größe": "a"},
        tags={"user": "me"},
        sweep=example_sweep(sweep_id, "trial", number),
    )
    reused = StageFinished(run_id=run_id, time_s=start_s + 1, stage="ingest", status="reused")
    train = StageFinished(
        run_id=run_id,
        time_s=start_s + 2,
        stage="train",
        status="ran",
        seconds=0.5,
        metrics={"auc": 0.5 + number / 100, "f1@k (%)": 0.25},
        series={"auc": [[0, 0.5], [1, float("nan")], [2, float("inf")], [5, 0.5 + number / 100]]},
    )
    status = {"COMPLETE": "done", "FAIL": "failed"}.get(state, state.lower())
    values = {"auc": 0.5 + number / 100, "f1@k (%)": 0.25} if state == "COMPLETE" else {}
    summary = {"state": state, "values": values, "ran": ["train"], "reused": ["ingest"]}
    return [started, reused, train, RunFinished(run_id=run_id, time_s=start_s + 3, status=status, seconds=3.0, summary=summary)]


def example_sweep_run(run_id: str, sweep_id: str = "s1", status: str = "done", start_s: float = _START_S) -> list[Event]:
    """Return the events of a sweep's own run, from one command that has worked on it."""
    started = RunStarted(
        run_id=run_id,
        time_s=start_s,
        notebook="notebooks/flight delay.ipynb",
        experiment="flights/<b>",
        sweep=example_sweep(sweep_id, "sweep"),
    )
    best = {"number": 1, "parameters": {"C": 1.5, "größe": "a"}, "values": {"auc": 0.51, "f1@k (%)": 0.25}}
    summary = {"best": best, "counts": {"COMPLETE": 2, "PRUNED": 1}}
    return [started, RunFinished(run_id=run_id, time_s=start_s + 60, status=status, seconds=60.0, summary=summary)]


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
        reference = self._in_pieces(tracker, events)
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

    def test_a_trial_is_shown_once_however_often_it_comes(self, tracker: Tracker) -> None:
        """A trial before or after its sweep, at once or in pieces, is one run, and stays as it is when it comes again."""
        events = example_trial("t1", 1)
        reference = self._in_pieces(tracker, events)
        assert tracker.deliver(example_sweep_run("w1")[:1], new=0, reference={}) is not None
        before = self.shown(tracker, "t1")
        assert len(before) == 1
        assert tracker.deliver(events, new=0, reference={}) == reference
        assert self.shown(tracker, "t1") == before

    def test_a_sweep_is_no_more_than_one_run(self, tracker: Tracker) -> None:
        """What two commands tell of one sweep is not shown as two."""
        first = tracker.deliver(example_sweep_run("w1"), new=0, reference={})
        second = tracker.deliver(example_sweep_run("w2", start_s=_START_S + 100), new=0, reference={})
        assert first is not None
        assert first == second
        assert {"run_id", "experiment"} <= set(first)

    def test_the_best_trial_has_a_run_of_its_own(self, tracker: Tracker) -> None:
        """The full run of the best trial is shown beside the trial."""
        trial = tracker.deliver(example_trial("t1", 1), new=0, reference={})
        best = self._in_pieces(tracker, example_run("b1", sweep=example_sweep("s1", "best", 1)))
        assert trial is not None
        assert best["run_id"] != trial["run_id"]
        assert len(self.shown(tracker, "b1")) == len(self.shown(tracker, "t1")) == 1

    def test_what_a_newer_version_says_does_no_harm(self, tracker: Tracker) -> None:
        """A role, a state and a status that nobody knows yet are shown somehow."""
        assert tracker.deliver(example_trial("t1", 1, state="POSTPONED"), new=0, reference={}) is not None
        assert tracker.deliver(example_run("r1", "postponed", {"role": "committee", "id": 7}), new=0, reference={}) is not None

    def _in_pieces(self, tracker: Tracker, events: list[Event]) -> dict[str, str]:
        reference: dict[str, str] = {}
        delivered = 0
        for end in range(1, len(events) + 1):
            answer = tracker.deliver(events[:end], new=delivered, reference=reference)
            if answer is not None:
                reference, delivered = answer, end
        assert delivered == len(events)
        return reference
