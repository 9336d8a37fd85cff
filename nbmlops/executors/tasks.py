"""From a planned stage to the task that its process gets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nbmlops.runner.plan import REPORT, Plan, PlannedStage, Planner
from nbmlops.runner.redaction import secret_values
from nbmlops.runner.task import StageTask

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nbmlops.pipeline.model import Pipeline, Stage, Step
    from nbmlops.settings import Settings
    from nbmlops.store.records import Artifact, StageRecord
    from nbmlops.store.store import Store

__all__ = ["attempts_folder", "make_task", "preload_modules"]


def make_task(
    item: PlannedStage,
    plan: Plan,
    records: Mapping[str, StageRecord],
    *,
    planner: Planner,
    settings: Settings,
    store: Store,
    run_id: str,
    token: str,
) -> StageTask:
    """Return what a process needs to run a planned stage."""
    stage, pipeline = item.stage, plan.pipeline
    setup_names = {name for statement in pipeline.setup if statement.place < stage.cells[-1] for name in statement.names}
    expected = {name for position in stage.setup for name in pipeline.setup[position].names}
    earlier = [other for other in pipeline.stages.values() if other.cells[0] < stage.cells[0]]
    elsewhere = {name for other in earlier for name in other.binds} - set(stage.inputs) - setup_names
    return StageTask(
        run_id=run_id,
        attempt=token,
        notebook=planner.source.document.shown,
        folder=str(planner.surroundings.folder),
        stage=stage.name,
        steps=tuple(_told(step, pipeline) for step in stage.steps),
        parameters=planner.trial.parameters,
        inputs=_inputs(stage, plan, records),
        wants=stage.wants,
        later=stage.later,
        setup_names=tuple(sorted(setup_names)),
        expected=tuple(sorted(expected if stage.name != REPORT else setup_names)),
        used=tuple(sorted({pipeline.setup[position].fingerprint for position in stage.setup})),
        imports=tuple(sorted(pipeline.imports_of(stage))),
        by_reference=pipeline.by_reference,
        elsewhere=tuple(sorted(elsewhere)),
        binds=stage.binds,
        metrics=stage.directive.metrics,
        secrets=tuple(sorted({name for other in pipeline.stages.values() for name in other.directive.secrets})),
        hidden=secret_values({name: item.default for name, item in pipeline.parameters.items()}, {}, ()),
        store=settings.store,
        project_root=str(settings.project_root),
        trusted=store.trusted,
        files=stage.files_read,
        files_written=stage.files_written,
        seed=planner.trial.seed if stage.directive.seed is None else stage.directive.seed,
        draw=stage.code,
        timeout_s=stage.directive.timeout_s,
        memory_bytes=stage.directive.memory_bytes,
        output_limit_bytes=settings.output_limit_bytes,
    )


def _told(step: Step, pipeline: Pipeline) -> Step:
    """Tell a setup or report cell what it does not get as the notebook's order has it."""
    if step.kind == "setup":
        return replace(step, elsewhere=pipeline.lacking.get(step.cell, ()))
    return replace(step, spoiled=pipeline.written_below(step.cell)) if step.kind == "report" else step


def _inputs(stage: Stage, plan: Plan, records: Mapping[str, StageRecord]) -> tuple[tuple[int, Artifact], ...]:
    """Return the artifacts to load, each with the step that needs it first."""
    if stage.name != REPORT:
        first = next(position for position, step in enumerate(stage.steps) if step.kind == "stage")
        return tuple((first, records[provider].outputs[name]) for name, provider in stage.inputs.items())
    found: list[tuple[int, Artifact]] = []
    holds: dict[str, str] = {}
    positions = {step.cell: position for position, step in enumerate(stage.steps)}
    offered = {(read.provider, read.name) for read in stage.reads}
    for report in plan.pipeline.reports:
        if report.cell not in positions:
            continue  # it reads a stage that is no part of this run
        for read in report.reads:
            # the version that an earlier report cell uses is loaded already
            if read.kind == "stage" and (read.provider, read.name) in offered and holds.get(read.name) != read.provider:
                holds[read.name] = read.provider
                found.append((positions[report.cell], records[read.provider].outputs[read.name]))
    return tuple(found)


def preload_modules(steps: tuple[Step, ...], modules: set[str]) -> tuple[str, ...]:
    """Return the modules to import before stages fork: none where setup changes the environment first."""
    if any("environ" in step.source for step in steps):
        return ()  # os.environ["OMP_NUM_THREADS"] = "1" must come before numpy is imported
    return tuple(sorted(modules))


def attempts_folder(store: Store) -> Path:
    """Return where attempts keep their files while they run."""
    return store.local_path("attempts")
