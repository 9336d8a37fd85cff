"""A notebook on disk: graph, check, status, why, run, compare. The API behind the command line and `nbmlops.open`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.dataclass import dataclass
from nbmlops.errors import NotebookError
from nbmlops.notebook.document import Document, read_document
from nbmlops.pipeline.build import build
from nbmlops.pipeline.source import Source, read_source
from nbmlops.runner.gate import NOTHING_OUTSIDE, is_outward
from nbmlops.runner.plan import REPORT, Plan, PlannedStage, Planner, Trial, notebook_name, only_stages
from nbmlops.runner.results import RunResult, StageResult, run_status
from nbmlops.runner.serve import judged, serve, with_refusals
from nbmlops.runner.stagekey import Surroundings
from nbmlops.session.parameters import all_parameters, check_parameters
from nbmlops.session.registering import REGISTRY, may_register, registered, unregistered
from nbmlops.session.run import Run, last_failure
from nbmlops.settings import Settings, load_settings
from nbmlops.store.store import Store

if TYPE_CHECKING:
    from nbmlops.executors.progress import Watcher
    from nbmlops.pipeline.model import Diagnostic, Pipeline
    from nbmlops.runner.gate import Outside
    from nbmlops.session.champion import Champion
    from nbmlops.session.comparing.comparison import Comparison
    from nbmlops.session.pool import WarmWorkers
    from nbmlops.session.sweep import Sweep, SweepOptions
    from nbmlops.session.verifying.verdict import VerifyResult
    from nbmlops.store.records import RunRecord

__all__ = ["Session", "open_notebook"]

Progress = Callable[[str, str], None]


def _silent(_stage: str, _reason: str) -> None:
    """Show nothing."""


@dataclass(slots=True)
class Session:
    """One notebook with its settings and store.

    Parameters
    ----------
    document : Document
    settings : Settings
    pool : WarmWorkers or None
        Keeps the workers of a run for the next one; without it they end with each run.
    in_use : Champion or None
        The model in use that gates compare with, where somebody asks for it for several runs.

    Examples
    --------
    >>> session = nbmlops.open("notebooks/flight_delay.ipynb")  # doctest: +SKIP
    >>> session.run({"learning_rate": 0.2}).metrics["roc_auc"]  # doctest: +SKIP
    """

    document: Document
    settings: Settings
    pool: WarmWorkers | None = None
    in_use: Champion | None = None
    _asked: tuple[Planner, Champion] | None = field(default=None)
    _source: Source | None = None
    _store: Store | None = None
    _surroundings: Surroundings | None = field(default=None)

    @property
    def source(self) -> Source:
        """What reading the notebook tells."""
        if self._source is None:
            self._source = read_source(self.document)
        return self._source

    @property
    def store(self) -> Store:
        """The store of artifacts, records and runs."""
        if self._store is None:
            self._store = Store(self.settings.store, settings=self.settings)
        return self._store

    @property
    def surroundings(self) -> Surroundings:
        """What the notebook stands in."""
        if self._surroundings is None:
            self._surroundings = Surroundings(self.folder, self.settings.project_root, self.store.local_path("cache"))
        return self._surroundings

    @property
    def folder(self) -> Path:
        """The notebook's folder, absolute."""
        return self.document.path.resolve().parent if self.document.path else Path.cwd()

    def graph(self) -> Pipeline:
        """Return the pipeline that the notebook describes, with what its last runs have taught."""
        try:
            return self.planner().pipeline
        except NotebookError:
            return build(self.source)

    def check(self) -> tuple[Diagnostic, ...]:
        """Return every diagnostic."""
        return self.graph().diagnostics

    def status(self, parameters: Mapping[str, Any] | None = None) -> Plan:
        """Return the plan of a run, without running it.

        Raises
        ------
        NotebookError
            If the notebook has errors.
        UsageError
            If a parameter cannot be meant.
        """
        planner = self.planner(parameters)
        self.refuse_errors(planner.pipeline)
        return with_refusals(planner.plan(report=False))

    def why(self, stage: str, parameters: Mapping[str, Any] | None = None) -> tuple[str, ...]:
        """Return what decides about a stage, one line per difference from its nearest earlier record; and how it last failed."""
        plan = self.status(parameters)
        only_stages(plan.pipeline, [stage])
        planned = plan.stages[stage]
        reasons = planned.reasons
        if planned.state == "fresh" and planned.record is not None:
            reasons = (f"fresh: nothing that it uses has changed since run {planned.record.run_id[:8]}",)
        failed = last_failure(self.store.runs(notebook_name(self.source, self.surroundings)), stage)
        return (*reasons, failed) if failed else reasons

    def planner(self, parameters: Mapping[str, Any] | None = None, trial: Trial | None = None) -> Planner:
        """Return a planner for the given parameters."""
        overrides = check_parameters(parameters or {}, self.source.parameters, self.document.shown)
        wanted = replace(trial or Trial(seed=self.settings.seed), parameters=overrides)
        return Planner(self.source, wanted, self.store, self.surroundings)

    def runs(self) -> list[Run]:
        """Return the runs of this notebook that the store holds, newest first."""
        name = self.planner().notebook
        return [Run.of_record(record, self) for record in self.store.runs(name)]

    def run(  # noqa: PLR0913 - the options of the verb
        self,
        parameters: Mapping[str, Any] | None = None,
        *,
        output: Path | str | None = None,
        stages: Iterable[str] = (),
        force: bool = False,
        force_stage: Iterable[str] = (),
        workers: int | None = None,
        executor: str = "local",
        track: bool = True,
        fail_fast: bool = False,
        watcher: Watcher | None = None,
        sweep: Mapping[str, Any] | None = None,
    ) -> Run:
        """Run what is stale and write the executed notebook.

        Parameters
        ----------
        parameters : mapping of str to object, optional
            Values that override the parameters cell's.
        output : path, optional
            Where the executed notebook goes; by default into the store.
        stages : iterable of str
            Run these, and what they need.
        force, force_stage : bool, iterable of str
            Run every stage, or these, even if a record serves them.
        workers : int, optional
            How many stages may run at once; by default one per CPU.
        executor : str
            Where stages run.
        track : bool
            Whether the trackers of the settings get the run.
        fail_fast : bool
            Whether the first failure stops independent branches too.
        watcher : callable, optional
            Gets a `Moment` whenever a stage starts or has got its status.
        sweep : mapping, optional
            The sweep whose best trial this is, for the trackers: see `RunStarted`.

        Returns
        -------
        Run
            Also where a stage failed: see its `status`.

        Raises
        ------
        NotebookError
            If the notebook has errors; nothing has run.
        UsageError
            If an option or a parameter cannot be meant.
        KeyboardInterrupt
            After all that ran has been ended; finished stages keep their records.
        """
        target = self._target(output)
        planner = self.planner(parameters)
        self.refuse_errors(planner.pipeline)
        forced = frozenset(planner.pipeline.stages) if force else only_stages(planner.pipeline, force_stage)
        asked = only_stages(planner.pipeline, stages)
        planner.trial = replace(planner.trial, forced=forced | (frozenset({REPORT}) if force else frozenset()), only=asked or None)
        plan = planner.plan()
        earlier = None if self._refuses(planner, plan) else self._equal_run(planner, plan)
        if earlier is not None and unregistered(earlier, plan, self.settings, self.store.local_path("outbox")):
            earlier = None  # a registry that was made anew, or another one, gets the models of this run
        if earlier is not None and (target is None or earlier.output is not None):
            tracking = self._send_left(earlier, plan, planner.pipeline, self.settings.trackers if track else ())
            return self._nothing_to_do(planner, plan, replace(earlier, tracking=tracking), target)
        from nbmlops.session.execution import Execution  # noqa: PLC0415 - scheduler, executor and events: only where something runs

        return Execution(self, planner, target, sweep).run(
            workers=workers or self.settings.worker_count, executor=executor, track=track, fail_fast=fail_fast, watcher=watcher
        )

    def outside(self, planner: Planner, *, progress: Progress | None = _silent) -> Outside:
        """Return what the gates of a pipeline may ask beyond its own results.

        Parameters
        ----------
        planner : Planner
        progress : callable or None
            Gets a stage's name and what is done with it now; None where no stage is to be repeated, and only what is known counts.
        """
        if not is_outward(planner.pipeline):
            return NOTHING_OUTSIDE
        from nbmlops.session.outside import SessionOutside  # noqa: PLC0415 - only where a gate asks
        from nbmlops.session.reproducing import is_reproducible, reproduces  # noqa: PLC0415

        def repeat(result: StageResult) -> bool:
            return is_reproducible(self.store, result) if progress is None else reproduces(self, planner, result, progress)

        return SessionOutside(repeat, self._in_use(planner))

    def _in_use(self, planner: Planner) -> Champion:
        """Return who tells of the model in use: a command has one planner, and one answer."""
        from nbmlops.session.champion import Champion  # noqa: PLC0415 - only where a gate asks

        if self.in_use is not None:
            return self.in_use
        if self._asked is None or self._asked[0] is not planner:
            self._asked = (planner, Champion(self.settings, planner.pipeline))
        return self._asked[1]

    def usual_seconds(self, stage: str) -> float | None:
        """Return the seconds that a stage took when it last ran; None if no record tells."""
        notebook = notebook_name(self.source, self.surroundings)
        records = (self.store.record(key) for key in self.store.history(notebook, stage))
        return next((record.seconds for record in records if record is not None), None)

    def sweep(self, options: SweepOptions) -> Sweep:
        """Prepare a sweep; its `run` runs it.

        Raises
        ------
        UsageError
            For an unknown parameter or metric, an empty range, or a sweep of that name that is about something else.
        NotebookError
            If the notebook has errors.
        """
        from nbmlops.session.sweep import Sweep  # noqa: PLC0415 - Optuna: only where there is a sweep

        return Sweep(self, options)

    def compare(self, *runs: Run | str) -> Comparison:
        """Return what differs between runs of this store: parameters, metrics, stages, artifacts, code and environment.

        Parameters
        ----------
        *runs : Run or str
            Two or more; of this notebook or another. A text is a run's id, the beginning of one, or SWEEP/NUMBER for a trial.

        Raises
        ------
        UsageError
            If there are fewer than two, one cannot be meant, or two mean the same run.
        """
        from nbmlops.session.comparing.compare import compare_runs  # noqa: PLC0415 - only where something is compared

        return compare_runs(self.store, self.settings.project_root, [run.id if isinstance(run, Run) else run for run in runs])

    def verify(self, parameters: Mapping[str, Any] | None = None, *, stages: Iterable[str] = (), progress: Progress = _silent) -> VerifyResult:
        """Run every stage twice, the second time under other conditions, and compare what comes out.

        Both executions of a stage start from the same inputs, in copies of the project and with a store of their own. What a stage does
        beyond the project (databases, services, absolute paths elsewhere), it does for real.

        Parameters
        ----------
        parameters : mapping of str to object, optional
            Values that override the parameters cell's.
        stages : iterable of str
            Judge these; by default all.
        progress : callable
            Gets a stage's name and what is done with it now.

        Raises
        ------
        NotebookError
            If the notebook has errors; nothing has run.
        UsageError
            If it has no stages, or an option cannot be meant.
        """
        from nbmlops.session.verifying.verify import verify  # noqa: PLC0415 - only where something runs

        return verify(self, parameters or {}, stages, progress)

    def _target(self, output: Path | str | None) -> Path | None:
        """Return where the executed notebook goes: the file itself where a link is given."""
        if output is None:
            return None
        from nbmlops.session.target import target_of  # noqa: PLC0415 - only where one is named

        return target_of(output, self.document.path)

    def refuse_errors(self, pipeline: Pipeline) -> None:
        """Raise the first diagnostic of severity error, before anything runs."""
        if pipeline.errors:
            first = pipeline.errors[0]
            error = NotebookError(first.message, code=first.code, notebook=self.document.shown, cell=first.cell, fix=first.fix)
            error.diagnostics = [item.to_json() for item in pipeline.diagnostics]  # type: ignore[attr-defined]
            raise error

    def _refuses(self, planner: Planner, plan: Plan) -> bool:
        """Tell whether a gate refuses a stage that a record serves: such a run equals no run that was done."""
        outside = self.outside(planner, progress=None)  # what is not known yet is found out by the run, which tells its progress
        return any(
            judged(StageResult.of_record(item.record, "reused", ""), item.stage.directive.require, outside).status == "refused"
            for item in plan.stages.values()
            if item.record is not None
        )

    def _equal_run(self, planner: Planner, plan: Plan) -> RunRecord | None:
        """Return the last run that was done with the very records that this one would use, and asked the same of them, or None.

        None too where a later run has registered a model of these records: its evidence is that run's, until another one speaks for it.
        """
        if not plan.all_fresh or (plan.report is not None and plan.report.state != "fresh"):
            return None
        keys = {name: item.key for name, item in plan.stages.items()}
        gates = {name: _gates_of(item) for name, item in plan.stages.items()}
        offering = {item.key for item in plan.stages.values() if item.record is not None and item.record.models}
        wanted = all_parameters(planner.pipeline.parameters, planner.trial.parameters)
        for record in self.store.runs(planner.notebook):
            same = record.status == "done" and {item["name"]: item["key"] for item in record.stages} == keys
            same = same and {item["name"]: [gate["name"] for gate in item["gates"]] for item in record.stages} == gates
            if same and dict(record.parameters) == wanted and record.output and Path(record.output).exists():
                return record
            if offering & {item["key"] for item in record.stages}:
                return None
        return None

    def _nothing_to_do(self, planner: Planner, plan: Plan, earlier: RunRecord, target: Path | None) -> Run:
        begun = time.time()
        outside = self.outside(planner, progress=None)
        stages = {name: self._served(item, outside) for name, item in plan.stages.items()}
        report = StageResult.of_record(plan.report.record, "reused", plan.report.reason) if plan.report and plan.report.record else None
        result = RunResult(
            run_id=earlier.run_id,
            status=run_status(stages, report, cancelled=False),
            notebook=self.document.shown,
            output=earlier.output,
            parameters=dict(earlier.parameters),
            seconds=0.0,
            stages=stages,
            diagnostics=planner.pipeline.diagnostics,
            tracking=dict(earlier.tracking),
            report=report,
            nothing_to_do=True,
        )
        if target is not None:
            from nbmlops.runner.executed import write_notebook  # noqa: PLC0415 - a run with nothing to do writes only what it was asked to
            from nbmlops.session.execution import notebook_of  # noqa: PLC0415
            from nbmlops.session.stood import Standings  # noqa: PLC0415

            result = replace(result, output=str(target.resolve()))
            standings = Standings(self.settings, self.source.cells)
            standings.ask()
            write_notebook(target, notebook_of(self, planner, result, begun, standings.outputs(self.settings.track_wait_s)))
        return Run(replace(result, seconds=time.time() - begun), self)

    def _send_left(self, run: RunRecord, plan: Plan, pipeline: Pipeline, trackers: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Send what earlier runs have left, as any run does by the way; return where `run` is found, which may be known only now."""
        folder = self.store.local_path("outbox")
        left = any(folder.glob("*.jsonl"))
        if not left and not may_register(pipeline):
            return run.tracking
        from nbmlops.tracking.outbox import Outbox  # noqa: PLC0415 - only where something is left, or was
        from nbmlops.tracking.sender import Sender  # noqa: PLC0415

        outbox = Outbox(folder)
        trackers = tuple(dict.fromkeys([*trackers, REGISTRY]))
        if left and outbox.awaited(trackers):
            with Sender(outbox, trackers, self.settings.project_root) as sender:
                sender.wait(self.settings.track_wait_s)
                served = [item.record for item in plan.stages.values() if item.record is not None]
                return registered({**run.tracking, **outbox.reference(run.run_id)}, served, sender)
        return {**run.tracking, **outbox.reference(run.run_id)}

    def _served(self, item: PlannedStage, outside: Outside) -> StageResult:
        name = item.stage.name
        if item.record is None:
            return StageResult(name=name, status="skipped", reason=item.reason)
        requirements = item.stage.directive.require
        return serve(item.record, name, item.reason, requirements, store=self.store, surroundings=self.surroundings, outside=outside)


def _gates_of(item: PlannedStage) -> list[str]:
    """Return what the gates of a stage that a record serves are called, in the order of a result."""
    return [] if item.record is None else [*(str(gate["name"]) for gate in item.record.evidence), *item.stage.directive.require]


def open_notebook(path: Path | str, **options: Any) -> Session:  # noqa: ANN401 - fields of Settings
    """Open a notebook.

    Parameters
    ----------
    path : path
        An ``.ipynb``, or a ``.py`` in jupytext's percent format.
    **options
        Settings that win over the environment and the project's file, such as ``store="s3://bucket/store"``.

    Raises
    ------
    NotebookError
        If it is not a notebook that can be run here.
    """
    document = read_document(path)
    folder = (document.path or Path(path)).resolve().parent
    return Session(document, load_settings(folder, **options))
