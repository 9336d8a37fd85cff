"""Models from a notebook's stages to the registry: runs as users run them, and what the outbox's consumer makes of a run's events."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbmlops.errors import NbmlopsError
from nbmlops.executors.events import Event, RunFinished, RunStarted, StageFinished
from nbmlops.promotion.judging import judge_version
from nbmlops.promotion.mlflow_registry import MlflowRegistry
from nbmlops.promotion.registrar import Registrar
from nbmlops.settings import Settings
from nbmlops.store.store import Store
from nbmlops.tracking.delivery import Report, sync
from nbmlops.tracking.outbox import Outbox
from tests.acceptance.kernel import Kernel
from tests.acceptance.project import Cell, Outcome, Project, cell
from tests.servers import free_port

TRAIN = """%%mlstage train
from sklearn.linear_model import LogisticRegression
model = LogisticRegression().fit(X, y)
auc = 0.75
nbmlops.log_metric('auc', auc)
scores = model.predict_proba(X)[:, 1]
nbmlops.register_model(model, 'flight-delay', example=X.head(), metrics={'nothing': float('nan')}, evaluation=(y, scores))"""
CELLS: list[Cell | str] = [
    cell("n = 80\nlimit = 0.5\nbroken = False", "parameters"),
    "import nbmlops\nimport numpy as np\nimport pandas as pd",
    "%%mlstage load\nX = pd.DataFrame(np.random.default_rng(0).random((n, 2)), columns=['a', 'b'])\ny = (X['a'] > 0.5).astype(int)",
    TRAIN,
    "%%mlstage judge --require 'auc >= 0.5'\nassert not broken\nnbmlops.log_metric('auc', float(model.score(X, y)))",
    "%%mlstage publish --require 'auc >= 0.9' --after judge\nnbmlops.log_metric('auc', limit)",
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Project:
    """Give a project with a notebook that registers a model in its second stage."""
    made = Project(tmp_path_factory.mktemp("registering") / "project")
    (made.folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    made.write(CELLS)
    return made


@pytest.fixture(scope="module")
def down(project: Project) -> Outcome:
    """Run while no tracker and no registry answers."""
    return project.call("run", "nb.ipynb", "-p", "limit", "0.95", "--json", env=nowhere())


def nowhere() -> dict[str, str]:
    """Return an environment that tracks where nobody answers."""
    return {**tracked(), "MLFLOW_TRACKING_URI": f"http://me:secret@127.0.0.1:{free_port()}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


def tracked() -> dict[str, str]:
    """Return the environment that tracks in MLflow."""
    return {"NBMLOPS_TRACKERS": "mlflow", "NBMLOPS_TRACK_WAIT_S": "120"}


def evidence(project: Project, model: str = "flight-delay", number: int = 1) -> dict[str, Any]:
    """Return a version's evidence."""
    found = MlflowRegistry(project.folder).version(model, number).evidence
    assert found is not None
    return found.to_json()


def test_a_registry_that_is_down_holds_nothing_up(project: Project, down: Outcome) -> None:
    """The run is kept and its exit code is its own; it says that the model waits and why, without the password."""
    assert (down.code, down.data["status"]) == (0, "done")
    waits = down.data["tracking"]["registry"]["waits"]
    assert "the registry cannot be used now" in waits
    assert "secret" not in down.out + down.err
    assert MlflowRegistry(project.folder).versions("flight-delay") == ()


def test_a_run_with_nothing_to_do_says_that_a_model_still_waits(project: Project, down: Outcome) -> None:
    """What has not arrived is told again, as long as it has not."""
    assert "registry" in down.data["tracking"]
    again = project.call("run", "nb.ipynb", "-p", "limit", "0.95", "--json", env=nowhere())
    assert set(again.statuses.values()) == {"reused"}
    assert again.data["tracking"]["registry"]["waits"]


def test_sync_registers_what_waited(project: Project, down: Outcome) -> None:
    """With the run's whole evidence, and on the page of the run in MLflow; a run with nothing to do names the version."""
    assert project.call("track", "sync", env=tracked()).code == 0
    found = evidence(project)
    assert (found["run_id"], found["status"], found["stage"]) == (down.data["run_id"], "done", "train")
    gates = [(gate["name"], gate["stage"], gate["passed"]) for gate in found["gates"]]
    assert gates == [("auc >= 0.5", "judge", True), ("auc >= 0.9", "publish", True)]
    assert (found["metrics"]["auc"], repr(found["metrics"]["nothing"])) == (0.75, "nan")
    assert found["parameters"] == {"n": 80, "limit": 0.95, "broken": False}
    assert {"numpy", "pandas", "scikit-learn"} <= set(found["environment"])
    client = MlflowRegistry(project.folder).connect()
    version = client.get_model_version("flight-delay", "1")
    run = client.get_run(found["tracking"]["run_id"])
    assert run.data.tags["nbmlops.run_id"] == down.data["run_id"]
    assert version.run_id == run.info.run_id
    assert [f"models:/{item.model_id}" for item in run.outputs.model_outputs] == [version.source]
    assert version.description.startswith("# flight\\-delay\n")
    again = project.call("run", "nb.ipynb", "-p", "limit", "0.95", env=tracked())
    assert "registered flight-delay version 1: 2 gates hold" in again.err
    assert "nothing to do" in again.err


def test_another_registry_gets_the_model_too(project: Project, down: Outcome, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that would have had nothing to do computes nothing, and is the one that speaks for the version there."""
    uri = f"sqlite:///{project.folder}/another.db"
    (project.folder / "another.db").write_bytes(empty_database.read_bytes())
    again = project.call("run", "nb.ipynb", "-p", "limit", "0.95", "--json", env={**tracked(), "MLFLOW_TRACKING_URI": uri})
    assert set(again.statuses.values()) == {"reused"}
    assert (again.data["tracking"]["registry"]["models"], again.data["tracking"]["registry"]["place"]) == ("flight-delay/1", uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    found = evidence(project)
    assert (found["run_id"], found["status"]) == (again.data["run_id"], "done")
    assert found["run_id"] != down.data["run_id"]


def test_what_is_registered_is_served(project: Project, down: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow loads the version by its name, and the files are those of the evidence."""
    import mlflow
    import pandas as pd
    from blake3 import blake3

    assert down.code == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.folder}/mlflow.db")
    loaded = mlflow.sklearn.load_model("models:/flight-delay/1")
    assert list(loaded.predict(pd.DataFrame({"a": [0.0, 1.0], "b": [0.5, 0.5]}))) == [0, 1]
    with MlflowRegistry(project.folder).files("flight-delay", 1) as served:
        files = {item.relative_to(served).as_posix(): blake3(item.read_bytes()).hexdigest() for item in served.rglob("*") if item.is_file()}
    assert files == evidence(project)["files"]
    assert {"nbmlops/card.md", "nbmlops/evaluation.npz"} <= set(files)


def test_a_run_that_fails_afterwards_says_so(project: Project, down: Outcome) -> None:
    """The stage is reused, so it is the same version: its evidence is that of the later run now. A cell shows how it stood before."""
    project.write([*CELLS, "%load_ext nbmlops\n%mlpromote flight-delay"], "shows.ipynb")
    failed = project.call("run", "shows.ipynb", "failed.ipynb", "-p", "broken", "true", env={"NBMLOPS_TRACKERS": "", "NBMLOPS_TRACK_WAIT_S": "120"})
    assert (down.code, failed.code) == (0, 1)
    (output,) = json.loads((project.folder / "failed.ipynb").read_text(encoding="utf-8"))["cells"][-1]["outputs"]
    assert "champion is no version, challenger is no version; 1 version" in output["data"]["text/html"]
    assert "before anything that this run registers" in output["data"]["text/plain"]
    assert "registered flight-delay version 1: no gate was asked, but the run is failed" in failed.err
    found = evidence(project)
    assert (found["status"], found["gates"], found["tracking"]) == ("failed", [], {})
    assert len(MlflowRegistry(project.folder).versions("flight-delay")) == 1


@pytest.mark.thorough
def test_a_refused_run_registers_with_its_refusal(project: Project, down: Outcome) -> None:
    """Exit 3, and the gate that refuses is in the evidence; a call that only running shows is not missed, tracked or not."""
    (project.folder / "keeping.py").write_text("import nbmlops\n\n\ndef keep(model):\n    nbmlops.register_model(model, 'hidden')\n")
    cells = [
        "from sklearn.linear_model import LogisticRegression\n\nimport keeping",
        "%%mlstage train --require 'auc >= 0.9' --metrics auc\nmodel = LogisticRegression().fit([[0], [1]], [0, 1])\nkeeping.keep(model)\nauc = 0.5",
    ]
    project.write(cells, "refused.ipynb")
    for words, trackers in ((["--no-track"], "mlflow"), ([], "mlflow")):
        refused = project.call("run", "refused.ipynb", *words, env={**tracked(), "NBMLOPS_TRACKERS": trackers})
        assert (down.code, refused.code) == (0, 3)
        assert "registered hidden version 1: 1 of 1 gates refuses" in refused.err
        found = evidence(project, "hidden")
        assert (found["status"], found["gates"][0]["passed"], bool(found["tracking"])) == ("refused", False, bool(trackers and not words))
        assert found["run_id"] in refused.err


@pytest.mark.thorough
def test_a_run_that_speaks_for_a_version_again_says_so_to_the_registry(project: Project, down: Outcome) -> None:
    """Loosened gates, and new ones that hold, are asked of what is reused: the evidence is that of the last run, which is never left out."""
    for least, verdict in ((0.5, "done"), (0.9, "refused"), (0.6, "done")):
        stage = f"%%mlstage train --require 'auc >= {least}' --metrics auc\nmodel = LogisticRegression().fit([[0], [1]], [0, 1])"
        cells = ["import nbmlops\nfrom sklearn.linear_model import LogisticRegression", f"{stage}\nnbmlops.register_model(model, 'again')\nauc = 0.7"]
        project.write(cells, "again.ipynb")
        done = project.call("run", "again.ipynb", "--json", env={"NBMLOPS_TRACKERS": "", "NBMLOPS_TRACK_WAIT_S": "120"})
        found = evidence(project, "again")
        assert (down.code, done.data["status"], found["status"], found["run_id"]) == (0, verdict, verdict, done.data["run_id"])
        assert [gate["name"] for gate in found["gates"]] == [f"auc >= {least}"]


@pytest.fixture
def history(tmp_path: Path, empty_database: Path) -> list[Event]:
    """Give the events of a run that offers a model."""
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    (tmp_path / "pyproject.toml").touch()
    store = Store(str(tmp_path / "store"), settings=Settings(project_root=tmp_path, store=str(tmp_path / "store")))
    model = {"name": "m", "digest": "d1", "files": {"MLmodel": store.objects.put([b"x: 1\n"])}, "flavor": "sklearn", "metrics": {"auc": 0.9}}
    started = RunStarted(run_id="r1", time_s=1.0, notebook="nb.ipynb", experiment="nb", tags={"store": str(tmp_path / "store"), "user": "ada"})
    stage = StageFinished(
        run_id="r1", time_s=2.0, stage="train", status="ran", metrics={"auc": 0.5, "loss": 1}, models=[model], files={"a.csv": "ab"}
    )
    other = StageFinished(run_id="r1", time_s=2.5, stage="other", status="ran", metrics={"loss": 2, "size": 3}, files={"b.csv": "cd"})
    return [started, stage, other, RunFinished(run_id="r1", time_s=3.0, status="done", seconds=2.0)]


def deliver(history: list[Event], root: Path) -> dict[str, str] | None:
    """Deliver a whole history."""
    return Registrar(root).deliver(history, new=0, reference={})


def test_a_run_is_taken_when_it_has_ended(history: list[Event], tmp_path: Path) -> None:
    """Of its metrics the request has the last word, then the stage that registers; what the stages themselves logged stands beside it."""
    assert deliver(history[:-1], tmp_path) is None
    assert deliver(history, tmp_path) == {"run_id": "r1", "experiment": "nb", "models": "m/1", "place": f"sqlite:///{tmp_path}/mlflow.db"}
    found = MlflowRegistry(tmp_path).version("m", 1).evidence
    assert found is not None
    assert dict(found.metrics) == {"train/loss": 1.0, "other/loss": 2.0, "size": 3.0, "auc": 0.9, "loss": 1.0, "train/auc": 0.5}
    assert (dict(found.data), found.user) == ({"a.csv": "ab", "b.csv": "cd"}, "ada")


def test_the_gate_of_a_stage_is_judged_again_by_what_that_stage_logged(history: list[Event], tmp_path: Path) -> None:
    """Not by what another stage, or the registration, says of the model."""
    gate = {"name": "auc >= champion.auc and auc > 0", "judge": "require", "value": None, "threshold": None, "passed": True}
    other = replace(history[2], metrics={"auc": 0.5, "loss": -math.inf}, gates=[gate])  # type: ignore[call-arg]
    deliver([*history[:2], other, history[3]], tmp_path)
    found = MlflowRegistry(tmp_path).version("m", 1)
    assert found.evidence is not None
    assert found.evidence.metrics["other/loss"] == -math.inf
    champion = replace(found, version=2, evidence=replace(found.evidence, metrics={"auc": 0.7}))
    assert judge_version(found, champion, Settings(project_root=tmp_path, store="")).refusals != ()


def test_sync_tells_a_registry_again_what_it_has_lost(history: list[Event], tmp_path: Path, empty_database: Path) -> None:
    """Also one whose address is as before; a version that somebody has deleted stays so, and what the store has lost is not asked for."""
    outbox = Outbox(tmp_path / "store" / "outbox", ("registry",))
    outbox.append(*history)
    sent, nothing = Report(delivered={"registry": ["r1"]}), Report()
    assert [sync(outbox, ["registry"], tmp_path) for _ in range(2)] == [sent, nothing]
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    assert [sync(outbox, ["registry"], tmp_path) for _ in range(2)] == [sent, nothing]
    client = MlflowRegistry(tmp_path).connect()
    client.delete_model_version("m", "1")
    assert sync(outbox, ["registry"], tmp_path) == nothing
    client.delete_registered_model("m")
    shutil.rmtree(tmp_path / "store" / "objects")
    assert sync(outbox, ["registry"], tmp_path) == nothing
    assert outbox.undelivered() == []


def test_models_of_one_name_from_two_stages_are_two_versions(history: list[Event], tmp_path: Path) -> None:
    """None is lost, however often it is told: each has the metrics of its own stage; the same model from both is one version."""
    stage, other = history[1:3]
    assert isinstance(stage, StageFinished)
    assert isinstance(other, StageFinished)
    second = {**stage.models[0], "digest": "d2", "metrics": {}}
    run = [history[0], stage, replace(other, models=[second], metrics={"auc": 0.25, "loss": 2}), history[3]]
    for _ in range(2):
        told = deliver(run, tmp_path)
        assert told is not None
        assert told["models"] == "m/1, m/2"
    kept = {item.version: item.evidence for item in MlflowRegistry(tmp_path).versions("m")}
    assert {number: found and (found.stage, found.metrics["auc"], found.metrics["loss"]) for number, found in kept.items()} == {
        1: ("train", 0.9, 1.0),
        2: ("other", 0.25, 2.0),
    }
    told = deliver([history[0], stage, replace(other, models=[stage.models[0]]), history[3]], tmp_path)
    assert told is not None
    assert told["models"] == "m/1"


@pytest.mark.parametrize("role", ["trial", "sweep"])
def test_trials_register_nothing(history: list[Event], tmp_path: Path, role: str) -> None:
    """One of a thousand is no version; the best one's full run is."""
    started = history[0]
    assert isinstance(started, RunStarted)
    assert deliver([replace(started, sweep={"role": role}), *history[1:]], tmp_path) == {}
    assert MlflowRegistry(tmp_path).versions("m") == ()
    told = deliver([replace(started, sweep={"role": "best"}), *history[1:]], tmp_path)
    assert told is not None
    assert told["models"] == "m/1"


def test_files_that_are_gone_or_lead_out_are_told(history: list[Event], tmp_path: Path) -> None:
    """One line each, and nothing is registered."""
    for files, message in (({"MLmodel": "0" * 64}, "its file 'MLmodel' is no longer in the store"), ({"../x": "0" * 64}, "outside its folder")):
        stage = history[1]
        assert isinstance(stage, StageFinished)
        stage = replace(stage, models=[{**stage.models[0], "files": files}])
        with pytest.raises(NbmlopsError, match=message) as told:
            deliver([history[0], stage, history[-1]], tmp_path)
        assert told.value.code == "NB649"
    assert MlflowRegistry(tmp_path).versions("m") == ()


@pytest.mark.thorough
def test_a_live_kernel_keeps_the_model_and_a_run_registers_it(tmp_path: Path, empty_database: Path) -> None:
    """The cell's line says so; the kernel has not imported MLflow; the run reuses the stage."""
    project = Project(tmp_path / "project")
    (project.folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    notebook = project.write(CELLS)
    kernel = Kernel(project, notebook)
    try:
        assert kernel.run("%load_ext nbmlops").ok
        done = kernel.run_cells(CELLS[:4])
        assert "model flight-delay is kept with the stage; %mlrun registers it" in done[-1].text
        assert "not reproducible" not in done[-1].text
        assert kernel.value("'mlflow' in __import__('sys').modules") == "False"
        run = kernel.run("%mlrun -p limit 0.95")
        assert run.ok, run.text
        assert "registered flight-delay version 1: 2 gates hold" in json.dumps([item.get("data", item.get("text")) for item in run.outputs])
    finally:
        kernel.close()
    assert evidence(project)["status"] == "done"
