"""Samplers and pruners by their names; a sampler whose choice follows from seed, trial and what is known, and from nothing else."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import optuna
from optuna.samplers import BaseSampler

from nbmlops.errors import MissingDependency, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.study import Study
    from optuna.trial import FrozenTrial, TrialState

    from nbmlops.sweeps.space import Range

__all__ = ["PRUNERS", "SAMPLERS", "PredictableSampler", "make_pruner", "make_sampler"]

PRUNERS = ("none", "median", "percentile", "hyperband", "halving")
SAMPLERS = ("tpe", "random", "grid", "cmaes", "gp", "nsga2")
_NEEDED = {"cmaes": "cmaes", "gp": "torch"}


def make_sampler(name: str, seed: int, space: Mapping[str, Range]) -> BaseSampler:
    """Return the sampler that Optuna has under a name.

    Parameters
    ----------
    name : {"tpe", "random", "grid", "cmaes", "gp", "nsga2"}
    seed : int
        From 0; the same seed and the same finished trials make the same choice.
    space : mapping of str to Range
        What a grid is made of.

    Raises
    ------
    MissingDependency
        If it needs a package that is not installed.
    """
    samplers = optuna.samplers
    makers: dict[str, Callable[[int], BaseSampler]] = {
        "tpe": lambda own: samplers.TPESampler(seed=own),
        "random": lambda own: samplers.RandomSampler(seed=own),
        "cmaes": lambda own: samplers.CmaEsSampler(seed=own),
        "gp": lambda own: samplers.GPSampler(seed=own),
        "nsga2": lambda own: samplers.NSGAIISampler(seed=own),
    }
    if name == "grid":
        return _Grid({parameter: item.grid() for parameter, item in space.items()}, seed=seed)
    _check(name, SAMPLERS, "sampler")
    package = _NEEDED.get(name)
    if package is not None and find_spec(package) is None:  # Optuna would say so at the first trial
        raise MissingDependency(package, name, f"the sampler {name!r}")
    return PredictableSampler(makers[name], seed)


def make_pruner(name: str) -> BasePruner:
    """Return the pruner that Optuna has under a name, with Optuna's own settings (a quarter for ``percentile``)."""
    _check(name, PRUNERS, "pruner")
    pruners = optuna.pruners
    makers: dict[str, Callable[[], BasePruner]] = {
        "none": pruners.NopPruner,
        "median": pruners.MedianPruner,
        "percentile": lambda: pruners.PercentilePruner(25.0),
        "hyperband": pruners.HyperbandPruner,
        "halving": pruners.SuccessiveHalvingPruner,
    }
    return makers[name]()


def _check(name: str, known: tuple[str, ...], what: str) -> None:
    if name not in known:
        raise UsageError(f"there is no {what} {name!r}", code="NB004", fix=f"choose from: {', '.join(known)}")


class PredictableSampler(BaseSampler):
    """Another sampler, made anew for each trial and seeded by the trial's place.

    Optuna's samplers draw from one random state that goes on from trial to trial: a sweep that is continued would begin it again, and
    repeat its first trials. A trial that a killed worker left and that was tried again does not count, so that the ones after it are
    what they would have been.

    Parameters
    ----------
    make : callable
        Makes the sampler from a seed.
    seed : int
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make = make
        self._seed = seed
        self._current: tuple[int, BaseSampler] | None = None

    def _of(self, study: Study, trial: FrozenTrial) -> BaseSampler:
        if self._current is None or self._current[0] != trial.number:
            place = trial.number - sum(1 for other in study.get_trials(deepcopy=False)[: trial.number] if other.user_attrs.get("interrupted"))
            own = int.from_bytes(hashlib.blake2b(f"{self._seed}:{place}".encode(), digest_size=4).digest(), "big")
            self._current = (trial.number, self._make(own))
        return self._current[1]

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Ask the trial's own sampler."""
        return self._of(study, trial).infer_relative_search_space(study, trial)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Ask the trial's own sampler."""
        return self._of(study, trial).sample_relative(study, trial, search_space)

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:  # noqa: ANN401
        """Ask the trial's own sampler."""
        return self._of(study, trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Tell the trial's own sampler."""
        self._of(study, trial).before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Tell the trial's own sampler."""
        self._of(study, trial).after_trial(study, trial, state, values)


class _Grid(optuna.samplers.GridSampler):
    """A grid that does not stop the study at its end: nobody runs it with `Study.optimize`, and `stop` raises elsewhere."""

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Do nothing."""
