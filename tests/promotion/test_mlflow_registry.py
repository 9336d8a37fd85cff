"""Versions, evidence and aliases in MLflow's registry: in a database, and behind real servers."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from nbmlops.errors import NbmlopsError, TrackerUnavailable, UsageError
from nbmlops.promotion.base import Evidence, ModelRequest, ModelVersion
from nbmlops.promotion.mlflow_registry import CARD_FILE, EVIDENCE_FILE, MlflowRegistry
from tests.promotion.conftest import in_process
from tests.servers import free_port

EVIDENCE = Evidence(
    run_id="r1",
    stage="train",
    status="done",
    time_s=1.5,
    notebook="nb.ipynb",
    metrics={"roc_auc": 0.7, "nothing": float("nan"), "π'\"`x": 1e-3, "huge": float("inf")},
    gates=(
        {"name": "roc_auc >= 0.62", "judge": "require", "value": 0.7, "threshold": 0.62, "passed": True, "stage": "train"},
        {"name": "nothing > 1", "value": float("nan"), "threshold": 1, "passed": False, "reason": "it is NaN", "stage": "train"},
    ),
    parameters={"C": 0.5, "text": "\0 \ud800 é <b>", "none": None, "deep": {"a": [1, {"b": []}]}},
    files={"MLmodel": "ab"},
)


@pytest.fixture
def model() -> str:
    """Give a name that no other test has used."""
    return f"flight-delay-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a model's folder."""
    made = tmp_path / "model"
    (made / "nbmlops").mkdir(parents=True)
    (made / "MLmodel").write_text("flavors: {}\n")
    (made / CARD_FILE).write_text("# card é\n", encoding="utf-8")
    return made


def request(name: str, digest: str = "d1") -> ModelRequest:
    """Return a request for a model of this digest."""
    return ModelRequest(name=name, digest=digest, files={}, flavor="sklearn")


def told(version: ModelVersion) -> str:
    """Return a version's evidence as text: NaN equals nothing."""
    assert version.evidence is not None
    return json.dumps(version.evidence.to_json())


def test_evidence_is_read_back_as_it_was_written(registry: MlflowRegistry, model: str, folder: Path) -> None:
    """NaN, infinity and odd texts too; another registry object, which nobody has told, reads the same."""
    made = registry.register(request(model), EVIDENCE, folder)
    assert (made.version, made.digest, made.aliases) == (1, "d1", ())
    assert told(made) == json.dumps(EVIDENCE.to_json())
    assert told(MlflowRegistry(registry.project_root).versions(model)[0]) == told(made)
    found = registry.connect().get_model_version(model, "1")
    assert (found.description, found.tags["nbmlops.gate.2"]) == ("# card é\n", "refuses: nothing > 1 (it is NaN)")
    assert (found.tags["nbmlops.metric.nothing"], found.current_stage) == ("nan", "None")


def test_the_same_digest_is_the_same_version(registry: MlflowRegistry, model: str, folder: Path) -> None:
    """It gets the evidence of the later run, however long, and keeps the digests of the files that it has; nothing of the earlier is left."""
    registry.register(request(model), EVIDENCE, folder)
    later = replace(
        EVIDENCE, run_id="r2", metrics={"auc": 0.5}, gates=(), data={f"{number}.csv": "é" * 64 for number in range(400)}, files={"x": "y"}
    )
    made = registry.register(request(model), later, folder)
    assert made.version == 1
    assert told(made) == json.dumps(replace(later, files=EVIDENCE.files).to_json())
    registry.register(request(model), replace(later, run_id="r3"), folder)
    tags = registry.connect().get_model_version(model, "1").tags
    assert [name for name in tags if name.startswith(("nbmlops.metric.", "nbmlops.gate."))] == ["nbmlops.metric.auc"]
    assert len([name for name in tags if name.startswith("nbmlops.evidence.")]) == json.loads(tags["nbmlops.evidence"])["parts"] > 1
    again = registry.register(request(model), EVIDENCE, folder)
    assert told(again) == json.dumps(EVIDENCE.to_json())
    assert not [name for name in registry.connect().get_model_version(model, "1").tags if name.startswith("nbmlops.evidence.")]
    assert registry.register(request(model, "d2"), EVIDENCE, folder).version == 2
    assert [item.version for item in registry.versions(model)] == [2, 1]


def test_files_are_those_that_were_registered(registry: MlflowRegistry, model: str, folder: Path) -> None:
    """All of them, and nothing that was not there: the evidence beside them is left out."""
    registry.register(request(model), EVIDENCE, folder)
    with registry.files(model, 1) as served:
        found = {path.relative_to(served).as_posix(): path.read_bytes() for path in served.rglob("*") if path.is_file()}
    assert found == {"MLmodel": b"flavors: {}\n", CARD_FILE: "# card é\n".encode()}
    assert EVIDENCE_FILE not in found


def test_the_model_is_on_the_page_of_its_run(registry: MlflowRegistry, model: str, folder: Path) -> None:
    """Once, however often the registration is repeated, and on those of later runs that make it again; a run that is gone is no hindrance."""
    client = registry.connect()
    experiment = client.create_experiment(
        f"e-{model}", artifact_location=(folder.parent / "runs").as_uri() if not registry.uri.startswith("http") else None
    )
    first, second = (client.create_run(experiment).info.run_id for _ in range(2))
    for run_id in (first, first, second, "0" * 32):
        registry.register(request(model), replace(EVIDENCE, tracking={"run_id": run_id, "experiment": f"e-{model}"}), folder)
    outputs = [[item.model_id for item in client.get_run(run_id).outputs.model_outputs] for run_id in (first, second)]
    version = client.get_model_version(model, "1")
    assert outputs == [[version.source.removeprefix("models:/")]] * 2
    assert version.run_id == first


def test_aliases_and_tags_move(registry: MlflowRegistry, model: str, folder: Path) -> None:
    """An alias means one version at a time; taking one away, or a tag, that is not there is no error."""
    for digest in ("d1", "d2"):
        registry.register(request(model, digest), EVIDENCE, folder)
    registry.move(model, "champion", 1)
    registry.move(model, "champion", 2)
    assert dict(registry.aliases(model)) == {"champion": 2}
    assert [item.aliases for item in registry.versions(model)] == [("champion",), ()]
    for _ in range(2):
        registry.move(model, "champion", None)
    assert dict(registry.aliases(model)) == {}
    registry.set_tags(model, {"a": "1", "b": "2"})
    registry.set_tags(model, {"a": "3"}, number=1)
    registry.delete_tags(model, ["b", "c"])
    assert dict(registry.tags(model)) == {"a": "1"}
    assert registry.connect().get_model_version(model, "1").tags["a"] == "3"


def test_what_is_not_there_is_told(registry: MlflowRegistry, model: str, folder: Path) -> None:
    """A version that there is none of names those that there are; names that MLflow keeps for itself are refused."""
    assert (registry.versions(model), dict(registry.aliases(model)), dict(registry.tags(model))) == ((), {}, {})
    with pytest.raises(UsageError, match="has no version 1; nothing is registered"):
        registry.version(model, 1)
    registry.register(request(model), EVIDENCE, folder)
    for number in (0, 2):
        with pytest.raises(UsageError, match=f"has no version {number}; it has 1"):
            registry.move(model, "champion", number)
    for alias in ("latest", "v1", "a.b"):
        with pytest.raises(NbmlopsError, match="the registry refuses this") as refused:
            registry.move(model, alias, 1)
        assert refused.value.code == "NB644"
    assert dict(registry.aliases(model)) == {}


def test_torn_evidence_is_none(registry: MlflowRegistry, model: str, folder: Path) -> None:
    """Evidence that somebody has edited so that it cannot be read speaks for nothing; the version is still listed."""
    registry.register(request(model), EVIDENCE, folder)
    registry.set_tags(model, {"nbmlops.evidence": '{"parts": 2, "digest": "0"}'}, number=1)
    assert registry.version(model, 1).evidence is None
    registry.set_tags(model, {"nbmlops.evidence": "nothing"}, number=1)
    assert registry.versions(model)[0].evidence is None


_REGISTER = """
import sys, time
from pathlib import Path
from nbmlops.promotion.base import Evidence, ModelRequest
from nbmlops.promotion.mlflow_registry import MlflowRegistry
root, model, run = sys.argv[1:]
registry = MlflowRegistry(Path(root))
registry.versions(model)
print("ready", flush=True)
while not Path(root, "go").exists():
    time.sleep(0.001)
evidence = Evidence(run_id=run, stage="train", status="done", time_s=1.0)
request = ModelRequest(name=model, digest="d1", files={}, flavor="sklearn")
print(registry.register(request, evidence, Path(root, "model")).version)
"""


def test_two_processes_make_one_version(server: str, tmp_path: Path, model: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines, between which no lock stands, register the same model at once: both are told of the one version."""
    assert folder.is_dir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    both = [in_process(_REGISTER, tmp_path, model, run) for run in ("r1", "r2")]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    answers = {process.communicate(timeout=120)[0].strip() for process in both}
    found = MlflowRegistry(tmp_path).versions(model)
    assert answers == {str(found[0].version)}
    assert len(found) == 1


def test_a_registry_that_is_down_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the password of its address."""
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"http://me:secret@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackerUnavailable) as down:
        MlflowRegistry(tmp_path).versions("flight-delay")
    assert down.value.code == "NB643"
    assert "\n" not in str(down.value)
    assert "secret" not in str(down.value)


def test_the_registry_may_be_elsewhere(tmp_path: Path, empty_database: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`MLFLOW_REGISTRY_URI` wins: versions and files are there, and nothing is asked of the tracking server."""
    (tmp_path / "other.db").write_bytes(empty_database.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{tmp_path}/other.db")
    registry = MlflowRegistry(tmp_path)
    assert registry.register(request("m"), replace(EVIDENCE, tracking={"run_id": "0" * 32}), folder).version == 1
    with registry.files("m", 1) as served:
        assert (served / "MLmodel").exists()
