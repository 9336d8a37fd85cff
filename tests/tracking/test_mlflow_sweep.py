"""Sweeps on a real SQLite database of MLflow: one parent, one child for each trial, whoever works on it and whoever is killed."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nbmlops.executors.events import RunFinished
from nbmlops.tracking.conformance import example_run, example_sweep, example_sweep_run, example_trial
from nbmlops.tracking.delivery import Delivery, sync
from nbmlops.tracking.mlflow import MlflowTracker
from nbmlops.tracking.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbmlops.executors.events import Event

_START_S = 1_750_000_000.0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """Give one project for all tests of this module, each of which has sweeps of its own."""
    folder = tmp_path_factory.mktemp("sweeps")
    shutil.copy(empty_database, folder / "mlflow.db")
    return folder


@pytest.fixture(scope="module")
def tracker(root: Path) -> MlflowTracker:
    """Give a tracker on that project."""
    return MlflowTracker(root)


def send(tracker: MlflowTracker, events: list[Event], reference: dict[str, str] | None = None) -> dict[str, str]:
    """Deliver whole events and return where the run is."""
    found = tracker.deliver(events, new=0, reference=reference or {})
    assert found is not None
    return found


def runs_of(tracker: MlflowTracker, sweep_id: str) -> list[Any]:
    """Return the MLflow runs of a sweep, the oldest first."""
    client = tracker.connect()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, f"tags.`nbmlops.sweep_id` = '{sweep_id}'", order_by=["attributes.start_time ASC"]))


def role_of(run: Any) -> str:
    """Return what a run is in its sweep."""
    return str(run.data.tags["nbmlops.role"])


def status_of(tracker: MlflowTracker, reference: dict[str, str]) -> str:
    """Return the status that MLflow shows."""
    return str(tracker.connect().get_run(reference["run_id"]).info.status)


def test_the_best_run_that_has_ended_waits_for_its_trial_too(tracker: MlflowTracker) -> None:
    """It may have ended before its trial was sent, and would stand below the sweep for ever; a trial that does not come is not waited for."""
    *events, finished = example_run("w-best", sweep=example_sweep("w", "best", 0))
    assert isinstance(finished, RunFinished)
    ended_now = [*events, replace(finished, time_s=time.time())]
    assert tracker.deliver(ended_now, new=0, reference={}) is None
    trial = send(tracker, example_trial("w-0", 0, "w", "COMPLETE"))
    best = send(tracker, ended_now)
    assert tracker.connect().get_run(best["run_id"]).data.tags["mlflow.parentRunId"] == trial["run_id"]
    late = send(tracker, example_run("v-best", sweep=example_sweep("v", "best", 0)))
    parents = [run.info.run_id for run in runs_of(tracker, "v") if run.data.tags["nbmlops.role"] == "sweep"]
    assert [tracker.connect().get_run(late["run_id"]).data.tags["mlflow.parentRunId"]] == parents


def test_a_sweep_is_one_parent_with_its_trials(tracker: MlflowTracker) -> None:
    """The parent says what was looked for and found, each trial what it was given and got, and the best run stands below its trial."""
    parent = send(tracker, example_sweep_run("a-w", "a")[:1])
    trials = [send(tracker, example_trial(f"a-{n}", n, "a", state)) for n, state in enumerate(["COMPLETE", "COMPLETE", "PRUNED", "FAIL"])]
    best = send(tracker, example_run("a-best", sweep=example_sweep("a", "best", 1)))
    assert send(tracker, example_sweep_run("a-w", "a"), parent) == parent
    runs = {run.info.run_id: run for run in runs_of(tracker, "a")}
    above = {run_id: run.data.tags.get("mlflow.parentRunId") for run_id, run in runs.items()}
    assert above == {parent["run_id"]: None, best["run_id"]: trials[1]["run_id"], **{trial["run_id"]: parent["run_id"] for trial in trials}}
    statuses = [runs[trial["run_id"]].info.status for trial in trials]
    assert statuses == ["FINISHED", "FINISHED", "KILLED", "FAILED"]
    assert [runs[trial["run_id"]].data.tags["nbmlops.state"] for trial in trials] == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL"]
    assert runs[parent["run_id"]].info.status == runs[best["run_id"]].info.status == "FINISHED"


def test_the_parent_says_what_was_looked_for_and_found(tracker: MlflowTracker) -> None:
    """Space, sampler, pruner and objectives are there from the start, the best trial at the end."""
    run = tracker.connect().get_run(send(tracker, example_sweep_run("b-w", "b"))["run_id"])
    assert run.data.params["space.C"] == "float(0.01, 1, log)"
    assert (run.data.params["sampler"], run.data.params["pruner"]) == ("tpe", "median")
    tags = {name.removeprefix("nbmlops."): value for name, value in run.data.tags.items()}
    assert (tags["sweep"], tags["sweep.seed"], tags["best"], tags["best.C"]) == ("flight <delay>", "0", "1", "1.5")
    assert tags["counts"] == '{"COMPLETE": 2, "PRUNED": 1}'
    assert run.data.metrics["best.auc"] == 0.51
    assert (run.info.run_name, run.info.end_time) == ("flight <delay>", int((_START_S + 60) * 1000))


def test_a_sweep_for_several_objectives_has_a_front(tracker: MlflowTracker) -> None:
    """Where no trial is the best, the parent names those of the front, and one in which nothing was found names none."""
    for sweep_id, summary, front in (("b1", {"best": None, "front": [1, 4], "counts": {}}, "[1, 4]"), ("b2", {}, None)):
        started, finished = example_sweep_run(f"{sweep_id}-w", sweep_id)
        run = tracker.connect().get_run(send(tracker, [started, replace(finished, summary=summary)])["run_id"])
        assert (run.data.tags.get("nbmlops.front"), "nbmlops.best" in run.data.tags, run.data.metrics) == (front, False, {})


def test_a_trial_says_what_it_was_given_and_got(tracker: MlflowTracker) -> None:
    """Parameters, metrics, stages and seconds are on the trial's page, without an artifact or a dataset."""
    reference = send(tracker, example_trial("c-3", 3, "c"))
    run = tracker.connect().get_run(reference["run_id"])
    assert run.data.params == {"C": "3.5", "größe": "a"}
    assert (run.data.metrics["auc"], run.data.metrics["stage_seconds/train"], run.data.metrics["trial_seconds"]) == (0.53, 0.5, 3.0)
    assert [value for name, value in run.data.metrics.items() if name.startswith("f1_k")] == [0.25]
    tags = {name: value for name, value in run.data.tags.items() if name in {"nbmlops.trial", "nbmlops.ran", "nbmlops.reused", "mlflow.user"}}
    assert tags == {"nbmlops.trial": "3", "nbmlops.ran": "train", "nbmlops.reused": "ingest", "mlflow.user": "me"}
    assert (run.info.run_name, run.inputs.dataset_inputs) == ("trial 3", [])
    assert tracker.connect().list_artifacts(reference["run_id"]) == []


def test_a_metric_by_step_keeps_its_steps(tracker: MlflowTracker) -> None:
    """Each report has its step and the time of its stage; the last value is there once, as the last step's."""
    reference = send(tracker, example_trial("d-1", 1, "d"))
    history = tracker.connect().get_metric_history(reference["run_id"], "auc")
    assert sorted((item.step, str(item.value)) for item in history) == [(0, "0.5"), (1, "nan"), (5, "0.51")]
    assert {item.timestamp for item in history} == {int((_START_S + 2) * 1000)}


def test_a_last_value_of_its_own_comes_after_the_steps(tracker: MlflowTracker) -> None:
    """What the stage returned in the end is what MLflow shows, where the last report was another value; in a run without a sweep too."""
    started, train, *_, finished = example_run("d-run")
    train = replace(train, metrics={"loss": 0.125}, series={"loss": [[3, 0.5], [4, 0.25]]})
    run_id = send(tracker, [started, train, finished])["run_id"]
    history = tracker.connect().get_metric_history(run_id, "loss")
    assert sorted((item.step, item.value) for item in history) == [(3, 0.5), (4, 0.25), (5, 0.125)]
    assert tracker.connect().get_run(run_id).data.metrics["loss"] == 0.125


def test_whichever_comes_first_makes_the_parent(tracker: MlflowTracker) -> None:
    """A trial that is sent before its sweep stands below the run that the sweep is then shown in, whichever process sends it."""
    trial = send(tracker, example_trial("e-0", 0, "e"))
    parent = send(MlflowTracker(tracker.project_root), example_sweep_run("e-w", "e"))
    assert tracker.connect().get_run(trial["run_id"]).data.tags["mlflow.parentRunId"] == parent["run_id"]
    assert Counter(map(role_of, runs_of(tracker, "e"))) == {"sweep": 1, "trial": 1}


def test_a_sweep_that_goes_on_is_running_again(tracker: MlflowTracker) -> None:
    """Another command on the same sweep brings its run back to RUNNING, and ends it."""
    first = send(tracker, example_sweep_run("f-1", "f", "cancelled"))
    assert status_of(tracker, first) == "KILLED"
    again = example_sweep_run("f-2", "f", start_s=_START_S + 100)
    assert send(tracker, again[:1]) == first
    assert status_of(tracker, first) == "RUNNING"
    assert send(tracker, again) == first
    assert status_of(tracker, first) == "FINISHED"


def test_a_late_word_changes_nothing(tracker: MlflowTracker) -> None:
    """The start and the end of a command that was killed, told after another one has finished the sweep, do not undo that."""
    parent = send(tracker, example_sweep_run("g-2", "g", start_s=_START_S + 100))
    killed = example_sweep_run("g-1", "g", "cancelled")
    for end in (1, 2):
        send(tracker, killed[:end])
        assert status_of(tracker, parent) == "FINISHED"


def test_who_leaves_a_sweep_to_others_does_not_end_it(tracker: MlflowTracker) -> None:
    """`left` leaves the parent RUNNING for those who still work on it, and FINISHED where they have ended before it was told."""
    one, two = example_sweep_run("h-1", "h", "left"), example_sweep_run("h-2", "h", start_s=_START_S + 1)
    parent = send(tracker, one[:1])
    send(tracker, two[:1])
    send(tracker, one)
    assert status_of(tracker, parent) == "RUNNING"
    send(tracker, two)
    assert status_of(tracker, parent) == "FINISHED"
    send(tracker, [one[0], replace(one[1], time_s=_START_S + 100)])
    assert status_of(tracker, parent) == "FINISHED"


def test_two_sweeps_of_one_name_are_two(tracker: MlflowTracker) -> None:
    """Two projects that track in the same MLflow keep sweeps of the same name apart."""
    for sweep_id in ("i1", "i2"):
        send(tracker, example_sweep_run(f"{sweep_id}-w", sweep_id))
        send(tracker, example_trial(f"{sweep_id}-0", 0, sweep_id))
    found = [runs_of(tracker, sweep_id) for sweep_id in ("i1", "i2")]
    assert [Counter(map(role_of, runs)) for runs in found] == [{"sweep": 1, "trial": 1}] * 2
    assert {run.data.tags["nbmlops.sweep"] for runs in found for run in runs} == {"flight <delay>"}


def test_a_trial_is_shown_when_it_ends_or_takes_long(tracker: MlflowTracker) -> None:
    """A short trial comes whole; one that takes long, or that is asked for, is RUNNING until it has ended."""
    events = example_trial("j-0", 0, "j", start_s=time.time())
    assert tracker.deliver(events[:1], new=0, reference={}) is None
    asked = [replace(events[0], run_id="j-1", sweep=example_sweep("j", "trial", 1, open=True))]
    long = example_trial("j-2", 2, "j", start_s=time.time() - 60)
    for begun, whole in ((asked, [*asked, *events[1:]]), (long[:1], long)):
        reference = send(tracker, begun)
        assert status_of(tracker, reference) == "RUNNING"
        assert send(tracker, whole, reference) == reference
        assert status_of(tracker, reference) == "FINISHED"
    assert tracker.connect().get_run(reference["run_id"]).data.tags["nbmlops.state"] == "COMPLETE"


def test_the_best_run_waits_for_its_trial(tracker: MlflowTracker) -> None:
    """It is not made before its trial is there; if the trial never comes, it is shown below the sweep."""
    events = example_run("k-best", sweep=example_sweep("k", "best", 7))
    assert tracker.deliver(events[:2], new=0, reference={}) is None
    reference = send(tracker, events)
    (parent,) = [run for run in runs_of(tracker, "k") if role_of(run) == "sweep"]
    assert tracker.connect().get_run(reference["run_id"]).data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_a_sweep_made_twice_by_a_lost_answer_is_one_in_the_end(tracker: MlflowTracker) -> None:
    """Of two parents the one that is not referred to goes, and its trials stand below the other."""
    parent = send(tracker, example_sweep_run("u-w", "u")[:1])
    tags = {"nbmlops.sweep_id": "u", "nbmlops.role": "sweep"}
    double = tracker.connect().create_run(parent["experiment_id"], tags=tags).info.run_id
    trial = send(tracker, example_trial("u-0", 0, "u"))
    tracker.connect().set_tag(trial["run_id"], "mlflow.parentRunId", double)
    send(tracker, example_sweep_run("u-w", "u"), parent)
    runs = {run.info.run_id: run.data.tags.get("mlflow.parentRunId") for run in runs_of(tracker, "u")}
    assert runs == {parent["run_id"]: None, trial["run_id"]: parent["run_id"]}


def test_a_deleted_sweep_stays_deleted(tracker: MlflowTracker) -> None:
    """Who deletes a sweep's run in MLflow does not get it back from the command that is still at it."""
    events = example_sweep_run("l-w", "l")
    reference = send(tracker, events[:1])
    tracker.connect().delete_run(reference["run_id"])
    assert send(tracker, events, reference) == reference
    assert runs_of(tracker, "l") == []


def test_what_a_credential_may_be_is_not_told(tracker: MlflowTracker) -> None:
    """The range of a swept password names passwords, which no trial's own parameters do."""
    started, finished = example_sweep_run("m-w", "m")
    best = {"number": 1, "parameters": {"db_password": "hunter22"}, "values": {"auc": 0.5}}
    events = [
        replace(started, sweep={**example_sweep("m", "sweep"), "space": {"db_password": "choice(hunter22, hunter23)"}}),
        replace(finished, summary={"best": best}),
    ]
    run = tracker.connect().get_run(send(tracker, events)["run_id"])
    assert "hunter2" not in f"{run.data.params}{run.data.tags}"
    assert run.data.params["space.db_password"] == "[secret]"


class _Counting:
    """A client that counts the calls made of it, and whose process is killed right after the call named `last`."""

    def __init__(self, client: object, calls: list[str], last: str = "") -> None:
        self._client = client
        self._calls = calls
        self._last = last

    def __getattr__(self, name: str) -> Callable[..., object]:
        def call(*positional: object, **named: object) -> object:
            self._calls.append(name)
            answer = getattr(self._client, name)(*positional, **named)
            if name == self._last:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call


class _CountingTracker(MlflowTracker):
    def __init__(self, root: Path, last: str = "") -> None:
        super().__init__(root)
        self.calls: list[str] = []
        self.last = last

    def connect(self) -> Any:
        return _Counting(super().connect(), self.calls, self.last)


def test_a_trial_that_nobody_has_tried_takes_three_calls(root: Path) -> None:
    """What is looked up once for a sweep is not looked up for each trial; one that may have been sent is looked for."""
    counting = _CountingTracker(root)
    counting.alone_since(time.time() - 60)
    send(counting, example_trial("n-0", 0, "n", start_s=time.time() - 30))
    counting.calls.clear()
    send(counting, example_trial("n-1", 1, "n", start_s=time.time() - 20))
    assert counting.calls == ["create_run", "log_batch", "set_terminated"]
    for tried in (example_trial("n-1", 1, "n", start_s=time.time() - 20), example_trial("n-2", 2, "n", start_s=time.time() - 90)):
        counting.calls.clear()
        send(counting, tried)
        assert counting.calls[0] == "search_runs"
    assert Counter(map(role_of, runs_of(counting, "n"))) == {"sweep": 1, "trial": 3}


def _values(tracker: MlflowTracker, reference: dict[str, str]) -> dict[str, Any]:
    run = tracker.connect().get_run(reference["run_id"])
    names = sorted(run.data.metrics)
    history = {name: sorted((item.step, str(item.value)) for item in tracker.connect().get_metric_history(run.info.run_id, name)) for name in names}
    own = {"nbmlops.run_id", "nbmlops.trial", "mlflow.runName", "nbmlops.sweep_id", "mlflow.parentRunId"}
    return {
        "history": history,
        "params": run.data.params,
        "status": run.info.status,
        "tags": {name: value for name, value in run.data.tags.items() if name not in own},
    }


@pytest.mark.parametrize("last", ["create_run", "log_batch", "set_terminated"])
def test_a_kill_at_any_call_of_a_trial_loses_and_doubles_nothing(root: Path, last: str) -> None:
    """After SIGKILL behind any call, sending again gives what sending once gives."""
    tracker, events = MlflowTracker(root), example_trial(f"o-{last}", 0, f"o-{last}")
    send(tracker, example_sweep_run(f"o-{last}-w", f"o-{last}")[:1])
    child = os.fork()
    if child == 0:
        dying = _CountingTracker(root, last)
        dying.alone_since(0.0)
        send(dying, events)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    again, whole = send(tracker, events), send(tracker, example_trial(f"p-{last}", 0, f"p-{last}"))
    assert _values(tracker, again) == _values(tracker, whole)
    assert Counter(map(role_of, runs_of(tracker, f"o-{last}"))) == {"sweep": 1, "trial": 1}


def test_a_long_series_arrives_whole(root: Path) -> None:
    """More reports than a call of MLflow takes are all there, though the sender was killed after the first call and their values are equal."""
    started, reused, train, finished = example_trial("d-long", 1, "d2")
    events = [started, reused, replace(train, metrics={}, series={"loss": [[step, 0.5] for step in range(1200)]}), finished]
    child = os.fork()
    if child == 0:
        send(_CountingTracker(root, "log_batch"), events)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    tracker = MlflowTracker(root)
    history = tracker.connect().get_metric_history(send(tracker, events)["run_id"], "loss")
    assert sorted(item.step for item in history) == list(range(1200))


@pytest.mark.parametrize("last", ["create_run", "log_batch", "set_terminated"])
def test_a_kill_at_any_call_of_a_sweep_loses_and_doubles_nothing(root: Path, last: str) -> None:
    """The parent is made once, and its last value is there once, whenever its sender is killed."""
    events = example_sweep_run(f"q-{last}-w", f"q-{last}")
    child = os.fork()
    if child == 0:
        send(_CountingTracker(root, last), events)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    tracker = MlflowTracker(root)
    again, whole = send(tracker, events), send(tracker, example_sweep_run(f"r-{last}-w", f"r-{last}"))
    assert _values(tracker, again) == _values(tracker, whole)
    assert Counter(map(role_of, runs_of(tracker, f"q-{last}"))) == {"sweep": 1}


@pytest.fixture
def shared(root: Path, tmp_path: Path) -> Outbox:
    """Give an empty outbox whose runs go to this module's MLflow."""
    assert root.exists()
    return Outbox(tmp_path / "outbox", ("mlflow",))


class _DyingOutbox(Outbox):
    """An outbox whose process is killed between the sending of a run and the note that it was sent."""

    def advance(self, *_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_trial_that_another_sent_and_did_not_note_is_not_made_again(shared: Outbox, root: Path, tracker: MlflowTracker) -> None:
    """While one sender waits for the next trial another one sends it and is killed: the first one looks before it makes it."""
    shared.append(example_sweep_run("s-w", "s", start_s=time.time())[0])
    delivery = Delivery(shared, ("mlflow",), root)
    delivery.send_all()
    shared.append(*example_trial("s-0", 0, "s", start_s=time.time()))
    child = os.fork()
    if child == 0:
        Delivery(_DyingOutbox(shared.folder), ("mlflow",), root).send_run("s-0")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert Counter(map(role_of, runs_of(tracker, "s"))) == {"sweep": 1, "trial": 1}
    assert delivery.send_all() == {"mlflow": ["s-0"]}
    delivery.close()
    assert Counter(map(role_of, runs_of(tracker, "s"))) == {"sweep": 1, "trial": 1}


@pytest.fixture
def worker(shared: Outbox) -> Iterator[Callable[[str, int], int]]:
    """Give a function that starts a process which works on a sweep, with one trial begun, until it is killed."""
    children = []

    def start(sweep_id: str, number: int) -> int:
        child = os.fork()
        if child == 0:
            own = Outbox(shared.folder, ("mlflow",))
            own.append(example_sweep_run(f"{sweep_id}-w{number}", sweep_id, start_s=time.time())[0])
            started = example_trial(f"{sweep_id}-{number}", number, sweep_id, start_s=time.time())[0]
            own.append(replace(started, sweep=example_sweep(sweep_id, "trial", number, open=True)))
            time.sleep(60)
            os._exit(0)
        children.append(child)
        while not shared.journal(f"{sweep_id}-{number}").started:
            time.sleep(0.01)
        return child

    yield start
    for child in children:
        _kill(child)


def _kill(child: int) -> None:
    try:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def test_nothing_is_left_running_after_a_kill(shared: Outbox, root: Path, tracker: MlflowTracker, worker: Callable[[str, int], int]) -> None:
    """The trial of a killed process is KILLED; its sweep too, once nobody else works on it."""
    one, two = worker("t", 0), worker("t", 1)
    sync(shared, ("mlflow",), root)
    assert [run.info.status for run in runs_of(tracker, "t")] == ["RUNNING"] * 3
    _kill(one)
    assert set(sync(shared, ("mlflow",), root).closed) == {"t-w0", "t-0"}
    statuses = {(role_of(run), run.data.tags.get("nbmlops.trial")): run.info.status for run in runs_of(tracker, "t")}
    assert statuses == {("sweep", None): "RUNNING", ("trial", "0"): "KILLED", ("trial", "1"): "RUNNING"}
    _kill(two)
    sync(shared, ("mlflow",), root)
    assert {run.info.status for run in runs_of(tracker, "t")} == {"KILLED"}
    assert {run.data.tags["nbmlops.state"] for run in runs_of(tracker, "t") if role_of(run) == "trial"} == {"FAIL"}
    assert shared.undelivered() == []
