"""What is kept of an attempt that has ended: the record of one that ran, the result of one that did not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.runner.results import StageResult
from nbmlops.store.records import StageRecord

if TYPE_CHECKING:
    from nbmlops.executors.held import Attempt
    from nbmlops.pipeline.effects import Effects
    from nbmlops.runner.stagekey import Components
    from nbmlops.runner.task import StageOutcome

__all__ = ["failure_of", "record_of"]


def record_of(attempt: Attempt, outcome: StageOutcome, effects: Effects, key: tuple[str, Components], *, notebook: str, run_id: str) -> StageRecord:
    """Return the record of a stage that ran, under the key that its effects give it."""
    return StageRecord(
        key=key[0],
        stage=attempt.stage,
        notebook=notebook,
        components=key[1],
        code=attempt.stage_as_planned.code,
        outputs=outcome.outputs,
        cell_outputs=outcome.cell_outputs,
        metrics=outcome.metrics,
        series=outcome.series,
        evidence=outcome.evidence,
        models=outcome.models,
        effects=effects,
        seconds=outcome.seconds,
        started_s=outcome.started_s,
        remarks=outcome.remarks,
        environment=outcome.environment,
        files_written=outcome.files_written,
        attempt=outcome.attempt,
        run_id=run_id,
    )


def failure_of(attempt: Attempt, outcome: StageOutcome, run_id: str) -> StageResult:
    """Return the result of a stage that did not run to its end."""
    return StageResult(
        name=attempt.stage,
        status=outcome.status,
        key=attempt.planned.key,
        seconds=outcome.seconds,
        reason=attempt.reason,
        gates=outcome.evidence,
        error=outcome.error,
        cell_outputs=outcome.cell_outputs,
        run_id=run_id,
    )
