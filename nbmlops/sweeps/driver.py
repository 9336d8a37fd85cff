"""Drive trials side by side on one executor until enough have ended."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Protocol

from nbmlops.errors import NbmlopsError, StoreError, UsageError
from nbmlops.sweeps.listener import Listener
from nbmlops.sweeps.trial import Ended, judge

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence

    from nbmlops.executors.seats import SharedExecutor
    from nbmlops.runner.results import RunResult
    from nbmlops.sweeps.state import Objective
    from nbmlops.sweeps.study import Asked, SweepStudy
    from nbmlops.sweeps.trial import TrialRun

__all__ = ["Driver", "Surroundings"]

_POLL_S = 0.2
_OTHERS_S = 1.0
_TAKE_OVER_S = 5.0


class Surroundings(Protocol):
    """What the driver asks of the session: how a trial begins, and what its end leaves behind."""

    def begin(self, asked: Asked, listener: str) -> TrialRun:
        """Return the trial's run, not yet advanced; raise NbmlopsError if its parameters cannot be meant."""

    def keep(self, trial: TrialRun, run: RunResult, ended: Ended) -> Mapping[str, Any]:
        """Write down a trial that has ended; return what the study is to keep of it."""

    def tell(self, trial: TrialRun, run: RunResult, ended: Ended) -> None:
        """Tell the trackers of a trial that has ended."""

    def broken_off(self, trial: TrialRun) -> None:
        """Write down that a trial was broken off, and will be tried again."""

    def constraints(self, run: RunResult, asked: Asked) -> Mapping[str, float]:
        """Return what must not be above 0 for the trial to be feasible, by name."""

    def changed(self) -> None:
        """Take note that a trial has begun or ended."""


class Driver:
    """Runs the trials of one study.

    Parameters
    ----------
    study : SweepStudy
    shared : SharedExecutor
    surroundings : Surroundings
    wanted : int
        How many finished trials there are to be in all.
    stop : threading.Event
        Set from anywhere to break off what runs.
    doubtful : frozenset of str
        The objectives of which nobody knows whether any trial will log them: if the first to end has not, they are taken for a slip of the pen.
    """

    def __init__(
        self,
        study: SweepStudy,
        shared: SharedExecutor,
        surroundings: Surroundings,
        *,
        wanted: int,
        stop: threading.Event,
        doubtful: frozenset[str] = frozenset(),
    ) -> None:
        self._study = study
        self._shared = shared
        self._around = surroundings
        self._wanted = wanted
        self._stop = stop
        self._doubtful = doubtful
        self._running: list[TrialRun] = []
        self._looked_s = time.monotonic()

    @property
    def _objectives(self) -> Sequence[Objective]:
        return self._study.objectives

    def run(self) -> None:
        """Run trials until enough have ended, or `stop` is set.

        Raises
        ------
        UsageError
            If the first trial that ends has not logged a doubtful objective.
        KeyboardInterrupt
            After all that ran has been broken off.
        """
        with ExitStack() as stack:
            listener = stack.enter_context(Listener(self._prunes))
            stack.callback(self._break_off)
            while not self._stop.is_set():
                self._take_over()
                begun = self._begin_some(listener.address)
                if not self._running and not begun and not self._others_work():
                    return
                self._advance()

    def _begin_some(self, listener: str) -> bool:
        begun = False
        while len(self._running) < self._most_at_once() and not self._stop.is_set():
            asked = self._study.ask(self._wanted)
            if asked is None:
                break
            begun = True
            try:
                trial = self._around.begin(asked, listener)
            except StoreError:
                self._study.interrupt(asked)
                raise
            except NbmlopsError as error:
                self._study.note(asked, "FAIL", (), {"run_id": "", "error": str(error)})
                self._study.tell(asked, "FAIL", ())
                if isinstance(error, UsageError):
                    raise  # ranges were checked before: a callable has chosen what no parameter can be
                self._around.changed()
                continue
            self._running.append(trial)
            self._around.changed()
            self._step(trial, [])
        return begun

    def _most_at_once(self) -> int:
        """Return how many trials may run side by side: one, where they write the same files."""
        return 1 if any(trial.writes_files for trial in self._running) else self._shared.executor.workers

    def _advance(self) -> None:
        """Wait for what comes first, and let the trials that it is for go on."""
        if not self._running:
            self._stop.wait(_OTHERS_S)
            return
        timeout_s = min((trial.patience_s for trial in self._running), default=_POLL_S)
        outcomes = self._shared.wait(min(timeout_s, _POLL_S))
        for trial in list(self._running):
            if trial.seat in outcomes or trial.patience_s <= 0:
                self._step(trial, outcomes.get(trial.seat, []))

    def _step(self, trial: TrialRun, outcomes: list[Any]) -> None:
        try:
            trial.advance(outcomes)
        except StoreError:
            raise
        except NbmlopsError as error:
            trial.stop()
            self._conclude(trial, Ended(state="FAIL", error=str(error)))
            return
        if trial.is_over:
            self._conclude(trial, None)

    def _conclude(self, trial: TrialRun, ended: Ended | None) -> None:
        asked = trial.asked
        run = trial.result(asked.parameters)
        if ended is None:
            for step, value in trial.reports():
                if trial.pruned_at is None and self._judged(trial, step, value):
                    trial.prune(step)
            ended = judge(run, self._objectives, trial.pruned_at)
        if ended.state == "COMPLETE":
            for name, value in self._around.constraints(run, asked).items():
                asked.trial.set_constraint(name, value)
        kept = self._around.keep(trial, run, ended)
        self._study.note(asked, ended.state, ended.values, {**kept, "error": ended.error})
        trial.ended = ended
        self._finish(trial, run, ended)
        if ended.lacks in self._doubtful and not any(other.state == "COMPLETE" for other in self._study.trials()):
            raise UsageError(f"trial {asked.number}: {ended.error}", code="NB021", fix="name a metric that the notebook logs")

    def _finish(self, trial: TrialRun, run: RunResult, ended: Ended) -> None:
        """Tell everybody of a trial whose end is noted: that can be done again, if something comes between."""
        self._around.tell(trial, run, ended)
        self._study.tell(trial.asked, ended.state, ended.values)
        self._running.remove(trial)
        self._around.changed()

    def _prunes(self, attempt: str, step: int, value: float) -> bool:
        """Judge a report of a stage that runs; called from the listener's thread."""
        trial = next((item for item in list(self._running) if attempt in item.seat.begun), None)
        if trial is None:
            return False
        if trial.pruned_at is None and self._judged(trial, step, value):
            trial.prune(step)
        return trial.pruned_at is not None

    def _judged(self, trial: TrialRun, step: int, value: float) -> bool:
        if len(self._objectives) != 1:
            return False  # Optuna prunes trials of one objective only
        trial.asked.trial.report(value, step)
        return bool(trial.asked.trial.should_prune())

    def _take_over(self) -> None:
        if time.monotonic() - self._looked_s > _TAKE_OVER_S:
            self._looked_s = time.monotonic()
            self._study.take_over()

    def _others_work(self) -> bool:
        """Tell whether to wait for the trials of other processes: those of one that dies are ours to do."""
        return self._study.others_work()

    def _break_off(self) -> None:
        for trial in list(self._running):
            if trial.ended is not None:
                with suppress(NbmlopsError):
                    self._finish(trial, trial.result(trial.asked.parameters), trial.ended)
                continue
            with suppress(NbmlopsError):
                trial.stop()
            with suppress(NbmlopsError):
                self._around.broken_off(trial)
            with suppress(NbmlopsError):
                self._study.interrupt(trial.asked)
        self._running.clear()
        with suppress(NbmlopsError):
            self._study.interrupt_left()
