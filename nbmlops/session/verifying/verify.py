"""Run every stage twice, the second time under other conditions, and say what does not come out the same."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nbmlops.errors import UsageError
from nbmlops.executors.scheduler import Scheduler
from nbmlops.executors.tasks import make_task
from nbmlops.runner.gate import NoChampion
from nbmlops.runner.plan import Plan, Planner, only_stages
from nbmlops.runner.stagekey import Surroundings
from nbmlops.session.execution import preloads
from nbmlops.session.verifying.causes import places_of
from nbmlops.session.verifying.conditions import Conditions, can_set_clock, other_conditions, usual_conditions
from nbmlops.session.verifying.rehearsals import Rehearsals, scratch_folder
from nbmlops.session.verifying.repeats import Repeats, error_of
from nbmlops.session.verifying.replica import copy_file
from nbmlops.session.verifying.verdict import StageVerdict, VerifyResult

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nbmlops.pipeline.model import Stage
    from nbmlops.runner.results import StageResult
    from nbmlops.session.batch import Session
    from nbmlops.store.records import StageRecord

__all__ = ["verify"]

Progress = Callable[[str, str], None]
_ENDS = {"failed": "failed", "timed-out": "ran out of time", "cancelled": "was cancelled"}


def verify(session: Session, parameters: Mapping[str, Any], stages: Iterable[str], progress: Progress) -> VerifyResult:
    """Run every stage twice and compare what comes out.

    Parameters
    ----------
    session : Session
    parameters : mapping of str to object
        Values that override the parameters cell's.
    stages : iterable of str
        Judge these; none means all.
    progress : callable
        Gets each stage's name and what is done with it.

    Raises
    ------
    NotebookError
        If the notebook has errors; nothing has run.
    UsageError
        If it has no stages, or an option cannot be meant.
    StoreError
        If the project cannot be copied.
    """
    begun = time.monotonic()
    planner = session.planner(parameters)
    session.refuse_errors(planner.pipeline)
    if not planner.pipeline.stages:
        raise UsageError(
            f"{session.document.shown} has no stages, so there is nothing to verify",
            code="NB011",
            notebook=session.document.shown,
            fix="put %%mlstage NAME on the first line of a cell",
        )
    asked = only_stages(planner.pipeline, stages) or frozenset(planner.pipeline.stages)
    preload = preloads(planner.pipeline, session.surroundings)
    with scratch_folder(session.store) as scratch:
        rehearsals = Rehearsals(session.settings, session.folder, scratch, preload)
        try:
            found = _Verification(session, rehearsals, planner, asked, progress).run()
        finally:
            rehearsals.close()
    return replace(found, seconds=time.monotonic() - begun)


class _Granted:
    """Lets gates that ask for more than a stage's own results pass: it is not them that are verified, and one of them may have asked for this."""

    def champion(self, metric: str) -> Any:  # noqa: ANN401 - what was logged
        raise NoChampion(metric)

    def reproducible(self, result: StageResult) -> bool:  # noqa: ARG002 - as `Outside` has it
        return True


@dataclass(slots=True)
class _Verification:
    """One verification in progress."""

    session: Session
    rehearsals: Rehearsals
    known: Planner
    asked: frozenset[str]
    progress: Progress
    usual: Conditions = field(default_factory=usual_conditions)
    other: Conditions = field(default_factory=other_conditions)
    settled: dict[str, Callable[[Path], None]] = field(default_factory=dict)
    untracked: dict[str, Path] = field(default_factory=dict)

    def run(self) -> VerifyResult:
        scheduler = self._run_first()
        plan = scheduler.planner.plan(scheduler.finished, report=False)
        records = {name: record for name, item in scheduler.results.items() if (record := self._record(item)) is not None}
        self._set_aside(records)
        verdicts = {}
        for stage in plan.pipeline.topological:
            if stage.name not in scheduler.results:
                continue
            if stage.name in self.asked:
                verdicts[stage.name] = self._judge(stage, scheduler, plan, records)
            self._settle(records.get(stage.name))
        return VerifyResult(
            notebook=self.session.document.shown,
            stages=tuple(verdicts[name] for name in plan.pipeline.stages if name in verdicts),
            conditions={item.place: item.to_json(str(self.rehearsals.folder(item.place))) for item in (self.usual, self.other)},
            remarks=tuple(self._remarks()),
        )

    def _run_first(self) -> Scheduler:
        """Run the pipeline once, as `run` does, in the first copy and into a store of its own."""
        rehearsals = self.rehearsals
        surroundings = Surroundings(rehearsals.folder("first"), rehearsals.replicas["first"].root, self.session.store.local_path("cache"))
        trial = replace(self.known.trial, forced=frozenset(self.known.pipeline.stages), only=self.asked)
        planner = Planner(self.session.source, trial, rehearsals.store, surroundings)
        for name, effects in self.known.effects.items():
            planner.learn(name, effects)
        executor = rehearsals.executor(self.usual, self.session.settings.worker_count)
        scheduler = Scheduler(
            planner,
            executor,
            rehearsals.store,
            rehearsals.settings,
            uuid.uuid4().hex[:16],
            watcher=lambda moment: self.progress(moment.stage, "first time") if moment.result is None else None,
            outside=_Granted(),
        )
        scheduler.run(report=False)
        return scheduler

    def _record(self, result: StageResult) -> StageRecord | None:
        return self.rehearsals.store.record(result.key) if result.status in {"ran", "refused"} and result.key else None

    def _set_aside(self, records: Mapping[str, StageRecord]) -> None:
        """Keep what the first run wrote unseen (native writers, subprocesses), and make the first copy what it was before."""
        replica = self.rehearsals.replicas["first"]
        tracked = {path for record in records.values() for path in self.rehearsals.written(record)}
        for path in replica.changed():
            source = replica.root / path
            if path not in tracked and source.is_file():
                kept = self.rehearsals.scratch / "unseen" / path
                kept.parent.mkdir(parents=True, exist_ok=True)
                source.rename(kept)
                self.untracked[path] = kept
        replica.restore({})

    def _settle(self, record: StageRecord | None, unseen: Iterable[str] = ()) -> None:
        """Let later stages find the files that the first run wrote."""
        objects = self.rehearsals.store.objects
        for path, digest in self.rehearsals.written(record).items():
            self.settled[path] = lambda target, digest=digest: target.write_bytes(objects.view(digest))  # type: ignore[misc]
        for path in unseen:
            self.settled[path] = lambda target, path=path: copy_file(self.untracked[path], target)  # type: ignore[misc]

    def _judge(self, stage: Stage, scheduler: Scheduler, plan: Plan, records: Mapping[str, StageRecord]) -> StageVerdict:
        result, record = scheduler.results[stage.name], records.get(stage.name)
        if result.status == "skipped":
            return StageVerdict(name=stage.name, same=None, cause=f"skipped: {result.reason}", skipped=True)
        if record is None:
            return _without_verdict(result)
        task = make_task(
            plan.stages[stage.name],
            plan,
            scheduler.finished,
            planner=scheduler.planner,
            settings=self.rehearsals.settings,
            store=self.rehearsals.store,
            run_id=scheduler.run_id,
            token="",
        )
        repeats = Repeats(
            stage=stage,
            task=task,
            record=record,
            rehearsals=self.rehearsals,
            settled=self.settled,
            untracked=self.untracked,
            progress=lambda text: self.progress(stage.name, text),
        )
        verdict, unseen = repeats.judge(self.usual, self.other, places_of(plan.pipeline, stage.name, self._sources()))
        self._settle(None, unseen)
        return replace(verdict, key=record.key, outputs={name: artifact.digest for name, artifact in record.outputs.items()})

    def _sources(self) -> list[str]:
        return [cell.source for cell in self.session.document.cells]

    def _remarks(self) -> Iterable[str]:
        if not can_set_clock():
            yield 'the date was the same both times: pip install "time-machine"'
        if self.other.locale is None:
            yield "the locale was the same both times: no other is installed"


def _without_verdict(result: StageResult) -> StageVerdict:
    """Return what there is to say of a stage that did not come to its end the first time."""
    if result.error is not None:
        return StageVerdict(
            name=result.name, same=False, cause=f"it {_ENDS.get(result.status, result.status)} the first time: {error_of(result.error)}"
        )
    return StageVerdict(name=result.name, same=None, cause=f"not verified: {result.reason}")
