"""Which stages are stale, and why: a pure function of document, parameters, store and what has been learnt."""

from __future__ import annotations

import itertools
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from nbmlops.dataclass import dataclass
from nbmlops.errors import NotebookError, UsageError
from nbmlops.nearest import close_matches
from nbmlops.notebook.expressions import parse_expression
from nbmlops.pipeline.build import Builder
from nbmlops.pipeline.effects import NO_EFFECTS, Effects
from nbmlops.pipeline.touching import earlier_changers
from nbmlops.runner.reporting import REPORT, report_stage
from nbmlops.runner.seeing import seen_later
from nbmlops.runner.stagekey import Components, Surroundings, components, differences, identity, stage_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.pipeline.model import Pipeline, Read, Stage
    from nbmlops.pipeline.source import Source
    from nbmlops.store.records import Artifact, StageRecord
    from nbmlops.store.store import Store

__all__ = ["REPORT", "Plan", "PlannedStage", "Planner", "Trial"]

State = Literal["fresh", "stale", "unknown", "skipped", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """What a plan says of one stage.

    Parameters
    ----------
    stage : Stage
    state : {"fresh", "stale", "unknown", "skipped", "refused"}
        `unknown` where it hangs on a stage that is stale; `refused` only where `runner.serve.with_refusals` has looked.
    key : str or None
        None where an input is not known yet.
    parts : dict
        The components of the key.
    record : StageRecord or None
        What serves a fresh stage.
    reasons : tuple of str
        Why it is stale, or what it hangs on; one line each.
    """

    stage: Stage
    state: State
    key: str | None = None
    parts: Components = field(default_factory=dict)
    record: StageRecord | None = None
    reasons: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """The reasons in one line."""
        return "; ".join(self.reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan of a run: every stage's state under one pipeline."""

    pipeline: Pipeline
    stages: Mapping[str, PlannedStage]
    report: PlannedStage | None = None

    @property
    def all_fresh(self) -> bool:
        """Whether there is nothing to run, report cells apart."""
        return all(item.state in {"fresh", "skipped"} for item in self.stages.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one run is to compute.

    Parameters
    ----------
    parameters : mapping of str to object
        Values that override the defaults.
    seed : int
    forced : frozenset of str
        Stages that run even if a record serves them.
    only : frozenset of str or None
        The stages asked for, with all they need; None for every stage.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    forced: frozenset[str] = frozenset()
    only: frozenset[str] | None = None


class Planner:
    """Makes plans of one document for one trial, and learns between them.

    Parameters
    ----------
    source : Source
    trial : Trial
    store : Store
    surroundings : Surroundings
    builder : Builder or None
        Of a caller who makes planners again and again, as the notebook changes.
    """

    def __init__(self, source: Source, trial: Trial, store: Store, surroundings: Surroundings, builder: Builder | None = None) -> None:
        self.source = source
        self.trial = trial
        self.store = store
        self.surroundings = surroundings
        codes = {name: code for name, (code, _) in source.codes.items()}
        told = store.records_of_each(set(codes.values()))
        self._known: dict[str, tuple[StageRecord, ...]] = {name: told[code] for name, code in codes.items()}
        self._skipped: frozenset[str] = frozenset()
        self._done: dict[str, PlannedStage] = {}
        self._waiting: dict[str, PlannedStage] = {}
        self.effects: dict[str, Effects] = {name: self._last_effects(name) for name in source.stages}
        self._seen_in = {name: records[0].run_id for name in source.stages if (records := self._records(name))}
        self._builder = builder or Builder()
        self.pipeline = self._build()

    @cached_property
    def notebook(self) -> str:
        """The notebook's name in records: its path relative to the project root."""
        return notebook_name(self.source, self.surroundings)

    def learn(self, stage: str, effects: Effects, run_id: str = "") -> bool:
        """Take over what running a stage has taught; tell whether the pipeline's links have changed by it."""
        if self.effects.get(stage) == effects:
            return False
        relink = self.effects.get(stage, NO_EFFECTS).structure != effects.structure
        self.effects[stage] = effects
        self._seen_in[stage] = run_id
        if relink:
            self.pipeline = self._build()
        return relink

    def has_run(self, stage: str) -> bool:
        """Tell whether a stage with this code has run before, so that it is known what it does."""
        return bool(self._records(stage))

    def plan(self, finished: Mapping[str, StageRecord] | None = None, *, report: bool = True) -> Plan:
        """Plan every stage.

        Parameters
        ----------
        finished : mapping of str to StageRecord, optional
            Stages that have run, or were found fresh, in this run already.
        report : bool
            Whether the report cells are planned too.
        """
        done = dict(finished or {})
        stages = self._pass(done)
        for _ in range(len(self.source.stages) + 1):
            relinked = [
                item
                for item in stages.values()
                if item.record is not None and item.stage.name not in done and self.learn(item.stage.name, item.record.effects, item.record.run_id)
            ]
            if not relinked:
                break
            stages = self._pass(done)
        self._skipped = frozenset(name for name, item in stages.items() if item.state == "skipped")
        planned_report = self._plan_report(stages) if report else None
        return Plan(pipeline=self.pipeline, stages=stages, report=planned_report)

    def key_of(
        self, stage: str, effects: Effects, records: Mapping[str, StageRecord], files: Mapping[str, str | None]
    ) -> tuple[str, Components] | None:
        """Return the key of a stage that has just run, with what it was seen to do; None if an input is missing.

        Parameters
        ----------
        stage : str
        effects : Effects
        records : mapping of str to StageRecord
            Of its upstream stages.
        files : mapping of str to (str or None)
            What the files that it read held when it read them.
        """
        now = self.report_stage() if stage == REPORT else self.pipeline.stages[stage]
        inputs = self.identities(now, records) if now is not None else None
        if now is None or inputs is None:
            return None
        parts = self._components(now, inputs, effects, files)
        return stage_key(parts), parts

    def look_up(self, stage: Stage, inputs: Mapping[str, str]) -> PlannedStage:
        """Find a record that serves a stage on inputs of these identities, or say why there is none."""
        return self._look_up(stage, inputs, {})

    def parts(self, stage: Stage, inputs: Mapping[str, str], effects: Effects, files: Mapping[str, str | None]) -> Components:
        """Return the components of a stage's key on inputs of these identities."""
        return self._components(stage, inputs, effects, files)

    def report_stage(self) -> Stage | None:
        """Return the report cells, and every setup cell, as one unit that runs last."""
        return report_stage(self.pipeline, self.wanted() - self._skipped)

    def wanted(self) -> frozenset[str]:
        """Return the stages that the trial asks for, with all they need, and those before them that may change in place what they read."""
        if self.trial.only is None:
            return frozenset(self.pipeline.stages)
        found: set[str] = set()
        queue = list(self.trial.only)
        while queue:
            name = queue.pop()
            if name not in found:
                found.add(name)
                queue.extend((*self.pipeline.stages[name].upstream, *earlier_changers(self.pipeline.stages[name], self.pipeline, self.source)))
        return frozenset(found)

    def _build(self) -> Pipeline:
        return self._builder.build(self.source, self.trial.parameters, self.effects, self._seen_in)

    def _pass(self, done: Mapping[str, StageRecord]) -> dict[str, PlannedStage]:
        planned: dict[str, PlannedStage] = {}
        wanted = self.wanted()
        for stage in self.pipeline.topological:
            if stage.name in wanted:
                planned[stage.name] = self._planned_before(stage, planned, done) or self._plan_stage(stage, planned, done)
        return {name: planned[name] for name in self.pipeline.stages if name in planned}

    def _planned_before(self, stage: Stage, planned: Mapping[str, PlannedStage], done: Mapping[str, StageRecord]) -> PlannedStage | None:
        """Return what was said of a stage that was done already, if nothing can have changed it: of a thousand stages most are."""
        before = self._done.get(stage.name)
        if before is None or before.stage is not stage or before.record is not done.get(stage.name) or stage.directive.condition is not None:
            return None
        return before if all(planned[name].record is not None for name in stage.upstream) else None

    def _plan_stage(self, stage: Stage, planned: Mapping[str, PlannedStage], done: Mapping[str, StageRecord]) -> PlannedStage:
        skipped = [name for name in stage.upstream if planned[name].state == "skipped"]
        if skipped:
            return PlannedStage(stage=stage, state="skipped", reasons=(f"stage {skipped[0]} is skipped",))
        waiting = [name for name in stage.upstream if planned[name].record is None]
        if waiting:
            reason = f"hangs on stage {waiting[0]}, which is {planned[waiting[0]].state}"
            before = self._waiting.get(stage.name)
            if before is None or before.stage is not stage or before.reason != reason:
                before = self._waiting[stage.name] = PlannedStage(stage=stage, state="unknown", reasons=(reason,))
            return before
        records = {name: record for name in stage.upstream if (record := planned[name].record) is not None}
        verdict = self._condition(stage, planned)
        if verdict is not None:
            return verdict
        if stage.name in done:
            record = done[stage.name]
            self._done[stage.name] = PlannedStage(stage=stage, state="fresh", key=record.key, parts=dict(record.components), record=record)
            return self._done[stage.name]
        inputs = self.identities(stage, records)
        if inputs is None:
            lacking = next(name for name, provider in stage.inputs.items() if name not in records[provider].outputs)
            return PlannedStage(stage=stage, state="unknown", reasons=(f"hangs on {lacking!r} of stage {stage.inputs[lacking]}, which is not kept",))
        done_before = {name: item.record for name, item in planned.items() if item.record is not None}
        return self._look_up(stage, inputs, self.written_before(stage, done_before))

    def _look_up(self, stage: Stage, inputs: Mapping[str, str], files: Mapping[str, str | None]) -> PlannedStage:
        """Find a record that serves the stage, under each set of effects that its code has been seen to have."""
        known = self.effects.get(stage.name, NO_EFFECTS)
        parts = self._components(stage, inputs, known, files)
        key = stage_key(parts)
        if stage.name in self.trial.forced:
            return PlannedStage(stage=stage, state="stale", key=key, parts=parts, reasons=("forced",))
        if not stage.directive.cache:
            return PlannedStage(stage=stage, state="stale", key=key, parts=parts, reasons=("--no-cache",))
        lacking: str | None = None
        for effects in dict.fromkeys((known, *(record.effects for record in self._records(stage.name)))):
            tried = parts if effects is known else self._components(stage, inputs, effects, files)
            record = self.store.record(key if effects is known else stage_key(tried))
            if record is None or not record.reproducible or not self.store.whole(record):
                continue
            chosen = None if self.store.trusted else self._chooses(record)
            if chosen is not None:
                reason = f"NB811: its record would change {chosen}, and comes from a store that is not trusted"
                return PlannedStage(stage=stage, state="stale", key=key, parts=parts, reasons=(reason,))
            for trouble in seen_later(self, stage, record.effects).values():
                return PlannedStage(stage=stage, state="stale", key=key, parts=parts, reasons=(f"{trouble.code}: {trouble.message}",))
            missing = [name for name in stage.wants if name not in record.outputs] + sorted(set(effects.touched).intersection(stage.later))
            if not missing:
                return PlannedStage(
                    stage=stage, state="fresh", key=record.key, parts=tried, record=record, reasons=(f"reused from run {record.run_id[:8]}",)
                )
            lacking = missing[0]
        reasons = (f"its record does not hold {lacking!r}",) if lacking else self._why(stage, parts)
        return PlannedStage(stage=stage, state="stale", key=key, parts=parts, reasons=reasons)

    def _chooses(self, record: StageRecord) -> str | None:
        """Return a file that would change if a record served: whoever may write to its store chooses which, anywhere, and what it holds."""
        changed = (path for path, digest in record.files_written.items() if self.surroundings.file(path) != digest)
        removed = (path for path, digest in record.effects.files_removed if self.surroundings.file(path) == digest)
        return next(itertools.chain(changed, removed), None)

    def _why(self, stage: Stage, parts: Components) -> tuple[str, ...]:
        """Compare with the nearest earlier record: the one that differs in the fewest places."""
        nearest: list[str] | None = None
        for record in self.store.records_alone(self.store.history(self.notebook, stage.name)):  # they are only asked what they were made of
            lines = differences(dict(record.components), parts, self.pipeline.parameters)
            if not lines and not record.reproducible and record.remarks:
                return (f"an earlier result does not count, {record.remarks[0]}",)
            if lines and (nearest is None or len(lines) < len(nearest)):
                nearest = lines
        return tuple(nearest) if nearest else ("first run",)

    def _condition(self, stage: Stage, planned: Mapping[str, PlannedStage]) -> PlannedStage | None:
        """Evaluate ``--if`` over the parameters and the metrics of the stages before."""
        if stage.directive.condition is None:
            return None
        metrics: dict[str, Any] = {}
        for item in planned.values():
            if item.record is not None:
                metrics.update(item.record.metrics)
        why = self.skips(stage, metrics)
        return None if why is None else PlannedStage(stage=stage, state="skipped", reasons=(why,))

    def skips(self, stage: Stage, metrics: Mapping[str, Any]) -> str | None:
        """Return why ``--if`` skips a stage; None if it does not.

        Raises
        ------
        UsageError
            If the expression reads a name that is neither a parameter nor among `metrics`.
        """
        if stage.directive.condition is None:
            return None
        values: dict[str, Any] = {name: item.default for name, item in self.pipeline.parameters.items() if item.literal}
        values.update(self.trial.parameters)
        values.update(metrics)
        expression = parse_expression(stage.directive.condition)
        unknown = [name for name in expression.names if name not in values]
        if unknown:
            raise UsageError(
                f"stage {stage.name!r}: --if reads {unknown[0]!r}, which is neither a parameter nor a metric of an earlier stage",
                code="NB207",
                notebook=self.source.document.shown,
                cell=stage.cells[0],
                fix="use a parameter, or a metric that a stage before it logs with --metrics",
            )
        return None if expression.holds(values) else f"--if {stage.directive.condition} is false"

    def identities(self, stage: Stage, records: Mapping[str, StageRecord]) -> dict[str, str] | None:
        """Return the identity of each input artifact, or None where a record does not hold one."""
        found: dict[str, str] = {}
        for read in stage.reads:
            if read.kind != "stage":
                continue
            artifact = records[read.provider].outputs.get(read.name) if read.provider in records else None
            if artifact is None:
                return None
            if stage.name != REPORT:
                self._refuse_redefined(artifact, stage, read)
            label = read.name if stage.name != REPORT else f"{read.provider}.{read.name}"
            found[label] = self._identity(artifact, stage)
        return found

    def _refuse_redefined(self, artifact: Artifact, stage: Stage, read: Read) -> None:
        """Refuse an artifact of a class or function that setup defines again before it is read: it would come back as the new one."""
        for reference in artifact.refers:
            kind, _, name = reference.partition(":")
            if kind == "name" and self._definitions(name, read.cell) != self._definitions(name, stage.cells[-1]):
                raise NotebookError(
                    f"stage {stage.name!r} reads {read.name!r}, which refers to the {name!r} that stage {read.provider!r} saw; setup redefines it",
                    code="NB215",
                    notebook=self.source.document.shown,
                    cell=stage.cells[0],
                    fix=f"give the second {name!r} a name of its own",
                )

    def _definitions(self, name: str, before: int) -> list[str]:
        return [item.fingerprint for item in self.pipeline.setup if name in item.names and item.defines_code and item.place < before]

    def _identity(self, artifact: Artifact, stage: Stage) -> str:
        before = stage.cells[-1] if stage.cells else 0
        return identity(artifact, self.pipeline, before=before, surroundings=self.surroundings, parameters=self.trial.parameters)

    def _components(self, stage: Stage, inputs: Mapping[str, str], effects: Effects, files: Mapping[str, str | None]) -> Components:
        return components(
            stage,
            self.pipeline,
            parameters=self.trial.parameters,
            inputs=inputs,
            surroundings=self.surroundings,
            effects=effects,
            seed=self.trial.seed,
            files=files,
        )

    def written_before(self, stage: Stage, records: Mapping[str, StageRecord]) -> dict[str, str | None]:
        """Return the digest of each file that a stage reads and one before it wrote: the folder may hold something else by now.

        A stage that may write a file need not have done so: then an earlier one's counts, or what the folder holds.
        """
        found: dict[str, str | None] = {}
        if not stage.files_from:
            return found
        for name in itertools.takewhile(lambda name: name != stage.name, self.pipeline.stages):
            written = records[name].files_written if name in records else {}
            found.update({path: written[path] for path in stage.files_from if path in written})
            found.update({path: None for path, _ in (records[name].effects.files_removed if name in records else ()) if path in stage.files_from})
        return found

    def _plan_report(self, planned: Mapping[str, PlannedStage]) -> PlannedStage | None:
        stage = self.report_stage()
        if stage is None:
            return None
        providers = {read.provider for read in stage.reads if read.kind == "stage"}
        records = {name: record for name in providers if name in planned and (record := planned[name].record) is not None}
        waiting = providers - set(records)
        inputs = None if waiting else self.identities(stage, records)
        if inputs is None:
            return PlannedStage(stage=stage, state="unknown", reasons=("hangs on stages that are stale",))
        done = [item.record for item in planned.values() if item.record is not None]
        return self._look_up(stage, inputs, {path: digest for record in done for path, digest in record.files_written.items()})

    def _records(self, stage: str) -> tuple[StageRecord, ...]:
        if stage not in self._known:
            report = self.report_stage() if stage == REPORT else None
            code = report.code if report else self.source.codes[stage][0]
            self._known[stage] = self.store.records_of(code)
        return self._known[stage]

    def _last_effects(self, stage: str) -> Effects:
        records = self._records(stage)
        return records[0].effects if records else NO_EFFECTS


def notebook_name(source: Source, surroundings: Surroundings) -> str:
    """Return the notebook's path relative to the project root, or its name where it lies outside."""
    path = source.document.path
    if path is None:
        return "(kernel)"
    full = path.resolve()
    root = surroundings.project_root.resolve()
    return str(full.relative_to(root)) if full.is_relative_to(root) else str(full)


def only_stages(pipeline: Pipeline, names: Iterable[str]) -> frozenset[str]:
    """Check the names of stages that a user asks for.

    Raises
    ------
    UsageError
        If one is no stage of the pipeline.
    """
    for name in names:
        if name not in pipeline.stages:
            near = close_matches(name, pipeline.stages)
            fix = f"did you mean {near[0]!r}?" if near else f"choose from: {', '.join(pipeline.stages) or '(the notebook has no stages)'}"
            raise UsageError(f"no stage is called {name!r}", code="NB004", fix=fix)
    return frozenset(names)
