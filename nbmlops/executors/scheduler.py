"""Run what is stale, in dependency order and in parallel, planning again as effects are learnt (DESIGN 4 and 7)."""

from __future__ import annotations

import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nbmlops.errors import StoreError
from nbmlops.executors.ending import failure_of, record_of
from nbmlops.executors.events import Event, stage_finished
from nbmlops.executors.firstruns import FirstRuns
from nbmlops.executors.held import Attempt, HeldFailures
from nbmlops.executors.progress import Moment
from nbmlops.executors.retraction import Retraction
from nbmlops.executors.tasks import attempts_folder, make_task
from nbmlops.executors.validity import Validity, given, read_others
from nbmlops.runner.gate import NOTHING_OUTSIDE
from nbmlops.runner.plan import REPORT, Plan, PlannedStage, Planner
from nbmlops.runner.results import StageResult, why_not_run
from nbmlops.runner.seeing import lost_on, seen_later
from nbmlops.runner.serve import judged, remove_files, restore_files, serve
from nbmlops.runner.task import StageError, StageOutcome
from nbmlops.store.locks import HELD

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from nbmlops.executors.base import Executor
    from nbmlops.executors.progress import Watcher
    from nbmlops.pipeline.effects import Effects
    from nbmlops.pipeline.model import Diagnostic, Stage
    from nbmlops.runner.gate import Outside
    from nbmlops.settings import Settings
    from nbmlops.store.records import StageRecord
    from nbmlops.store.store import Store

__all__ = ["Scheduler"]

_POLL_S = 0.2
_BACKOFF_S = 1.0
_SLOWEST_BACKOFF_S = 60.0
_MOST_ATTEMPTS_LEARNING = 20
_MOST_DISTURBED = 3


@dataclass(slots=True)
class Scheduler:
    """Drives one run of one planner's pipeline.

    Parameters
    ----------
    planner : Planner
    executor : Executor
    store : Store
    settings : Settings
    run_id : str
    emit : callable
        Gets each event, in order.
    watcher : callable
        Gets a `Moment` when a stage starts, and when it has got its status.
    fail_fast : bool
        Whether the first failure stops independent branches too.
    environment : mapping of str to str
        Variables that every stage process gets.
    listener : str
        The socket of a sweep that may prune what runs; empty for none.
    outside : Outside
        What gates may ask beyond the results of their stage.
    """

    planner: Planner
    executor: Executor
    store: Store
    settings: Settings
    run_id: str
    emit: Callable[[Event], None] = lambda _event: None
    watcher: Watcher | None = None
    fail_fast: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    listener: str = ""
    outside: Outside = NOTHING_OUTSIDE
    results: dict[str, StageResult] = field(default_factory=dict)
    finished: dict[str, StageRecord] = field(default_factory=dict)
    _running: dict[str, Attempt] = field(default_factory=dict)
    _tries: dict[str, int] = field(default_factory=dict)
    _not_before: dict[str, float] = field(default_factory=dict)
    _discarded: dict[str, int] = field(default_factory=dict)
    _reasons: dict[str, str] = field(default_factory=dict)
    _reporting: bool = False
    _validity: Validity = field(default_factory=Validity)
    _seen: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _retraction: Retraction = field(init=False)
    _first_runs: FirstRuns = field(init=False)
    _held: HeldFailures = field(init=False)

    def __post_init__(self) -> None:
        self._retraction = Retraction(attempts_folder(self.store))
        self._first_runs = FirstRuns(self.planner)
        self._held = HeldFailures(self.planner)

    def run(self, *, report: bool = True) -> Plan:
        """Run until nothing more can run; the results stand in `results`.

        Raises
        ------
        KeyboardInterrupt
            After every running stage has been ended; finished ones keep their records.
        """
        steps = self.steps(report=report)
        outcomes: list[StageOutcome] | None = None
        while True:
            try:
                timeout_s = steps.send(outcomes)
            except StopIteration as end:
                plan: Plan = end.value
                return plan
            outcomes = self.executor.wait(timeout_s)

    def steps(self, *, report: bool = True) -> Generator[float, list[StageOutcome] | None, Plan]:
        """Run step by step, for who drives several runs on one executor.

        Yields how many seconds may pass until it looks again, and is sent the outcomes of its own attempts that have come meanwhile.
        """
        # before the plan, so that what somebody records later is noticed
        self._seen = {stage.code: self.store.keys_of(stage.code) for stage in self.planner.pipeline.stages.values()}
        plan = self.planner.plan(self.finished, report=report)
        self._reporting = plan.report is not None
        last = False  # the report cells come last: looking for a record of theirs after each stage would cost more than the rest of the plan
        while True:
            planned, plan = plan, self._settle(plan, report=last)
            # what was taken over may be what tells that another result is of older values
            if plan is not planned and self._discard_outdated(plan):
                plan = self.planner.plan(self.finished, report=last)
                continue
            started = self._start_ready(plan)
            if not self._running and not started and not self._waiting(plan) and not self._retraction.is_ending() and not self._crowded_out(plan):
                if self._held:
                    self._resolve_held(idle=True)
                elif last or not report:
                    break
                else:
                    last = True
                plan = self.planner.plan(self.finished, report=last)
                continue
            for outcome in (yield _POLL_S if self._running else 0.05) or ():
                self._conclude(outcome)
            self._resolve_held(idle=False)
            plan = self.planner.plan(self.finished, report=last)
            while self._discard_outdated(plan):
                plan = self.planner.plan(self.finished, report=last)
        self._close(plan)
        self._retraction.close()
        return plan

    def _crowded_out(self, plan: Plan) -> bool:
        """Tell whether a stage could start if other runs on the same executor had left a place."""
        return self.executor.workers == 0 and not self._is_over() and any(map(self._can_start, self._candidates(plan)))

    def release(self) -> None:
        """Let other processes compute what was running here, which the executor has ended."""
        for attempt in list(self._running.values()):
            self._release(attempt)

    def cancel(self) -> None:
        """Give up what is running, and say so in the results."""
        self._resolve_held(idle=True, again=False)
        for attempt in list(self._running.values()):
            self._release(attempt)
            self._set(StageResult(name=attempt.stage, status="cancelled", key=attempt.planned.key, reason="interrupted"))
        self._close(self.planner.plan(self.finished, report=False))

    def _settle(self, plan: Plan, *, report: bool) -> Plan:
        """Take over what records serve, until nothing new is served."""
        while True:
            fresh = False
            served = {name for name, item in plan.stages.items() if item.state in {"fresh", "skipped"} and name not in self.results}
            for stage in plan.pipeline.topological if served else ():
                if stage.name in served and self._can_take_over(plan.stages[stage.name]):
                    self.take_over(plan.stages[stage.name])
                    fresh = True
            # the report cells come when every stage has its status
            planned = plan.report
            if planned is not None and planned.state == "fresh" and REPORT not in self.results and self._stages_done(plan):
                self.take_over(planned)
            if not fresh:
                return plan
            plan = self.planner.plan(self.finished, report=report)

    def _can_take_over(self, item: PlannedStage) -> bool:
        name = item.stage.name
        if item.state not in {"fresh", "skipped"} or name in self.results or name in self._running:
            return False
        # a gate that is stricter now refuses what earlier runs went on from
        return item.state == "skipped" or all(other in self.finished for other in item.stage.upstream)

    def take_over(self, item: PlannedStage) -> None:
        """Take a stage's result from the record that serves it, its files put back and its gates judged again."""
        name = item.stage.name
        if item.state == "skipped" or item.record is None:
            self._set(StageResult(name=name, status="skipped", reason=item.reason))
            return
        trouble = lost_on(name, item.record.effects, self.planner, self.finished)
        if trouble is not None:
            self._set(StageResult(name=name, status="failed", key=item.key, reason=item.reason, error=StageError.of(trouble), run_id=self.run_id))
            return
        requirements = item.stage.directive.require
        result = serve(item.record, name, item.reason, requirements, store=self.store, surroundings=self.planner.surroundings, outside=self.outside)
        self._accept(item.record, result)

    def _accept(self, record: StageRecord, result: StageResult) -> None:
        """Keep a result; one that a gate refuses is offered to nobody."""
        if result.status != "refused":
            self.finished[result.name] = record
        self._set(result)

    def _start_ready(self, plan: Plan) -> bool:
        started = False
        if self._is_over():
            return False
        workers = self.executor.workers
        for item in self._candidates(plan):
            if len(self._running) >= workers:
                break
            if item.state == "stale" and self._can_start(item) and self._start(item, plan):
                started = True
        return started

    def _is_over(self) -> bool:
        """Tell whether a failure has ended the run."""
        return self.fail_fast and any(item.status in {"failed", "timed-out", "refused"} for item in self.results.values())

    def _candidates(self, plan: Plan) -> list[PlannedStage]:
        return [*plan.stages.values(), *([plan.report] if plan.report is not None and self._stages_done(plan) else [])]

    def _can_start(self, item: PlannedStage) -> bool:
        name = item.stage.name
        if item.state != "stale" or name in self._running or name in self._held or name in self.results or self._retraction.is_ending(name):
            return False
        # a refused stage has its record, but is offered to nobody
        if time.monotonic() < self._not_before.get(name, 0.0) or any(other not in self.finished for other in item.stage.upstream):
            return False
        return not self._first_runs.must_wait(item, self.results)

    def _start(self, item: PlannedStage, plan: Plan) -> bool:
        """Start a stage, unless another process is computing it: then its record will come."""
        name = item.stage.name
        lock = ExitStack()
        try:
            lock.enter_context(self.store.claim(item.key or "", timeout_s=0))
        except StoreError as error:
            if error.code != HELD:
                raise  # on a full or read-only disk nobody else computes it either: waiting would never end
            self._not_before[name] = time.monotonic() + _POLL_S
            return False
        if self._recorded_meanwhile(item.stage.code):
            lock.close()
            self._not_before[name] = time.monotonic()
            return False
        for path, writer in item.stage.files_from.items():
            restore_files(self.finished[writer], self.store, self.planner.surroundings, only=path)
            remove_files(self.finished[writer], self.planner.surroundings, only=path)
        token = f"{self.run_id[:8]}-{uuid.uuid4().hex[:12]}"
        task = make_task(item, plan, self.finished, planner=self.planner, settings=self.settings, store=self.store, run_id=self.run_id, token=token)
        undo_folder = self._retraction.begin(name, token) if self._held.earlier_unsettled(name, self.results) else ""
        task = replace(task, environment=dict(self.environment), undo_folder=undo_folder, listener=self.listener)
        self._reasons.setdefault(name, item.reason)
        self._running[name] = Attempt(name, token, item, self._reasons[name], lock, item.stage)
        self._tell(name, None)
        self.executor.start(task)
        return True

    def _recorded_meanwhile(self, code: str) -> bool:
        """Tell whether another process has put a record of a stage's code since the plan looked for one: then it is to look again."""
        keys = self.store.keys_of(code)
        return self._seen.pop(code, keys) != keys

    def _conclude(self, outcome: StageOutcome) -> None:
        attempt = next((item for item in self._running.values() if item.token == outcome.attempt), None)
        if attempt is None:
            self._retraction.ended(outcome.attempt)  # the late result of an attempt that was given up
            return
        try:
            if outcome.status == "ran":
                self._keep(attempt, outcome)
            else:
                self._give_up(attempt, outcome)
        finally:
            self._release(attempt)

    def _keep(self, attempt: Attempt, outcome: StageOutcome) -> None:
        """Write the record of a stage that ran, under the key that its effects give it."""
        name = attempt.stage
        effects = outcome.effects.joined(self.planner.effects.get(name), outcome.outputs)
        if name != REPORT:
            self.planner.learn(name, effects)
            now = self.planner.pipeline.stages[name]
            if self._inputs_grew(attempt, now) or not set(now.wants) <= set(outcome.outputs):
                self._repeat(attempt, "it read what was not foreseen")
                return
            if read_others(now, outcome.files, self.finished, self.planner):
                self._repeat(attempt, "a file was changed by another run meanwhile")
                return
        if self._leaves_behind(attempt, outcome, effects):
            return
        key = self.planner.key_of(name, effects, self.finished, outcome.files)
        if key is None:
            self._repeat(attempt, "an input has changed meanwhile")
            return
        if self._disturbed(attempt, outcome, key[1]):
            return
        record = record_of(attempt, outcome, effects, key, notebook=self.planner.notebook, run_id=self.run_id)
        if self.outside is not NOTHING_OUTSIDE:
            self.store.put_record(record)  # the gates may take long: what is computed is kept if they are interrupted
        result = judged(StageResult.of_record(record, "ran", attempt.reason), attempt.stage_as_planned.directive.require, self.outside)
        self.store.put_record(replace(record, gates=result.gates))
        self.planner.surroundings.refresh()
        self._accept(record, result)

    def _disturbed(self, attempt: Attempt, outcome: StageOutcome, parts: Mapping[str, Any]) -> bool:
        """Repeat a stage whose files or modules somebody has changed while it ran: its result is that of neither version."""
        modules = parts.get("modules", {})
        changed = [*outcome.files_disturbed, *(path for path, digest in outcome.sources.items() if modules.get(path, digest) != digest)]
        if not changed:
            return False
        self.planner.surroundings.refresh()
        if self._discarded.get(attempt.stage, 0) < _MOST_DISTURBED:
            self._repeat(attempt, f"{changed[0]} was changed meanwhile")
            return True
        message = f"{changed[0]} changes while stage {attempt.stage!r} runs, and nobody can tell what it used; let the file rest, or copy it first"
        error = StageError(type="StageError", message=message, cell=attempt.stage_as_planned.cells[0], code="NB617")
        self._fail(attempt, replace(outcome, status="failed", error=error))
        return True

    def _leaves_behind(self, attempt: Attempt, outcome: StageOutcome, effects: Effects) -> bool:
        """Fail a stage that changed what a later one uses and none hands on, or that uses what an earlier one has changed so."""
        name = attempt.stage
        own = attempt.stage_as_planned if name == REPORT else self.planner.pipeline.stages[name]
        seeing = seen_later(self.planner, own, effects, {name: effects}, self.finished)
        trouble = next(iter(seeing.values()), None) or lost_on(name, effects, self.planner, self.finished)
        if trouble is None:
            return False
        self._bar(seeing)
        self._tries[name] = attempt.stage_as_planned.directive.retries + 1
        self._fail(attempt, replace(outcome, status="failed", error=StageError.of(trouble)))
        return True

    def _bar(self, seeing: Mapping[str, Diagnostic]) -> None:
        """Take back what stages have made without a change that they were to see, and what was made of that."""
        pipeline = self.planner.pipeline
        below = {other for name in seeing if name in pipeline.stages for other in pipeline.downstream(name)}
        for name in pipeline.stages.keys() & {*seeing, *below}:
            if name in self._running:
                self.executor.cancel(self._running[name].token)
                self._release(self._running[name])
            self.finished.pop(name, None)
            self._held.drop(name)
            why = seeing[name].message if name in seeing else "a stage that it hangs on was to see a change that is lost"
            self._set(StageResult(name=name, status="not-run", reason=why))

    def _give_up(self, attempt: Attempt, outcome: StageOutcome) -> None:
        name = attempt.stage
        known = self.planner.effects.get(name)
        if known is not None and set(outcome.effects.reads) - set(known.reads):
            self.planner.learn(name, replace(known, reads=tuple(sorted({*known.reads, *outcome.effects.reads}))))
            if self._inputs_grew(attempt, self.planner.pipeline.stages[name]):
                self._repeat(attempt, "it read what was not foreseen")
                return
        if outcome.error is not None and outcome.error.type == "UpstreamMissing" and self._drop_damaged(attempt.stage_as_planned):
            self._repeat(attempt, "an input was damaged in the store")
            return
        if outcome.status == "failed" and name != REPORT:
            self._held.hold(attempt, outcome)
        else:
            self._fail(attempt, outcome)

    def _resolve_held(self, *, idle: bool, again: bool = True) -> None:
        """Let held stages run again if they turn out to wait for another one; believe the failures of the others."""
        for attempt, outcome, waits_for in self._held.settle(self.results, idle=idle, again=again):
            if waits_for:
                self._repeat(attempt, f"it needs a file of stage {waits_for}")
            else:
                self._fail(attempt, outcome)

    def _fail(self, attempt: Attempt, outcome: StageOutcome) -> None:
        name = attempt.stage
        self._tries[name] = self._tries.get(name, 0) + 1
        retries = attempt.stage_as_planned.directive.retries
        if outcome.status in {"failed", "timed-out"} and self._tries[name] <= retries:
            pause = min(_SLOWEST_BACKOFF_S, _BACKOFF_S * 2 ** (self._tries[name] - 1))
            self._not_before[name] = time.monotonic() + pause
            self._reasons[name] = f"try {self._tries[name] + 1} of {retries + 1}"
            return
        self._set(failure_of(attempt, outcome, self.run_id))

    def _drop_damaged(self, stage: Stage) -> bool:
        """Forget upstream results whose bytes the store has lost, so that they are computed again."""
        lost = [name for name in stage.upstream if name in self.finished and not self.store.whole(self.finished[name])]
        for name in lost:
            del self.finished[name]
            self.results.pop(name, None)
        return bool(lost)

    def _inputs_grew(self, attempt: Attempt, now: Stage) -> bool:
        return any(attempt.stage_as_planned.inputs.get(name) != provider for name, provider in now.inputs.items())

    def _repeat(self, attempt: Attempt, why: str) -> None:
        """Let a stage run again: its attempt is out of date."""
        name = attempt.stage
        self._retraction.undo(name)
        self._discarded[name] = self._discarded.get(name, 0) + 1
        self._reasons[name] = f"{attempt.reason}; again, because {why}" if ("; again" not in attempt.reason) else attempt.reason
        self._give_in(name)

    def _give_in(self, name: str) -> None:
        """Fail a stage that has been repeated too often: it would be repeated for ever."""
        if self._discarded[name] > _MOST_ATTEMPTS_LEARNING:
            message = f"NB607: stage {name!r} reads something else each time it runs; name that with --in and --out, or --file and --writes"
            error = StageError(type="Unsettled", message=message, code="NB607")
            self._set(StageResult(name=name, status="failed", reason=self._reasons.get(name, ""), error=error))

    def _discard_outdated(self, plan: Plan) -> bool:
        """Give up attempts and results whose inputs are no longer what they were made from; tell whether there were any."""
        found = False
        for attempt in list(self._running.values()):
            planned = plan.report if attempt.stage == REPORT else plan.stages.get(attempt.stage)
            if planned is None or planned.state == "unknown" or (planned.key is not None and given(planned) != given(attempt.planned)):
                self.executor.cancel(attempt.token)
                self._retraction.end(attempt.stage, attempt.token)
                self._release(attempt)
                self._repeat(attempt, "an input has changed meanwhile")
                found = True
        while outdated := self._validity.outdated(plan, self.finished, self.planner):
            for name in outdated:
                del self.finished[name]
                self.results.pop(name, None)
                self._retraction.undo(name)
                self._discarded[name] = self._discarded.get(name, 0) + 1
                self._give_in(name)
            found = True
        return found

    def _stages_done(self, plan: Plan) -> bool:
        return not self._running and all(name in self.results and self.results[name].status in {"ran", "reused", "skipped"} for name in plan.stages)

    def _waiting(self, plan: Plan) -> bool:
        """Tell whether a stage waits for its next try, or for another process."""
        candidates = self._candidates(plan)
        return any(item.state == "stale" and item.stage.name not in self.results and item.stage.name in self._not_before for item in candidates)

    def _release(self, attempt: Attempt) -> None:
        self._running.pop(attempt.stage, None)
        attempt.lock.close()

    def _close(self, plan: Plan) -> None:
        """Say of every other stage that it was not run."""
        for name, item in plan.stages.items():
            if name not in self.results:
                self._set(StageResult(name=name, status="not-run", key=item.key, reason=why_not_run(item.stage.upstream, self.results)))
        if plan.report is not None and REPORT not in self.results:
            self._set(StageResult(name=REPORT, status="not-run", reason="not every stage is done"))

    def tell_doing(self, name: str, doing: str) -> None:
        """Let the watcher know what is done with a stage beside running it."""
        self._tell(name, None, doing)

    def _tell(self, name: str, result: StageResult | None, doing: str = "") -> None:
        if self.watcher is not None:
            wanted = self.planner.wanted()
            waiting = (other for other in (*self.planner.pipeline.stages, REPORT) if other in wanted or (other == REPORT and self._reporting))
            running = tuple(other for other in self._running if other != name or result is None)
            self.watcher(
                Moment(
                    stage=name,
                    reason=self._reasons.get(name, ""),
                    result=result,
                    running=running,
                    waiting=tuple(other for other in waiting if other not in self.results and other not in running),
                    done=len(self.results),
                    doing=doing,
                    upstream=self._upstream,
                )
            )

    def _upstream(self, name: str) -> Iterable[str]:
        """Return the stages that one waits for: the report cells wait for all."""
        stages = self.planner.pipeline.stages
        return stages if name == REPORT else stages[name].upstream if name in stages else ()

    def _set(self, result: StageResult) -> None:
        self.results[result.name] = result
        self._tell(result.name, result)
        if result.name != REPORT:
            self.emit(stage_finished(self.run_id, result, self.finished.get(result.name)))
