"""The trials that no other beats."""

from __future__ import annotations

import time

import pytest

from nbmlops.sweeps.state import SweepState, TrialState
from tests.views.sweeps import made_sweep


def by_definition(state: SweepState) -> list[int]:
    """Compare every trial with every other."""

    def beats(one: TrialState, other: TrialState) -> bool:
        pairs = list(zip(state.objectives, one.values, other.values, strict=True))
        return any(item.better(a, b) for item, a, b in pairs) and not any(item.better(b, a) for item, a, b in pairs)

    return [trial.number for trial in state.complete if not any(beats(other, trial) for other in state.complete)]


@pytest.mark.parametrize("objectives", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 200])
def test_front_is_what_it_says(count: int, objectives: int) -> None:
    """It holds those that no other beats, by number."""
    state = made_sweep(count, objectives=objectives)
    assert [trial.number for trial in state.front] == by_definition(state)


def test_equal_trials_are_both_on_the_front() -> None:
    """Of two trials with the same values neither beats the other."""
    state = made_sweep(0, objectives=2)
    trials = tuple(
        TrialState(number=number, state="COMPLETE", parameters={}, values=values) for number, values in enumerate([(1, 1), (0, 2), (1, 1)])
    )
    equal = SweepState(name="x", notebook="x", objectives=state.objectives, space={}, sampler="tpe", pruner="none", wanted=3, trials=trials)
    assert [trial.number for trial in equal.front] == [0, 2]


def test_front_of_many_trials_is_found_quickly() -> None:
    """It is asked for with every trial that ends: of 3,000 it takes less than a second."""
    state = made_sweep(3000, objectives=2)
    begun = time.process_time()
    assert state.front
    assert time.process_time() - begun < 1
