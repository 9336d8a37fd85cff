"""Who would see what a stage left behind, as far as a planner knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.pipeline.leftbehind import left_behind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmlops.pipeline.effects import Effects
    from nbmlops.pipeline.model import Diagnostic, Report, Stage
    from nbmlops.runner.plan import Planner
    from nbmlops.store.records import StageRecord

__all__ = ["lost_on", "modules_of", "seen_later"]


def seen_later(
    planner: Planner,
    stage: Stage,
    seen: Effects,
    others: Mapping[str, Effects] | None = None,
    records: Mapping[str, StageRecord] | None = None,
) -> dict[str, Diagnostic]:
    """Return the later stages whose values may hang on what a stage was seen to change, and that no stage hands on.

    Parameters
    ----------
    planner : Planner
    stage : Stage
    seen : Effects
    others : mapping of str to Effects, optional
        What is known of stages beyond what was learnt, and of the report cells.
    records : mapping of str to StageRecord, optional
        What stages have made in this run: an artifact brings its modules along.
    """
    if not seen.left_behind:
        return {}
    known = {**planner.effects, **(others or {})}
    return left_behind(stage, seen, planner.pipeline, known, lambda part, effects: modules_of(planner, part, effects, records or {}))


def lost_on(name: str, effects: Effects, planner: Planner, records: Mapping[str, StageRecord]) -> Diagnostic | None:
    """Return what an earlier stage of this run has changed that a stage uses and that no stage hands on.

    Parameters
    ----------
    name : str
        The stage that uses it, or ``@report``.
    effects : Effects
        What it was seen to do.
    planner : Planner
    records : mapping of str to StageRecord
        What stages have made in this run.
    """
    stages = planner.pipeline.stages
    for other, record in records.items():
        if other in stages and record.effects.left_behind:
            trouble = seen_later(planner, stages[other], record.effects, {name: effects}, records).get(name)
            if trouble is not None:
                return trouble
    return None


def modules_of(planner: Planner, part: Stage | Report, effects: Effects, records: Mapping[str, StageRecord]) -> set[str]:
    """Return the paths of the project-local modules that a stage or report cell uses, those of its artifacts included."""
    setup, surroundings = planner.pipeline.setup, planner.surroundings
    used = planner.pipeline.imports_of(part)
    for read in part.reads:
        artifact = records[read.provider].outputs.get(read.name) if read.kind == "stage" and read.provider in records else None
        used.update(name.partition(":")[2] for name in (artifact.refers if artifact else ()) if name.startswith("module:"))
    # what setup imports for others was seen imported here too
    foreign = set(surroundings.modules({module for statement in setup for module in statement.modules}, ())[0])
    return set(surroundings.modules(used, set(effects.modules) - foreign)[0])
