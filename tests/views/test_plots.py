"""The pictures of a sweep."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from nbmlops.views.plots import plots_of
from nbmlops.views.sweep import best_numbers
from tests.views.sweeps import made_sweep, trial

if TYPE_CHECKING:
    from nbmlops.sweeps.state import SweepState, TrialState
    from nbmlops.views.plots import Plot

SVG = "{http://www.w3.org/2000/svg}"


def drawn(state: SweepState) -> dict[str, Plot]:
    """Return the pictures by kind."""
    return {plot.kind: plot for plot in plots_of(state, best_numbers(state))}


def with_trials(*trials: TrialState) -> SweepState:
    """Return a sweep of one parameter with these trials."""
    return replace(made_sweep(0), trials=trials, space={"C": "float(0, 10)"}, wanted=len(trials))


def words(plot: Plot) -> set[str]:
    """Return what is written in a picture."""
    return {element.text or "" for element in ET.fromstring(plot.svg).iter(f"{SVG}text")}


def dots(plot: Plot) -> int:
    """Return how many trials are drawn as dots, the one of the legend left out."""
    return plot.svg.count("h0") - 1


@pytest.mark.parametrize(
    ("state", "kinds"),
    [
        pytest.param(made_sweep(0), [], id="empty"),
        pytest.param(with_trials(trial(0, state="FAIL")), [], id="nothing complete"),
        pytest.param(with_trials(trial(0, math.nan), trial(1, math.inf)), [], id="no number"),
        pytest.param(made_sweep(1), ["history", "parallel"], id="one trial"),
        pytest.param(made_sweep(20), ["history", "parallel", "importances"], id="one objective"),
        pytest.param(made_sweep(20, parameters=1), ["history", "parallel"], id="one parameter"),
        pytest.param(made_sweep(20, objectives=2), ["front", "parallel", "importances"], id="two objectives"),
        pytest.param(made_sweep(20, objectives=3), ["parallel", "importances"], id="three objectives"),
    ],
)
def test_which_pictures_there_are(state: SweepState, kinds: list[str]) -> None:
    """What is drawn hangs on the objectives, and on whether anything is known."""
    assert list(drawn(state)) == kinds


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_thousand_trials_stay_small(objectives: int) -> None:
    """No picture of 1,000 trials of 12 parameters takes more than 10 kB."""
    plots = drawn(made_sweep(1000, parameters=12, objectives=objectives))
    assert {kind: len(plot.svg) for kind, plot in plots.items() if len(plot.svg) > 10_000} == {}


def test_history_steps_to_the_best() -> None:
    """Each complete trial is a dot, each improvement a step; the title names the best."""
    plot = drawn(with_trials(trial(0, 1.0), trial(1, 0.5), trial(2, 2.0), trial(3, 1.5)))["history"]
    assert dots(plot) == 4
    assert len(re.findall(r"H[\d.]+V[\d.]+", plot.svg)) == 1
    assert "roc_auc: best 2 in trial 2" in words(plot)
    assert plot.alt == "History of roc_auc, to maximize: 4 trials, best 2 in trial 2"


def test_pruned_and_failed_trials_are_told_in_words() -> None:
    """Trials without a value stand at the foot, counted in the legend."""
    plot = drawn(with_trials(trial(0, 1.0), trial(1, state="PRUNED"), trial(2, state="FAIL"), trial(3, state="FAIL")))["history"]
    assert {"1 pruned", "2 failed"} <= words(plot)


def test_diverged_trial_does_not_flatten_the_others() -> None:
    """A value far beyond the others lies at the edge, which the legend says; the best is never beyond."""
    usual = [trial(number, 0.5 + number / 100) for number in range(10)]
    plot = drawn(with_trials(*usual, trial(10, -1e9)))["history"]
    assert "1 beyond the edge" in words(plot)
    assert "0.52" in words(plot)
    best = drawn(with_trials(*usual, trial(10, 1e9)))["history"]
    assert "1e+09" in words(best)


def test_thinning_keeps_the_best() -> None:
    """Of many trials each improvement is still drawn."""
    trials = [trial(number, float(number % 7)) for number in range(999)]
    plot = drawn(with_trials(*trials, trial(999, 9.0)))["history"]
    assert dots(plot) < 300
    assert "roc_auc: best 9 in trial 999" in words(plot)


def test_front_is_marked_by_shape() -> None:
    """The trials that no other beats are diamonds on a line."""
    state = made_sweep(40, objectives=2)
    plot = drawn(state)["front"]
    diamonds = plot.svg.count("l5 5-5 5-5-5z") - 1
    assert diamonds == len(state.front)
    assert dots(plot) == len(state.complete) - diamonds
    assert plot.alt == f"Pareto front: {diamonds} of {len(state.complete)} trials, by roc_auc (maximize) and brier (minimize)"


def test_parameter_that_a_trial_has_not_leaves_a_gap() -> None:
    """A conditional space gives lines in pieces."""
    whole, part = trial(0, 1.0, a=1, b=2, c=3), trial(1, 0.5, a=1, c=3)
    state = replace(with_trials(whole, part), space={"a": "int(0, 9)", "b": "int(0, 9)", "c": "int(0, 9)"})
    assert {"a", "b", "c", "roc_auc"} <= words(drawn(state)["parallel"])


def test_more_parameters_than_axes_are_told() -> None:
    """The most important parameters have axes, the title says how many more there are."""
    state = replace(made_sweep(20, parameters=9), importances={"parameter_8": 0.9, "parameter_7": 0.1})
    written = words(drawn(state)["parallel"])
    assert "Parameters and values (4 more parameters)" in written
    assert any(word.startswith("parameter_8"[:8]) for word in written)
