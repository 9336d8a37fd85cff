"""Whether a stage gives the same again: what the gate `reproducible` asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.errors import GateRefused

if TYPE_CHECKING:
    from nbmlops.runner.plan import Planner
    from nbmlops.runner.results import StageResult
    from nbmlops.session.batch import Session

__all__ = ["reproduces"]


def reproduces(session: Session, planner: Planner, result: StageResult) -> bool:
    """Tell whether a stage gives the same under other conditions, by running it again."""
    verdict = session.verify(planner.trial.parameters, stages=[result.name]).stages[0]
    if not verdict.same:
        raise GateRefused(f"stage {result.name!r} gives something else when it is repeated: {verdict.cause}", code="NB630")
    return True
