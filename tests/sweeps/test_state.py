"""What is said of a sweep: best, front, counts, and the line that crosses a process."""

from __future__ import annotations

import math
from typing import Any

from nbmlops.sweeps.state import Objective, SweepState, TrialState


def state(*trials: TrialState, objectives: tuple[Objective, ...] = (Objective("auc", "maximize"),), **more: Any) -> SweepState:
    return SweepState(
        name="s", notebook="nb.ipynb", objectives=objectives, space={"x": "int(1, 2)"}, sampler="tpe", pruner="none", wanted=9, trials=trials, **more
    )


def trial(number: int, *values: float, state: str = "COMPLETE") -> TrialState:
    return TrialState(number=number, state=state, parameters={"x": number}, values=values)


def test_the_best_is_the_first_of_the_best_that_are_complete() -> None:
    """Neither a trial that failed nor a later equal one."""
    found = state(trial(0, 0.5), trial(1, 0.7), trial(2, 0.7), trial(3, state="FAIL"))
    assert found.best == trial(1, 0.7)
    assert state(trial(0, 0.5), trial(1, 0.7), objectives=(Objective("loss", "minimize"),)).best == trial(0, 0.5)
    assert state(trial(0, state="FAIL")).best is None


def test_an_infinite_value_is_ordered() -> None:
    """Infinity is the largest, as in mathematics."""
    assert state(trial(0, math.inf), trial(1, 0.7)).best == trial(0, math.inf)


def test_the_front_is_what_nothing_dominates() -> None:
    """With two objectives there is no best, but a front; equal trials are both on it."""
    both = (Objective("auc", "maximize"), Objective("cost", "minimize"))
    found = state(trial(0, 1.0, 1.0), trial(1, 2.0, 2.0), trial(2, 0.5, 2.0), trial(3, 1.0, 1.0), objectives=both)
    assert found.best is None
    assert [item.number for item in found.front] == [0, 1, 3]
    assert found.to_json()["front"] == [0, 1, 3]


def test_a_line_gives_the_state_back() -> None:
    """Also with values that JSON has not."""
    given = state(
        TrialState(number=0, state="PRUNED", parameters={"x": [1, "a"]}, reports=((0, 0.5), (1, math.inf)), ran=("a",), reused=("b",), error="why\n"),
        trial(1, -math.inf),
        seconds_left=2.5,
        importances={"x": 1.0},
        best_run={"run_id": "r"},
    )
    assert SweepState.from_line(given.to_line()) == given
    assert "\n" not in given.to_line()
