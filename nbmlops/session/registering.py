"""Which runs the registry gets, and what their results say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from nbmlops.pipeline.model import Pipeline
    from nbmlops.runner.plan import Plan
    from nbmlops.runner.results import StageResult
    from nbmlops.settings import Settings
    from nbmlops.store.records import RunRecord, StageRecord
    from nbmlops.tracking.sender import Sender

__all__ = ["PRELOADED", "REGISTRY", "addressed", "may_register", "offers", "registered", "unregistered"]

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


def unregistered(run: RunRecord, plan: Plan, settings: Settings, folder: Path) -> bool:
    """Tell whether the registry of today lacks a model that an earlier run with the same records has registered.

    Parameters
    ----------
    run : RunRecord
    plan : Plan
    settings : Settings
    folder : Path
        Of the outbox.
    """
    models = [(model["name"], model["digest"]) for item in plan.stages.values() if item.record is not None for model in item.record.models]
    if not models or settings.registry != "mlflow" or (folder / f"{run.run_id}.jsonl").exists():
        return False  # one that waits is registered by whoever sends what waits
    from nbmlops.promotion.presence import are_gone  # noqa: PLC0415 - only where a model was registered
    from nbmlops.tracking.mlflow_store import registry_uri  # noqa: PLC0415
    from nbmlops.tracking.outbox import Outbox  # noqa: PLC0415

    told = {**run.tracking, **Outbox(folder).reference(run.run_id)}.get(REGISTRY, {})
    return are_gone(models, registry_uri(settings.project_root), told.get("place", ""))
