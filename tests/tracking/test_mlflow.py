"""MLflow on a real SQLite database."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nbmlops.errors import NbmlopsError, TrackerUnavailable
from nbmlops.executors.events import RunStarted, StageFinished
from nbmlops.settings import Settings
from nbmlops.store.store import Store
from nbmlops.tracking.conformance import TrackerConformance, example_run
from nbmlops.tracking.mlflow import RUN_ID_TAG, MlflowTracker

if TYPE_CHECKING:
    from collections.abc import Callable


def shown_runs(tracker: MlflowTracker, run_id: str) -> list[dict[str, Any]]:
    """Return each MLflow run of ours with every value that was ever logged."""
    client = tracker.connect()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`{RUN_ID_TAG}` = '{run_id}'")
    return [
        {
            "info": {key: value for key, value in dict(run.info).items() if key != "artifact_uri"},
            "params": run.data.params,
            "tags": run.data.tags,
            "history": {name: [str(item.value) for item in client.get_metric_history(run.info.run_id, name)] for name in run.data.metrics},
            "inputs": sorted((item.dataset.name, item.dataset.digest) for item in run.inputs.dataset_inputs),
            "artifacts": [item.path for item in client.list_artifacts(run.info.run_id)],
        }
        for run in runs
    ]


@pytest.fixture
def tracker(project: Path) -> MlflowTracker:
    """Give a tracker on the embedded database."""
    return MlflowTracker(project)


class TestConformance(TrackerConformance):
    """MLflow keeps a tracker's promises."""

    def shown(self, tracker: MlflowTracker, run_id: str) -> list[Any]:
        """List the MLflow runs of ours."""
        return shown_runs(tracker, run_id)


def test_a_run_has_the_reports_of_its_gates(tracker: MlflowTracker, project: Path) -> None:
    """As artifacts, each once however often the run is sent, whatever the gate is called; one that the store has lost keeps nothing back."""
    store = Store(str(project / "store"), settings=Settings(project_root=project, store=str(project / "store")))
    started, train, *rest = example_run("r1")
    assert isinstance(started, RunStarted)
    assert isinstance(train, StageFinished)
    names = {"expectations:flights": b'{"success": true}', "expectations:../a: b": b"[1]", "odd": b"[2]"}
    gates = [{"name": name, "passed": True, "report": store.objects.put([data])} for name, data in names.items()]
    train = replace(train, gates=[*gates, {"name": "expectations:lost", "passed": True, "report": "0" * 64}])
    for _ in range(2):
        tracker.deliver([replace(started, tags={"store": str(project / "store")}), train, *rest], new=0, reference={})
    client = tracker.connect()
    (run,) = client.search_runs([item.experiment_id for item in client.search_experiments()], f"tags.`{RUN_ID_TAG}` = 'r1'")
    folder = Path(client.download_artifacts(run.info.run_id, "", str(project)))
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for kind in ("expectations", "odd") for path in (folder / kind).rglob("*.json")}
    assert sorted(found.values()) == sorted(names.values())
    assert found["expectations/train/flights.json"] == b'{"success": true}'
    assert found["odd/train/odd.json"] == b"[2]"


def test_a_run_has_its_parameters_metrics_and_tags(tracker: MlflowTracker) -> None:
    """The MLflow run shows what the run was told, hostile values included."""
    tracker.deliver(example_run("r1"), new=0, reference={})
    (run,) = shown_runs(tracker, "r1")
    assert run["info"]["status"] == "FINISHED"
    assert run["params"]["C"] == "0.5"
    assert run["params"]["columns"] == '["a", "b"]'
    assert (run["params"]["empty"], run["params"]["größe"]) == ("", "None")
    assert run["history"]["evaluate/auc"] == ["0.75"]
    assert run["history"]["stage_seconds/train"] == ["1.5"]
    assert run["history"]["worst"] == ["nan"]
    assert run["tags"]["nbmlops.metric.huge"] == "inf"
    assert run["tags"]["mlflow.source.git.commit"] == "0123456789abcdef"
    assert run["tags"]["nbmlops.stage.train"] == "ran: parameter C 0.5 -> 1.0"
    assert run["inputs"] == [("data/flights.csv", "b" * 36), ("train.model", "a" * 36)]


def test_a_long_parameter_is_cut_and_says_so(tracker: MlflowTracker, tmp_path: Path) -> None:
    """What MLflow cannot hold is marked as cut, and whole in an artifact."""
    reference = tracker.deliver(example_run("r1"), new=0, reference={})
    (run,) = shown_runs(tracker, "r1")
    assert len(run["params"]["long"]) == 6000
    assert run["params"]["long"].endswith("(cut: 7000 characters, whole in parameters.json)")
    path = tracker.connect().download_artifacts(reference["run_id"], "parameters.json", str(tmp_path))
    assert json.loads(Path(path).read_text())["long"] == "x" * 7000


def test_the_executed_notebook_is_an_artifact(tracker: MlflowTracker, project: Path) -> None:
    """The notebook lies beside the environment and the stages, under the project root."""
    (project / "out.ipynb").write_text("{}")
    events = example_run("r1")
    events[-1] = replace(events[-1], output=str(project / "out.ipynb"))
    reference = tracker.deliver(events, new=0, reference={})
    (run,) = shown_runs(tracker, "r1")
    assert run["artifacts"] == ["flight delay.ipynb", "parameters.json", "requirements.txt", "stages.json"]
    assert list((project / "mlartifacts").rglob(f"{reference['run_id']}/artifacts/flight delay.ipynb"))


@pytest.mark.parametrize(("status", "shown"), [("failed", "FAILED"), ("refused", "FAILED"), ("cancelled", "KILLED")])
def test_a_run_that_is_not_done_is_not_finished(tracker: MlflowTracker, status: str, shown: str) -> None:
    """MLflow's status is never better than the run's."""
    tracker.deliver(example_run("r1", status), new=0, reference={})
    assert shown_runs(tracker, "r1")[0]["info"]["status"] == shown


def test_a_stage_that_ends_the_run_does_not_end_it(tracker: MlflowTracker) -> None:
    """`mlflow.end_run()` in a cell is undone while the run goes on."""
    events = example_run("r1")
    reference = tracker.deliver(events[:1], new=0, reference={})
    tracker.connect().set_terminated(reference["run_id"])
    tracker.deliver(events[:2], new=1, reference=reference)
    assert shown_runs(tracker, "r1")[0]["info"]["status"] == "RUNNING"


def test_a_parameter_of_the_notebooks_own_stays(tracker: MlflowTracker) -> None:
    """What a cell has logged under a parameter's name is not an error."""
    events = example_run("r1")
    reference = tracker.deliver([replace(events[0], parameters={})], new=0, reference={})
    tracker.connect().log_param(reference["run_id"], "C", "mine")
    tracker.deliver(events, new=0, reference=reference)
    assert shown_runs(tracker, "r1")[0]["params"]["C"] == "mine"


def test_a_run_made_twice_by_a_lost_answer_is_one_in_the_end(tracker: MlflowTracker) -> None:
    """Of two MLflow runs for one run, the one that is not referred to goes."""
    events = example_run("r1")
    first = tracker.deliver(events[:1], new=0, reference={})
    tracker.connect().create_run(first["experiment_id"], tags={RUN_ID_TAG: "r1"})
    tracker.deliver(events, new=1, reference=first)
    assert [run["info"]["run_id"] for run in shown_runs(tracker, "r1")] == [first["run_id"]]


def test_a_database_made_anew_gets_everything(tracker: MlflowTracker) -> None:
    """A reference that leads nowhere makes the whole run be sent, not only what is new."""
    tracker.deliver(example_run("r1"), new=3, reference={"run_id": "0" * 32, "experiment": "gone"})
    assert shown_runs(tracker, "r1")[0]["params"]["C"] == "0.5"


def test_a_run_that_was_deleted_stays_deleted(tracker: MlflowTracker) -> None:
    """Who deletes a run in MLflow does not get it again."""
    events = example_run("r1")
    reference = tracker.deliver(events[:1], new=0, reference={})
    tracker.connect().delete_run(reference["run_id"])
    assert tracker.deliver(events, new=1, reference=reference) == reference
    assert shown_runs(tracker, "r1") == []


def test_a_deleted_experiment_is_told(tracker: MlflowTracker) -> None:
    """An experiment in MLflow's bin is one line with the remedy."""
    reference = tracker.deliver(example_run("r1"), new=0, reference={})
    tracker.connect().delete_experiment(reference["experiment_id"])
    with pytest.raises(NbmlopsError, match="mlflow experiments restore"):
        tracker.deliver(example_run("r2"), new=0, reference={})


def test_what_cannot_be_written_leaves_no_run_running(tracker: MlflowTracker, project: Path) -> None:
    """Artifacts that cannot be stored are tried again later, but the run's end is shown."""
    (project / "mlartifacts").write_text("in the way")
    with pytest.raises(TrackerUnavailable):
        tracker.deliver(example_run("r1", "failed"), new=0, reference={})
    assert shown_runs(tracker, "r1")[0]["info"]["status"] == "FAILED"


def test_a_broken_database_is_one_line(tmp_path: Path) -> None:
    """A file that is no database is unavailable, with the remedy."""
    (tmp_path / "mlflow.db").write_text("no database, but long enough to look like a file with a header " * 20)
    with pytest.raises(TrackerUnavailable, match="nbmlops track sync"):
        MlflowTracker(tmp_path).deliver(example_run("r1"), new=0, reference={})


class _Dying:
    """A client whose process is killed right after the named call."""

    def __init__(self, client: object, last: str) -> None:
        self._client = client
        self._last = last

    def __getattr__(self, name: str) -> Callable[..., object]:
        def call(*positional: object, **named: object) -> object:
            answer = getattr(self._client, name)(*positional, **named)
            if name == self._last:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call


class _DyingTracker(MlflowTracker):
    last = ""

    def connect(self) -> Any:
        return _Dying(super().connect(), self.last)


@pytest.mark.parametrize("last", ["create_run", "log_batch", "log_inputs", "set_terminated"])
def test_a_kill_at_any_call_loses_and_doubles_nothing(project: Path, last: str) -> None:
    """After SIGKILL behind any call, sending again gives the run that sending once gives."""
    child = os.fork()
    if child == 0:
        tracker = _DyingTracker(project)
        tracker.last = last
        tracker.deliver(example_run("r1"), new=0, reference={})
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    tracker = MlflowTracker(project)
    tracker.deliver(example_run("r1"), new=0, reference={})
    tracker.deliver(example_run("r2"), new=0, reference={})
    (killed,), (whole,) = shown_runs(tracker, "r1"), shown_runs(tracker, "r2")
    assert killed["history"] == whole["history"]
    assert all(len(values) == 1 for values in killed["history"].values())
    assert (killed["params"], killed["inputs"], killed["artifacts"]) == (whole["params"], whole["inputs"], whole["artifacts"])
    assert killed["info"]["status"] == "FINISHED"


def test_a_journal_without_its_start_is_refused(tracker: MlflowTracker) -> None:
    """A history that begins in the middle is an error, not a run without parameters."""
    with pytest.raises(NbmlopsError, match="without its start"):
        tracker.deliver(example_run("r1")[1:], new=0, reference={})
    assert isinstance(example_run("r1")[0], RunStarted)
