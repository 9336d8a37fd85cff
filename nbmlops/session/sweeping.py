"""What one command does for a sweep: the stages that all trials share, the trials, and the best one as a full run."""

from __future__ import annotations

import time
import uuid
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from nbmlops.errors import NbmlopsError, NotebookError, StageFailed
from nbmlops.executors.events import Event, RunFinished, RunStarted
from nbmlops.executors.scheduler import Scheduler
from nbmlops.executors.seats import SharedExecutor
from nbmlops.executors.tasks import attempts_folder
from nbmlops.session.champion import Champion
from nbmlops.session.execution import logs_to_mlflow, mlflow_joined, preloads, recorded, redacted, redactor_of, snapshot_of, versions_of
from nbmlops.session.origin import git_tags
from nbmlops.session.parameters import all_parameters, check_parameters
from nbmlops.session.pool import WarmWorkers
from nbmlops.store.records import RunRecord
from nbmlops.sweeps.driver import Driver
from nbmlops.sweeps.foreseen import shared_stages
from nbmlops.sweeps.trial import Ended, TrialRun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbmlops.pipeline.model import Pipeline
    from nbmlops.runner.plan import Planner
    from nbmlops.runner.results import RunResult, StageResult
    from nbmlops.session.run import Run
    from nbmlops.session.sweep import Sweep
    from nbmlops.sweeps.state import TrialState
    from nbmlops.sweeps.study import Asked

__all__ = ["Sweeping"]

_INTERRUPTED_WAIT_S = 2.0


class Sweeping:
    """One command's work on a sweep: its executor, its events, its trials.

    Parameters
    ----------
    sweep : Sweep
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._session = session = sweep.session
        self._options = options = sweep.options
        self._study = sweep.records
        self._run_id = uuid.uuid4().hex[:16]
        self._started_s = time.time()
        self._workers = options.workers or session.settings.worker_count
        self._own_pool = WarmWorkers() if session.pool is None else None
        self._stack = ExitStack()
        self._tracking: Any = None
        self._tags = {**git_tags(session.settings.project_root), "store": session.settings.store}
        self._shared_stages: frozenset[str] = frozenset()
        self._digest = ""
        self._planner: Planner | None = None
        self._shared: Any = None

    def __enter__(self) -> Self:
        session = self._session
        if self._own_pool is not None:
            session.pool = self._own_pool
        try:
            self._stack.enter_context(self._study)
            self._stack.enter_context(session.store.hold())
            self._open_tracking()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self._finish(kind)
        finally:
            self._close()

    def _close(self) -> None:
        self._session.in_use = None
        self._stack.close()
        if self._own_pool is not None:
            self._own_pool.close()
            self._session.pool = None

    def run(self) -> None:
        """Run what all trials share, then the trials, then the best one in full."""
        session, pool = self._session, self._session.pool
        assert pool is not None  # noqa: S101 - made on entry
        planner = session.planner(self._options.parameters)
        self._emit(planner, self._started(planner, self._run_id, "sweep"))
        self._planner = planner
        session.in_use = Champion(session.settings, planner.pipeline)  # all trials compare with the same version, which is asked for once
        self._digest = snapshot_of(session, redactor_of(planner))
        executor = pool.borrow("local", attempts_folder(session.store), self._workers, preloads(planner.pipeline, session.surroundings))
        try:
            self._shared = SharedExecutor(executor)
            self._run_shared(planner)
            Driver(self._study, self._shared, self, wanted=self._sweep.wanted, stop=self._sweep.stopping, doubtful=self._sweep.doubtful).run()
        except BaseException:
            executor.close()
            raise
        finally:
            pool.give_back(executor)
        best = self._sweep.best
        if best is not None and not self._sweep.stopping.is_set():
            self._sweep.best_run = self._full_run(best)

    def _run_shared(self, planner: Planner) -> None:
        """Run the stages that are the same in every trial, once, before the first of them wants them."""
        self._shared_stages = shared_stages(planner.pipeline, self._space_names(planner.pipeline))
        if not self._shared_stages:
            return
        planner.trial = replace(planner.trial, only=self._shared_stages)
        scheduler = Scheduler(
            planner,
            self._shared.seat(),
            self._session.store,
            self._session.settings,
            self._run_id,
            emit=lambda event: self._emit(planner, event),
            environment=mlflow_joined(self._session, planner, self._tracking, self._run_id),
            outside=self._session.outside(planner),
        )
        try:
            scheduler.run(report=False)
        except BaseException:
            scheduler.release()
            raise
        for name, result in scheduler.results.items():
            if result.status in {"failed", "timed-out", "refused", "cancelled"}:
                raise _failure(name, result)

    def _space_names(self, pipeline: Pipeline) -> set[str]:
        # a callable may set any parameter
        return set(pipeline.parameters) if self._options.suggest is not None else set(self._sweep.space)

    def _full_run(self, best: TrialState) -> Run:
        """Run the best trial once more, with its report cells and its notebook; its stages are all there."""
        return self._session.run(
            {**self._options.parameters, **best.parameters},
            workers=self._workers,
            track=self._options.track,
            sweep={**self._mark("best"), "number": best.number},
        )

    def begin(self, asked: Asked, listener: str) -> TrialRun:
        """Return a trial's run."""
        session = self._session
        run_id = uuid.uuid4().hex[:16]
        # of the types that the defaults have: 1 is 1.0 where the default is 0.5
        asked.parameters = check_parameters(asked.parameters, session.source.parameters, session.document.shown)
        planner = session.planner({**self._options.parameters, **asked.parameters})
        errors = planner.pipeline.errors
        if errors:
            raise NotebookError(errors[0].message, code=errors[0].code, cell=errors[0].cell, fix=errors[0].fix)
        # a trial is told whole, when it ends, unless its own code logs into its run meanwhile
        self._emit(planner, self._started(planner, run_id, "trial", number=asked.number, open=logs_to_mlflow(session, planner.pipeline)))
        return TrialRun(
            asked=asked,
            run_id=run_id,
            planner=planner,
            seat=self._shared.seat(),
            store=session.store,
            settings=session.settings,
            listener=listener,
            shared=self._shared_stages,
            environment=mlflow_joined(session, planner, self._tracking, run_id),
            outside=session.outside(planner),
        )

    def keep(self, trial: TrialRun, run: RunResult, ended: Ended) -> Mapping[str, Any]:
        """Write down a trial that has ended."""
        self._put_run(trial, run, _status(run, ended))
        keys = {name: item.key for name, item in run.stages.items() if item.key and item.status in {"ran", "reused"}}
        return {"run_id": trial.run_id, "seconds": run.seconds, **_ran_and_reused(run), "keys": keys}

    def tell(self, trial: TrialRun, run: RunResult, ended: Ended) -> None:
        """Tell the trackers of a trial that has ended."""
        summary = {"state": ended.state, "values": self._named(ended.values), **_ran_and_reused(run), "error": ended.error}
        finished = RunFinished(run_id=trial.run_id, time_s=time.time(), status=_status(run, ended), seconds=run.seconds, summary=summary)
        self._emit(trial.planner, *trial.events, finished)

    def broken_off(self, trial: TrialRun) -> None:
        """Write down that a trial was broken off."""
        run = trial.result(trial.asked.parameters)
        summary = {"state": "FAIL", "values": {}, "ran": [], "reused": [], "error": "interrupted"}
        finished = RunFinished(run_id=trial.run_id, time_s=time.time(), status="cancelled", seconds=run.seconds, summary=summary)
        self._emit(trial.planner, *trial.events, finished)

    def constraints(self, run: RunResult, asked: Asked) -> Mapping[str, float]:
        """Ask the user's constraints."""
        if self._options.constraints is None:
            return {}
        found = self._options.constraints(run.metrics, dict(asked.parameters))
        items = found.items() if hasattr(found, "items") else ((f"constraint {position}", value) for position, value in enumerate(found))
        return {str(name): float(value) for name, value in items}

    def changed(self) -> None:
        """Tell whoever watches."""
        self._sweep.tell()

    def _named(self, values: Sequence[float]) -> dict[str, float]:
        return dict(zip((item.metric for item in self._options.objectives), values, strict=False))

    def _put_run(self, trial: TrialRun, run: RunResult, status: str) -> None:
        planner = trial.planner
        hidden = redactor_of(planner)
        self._session.store.put_run(
            RunRecord(
                run_id=run.run_id,
                notebook=planner.notebook,
                notebook_digest=self._digest,
                status="cancelled" if status == "pruned" else status,
                started_s=trial.started_s,
                seconds=run.seconds,
                parameters=hidden.data(all_parameters(planner.pipeline.parameters, planner.trial.parameters)),
                stages=recorded(run.stages.values(), hidden),
                seed=planner.trial.seed,
                git_commit=self._tags.get("git_commit"),
                sweep=self._sweep.name,
                trial=trial.asked.number,
            )
        )

    def _open_tracking(self) -> None:
        settings = self._session.settings
        if not self._options.track or not settings.trackers:
            return
        from nbmlops.tracking.base import TRACKERS  # noqa: PLC0415 - the core runs without trackers
        from nbmlops.tracking.outbox import Outbox  # noqa: PLC0415
        from nbmlops.tracking.sender import Sender  # noqa: PLC0415

        TRACKERS.check(settings.trackers)
        outbox = Outbox(self._session.store.local_path("outbox"), settings.trackers)
        self._tracking = (outbox, Sender(outbox, settings.trackers, settings.project_root, self._run_id))

    def _emit(self, planner: Planner, *events: Event) -> None:
        if self._tracking is None or not events:
            return
        outbox, sender = self._tracking
        hidden = redactor_of(planner)
        outbox.append(*(redacted(event, hidden) for event in events))
        if isinstance(events[0], RunStarted):
            sender.start()

    def _started(self, planner: Planner, run_id: str, role: str, **more: Any) -> RunStarted:  # noqa: ANN401 - JSON
        session, pipeline = self._session, planner.pipeline
        parameters = all_parameters(pipeline.parameters, planner.trial.parameters)
        swept = self._space_names(pipeline) if role == "sweep" else set()
        return RunStarted(
            run_id=run_id,
            time_s=time.time(),
            notebook=planner.notebook,
            experiment=session.settings.experiment or session.document.name,
            parameters={name: value for name, value in parameters.items() if name not in swept},
            tags=self._tags,
            environment=versions_of(session, pipeline),
            seed=planner.trial.seed,
            sweep={**self._mark(role), **more},
        )

    def _mark(self, role: str) -> dict[str, Any]:
        sweep = self._sweep
        return {
            "role": role,
            "id": self._study.id,
            "name": sweep.name,
            "space": {name: str(item) for name, item in sweep.space.items()},
            "objectives": {item.metric: item.direction for item in self._options.objectives},
            "sampler": self._options.sampler,
            "pruner": self._options.pruner,
            "seed": sweep.seed,
        }

    def _finish(self, kind: type[BaseException] | None) -> None:
        """Tell the trackers how the sweep ended, and wait for them a while."""
        if self._tracking is None or self._planner is None:
            return
        state = self._sweep.state
        best = state.best
        stopped = kind is not None or self._sweep.stopping.is_set()
        status = "failed" if kind is not None and not issubclass(kind, KeyboardInterrupt) else "cancelled" if stopped else "done"
        summary = {
            "best": None if best is None else {"number": best.number, "parameters": dict(best.parameters), "values": self._named(best.values)},
            "front": [trial.number for trial in state.front] if len(state.objectives) > 1 else [],
            "counts": state.counts,
        }
        now_s = time.time()
        finished = RunFinished(run_id=self._run_id, time_s=now_s, status=status, seconds=now_s - self._started_s, summary=summary)
        self._tracking[0].leave(redacted(finished, redactor_of(self._planner)))  # which says otherwise if another process goes on with the sweep
        self._sweep.tracking = self._tracking[1].wait(_INTERRUPTED_WAIT_S if stopped else self._session.settings.track_wait_s)


def _status(run: RunResult, ended: Ended) -> str:
    return {"COMPLETE": "done", "PRUNED": "pruned"}.get(ended.state, run.status if run.status != "done" else "failed")


def _ran_and_reused(run: RunResult) -> dict[str, list[str]]:
    stages = run.stages.items()
    return {
        "ran": [name for name, item in stages if item.status not in {"reused", "skipped", "not-run"}],
        "reused": [name for name, item in stages if item.status == "reused"],
    }


def _failure(stage: str, result: StageResult) -> NbmlopsError:
    error = result.error
    why = f"{error.type}: {error.message}" if error is not None else result.reason
    message = f"stage {stage!r}, which all trials need, {result.status}: {why}"
    return StageFailed(message, code="NB024", cell=error.cell if error is not None else None, fix="mend it, then run again")
