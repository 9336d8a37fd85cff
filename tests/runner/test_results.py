"""What a run says of itself: statuses, exit codes, metrics."""

from __future__ import annotations

import pytest

from nbmlops.runner.results import RunResult, StageResult, run_status
from nbmlops.store.records import Artifact, StageRecord


def result(name: str, status: str, **fields: object) -> StageResult:
    """Make a stage's result."""
    return StageResult(name=name, status=status, **fields)  # type: ignore[arg-type]


STATUSES = [
    (["ran", "reused", "skipped"], "done", 0),
    ([], "done", 0),
    (["ran", "failed", "not-run"], "failed", 1),
    (["timed-out"], "failed", 1),
    (["refused", "not-run"], "refused", 3),
    (["refused", "failed"], "failed", 1),
    (["ran", "cancelled"], "cancelled", 130),
    (["ran", "not-run"], "failed", 1),
]


@pytest.mark.parametrize(("statuses", "expected", "code"), STATUSES)
def test_run_is_as_good_as_its_worst_stage(statuses: list[str], expected: str, code: int) -> None:
    """The run's status, and the exit code that goes with it."""
    results = {str(place): result(str(place), status) for place, status in enumerate(statuses)}
    status = run_status(results, None, cancelled=False)
    run = RunResult(run_id="r", status=status, notebook="nb", output=None, parameters={}, seconds=0, stages=results)
    assert (status, run.exit_code) == (expected, code)


def test_failed_report_fails_the_run() -> None:
    """A report cell that raised is not hidden by stages that went well."""
    assert run_status({"a": result("a", "ran")}, result("@report", "failed"), cancelled=False) == "failed"


def test_interrupt_wins() -> None:
    """An interrupted run is cancelled, whatever else happened."""
    assert run_status({"a": result("a", "failed")}, None, cancelled=True) == "cancelled"


def test_metric_of_two_stages_is_kept_under_both_names() -> None:
    """The later stage's is found with its stage's name before it."""
    stages = {"a": result("a", "ran", metrics={"auc": 1, "n": 2}), "b": result("b", "ran", metrics={"auc": 3})}
    run = RunResult(run_id="r", status="done", notebook="nb", output=None, parameters={}, seconds=0, stages=stages)
    assert run.metrics == {"auc": 1, "n": 2, "b.auc": 3}


def test_record_becomes_a_result() -> None:
    """A reused stage shows what computing it took then, and which run did."""
    artifact = Artifact(name="x", digest="ab" * 32, format="json", size_bytes=3)
    record = StageRecord(key="k", stage="a", notebook="nb", code="c", outputs={"x": artifact}, metrics={"m": 1}, seconds=2.0004, run_id="r1")
    data = StageResult.of_record(record, "reused", "reused from run r1").to_json()
    assert data == {
        "name": "a",
        "status": "reused",
        "key": "k",
        "seconds": 2.0,
        "reason": "reused from run r1",
        "outputs": {"x": {"digest": "ab" * 32, "format": "json", "bytes": 3}},
        "metrics": {"m": 1},
        "gates": [],
        "error": None,
    }
