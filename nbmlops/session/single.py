"""Run one stage of a notebook from what the store holds: the stage command (DESIGN 7)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from nbmlops.errors import UpstreamMissing
from nbmlops.executors.local import LocalExecutor
from nbmlops.executors.scheduler import Scheduler
from nbmlops.executors.tasks import attempts_folder
from nbmlops.runner.plan import Trial, only_stages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmlops.runner.results import StageResult
    from nbmlops.session.batch import Session

__all__ = ["run_stage"]

_CODES = {"ran": 0, "reused": 0, "skipped": 0, "refused": 3}


def run_stage(session: Session, name: str, parameters: Mapping[str, Any]) -> tuple[StageResult, int]:
    """Run a stage, or find that a record serves it.

    Parameters
    ----------
    session : Session
    name : str
    parameters : mapping of str to object
        Values that override the defaults.

    Returns
    -------
    (StageResult, int)
        And the exit code of the stage command.

    Raises
    ------
    UpstreamMissing
        If the store does not hold a record of a stage that this one needs.
    """
    planner = session.planner(parameters)
    session.refuse_errors(planner.pipeline)
    only_stages(planner.pipeline, [name])
    planner.trial = Trial(parameters=planner.trial.parameters, seed=planner.trial.seed, only=frozenset({name}))
    plan = planner.plan(report=False)
    missing = [other for other, item in plan.stages.items() if other != name and item.state not in {"fresh", "skipped"}]
    if missing:
        raise UpstreamMissing(
            f"stage {name!r} needs stage {missing[0]!r}, of which the store {session.settings.store} has no record",
            code="NB604",
            notebook=session.document.shown,
            cell=plan.pipeline.stages[name].cells[0],
            fix=f"run stage {missing[0]!r} first, with the same parameters and the same store",
        )
    executor = LocalExecutor(attempts_folder(session.store), 1)
    scheduler = Scheduler(planner, executor, session.store, session.settings, uuid.uuid4().hex[:16], outside=session.outside(planner))
    try:
        scheduler.run(report=False)
    finally:
        executor.close()
    result = scheduler.results[name]
    return result, _CODES.get(result.status, 1)
