"""How a sweep stands: what its command answers, what its panel shows, what its trackers are told."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Objective", "SweepState", "TrialState"]

FINISHED = frozenset({"COMPLETE", "PRUNED", "FAIL"})


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric to be made as large, or as small, as it goes.

    Parameters
    ----------
    metric : str
        As a run names it: ``roc_auc``, or ``evaluate.roc_auc`` where two stages have one of that name.
    direction : {"maximize", "minimize"}
    """

    metric: str
    direction: str

    def better(self, one: float, other: float) -> bool:
        """Tell whether the value `one` is better than `other`."""
        return one > other if self.direction == "maximize" else one < other


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialState:
    """One trial.

    Parameters
    ----------
    number : int
        Optuna's, from 0.
    state : {"RUNNING", "COMPLETE", "PRUNED", "FAIL"}
    parameters : mapping of str to object
        The swept ones, with the values that the trial has.
    values : tuple of float
        One for each objective; empty unless it is complete.
    seconds : float
        From its start to its end; of a running one, to now.
    ran, reused : tuple of str
        The stages that it computed, and those that earlier work served.
    run_id : str
    reports : tuple of (int, float)
        Step and value of each `nbmlops.report`, in the order of the steps.
    error : str
        Why it failed, or where it was pruned, in one line.
    """

    number: int
    state: str
    parameters: Mapping[str, Any]
    values: tuple[float, ...] = ()
    seconds: float = 0.0
    ran: tuple[str, ...] = ()
    reused: tuple[str, ...] = ()
    run_id: str = ""
    reports: tuple[tuple[int, float], ...] = ()
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the trial as the CLI contract gives it."""
        return {
            "number": self.number,
            "state": self.state,
            "parameters": dict(self.parameters),
            "values": list(self.values),
            "seconds": round(self.seconds, 3),
            "ran": list(self.ran),
            "reused": list(self.reused),
            "run_id": self.run_id,
            "error": self.error or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepState:
    """A sweep at one moment.

    Parameters
    ----------
    name : str
    notebook : str
        As the user named it.
    objectives : tuple of Objective
    space : mapping of str to str
        Each swept parameter's range as ``--space`` takes it: ``float(0.01, 0.3, log)``.
    sampler, pruner : str
        Their names on the command line.
    wanted : int
        How many finished trials are wanted in all.
    status : {"running", "done", "stopped", "failed"}
    trials : tuple of TrialState
        By number. Those that a killed worker has left, and that were tried again, are not among them.
    importances : mapping of str to float
        Optuna's importance of each parameter for the first objective, largest first, summing to 1; empty while there are too few trials.
    seconds_left : float or None
        An estimate; None while nothing tells.
    best_run : mapping of str to str
        ``run_id`` and ``output`` of the best trial's full run, once there is one.
    tracking : mapping of str to mapping
        Where each tracker shows the sweep.
    error : str
        Why the sweep itself failed.
    """

    name: str
    notebook: str
    objectives: tuple[Objective, ...]
    space: Mapping[str, str]
    sampler: str
    pruner: str
    wanted: int
    status: str = "running"
    trials: tuple[TrialState, ...] = ()
    importances: Mapping[str, float] = field(default_factory=dict)
    seconds_left: float | None = None
    best_run: Mapping[str, str] = field(default_factory=dict)
    tracking: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    error: str = ""

    @property
    def complete(self) -> tuple[TrialState, ...]:
        """The trials that have values."""
        return tuple(trial for trial in self.trials if trial.state == "COMPLETE")

    @property
    def finished(self) -> tuple[TrialState, ...]:
        """The trials that have ended, however."""
        return tuple(trial for trial in self.trials if trial.state in FINISHED)

    @property
    def counts(self) -> dict[str, int]:
        """How many trials are in each state."""
        return dict(Counter(trial.state for trial in self.trials))

    @property
    def best(self) -> TrialState | None:
        """The best complete trial, the earlier of equal ones; None with several objectives: then there is a `front`."""
        if len(self.objectives) != 1:
            return None
        objective, found = self.objectives[0], None
        for trial in self.complete:
            if found is None or objective.better(trial.values[0], found.values[0]):
                found = trial
        return found

    @property
    def front(self) -> tuple[TrialState, ...]:
        """The complete trials that no other is better than in every respect (the Pareto front)."""
        signs = [1.0 if item.direction == "maximize" else -1.0 for item in self.objectives]
        # what is better in every respect comes before, so that a trial is compared with the front alone
        ordered = sorted(self.complete, key=lambda trial: [-sign * value for sign, value in zip(signs, trial.values, strict=True)])
        front: list[TrialState] = []
        for trial in ordered:
            if not any(self._dominates(other, trial) for other in front):
                front.append(trial)
        return tuple(sorted(front, key=lambda trial: trial.number))

    def _dominates(self, one: TrialState, other: TrialState) -> bool:
        pairs = list(zip(self.objectives, one.values, other.values, strict=True))
        return any(item.better(a, b) for item, a, b in pairs) and not any(item.better(b, a) for item, a, b in pairs)

    def to_line(self) -> str:
        """Return all of it as one line, for `from_line` in another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> SweepState:
        """Rebuild a state from `to_line`."""
        data = json.loads(line)
        trials = tuple(
            TrialState(
                **{
                    **item,
                    **{name: tuple(item[name]) for name in ("values", "ran", "reused")},
                    "reports": tuple((step, value) for step, value in item["reports"]),
                }
            )
            for item in data["trials"]
        )
        return cls(**{**data, "trials": trials, "objectives": tuple(Objective(**item) for item in data["objectives"])})

    def to_json(self) -> dict[str, Any]:
        """Return the sweep as the CLI contract gives it."""
        best = self.best
        return {
            "name": self.name,
            "notebook": self.notebook,
            "status": self.status,
            "objectives": [{"metric": item.metric, "direction": item.direction} for item in self.objectives],
            "space": dict(self.space),
            "sampler": self.sampler,
            "pruner": self.pruner,
            "best": None
            if best is None
            else {"number": best.number, "parameters": dict(best.parameters), "values": list(best.values), **dict(self.best_run)},
            "front": [trial.number for trial in self.front] if len(self.objectives) > 1 else [],
            "trials": [trial.to_json() for trial in self.trials],
            "importances": dict(self.importances),
            "tracking": {name: dict(value) for name, value in self.tracking.items()},
            "error": self.error or None,
        }
