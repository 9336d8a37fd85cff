"""What crosses the process boundary comes back as it was."""

from __future__ import annotations

import json

from nbmlops.pipeline.effects import Effects
from nbmlops.pipeline.model import Step
from nbmlops.runner.task import StageError, StageOutcome, StageTask
from nbmlops.store.records import Artifact

ARTIFACT = Artifact(name="x", digest="ab" * 32, format="json", size_bytes=3, members=("x", "y"), refers=("name:f",))
TASK = StageTask(
    run_id="r",
    attempt="t",
    notebook="nb.ipynb",
    folder="/p",
    stage="a",
    steps=(Step(kind="setup", cell=0, source="import os"), Step(kind="stage", cell=2, source="x = 1")),
    store="/p/.nbmlops",
    project_root="/p",
    parameters={"columns": ["a", "b"], "n": 3},
    inputs=((1, ARTIFACT),),
    wants=("x",),
    secrets=("TOKEN",),
    timeout_s=1.5,
    environment={"A": "1"},
)
OUTCOME = StageOutcome(
    attempt="t",
    status="failed",
    outputs={"x": ARTIFACT},
    metrics={"auc": 0.5},
    effects=Effects(reads=("t",), aliases=(("x", "y"),)),
    files={"in.txt": None},
    error=StageError(type="ValueError", message="no", cell=2, traceback=("line",), signal="SIGKILL"),
    remarks=("draws",),
)


def test_task_survives_json() -> None:
    """Lists in parameters stay lists; the task's own lists are tuples again."""
    assert StageTask.from_json(json.loads(json.dumps(TASK.to_json()))) == TASK


def test_outcome_survives_json() -> None:
    """Artifacts, effects and the error are objects again."""
    assert StageOutcome.from_json(json.loads(json.dumps(OUTCOME.to_json()))) == OUTCOME


def test_outcome_without_error_survives_json() -> None:
    """No error is none."""
    outcome = StageOutcome(attempt="t", status="ran")
    assert StageOutcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


def test_error_has_the_fields_of_the_contract() -> None:
    """The CLI's `error` element is this very JSON."""
    assert set(StageError(type="E", message="m").to_json()) == {"type", "message", "code", "cell", "traceback", "exit_code", "signal"}
