"""Whether what a stage made, or is making, is made from what its reads now mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmlops.pipeline.files import shows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmlops.pipeline.model import Pipeline, Stage
    from nbmlops.runner.plan import Plan, PlannedStage, Planner
    from nbmlops.store.records import StageRecord

__all__ = ["Validity", "given", "read_others"]


def given(planned: PlannedStage) -> dict[str, Any]:
    """Return what a key is made of, but for files that no other stage writes: the stage that runs may be changing them itself."""
    files = {path: digest for path, digest in planned.parts.get("files", {}).items() if path in planned.stage.files_from}
    return {**planned.parts, "files": files}


def read_others(stage: Stage, files: Mapping[str, str | None], finished: Mapping[str, StageRecord], planner: Planner) -> bool:
    """Tell whether a stage read a file that one before it writes, and found what somebody else had written.

    Parameters
    ----------
    stage : Stage
    files : mapping of str to (str or None)
        What the files that it read held.
    finished : mapping of str to StageRecord
    planner : Planner
    """
    return any(path in files and files[path] != digest for path, digest in planner.written_before(stage, finished).items())


class Validity:
    """Whether finished stages are valid; one that was is not looked at again before something that it hangs on is another."""

    def __init__(self) -> None:
        self._pipeline: Pipeline | None = None
        self._known: dict[str, StageRecord] = {}
        self._outside: set[str] = set()

    def outdated(self, plan: Plan, finished: Mapping[str, StageRecord], planner: Planner) -> list[str]:
        """Return the finished stages that did not run on the versions that their reads now mean, or that hang on something that is not done."""
        stages = {name: plan.stages[name].stage for name in finished if name in plan.stages}
        known = self._known if planner.pipeline is self._pipeline else {}
        moved = {name for name in stages if known.get(name) is not finished[name]} | (known.keys() - stages.keys())
        self._outside = {
            name for name, stage in stages.items() if (_uses_surroundings(stage, finished[name]) if name in moved else name in self._outside)
        }
        found = [
            name
            for name, stage in stages.items()
            if (name in moved or name in self._outside or not moved.isdisjoint(stage.upstream))
            and not _is_valid(stage, finished[name], finished, planner)
        ]
        self._pipeline, self._known = planner.pipeline, {name: finished[name] for name in stages}
        return found


def _uses_surroundings(stage: Stage, record: StageRecord) -> bool:
    return bool(stage.files_from or record.components.get("files") or record.components.get("modules"))


def _is_valid(stage: Stage, record: StageRecord, finished: Mapping[str, StageRecord], planner: Planner) -> bool:
    if not set(stage.wants) <= set(record.outputs) or any(other not in finished for other in stage.upstream):
        return False
    if read_others(stage, record.components.get("files", {}), finished, planner) or not _same_surroundings(record, planner):
        return False
    identities = planner.identities(stage, finished)
    return identities is None or all(record.components.get("inputs", {}).get(name) == value for name, value in identities.items())


def _same_surroundings(record: StageRecord, planner: Planner) -> bool:
    """Tell whether the modules and files that a stage used are what they were: one run has one version of each."""
    surroundings, parts = planner.surroundings, record.components
    modules: Mapping[str, str] = parts.get("modules", {})
    if modules:
        now = surroundings.sources(modules)
        if any(now.get(path) != digest for path, digest in modules.items()):
            return False
    ours = planner.pipeline.written_files
    files: Mapping[str, str | None] = parts.get("files", {})
    return all(
        path in ours or path.endswith("/") or surroundings.file(path) == digest or any(shows(path, written) for written in ours)
        for path, digest in files.items()
    )
