"""One run of a notebook in progress: its id, its processes, its events, and what it leaves behind."""

from __future__ import annotations

import getpass
import json
import os
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbmlops.errors import StoreError
from nbmlops.executors.base import EXECUTORS, Executor
from nbmlops.executors.events import Event, RunFinished, RunStarted, StageFinished
from nbmlops.executors.scheduler import Scheduler
from nbmlops.executors.tasks import attempts_folder, preload_modules
from nbmlops.pipeline.model import Diagnostic
from nbmlops.runner.executed import executed_notebook, write_notebook
from nbmlops.runner.plan import REPORT, Planner
from nbmlops.runner.redaction import Redactor, secret_values
from nbmlops.runner.results import RunResult, StageResult, run_status
from nbmlops.session.origin import git_tags
from nbmlops.session.parameters import all_parameters
from nbmlops.session.registering import PRELOADED, REGISTRY, addressed, may_register, registered
from nbmlops.session.run import Interrupted, Run
from nbmlops.session.stood import Standings
from nbmlops.store.records import RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from nbmlops.executors.progress import Watcher
    from nbmlops.pipeline.model import Pipeline
    from nbmlops.runner.stagekey import Surroundings
    from nbmlops.session.batch import Session
    from nbmlops.tracking.outbox import Outbox
    from nbmlops.tracking.sender import Sender

__all__ = [
    "Execution",
    "executed_name",
    "logs_to_mlflow",
    "mlflow_joined",
    "notebook_of",
    "preloads",
    "recorded",
    "redacted",
    "redactor_of",
    "snapshot_of",
    "versions_of",
]

_INTERRUPTED_WAIT_S = 2.0
_NAME_BYTES = 200
_SHORTEST_DEFAULT = 8


class Execution:
    """One run in progress: its id, its events, its executor."""

    def __init__(self, session: Session, planner: Planner, target: Path | None, sweep: Mapping[str, Any] | None = None) -> None:
        self._session = session
        self._planner = planner
        self._target = target
        self._sweep = dict(sweep or {})
        self.run_id = uuid.uuid4().hex[:16]
        self._started_s = time.time()
        self._tracking: Any = None  # the outbox and its sender
        self._addressed: tuple[str, ...] = ()
        self._untold: list[Event] = []
        self._offers = False
        self._unfinished = False
        self._redactor = redactor_of(planner)
        self._standings = Standings(session.settings, session.source.cells)

    def run(self, *, workers: int, executor: str, track: bool, fail_fast: bool, watcher: Watcher | None) -> Run:
        """Run what is stale, write the notebook and the run's record, and tell the trackers.

        Raises
        ------
        Interrupted
            After everything that ran has been ended, and that has been written down too.
        """
        session, planner = self._session, self._planner
        self._open_tracking(track=track)
        self._standings.ask()
        scheduler = Scheduler(
            planner,
            self._executor(executor, workers),
            session.store,
            session.settings,
            self.run_id,
            emit=self._emit,
            watcher=watcher,
            fail_fast=fail_fast,
        )
        scheduler.outside = session.outside(planner, progress=scheduler.tell_doing)
        try:
            return self._run(scheduler)
        except Interrupted:
            raise
        except BaseException as error:
            self._break_off(scheduler, "cancelled" if isinstance(error, KeyboardInterrupt) else "failed")
            raise

    def _run(self, scheduler: Scheduler) -> Run:
        self._emit(self._started())
        scheduler.environment = mlflow_joined(self._session, self._planner, self._tracking if "mlflow" in self._addressed else None, self.run_id)
        try:
            with self._session.store.hold():
                scheduler.run()
        except KeyboardInterrupt as stop:
            scheduler.executor.close()
            scheduler.cancel()
            raise Interrupted(self._finish(scheduler, cancelled=True)) from stop
        finally:
            self._end(scheduler.executor)
        return self._finish(scheduler, cancelled=False)

    def _break_off(self, scheduler: Scheduler, status: str) -> None:
        """End a run that cannot be finished, such as on a full disk: in a kernel its locks would be held, and its trackers wait, for ever."""
        scheduler.executor.close()
        scheduler.release()
        self._standings.stop()
        if self._unfinished:
            with suppress(StoreError):
                now_s = time.time()
                self._emit(RunFinished(run_id=self.run_id, time_s=now_s, status=status, seconds=now_s - self._started_s))
        if self._tracking is not None:
            self._tracking[1].stop()

    def _executor(self, name: str, workers: int) -> Executor:
        preload = preloads(self._planner.pipeline, self._session.surroundings)
        folder, pool = attempts_folder(self._session.store), self._session.pool
        made: Executor = pool.borrow(name, folder, workers, preload) if pool else EXECUTORS.get(name)(folder, workers, preload)
        return made

    def _end(self, executor: Executor) -> None:
        if self._session.pool is None:
            executor.close()
        else:
            self._session.pool.give_back(executor)

    def _open_tracking(self, *, track: bool) -> None:
        self._address(addressed(self._session.settings.trackers, self._planner.pipeline, track=track))

    def _address(self, trackers: tuple[str, ...]) -> None:
        if not trackers:
            return
        from nbmlops.tracking.base import TRACKERS  # noqa: PLC0415 - the core runs without trackers
        from nbmlops.tracking.outbox import Outbox  # noqa: PLC0415
        from nbmlops.tracking.sender import Sender  # noqa: PLC0415

        TRACKERS.check(trackers)
        outbox = Outbox(self._session.store.local_path("outbox"), trackers)
        self._addressed = trackers
        self._tracking = (outbox, Sender(outbox, tuple(dict.fromkeys([*trackers, REGISTRY])), self._session.settings.project_root, self.run_id))

    def _emit(self, event: Event) -> None:
        hidden = redacted(event, self._redactor)
        self._offers = self._offers or bool(isinstance(event, StageFinished) and event.models)
        if isinstance(event, RunFinished) and self._offers and REGISTRY not in self._addressed:
            self._address_registry()
        if self._tracking is None:
            self._untold.append(hidden)
            return
        outbox, sender = self._tracking
        outbox.append(hidden)
        self._unfinished = not isinstance(event, RunFinished)
        if isinstance(event, RunStarted) or self._untold:
            self._untold.clear()
            sender.start()

    def _address_registry(self) -> None:
        """Let the registry have a run of which only running it has shown that it registers a model."""
        if self._tracking is None:
            self._address((REGISTRY,))
            self._outbox().append(*self._untold)
        else:
            self._addressed = (*self._addressed, REGISTRY)
            self._outbox().readdress(self.run_id, self._addressed)

    def _outbox(self) -> Outbox:
        outbox: Outbox = self._tracking[0]
        return outbox

    def _started(self) -> RunStarted:
        session, planner = self._session, self._planner
        pipeline = planner.pipeline
        return RunStarted(
            run_id=self.run_id,
            time_s=self._started_s,
            notebook=planner.notebook,
            experiment=session.settings.experiment or session.document.name,
            parameters=all_parameters(pipeline.parameters, planner.trial.parameters),
            tags={**git_tags(session.settings.project_root), "store": session.settings.store, **self._user()},
            environment=versions_of(session, pipeline),
            seed=planner.trial.seed,
            sweep=self._sweep,
        )

    def _user(self) -> dict[str, str]:
        """Return who runs it, where a registered model's evidence says so."""
        with suppress(KeyError, OSError):
            return {"user": getpass.getuser()} if REGISTRY in self._addressed else {}
        return {}

    def _finish(self, scheduler: Scheduler, *, cancelled: bool) -> Run:
        session, planner = self._session, self._planner
        results = dict(scheduler.results)
        report = results.pop(REPORT, None)
        stages = {name: results[name] for name in planner.pipeline.stages if name in results}
        target = self._target or session.store.local_path(f"runs/{executed_name(session.document.name, self.run_id)}")
        result = RunResult(
            run_id=self.run_id,
            status=run_status(stages, report, cancelled=cancelled),
            notebook=session.document.shown,
            output=str(target.resolve()),
            parameters=self._redactor.data(all_parameters(planner.pipeline.parameters, planner.trial.parameters)),
            seconds=time.time() - self._started_s,
            stages=stages,
            diagnostics=(*planner.pipeline.diagnostics, *_report_trouble(report)),
            report=report,
        )
        beside = self._standings.outputs(_INTERRUPTED_WAIT_S if cancelled else session.settings.track_wait_s)
        data = write_notebook(target, notebook_of(session, planner, result, self._started_s, beside))
        digest = session.store.snapshot(data)
        if report is not None and report.status in {"ran", "reused"} and not planner.pipeline.reports:
            result = replace(result, report=None)  # only setup cells ran there, which is nothing to tell
        self._emit(
            RunFinished(
                run_id=self.run_id, time_s=time.time(), status=result.status, seconds=result.seconds, output=result.output, output_digest=digest
            )
        )
        self._record(result, {})
        if self._tracking is not None:
            shown = self._tracking[1].wait(_INTERRUPTED_WAIT_S if cancelled else session.settings.track_wait_s)
            self._record(result, shown)  # without what is only so now
            result = replace(result, tracking=registered(shown, result.stages.values(), self._tracking[1]))
        return Run(result, session)

    def _record(self, result: RunResult, tracking: Mapping[str, Mapping[str, str]]) -> None:
        session = self._session
        session.store.put_run(
            RunRecord(
                run_id=result.run_id,
                notebook=self._planner.notebook,
                notebook_digest=snapshot_of(session, self._redactor),
                status=result.status,
                started_s=self._started_s,
                seconds=result.seconds,
                parameters=dict(result.parameters),
                stages=recorded(result.stages.values(), self._redactor),
                output=result.output,
                tracking={name: dict(value) for name, value in tracking.items()},
                diagnostics=tuple(item.to_json() for item in result.diagnostics),
                seed=self._planner.trial.seed,
                git_commit=git_tags(session.settings.project_root).get("git_commit"),
            )
        )


def executed_name(notebook: str, run_id: str) -> str:
    """Return what the executed notebook of a run is called in the store: a file's name has 255 bytes, so that of a long one is cut."""
    while len(os.fsencode(notebook)) > _NAME_BYTES:
        notebook = notebook[:-1]
    return f"{notebook}-{run_id}.ipynb"


def preloads(pipeline: Pipeline, surroundings: Surroundings) -> tuple[str, ...]:
    """Return the modules that stage processes are forked with: what the notebook imports and is not the user's own."""
    foreign = surroundings.foreign(_modules(pipeline))
    steps = tuple(step for stage in pipeline.stages.values() for step in stage.steps) or pipeline.setup_steps
    return preload_modules(steps, foreign | ({PRELOADED} if may_register(pipeline) else set()))


def mlflow_joined(session: Session, planner: Planner, tracking: tuple[Outbox, Sender] | None, run_id: str) -> dict[str, str]:
    """Return what makes the notebook's own MLflow calls log into a run; nothing for a notebook that has none."""
    if tracking is None or not logs_to_mlflow(session, planner.pipeline):
        return {}
    from nbmlops.tracking.joining import mlflow_environment  # noqa: PLC0415 - the core runs without trackers

    return mlflow_environment(tracking[0], run_id, session.settings.project_root)


def logs_to_mlflow(session: Session, pipeline: Pipeline) -> bool:
    """Tell whether the notebook logs to MLflow itself, in the run that we open for it."""
    if "mlflow" not in session.settings.trackers:
        return False
    from nbmlops.tracking.joining import wants_mlflow  # noqa: PLC0415 - the core runs without trackers

    return wants_mlflow(_modules(pipeline), [step.source for stage in pipeline.stages.values() for step in stage.steps])


def versions_of(session: Session, pipeline: Pipeline) -> dict[str, str]:
    """Return Python's version and those of the distributions that a notebook imports."""
    return session.surroundings.modules(_modules(pipeline), ())[1]


def snapshot_of(session: Session, redactor: Redactor) -> str:
    """Keep the notebook as it is run, without its secrets, and return its digest."""
    return session.store.snapshot(json.dumps(redactor.data(session.document.raw), sort_keys=True).encode())


def _modules(pipeline: Pipeline) -> set[str]:
    """Return the dotted names of what the notebook imports."""
    used = {module for stage in pipeline.stages.values() for module in stage.modules}
    return used | {module for statement in pipeline.setup for module in statement.modules}


def _report_trouble(report: StageResult | None) -> tuple[Diagnostic, ...]:
    """Say why the report cells failed: they are no stage, so the answer has no other place for it."""
    if report is None or report.error is None:
        return ()
    error = report.error
    code = error.code or "NB214"
    message = error.message.removeprefix(f"{code}: ") if error.code else f"the report cell raised {error.type}: {error.message}"
    return (Diagnostic(code=code, severity="error", message=message, fix="mend the cell; every stage is kept", cell=error.cell),)


def notebook_of(
    session: Session, planner: Planner, result: RunResult, started_s: float, beside: Mapping[int, list[dict[str, Any]]]
) -> dict[str, Any]:
    """Return the executed notebook of a result, with what cells show that a run leaves out; secrets are hidden."""
    report = planner.report_stage()

    def outputs(digest: str) -> list[list[dict[str, Any]]]:
        try:
            found: list[list[dict[str, Any]]] = json.loads(bytes(session.store.objects.view(digest)))
        except KeyError:
            return []
        return found

    notebook = executed_notebook(
        session.document,
        session.source.cells,
        planner.pipeline,
        result,
        outputs=outputs,
        overrides=planner.trial.parameters,
        report_cells=report.cells if report else (),
        started_s=started_s,
        beside=beside,
    )
    redacted: dict[str, Any] = redactor_of(planner).record(notebook)
    return redacted


def redactor_of(planner: Planner) -> Redactor:
    """Return what hides the secrets of a run: parameters that look so, and the variables that ``--secret`` names."""
    declared = planner.pipeline.parameters
    names = [name for stage in planner.pipeline.stages.values() for name in stage.directive.secrets]
    given = secret_values(all_parameters(declared, planner.trial.parameters), os.environ, names)
    # what another value was given for stands in the notebook's own source; a short one is "none" or "test", and no secret
    written = [value for value in secret_values(all_parameters(declared, {}), {}, ()) if len(value) >= _SHORTEST_DEFAULT]
    return Redactor([*given, *written])


def recorded(stages: Iterable[StageResult], redactor: Redactor) -> tuple[dict[str, Any], ...]:
    """Return what became of stages as a run's record has it: what was found as its events have it too, without the secrets of the run."""
    found = (stage.to_record() for stage in stages)
    return tuple({**stage, "metrics": redactor.data(stage["metrics"]), "gates": redactor.record(stage["gates"])} for stage in found)


def redacted(event: Event, redactor: Redactor) -> Event:
    """Return an event without the secrets of its run."""
    from nbmlops.executors.events import event_from_json, event_to_json  # noqa: PLC0415 - beside its only use

    return event_from_json(redactor.record(event_to_json(event)))
