"""One sweep's trials in Optuna's storage: asked for, told, found again, and taken over from workers that were killed."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import optuna
from optuna.trial import TrialState as Ended

from nbmlops.errors import StoreError, UsageError
from nbmlops.store.locks import file_lock
from nbmlops.sweeps.choosing import make_pruner, make_sampler
from nbmlops.sweeps.state import Objective, TrialState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

    from nbmlops.sweeps.space import Range

__all__ = ["Asked", "SweepStudy"]

_SIGN_OF_LIFE_S = 30.0
_DEAD_AFTER_S = 300.0
_MOST_RETRIES = 3
_OWN = "nbmlops"  # the attribute of a study and of a trial that holds what is ours


class Asked:
    """A trial that is to be run.

    Parameters
    ----------
    trial : optuna.trial.Trial
    parameters : dict of str to object
        The notebook's parameters that it sets.
    """

    def __init__(self, trial: Trial, parameters: dict[str, Any]) -> None:
        self.trial = trial
        self.parameters = parameters
        self.number: int = trial.number


class SweepStudy:
    """One sweep, as this process works on it; others may work on it too.

    Parameters
    ----------
    name : str
    storage : optuna.storages.BaseStorage
    folder : Path
        On this machine, for the locks that tell which workers are alive.
    space : mapping of str to Range
    objectives : sequence of Objective
    sampler, pruner : str
    seed : int
    was_told : callable, optional
        Tells of a run id whether the trackers were told of its end.
    more : callable, optional
        Chooses further parameters of a trial: takes Optuna's trial, returns their values by name.

    Raises
    ------
    UsageError
        If the storage holds a sweep of that name with another space or other objectives.
    """

    def __init__(  # noqa: PLR0913 - what makes a sweep
        self,
        name: str,
        storage: BaseStorage,
        folder: Path,
        *,
        space: Mapping[str, Range],
        objectives: Sequence[Objective],
        sampler: str,
        pruner: str,
        seed: int,
        was_told: Callable[[str], bool] = lambda _run_id: True,
        more: Callable[[Trial], Mapping[str, Any]] | None = None,
    ) -> None:
        self.name = name
        self.space = dict(space)
        self.objectives = tuple(objectives)
        self._more = more
        self._was_told = was_told
        self._folder = folder
        self._session = uuid.uuid4().hex[:16]
        self._alive = ExitStack()
        self._signs: dict[int, float] = {}
        self._settled: list[TrialState] = []
        self._looked = 0
        self._looking = threading.Lock()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._open: Callable[[], optuna.Study] = lambda: optuna.create_study(
            study_name=name,
            storage=storage,
            directions=[optuna.study.StudyDirection[item.direction.upper()] for item in objectives],
            sampler=make_sampler(sampler, seed, space),
            pruner=make_pruner(pruner),
            load_if_exists=True,
        )
        self.study = self._open()
        self.id = self._claim({"space": {item.name: str(item) for item in space.values()}, "objectives": [item.metric for item in objectives]})

    def __enter__(self) -> Self:
        """Be known to be alive, and take over what dead workers have left."""
        self._alive.enter_context(file_lock(self._lock_of(self._session)))
        self.take_over()
        return self

    def __exit__(self, *_: object) -> None:
        """Be known to be gone."""
        self._alive.close()
        with suppress(OSError):
            self._lock_of(self._session).unlink(missing_ok=True)

    def _claim(self, own: dict[str, Any]) -> str:
        """Note what the sweep is about, or refuse to go on with one that is about something else; return its id."""
        with self._alone():
            known = self.study.user_attrs.get(_OWN)
            if known is None:
                if self.study.trials:
                    raise UsageError(
                        f"the storage holds a study {self.name!r} that is no sweep of nbmlops", code="NB022", fix="give another --name, or --storage"
                    )
                known = {"id": uuid.uuid4().hex[:16], **own}
                self.study.set_user_attr(_OWN, known)
        if self._differs(known, own) and not self._is_begun():
            optuna.delete_study(study_name=self.name, storage=self.study._storage)  # noqa: SLF001 - nothing came of it: a slip of the pen
            self.study = self._open()
            return self._claim(own)
        directions = [item.name.lower() for item in self.study.directions]
        if known["objectives"] != own["objectives"] or directions != [item.direction for item in self.objectives]:
            had = ", ".join(f"{way} {metric}" for way, metric in zip(directions, known["objectives"], strict=False))
            raise UsageError(f"the sweep {self.name!r} is there already, to {had}", code="NB022", fix="give another --name, or the same objectives")
        for name in sorted({*known["space"], *own["space"]}):
            had, wanted = known["space"].get(name, "no range"), own["space"].get(name, "no range")
            if had != wanted:
                raise UsageError(
                    f"the sweep {self.name!r} is there already, with {name} in {had}, not {wanted}",
                    code="NB022",
                    fix="give another --name, or the same space",
                )
        found: str = known["id"]
        return found

    def _differs(self, known: dict[str, Any], own: dict[str, Any]) -> bool:
        directions = [item.name.lower() for item in self.study.directions]
        return any(known[name] != value for name, value in own.items()) or directions != [item.direction for item in self.objectives]

    def _is_begun(self) -> bool:
        """Tell whether a trial has given something, or may yet."""
        return any(trial.state in {Ended.RUNNING, Ended.COMPLETE, Ended.PRUNED} for trial in self._all())

    def ask(self, wanted: int) -> Asked | None:
        """Return the next trial to run; None where enough have ended or are under way, here or elsewhere.

        Parameters
        ----------
        wanted : int
            How many finished trials there are to be in all.
        """
        with self._alone():
            trials = self._all()
            waiting = [trial for trial in trials if trial.state == Ended.WAITING]
            counted = sum(1 for trial in trials if trial.state != Ended.WAITING and not trial.user_attrs.get("interrupted"))
            if counted >= wanted or (not waiting and self._is_exhausted()):
                return None
            running = {trial.number for trial in trials if trial.state == Ended.RUNNING}
            try:
                trial = self.study.ask({name: item.distribution() for name, item in self.space.items()})
                trial.set_user_attr(_OWN, self._sign())
            except BaseException:
                self._give_back(running)
                raise
        self._signs[trial.number] = time.monotonic()
        parameters = {name: item.value(trial.params[name]) for name, item in self.space.items()}
        if self._more is not None:
            try:
                parameters |= dict(self._more(trial))
            except Exception as error:
                self.study.tell(trial, state=Ended.FAIL)
                self._signs.pop(trial.number, None)
                why = f"{type(error).__name__}: {error}"
                raise UsageError(f"the callable of the space gives no parameters: {why}", code="NB020", fix="return them by name") from error
        return Asked(trial, parameters)

    def _give_back(self, running: set[int]) -> None:
        """Interrupt what was asked for just now and bears no sign of ours yet; in a storage of several machines it may be another's."""
        for trial in self._all() if self._is_here() else ():
            if trial.state == Ended.RUNNING and trial.number not in running and _OWN not in trial.user_attrs:
                self._end_for_another(trial)
        self._retry()

    def _is_exhausted(self) -> bool:
        sampler = self.study.sampler
        return isinstance(sampler, optuna.samplers.GridSampler) and sampler.is_exhausted(self.study)

    def note(self, asked: Asked, state: str, values: Sequence[float], kept: Mapping[str, Any]) -> None:
        """Note how a trial has ended, before the trackers are told: if this process dies now, another one ends it so.

        Parameters
        ----------
        asked : Asked
        state : {"COMPLETE", "PRUNED", "FAIL"}
        values : sequence of float
            One for each objective, if it is complete.
        kept : mapping of str to JSON
            What else to know of it later; ``run_id`` at least.
        """
        outcome = {"state": state, "values": list(values)}
        asked.trial.set_user_attr(_OWN, {**self._sign(), **kept, "parameters": asked.parameters, "outcome": outcome})

    def tell(self, asked: Asked, state: str, values: Sequence[float]) -> None:
        """End a trial as it was noted."""
        self.study.tell(asked.trial, values if state == "COMPLETE" else None, Ended[state], skip_if_finished=True)
        self._signs.pop(asked.number, None)

    def interrupt(self, asked: Asked) -> None:
        """Note that a trial was broken off and did not end: its parameters are tried again when the sweep goes on."""
        asked.trial.set_user_attr("interrupted", True)  # noqa: FBT003 - Optuna's signature
        self.study.tell(asked.trial, state=Ended.FAIL)
        self._signs.pop(asked.number, None)
        with self._alone():
            self._retry()

    def interrupt_left(self) -> None:
        """Interrupt what this process has asked for and does not run: Ctrl-C may come between asking for a trial and beginning it."""
        with self._alone():
            for trial in self._all():
                if trial.state == Ended.RUNNING and trial.user_attrs.get(_OWN, {}).get("session") == self._session:
                    self._end_for_another(trial)
            self._retry()
        self._signs.clear()

    def take_over(self) -> None:
        """Fail the trials whose workers have died, and queue their parameters; show that our own are alive."""
        with self._alone():
            for trial in self._all():
                if trial.state == Ended.RUNNING and trial.number not in self._signs and self._is_dead(trial):
                    self._end_for_another(trial)
            self._retry()
        now_s = time.monotonic()
        for number, shown_s in list(self._signs.items()):
            if now_s - shown_s > _SIGN_OF_LIFE_S:
                self._signs[number] = now_s
                self.study._storage.set_trial_user_attr(self._all()[number]._trial_id, _OWN, self._sign())  # noqa: SLF001

    def _end_for_another(self, trial: FrozenTrial) -> None:
        own = trial.user_attrs.get(_OWN, {})
        outcome = own.get("outcome")
        with suppress(optuna.exceptions.UpdateFinishedTrialError, ValueError):
            if outcome is not None and self._was_told(own["run_id"]):
                values = outcome["values"] if outcome["state"] == "COMPLETE" else None
                self.study.tell(trial.number, values, Ended[outcome["state"]])
                return
            self.study._storage.set_trial_user_attr(trial._trial_id, "interrupted", True)  # noqa: FBT003, SLF001 - there is no public way
            self.study.tell(trial.number, state=Ended.FAIL)

    def _retry(self) -> None:
        """Queue again what was broken off, unless it has been queued already: whoever was killed in between has not."""
        trials = self._all()
        again = {trial.user_attrs["retry_of"] for trial in trials if "retry_of" in trial.user_attrs}
        for trial in trials:
            if not trial.user_attrs.get("interrupted") or not trial.state.is_finished() or trial.number in again or not trial.params:
                continue
            self.study.add_trial(
                optuna.create_trial(
                    state=Ended.WAITING,
                    params=trial.params,
                    distributions=trial.distributions,
                    system_attrs={**trial.system_attrs, "failed_trial": trial.number},
                    user_attrs={"retry_of": trial.number},
                )
            )

    def _is_dead(self, trial: FrozenTrial) -> bool:
        own = trial.user_attrs.get(_OWN)
        begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
        if own is None:
            # it was asked for under the lock that we hold: if on this machine, then by a process that has died since
            return self._is_here() or time.time() - begun > _DEAD_AFTER_S
        if own["host"] != _host():
            return bool(time.time() - own["seen_s"] > _DEAD_AFTER_S)
        try:
            with file_lock(self._lock_of(own["session"]), timeout_s=0):
                self._lock_of(own["session"]).unlink(missing_ok=True)
        except StoreError:
            return False
        return True

    def _is_here(self) -> bool:
        return isinstance(self.study._storage, optuna.storages.JournalStorage)  # noqa: SLF001

    def trials(self) -> tuple[TrialState, ...]:
        """Return the trials by number, without those that were broken off and are tried again."""
        # the trials before the first that has not ended stay what they are: with a thousand of them, only the rest is looked at
        with self._looking:  # a panel's thread asks too
            trials = self._all()
            settled = next((place for place in range(self._looked, len(trials)) if not trials[place].state.is_finished()), len(trials))
            self._settled += self._states_of(trials[self._looked : settled])
            self._looked = settled
            return (*self._settled, *self._states_of(trials[settled:]))

    def _states_of(self, trials: Sequence[FrozenTrial]) -> list[TrialState]:
        return [self._state_of(trial) for trial in trials if trial.state != Ended.WAITING and not trial.user_attrs.get("interrupted")]

    def _state_of(self, trial: FrozenTrial) -> TrialState:
        kept = trial.user_attrs.get(_OWN, {})
        drawn = {name: self.space[name].value(value) if name in self.space else value for name, value in trial.params.items()}
        begun = trial.datetime_start or datetime.now()  # noqa: DTZ005 - Optuna's times are those of the clock on the wall
        ended = trial.datetime_complete or datetime.now()  # noqa: DTZ005
        return TrialState(
            number=trial.number,
            state=trial.state.name,
            parameters=kept.get("parameters", drawn),
            values=tuple(trial.values or ()) if trial.state == Ended.COMPLETE else (),
            seconds=kept.get("seconds", max(0.0, (ended - begun).total_seconds())),
            ran=tuple(kept.get("ran", ())),
            reused=tuple(kept.get("reused", ())),
            run_id=kept.get("run_id", ""),
            reports=tuple(sorted(trial.intermediate_values.items())),
            error=kept.get("error", ""),
        )

    def keys_of(self, number: int) -> dict[str, str]:
        """Return the stage keys of a trial that has ended, by stage."""
        return dict(self._all()[number].user_attrs.get(_OWN, {}).get("keys", {}))

    def importances(self) -> dict[str, float]:
        """Return Optuna's importance of each parameter for the first objective, the largest first; empty while there are too few trials."""
        single = len(self.objectives) == 1
        try:
            found = optuna.importance.get_param_importances(
                self.study,
                evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                target=None if single else (lambda trial: float(trial.values[0])),
            )
        except (ValueError, RuntimeError):
            return {}  # one trial, or all of equal value
        return {name: float(value) for name, value in found.items()}

    def others_work(self) -> bool:
        """Tell whether another process works on the sweep."""
        return any(trial.state == Ended.RUNNING and trial.number not in self._signs for trial in self._all())

    def _all(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _sign(self) -> dict[str, Any]:
        return {"session": self._session, "host": _host(), "seen_s": time.time()}

    def _lock_of(self, session: str) -> Path:
        return self._folder / f"{session}.alive"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only process of this machine that looks and then asks."""
        with file_lock(self._folder / "asking.lock"):
            yield


def _host() -> str:
    return f"{socket.gethostname()}:{os.getuid()}"
