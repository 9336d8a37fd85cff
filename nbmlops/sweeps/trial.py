"""One trial: a run of the pipeline with other parameters, driven step by step beside other trials."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from nbmlops.executors.scheduler import Scheduler
from nbmlops.runner.gate import NOTHING_OUTSIDE
from nbmlops.runner.logged import REPORTED
from nbmlops.runner.results import RunResult, run_status

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from nbmlops.executors.events import Event
    from nbmlops.executors.seats import Seat
    from nbmlops.runner.gate import Outside
    from nbmlops.runner.plan import Planner
    from nbmlops.runner.results import StageResult
    from nbmlops.runner.task import StageOutcome
    from nbmlops.settings import Settings
    from nbmlops.store.store import Store
    from nbmlops.sweeps.state import Objective
    from nbmlops.sweeps.study import Asked

__all__ = ["Ended", "TrialRun", "judge", "metric_of"]

_GRACE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a trial ended.

    Parameters
    ----------
    state : {"COMPLETE", "PRUNED", "FAIL"}
    values : tuple of float
        One for each objective, if it is complete.
    error : str
        Why it failed, or where it was pruned.
    lacks : str
        The metric that no stage has logged, if that is why.
    """

    state: str
    values: tuple[float, ...] = ()
    error: str = ""
    lacks: str = ""


@dataclass(slots=True, eq=False)
class TrialRun:
    """A trial that is under way.

    Parameters
    ----------
    asked : Asked
    run_id : str
    planner : Planner
    seat : Seat
    store : Store
    settings : Settings
    listener : str
        The socket to which its stages report.
    shared : frozenset of str
        The stages that are the same in every trial.
    environment : mapping of str to str
        Variables that its stages get.
    outside : Outside
        What its gates may ask beyond its own results.
    events : list of Event
        What became of its stages.
    """

    asked: Asked
    run_id: str
    planner: Planner
    seat: Seat
    store: Store
    settings: Settings
    listener: str
    shared: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)
    outside: Outside = NOTHING_OUTSIDE
    started_s: float = field(default_factory=time.time)
    pruned_at: int | None = None
    ended: Ended | None = None
    events: list[Event] = field(default_factory=list)
    _begun: float = field(default_factory=time.monotonic)
    _look_s: float = 0.0
    _end_s: float = math.inf
    _over: bool = False
    _scheduler: Scheduler = field(init=False)
    _steps: Generator[float, list[StageOutcome] | None, Any] = field(init=False)

    def __post_init__(self) -> None:
        self._scheduler = Scheduler(
            self.planner,
            self.seat,
            self.store,
            self.settings,
            self.run_id,
            emit=self.events.append,
            environment=self.environment,
            listener=self.listener,
            outside=self.outside,
        )
        self._steps = self._scheduler.steps(report=False)

    @property
    def seconds(self) -> float:
        """How long it has been under way."""
        return time.monotonic() - self._begun

    @property
    def is_over(self) -> bool:
        """Whether nothing more can run."""
        return self._over

    @property
    def writes_files(self) -> bool:
        """Whether a stage that must still run writes files, as far as is known: another trial would write the same ones."""
        return any(stage.files_written for stage in self.planner.pipeline.stages.values() if stage.name not in self.shared)

    def prune(self, step: int) -> None:
        """Note that the sweep prunes it; its stage ends itself, and is ended if it does not."""
        self.pruned_at = step
        self._end_s = time.monotonic() + _GRACE_S

    @property
    def patience_s(self) -> float:
        """How many seconds may pass until it wants to look again."""
        return max(0.0, self._look_s - time.monotonic())

    def advance(self, outcomes: list[StageOutcome]) -> None:
        """Go on as far as can be without waiting."""
        if time.monotonic() > self._end_s:
            self.seat.close()
        try:
            timeout_s = self._steps.send(outcomes if self._look_s else None)
        except StopIteration:
            self._over = True
            return
        self._look_s = time.monotonic() + timeout_s

    def stop(self) -> None:
        """Give up what runs; its processes are ended by whoever closes the executor, or by the seat."""
        self.seat.close()
        self._steps.close()
        self._scheduler.cancel()
        self._over = True

    def release(self) -> None:
        """Let other processes compute what was running here."""
        self._scheduler.release()

    @property
    def results(self) -> dict[str, StageResult]:
        """What became of each stage so far, in document order."""
        found = self._scheduler.results
        return {name: found[name] for name in self.planner.pipeline.stages if name in found}

    def result(self, parameters: Mapping[str, Any]) -> RunResult:
        """Return the trial as a run."""
        return RunResult(
            run_id=self.run_id,
            status=run_status(self.results, None, cancelled=False),
            notebook=self.planner.source.document.shown,
            output=None,
            parameters=parameters,
            seconds=self.seconds,
            stages=self.results,
            diagnostics=self.planner.pipeline.diagnostics,
        )

    def reports(self) -> list[tuple[int, float]]:
        """Return the reports of stages that earlier work served, which nobody has judged in this sweep."""
        served = (stage for stage in self.results.values() if stage.status == "reused")
        return [(int(step), float(value)) for stage in served for step, value in stage.series.get(REPORTED, ())]


def judge(run: RunResult, objectives: Sequence[Objective], pruned_at: int | None) -> Ended:
    """Say how a trial ended.

    Parameters
    ----------
    run : RunResult
    objectives : sequence of Objective
    pruned_at : int or None
        The step at which the sweep pruned it.
    """
    if pruned_at is not None:
        return Ended(state="PRUNED", error=f"pruned at step {pruned_at}")
    if run.status != "done":
        return Ended(state="FAIL", error=_why(run))
    values: list[float] = []
    for objective in objectives:
        value = metric_of(run, objective.metric)
        if value is None:
            return Ended(state="FAIL", error=_missing(run, objective.metric), lacks=objective.metric)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return Ended(state="FAIL", error=f"metric {objective.metric!r} is {value!r}, no number")
        if math.isnan(value):
            return Ended(state="FAIL", error=f"metric {objective.metric!r} is NaN")
        values.append(float(value))
    return Ended(state="COMPLETE", values=tuple(values))


def metric_of(run: RunResult, name: str) -> Any:  # noqa: ANN401 - JSON
    """Return a metric of a run by its name, or by ``STAGE.NAME``; None if no stage has logged it."""
    stage, _, own = name.partition(".")
    if own and stage in run.stages and own in run.stages[stage].metrics:
        return run.stages[stage].metrics[own]
    return run.metrics.get(name)


def _missing(run: RunResult, name: str) -> str:
    known = run.metrics
    near = get_close_matches(name, known, 1)
    return f"no stage logs the metric {name!r}" + (f"; did you mean {near[0]!r}?" if near else f"; logged are: {', '.join(known) or 'none'}")


def _why(run: RunResult) -> str:
    for stage in run.stages.values():
        if stage.error is not None and stage.status != "cancelled":
            return f"stage {stage.name} {stage.status}: {stage.error.type}: {stage.error.message}"
        if stage.status == "refused":
            return f"stage {stage.name} refused: {stage.reason}"
    return next((f"stage {stage.name} {stage.status}: {stage.reason}" for stage in run.stages.values() if stage.status == "not-run"), run.status)
