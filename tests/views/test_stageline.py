"""The line that a stage cell ends with."""

from __future__ import annotations

import pytest

from nbmlops.runner.results import StageResult
from nbmlops.runner.task import StageError
from nbmlops.store.records import Artifact
from nbmlops.views.stageline import gate_texts, refusal_texts, stage_line


def artifact(name: str, *members: str) -> Artifact:
    """Return an artifact of 1.3 MB."""
    return Artifact(name=name, digest="ab" * 32, format="npy", size_bytes=1_300_000, members=members)


ERROR = StageError(type="ValueError", message="no rows", cell=7)
ROWS = [
    (
        StageResult(name="train", status="ran", seconds=4.2, reason="parameter C 0.5 -> 1.0", outputs={"model": artifact("model")}),
        "train  ran 4.2 s  → model (1.3 MB)  · parameter C 0.5 → 1.0",
    ),
    (
        StageResult(name="train", status="reused", seconds=4.2, run_id="8f3a", reason="reused from run 8f3a"),
        "train  reused from run 8f3a (saved 4.2 s)",
    ),
    (StageResult(name="train", status="reused", run_id="8f3a0c1122334455"), "train  reused from run 8f3a0c11"),
    (
        StageResult(name="train", status="failed", seconds=4.2, reason="forced", error=ERROR),
        "train  failed after 4.2 s · ValueError: no rows (cell 7)",
    ),
    (StageResult(name="train", status="timed-out", seconds=90, reason="forced"), "train  timed out after 1 min 30 s · forced"),
    (StageResult(name="train", status="skipped", reason="--if fast is false"), "train  skipped · --if fast is false"),
    (StageResult(name="train", status="not-run", reason="stage load failed"), "train  not run · stage load failed"),
    (
        StageResult(name="train", status="refused", seconds=1, reason="--require a > 1", gates=({"name": "a > 1", "value": 0.5, "passed": False},)),
        "train  refused after 1.0 s · --require a > 1 (0.5) does not hold",
    ),
]


@pytest.mark.parametrize(("result", "line"), ROWS)
def test_the_line_tells_what_became_of_the_stage(result: StageResult, line: str) -> None:
    """Each status has its words."""
    assert stage_line(result) == line


def test_remarks_stand_last() -> None:
    """What the reader must know beside the status is part of the line."""
    line = stage_line(StageResult(name="train", status="ran", seconds=1), ("not reproducible: C was changed by hand",))
    assert line == "train  ran 1.0 s · not reproducible: C was changed by hand"


def test_a_bundle_is_told_as_one() -> None:
    """Names that are stored together share one size."""
    outputs = {name: artifact(name, "X", "y") for name in ("X", "y")} | {"z": artifact("z")}
    assert "→ X + y (1.3 MB), z (1.3 MB)" in stage_line(StageResult(name="split", status="ran", outputs=outputs))


def test_many_outputs_are_counted() -> None:
    """A stage with twenty outputs still has one line."""
    outputs = {f"x{number}": artifact(f"x{number}") for number in range(20)}
    assert stage_line(StageResult(name="s", status="ran", outputs=outputs)).endswith("x3 (1.3 MB) +16 more")


def test_gates_say_what_they_judged_and_what_passes_with_a_mark() -> None:
    """A suite counts its expectations, and a comparison without a champion says that there was none."""
    suite = {
        "name": "expectations:flights",
        "judge": "expectations",
        "value": 9,
        "threshold": 10,
        "passed": True,
        "warning": "min(a): 3 of 10",
    }
    first = {
        "name": "auc >= champion.auc",
        "judge": "require",
        "value": 0.7,
        "threshold": "champion.auc",
        "passed": True,
        "reason": "no champion yet",
    }
    refusing = {**suite, "passed": False, "warning": "", "reason": "exists(origin): no such column"}
    result = StageResult(name="train", status="refused", gates=(suite, first, refusing, {**first, "passed": False, "reason": ""}))
    assert list(gate_texts(result)) == [
        "! expectations:flights (9 of 10; min(a): 3 of 10)",
        "✓ auc >= champion.auc (0.7; no champion yet)",
        "✗ expectations:flights (9 of 10; exists(origin): no such column)",
        "✗ auc >= champion.auc (0.7)",
    ]
    assert list(refusal_texts(result)) == [
        "expectations:flights (9 of 10; exists(origin): no such column) does not hold",
        "--require auc >= champion.auc (0.7) does not hold",
    ]
