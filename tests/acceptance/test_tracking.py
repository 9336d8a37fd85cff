"""One run as MLflow and W&B see it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.project import PIPELINE, Outcome, Project


def client(folder: Path) -> Any:
    """Return MLflow's client of the project's database."""
    import mlflow

    return mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder}/tracking.db")


def all_runs(folder: Path) -> list[Any]:
    """Return every run of every experiment."""
    api = client(folder)
    return list(api.search_runs([item.experiment_id for item in api.search_experiments()]))


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Outcome]:
    """Run once with both trackers on, once again with nothing stale, once with a stage that fails."""
    project = Project(tmp_path_factory.mktemp("tracked") / "project")
    project.write(PIPELINE)
    env = settings(project)
    done = project.run("-p", "C", "2.0", env=env)
    assert done.code == 0, done.err
    again = project.run("-p", "C", "2.0", env=env)
    assert again.ran == []
    project.write(
        ["%%mlstage a\nx = 1 / 0", '%%mlstage gated --metrics m --require "auc >= 0.9" --require "lift > 1"\nm = {"auc": 0.5}'], "failing.ipynb"
    )
    assert project.run(notebook="failing.ipynb", env=env).code == 1
    return project, done


def settings(project: Project) -> dict[str, str]:
    """Return the environment that turns both trackers on."""
    return {
        "NBMLOPS_TRACKERS": "mlflow,wandb",
        "NBMLOPS_TRACK_WAIT_S": "120",
        "MLFLOW_TRACKING_URI": f"sqlite:///{project.folder}/tracking.db",
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
    }


def test_run_is_there_once_with_parameters_and_metrics(tracked: tuple[Project, Outcome]) -> None:
    """One MLflow run per pipeline run, finished; a run with nothing stale makes none."""
    project, done = tracked
    run_id = done.data["tracking"]["mlflow"]["run_id"]
    runs = {item.info.run_id: item for item in all_runs(project.folder)}
    assert sorted(item.info.status for item in runs.values()) == ["FAILED", "FINISHED"]
    found = runs[run_id]
    assert {name: float(found.data.params[name]) for name in ("n", "C")} == {"n": 3.0, "C": 2.0}
    assert [value for name, value in found.data.metrics.items() if name.endswith("total")] == [11.0]


def test_evidence_of_gates_is_in_tags(tracked: tuple[Project, Outcome]) -> None:
    """Each with its verdict, what was judged, and why where a number does not tell it; the table of stages says who was refused."""
    project, _ = tracked
    (failed,) = [item for item in all_runs(project.folder) if item.info.status == "FAILED"]
    tags = {name: value for name, value in failed.data.tags.items() if name.startswith("nbmlops.gate.")}
    assert tags["nbmlops.gate.gated.0"] == "refused: auc >= 0.9 (value 0.5, threshold 0.9)"
    assert tags["nbmlops.gate.gated.1"].startswith("refused: lift > 1 (value None, threshold 1): ")


def test_stage_timings_are_metrics(tracked: tuple[Project, Outcome]) -> None:
    """Every stage's time is there."""
    project, done = tracked
    metrics = client(project.folder).get_run(done.data["tracking"]["mlflow"]["run_id"]).data.metrics
    for stage in ("ingest", "features", "train", "evaluate"):
        assert [name for name in metrics if stage in name], metrics


def test_executed_notebook_is_an_artifact(tracked: tuple[Project, Outcome], tmp_path: Path) -> None:
    """The notebook that MLflow holds is the executed one."""
    project, done = tracked
    api = client(project.folder)
    run_id = done.data["tracking"]["mlflow"]["run_id"]
    found = artifacts(api, run_id, "")
    notebooks = [path for path in found if path.endswith(".ipynb")]
    assert len(notebooks) == 1, found
    path = Path(api.download_artifacts(run_id, notebooks[0], str(tmp_path)))
    assert "report {'total': 11.0}" in json.dumps(json.loads(path.read_text(encoding="utf-8")))


def artifacts(api: Any, run_id: str, folder: str) -> list[str]:
    """Return the paths of all artifacts of a run."""
    found: list[str] = []
    for item in api.list_artifacts(run_id, folder):
        found += artifacts(api, run_id, item.path) if item.is_dir else [item.path]
    return found


def test_nothing_is_written_beside_the_project(tracked: tuple[Project, Outcome]) -> None:
    """W&B's offline run and MLflow's artifacts lie under the project; no `wandb` folder in the open."""
    project, _ = tracked
    assert list((project.folder / ".nbmlops").rglob("offline-run-*"))
    assert not (project.folder / "wandb").exists()


def test_outbox_is_empty_afterwards(tracked: tuple[Project, Outcome]) -> None:
    """`track sync` finds nothing left and makes no second run."""
    project, _ = tracked
    done = project.call("track", "sync", env=settings(project))
    assert done.code == 0, done.err
    assert len(all_runs(project.folder)) == 2


def test_no_track_tells_nobody(tracked: tuple[Project, Outcome]) -> None:
    """`--no-track` leaves the trackers alone."""
    project, _ = tracked
    done = project.run("--no-track", "-p", "C", "9.0", env=settings(project))
    assert (done.code, done.data["tracking"]) == (0, {})
    assert len(all_runs(project.folder)) == 2


def test_tracker_that_is_down_fails_nothing(pipeline: Project) -> None:
    """A tracker that nobody answers for: the run is done, and the next one sends its events, although there is nothing else to do."""
    down = {"NBMLOPS_TRACKERS": "mlflow", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = pipeline.run(env={**down, "NBMLOPS_TRACK_WAIT_S": "3"})
    assert (done.code, done.data["tracking"]) == (0, {}), done.err
    assert "Traceback" not in done.err
    again = pipeline.run(
        env={"NBMLOPS_TRACKERS": "mlflow", "MLFLOW_TRACKING_URI": f"sqlite:///{pipeline.folder}/tracking.db", "NBMLOPS_TRACK_WAIT_S": "120"}
    )
    assert (again.code, again.ran) == (0, []), again.err
    assert {item.info.run_id: item.info.status for item in all_runs(pipeline.folder)} == {again.data["tracking"]["mlflow"]["run_id"]: "FINISHED"}


def test_killed_run_is_closed_by_the_next_command(project: Project) -> None:
    """A run whose command was killed does not stay RUNNING."""
    env = {"NBMLOPS_TRACKERS": "mlflow", "MLFLOW_TRACKING_URI": f"sqlite:///{project.folder}/tracking.db"}
    project.write(["import subprocess, time", "%%mlstage a\nsubprocess.Popen(['sleep', '304'])\ntime.sleep(100)"])
    process = project.start("run", "nb.ipynb", env=env)
    project.wait_for_process("sleep 304")
    process.kill()
    project.finish(process)
    assert project.left_after(5) == {}
    assert project.call("track", "sync", env=env).code == 0
    with contextlib.suppress(FileNotFoundError):
        assert "RUNNING" not in [item.info.status for item in all_runs(project.folder)]
