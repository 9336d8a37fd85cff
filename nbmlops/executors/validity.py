"""Whether what a stage made, or is making, is made from what its reads now mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmlops.pipeline.model import Stage
    from nbmlops.runner.plan import PlannedStage, Planner
    from nbmlops.store.records import StageRecord

__all__ = ["given", "read_others", "still_valid"]


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


def still_valid(stage: Stage, record: StageRecord, finished: Mapping[str, StageRecord], planner: Planner) -> bool:
    """Tell whether a finished stage ran on the versions that its reads now mean, and hangs on nothing that is not done."""
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
    now = surroundings.sources(modules)
    if any(now.get(path) != digest for path, digest in modules.items()):
        return False
    ours = {path for stage in planner.pipeline.stages.values() for path in stage.files_written}
    files: Mapping[str, str | None] = parts.get("files", {})
    return all(path in ours or path.endswith("/") or surroundings.file(path) == digest for path, digest in files.items())
