"""Take a stage's result from the record that serves it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from nbmlops.errors import StoreError
from nbmlops.runner.gate import NOTHING_OUTSIDE, asks_outside, judge, refuses
from nbmlops.runner.results import StageResult
from nbmlops.store.replacing import replace_file

if TYPE_CHECKING:
    from nbmlops.runner.gate import Outside
    from nbmlops.runner.plan import Plan, PlannedStage
    from nbmlops.runner.stagekey import Surroundings
    from nbmlops.store.records import StageRecord
    from nbmlops.store.store import Store

__all__ = ["judged", "remove_files", "restore_files", "serve", "with_refusals"]


def serve(
    record: StageRecord,
    name: str,
    reason: str,
    requirements: tuple[str, ...],
    *,
    store: Store,
    surroundings: Surroundings,
    outside: Outside = NOTHING_OUTSIDE,
) -> StageResult:
    """Return the result of a stage that is reused: its files put back, its gates judged again.

    Parameters
    ----------
    record : StageRecord
    name : str
        What the stage is called now; the record may be that of an earlier name.
    reason : str
    requirements : tuple of str
        The stage's ``--require`` expressions, which are no part of its key.
    store : Store
    surroundings : Surroundings
    outside : Outside
        What gates may ask beyond the stage's results.
    """
    restore_files(record, store, surroundings)
    remove_files(record, surroundings)
    return judged(StageResult.of_record(replace(record, stage=name), "reused", reason or "reused"), requirements, outside)


def judged(result: StageResult, requirements: tuple[str, ...], outside: Outside = NOTHING_OUTSIDE) -> StageResult:
    """Return a result with the evidence of its gates; one that a gate refuses is ``refused``."""
    refusal = refuses(result.gates)  # of a gate in its code
    required = judge(requirements, result, outside)
    unmet = refuses(required)
    gates = (*result.gates, *required)
    if refusal is None and unmet is None:
        return replace(result, gates=gates)
    return replace(result, gates=gates, status="refused", reason=f"{refusal} does not hold" if refusal else f"--require {unmet} does not hold")


def with_refusals(plan: Plan) -> Plan:
    """Return a plan in which a stage that its gates refuse by its record alone is ``refused``, and what hangs on it ``unknown``.

    What a gate asks of the registry, or of a repetition, a run alone finds out.
    """
    stages: dict[str, PlannedStage] = {}
    barred: set[str] = set()
    for name, item in plan.stages.items():
        stages[name] = item
        above = next((other for other in item.stage.upstream if other in barred), None)
        if above is not None and item.state != "skipped":
            stages[name] = replace(item, state="unknown", record=None, reasons=(f"hangs on stage {above}, which is {stages[above].state}",))
        elif item.state == "fresh" and item.record is not None:
            required = tuple(text for text in item.stage.directive.require if not asks_outside(text))
            result = judged(StageResult.of_record(item.record, "reused", ""), required)
            if result.status == "refused":
                stages[name] = replace(item, state="refused", reasons=(result.reason,))
        if stages[name] is not item:
            barred.add(name)
    return replace(plan, stages=stages)


def restore_files(record: StageRecord, store: Store, surroundings: Surroundings, *, only: str | None = None) -> None:
    """Put back the files that a stage wrote, or one of them, where they are missing or hold something else.

    Raises
    ------
    StoreError
        If the store no longer has a file's bytes, or it cannot be written.
    """
    for path, digest in record.files_written.items():
        if only not in {None, path} or surroundings.file(path) == digest:
            continue
        full = surroundings.folder / path
        if path.endswith("/"):
            full.mkdir(parents=True, exist_ok=True)
            continue
        try:
            full.parent.mkdir(parents=True, exist_ok=True)
            replace_file(full, store.objects.view(digest), point="restored")
        except (OSError, KeyError) as error:
            raise StoreError(
                f"the file {path}, which stage {record.stage!r} wrote, cannot be put back: {error}",
                code="NB606",
                fix="run the stage with --force-stage",
            ) from error
        surroundings.refresh()


def remove_files(record: StageRecord, surroundings: Surroundings, *, only: str | None = None) -> None:
    """Remove what a stage removed, or one path of it, where an earlier stage's file was put back: never what has changed since."""
    for path, digest in sorted(record.effects.files_removed, reverse=True):
        full = surroundings.folder / path
        if only in {None, path} and surroundings.file(path) == digest:
            with suppress(OSError):  # a folder that is not empty holds something new
                full.rmdir() if path.endswith("/") else full.unlink()
            surroundings.refresh()
