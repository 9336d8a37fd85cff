"""Which runs the registry gets, and what their results say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.pipeline.model import Pipeline
    from nbmlops.runner.results import StageResult
    from nbmlops.store.records import StageRecord
    from nbmlops.tracking.sender import Sender

__all__ = ["PRELOADED", "REGISTRY", "addressed", "may_register", "offers", "registered"]

REGISTRY = "registry"
PRELOADED = "nbmlops.promotion.preloaded"
WAITS = "waits"
_CALL = "register_model"
_UNSAID = "it has not answered yet"


def may_register(pipeline: Pipeline) -> bool:
    """Tell whether a stage seems to register a model; one that does so from a module of the project shows only when it has run."""
    steps = (step for stage in pipeline.stages.values() for step in stage.steps)
    return any(_CALL in step.source for step in (*steps, *pipeline.setup_steps))


def addressed(trackers: Iterable[str], pipeline: Pipeline, *, track: bool) -> tuple[str, ...]:
    """Return who gets a run: the trackers, and last the registry, whose versions name the run in MLflow.

    Models are registered also where runs are not tracked: to leave that, leave out the call.
    """
    names = dict.fromkeys([*(trackers if track else ()), *([REGISTRY] if may_register(pipeline) else ())])
    return tuple(names)


def offers(stages: Iterable[StageResult | StageRecord]) -> bool:
    """Tell whether a stage wants a model registered."""
    return any(stage.models for stage in stages)


def registered(
    tracking: Mapping[str, Mapping[str, str]], stages: Iterable[StageResult | StageRecord], sender: Sender
) -> dict[str, Mapping[str, str]]:
    """Return where a run is found, and of models that are not registered yet, why."""
    if REGISTRY in tracking or not offers(stages):
        return dict(tracking)
    return {**tracking, REGISTRY: {WAITS: sender.reason(REGISTRY) or _UNSAID}}
