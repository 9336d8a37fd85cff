"""Whether what a stage made, or is making, is made from what its reads now mean."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from nbmlops.pipeline.files import shows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmlops.pipeline.model import Stage
    from nbmlops.runner.plan import PlannedStage, Planner
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
        self._found: dict[str, tuple[object, ...]] = {}

    def holds(self, stage: Stage, record: StageRecord, finished: Mapping[str, StageRecord], planner: Planner) -> bool:
        """Tell whether a finished stage ran on the versions that its reads now mean, and hangs on nothing that is not done."""
        used = (stage, planner.pipeline, record, *(finished.get(other) for other in stage.upstream))
        before = self._found.get(stage.name, ())
        if len(before) == len(used) and all(map(operator.is_, before, used)) and not _uses_surroundings(stage, record):
            return True
        valid = _is_valid(stage, record, finished, planner)
        if valid:
            self._found[stage.name] = used
        return valid


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
