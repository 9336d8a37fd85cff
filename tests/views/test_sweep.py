"""A sweep as text and as a card."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import pytest

from nbmlops.views.sweep import best_line, best_numbers, headline, sweep_html, sweep_text, trial_header, trial_row
from tests.views.sweeps import made_sweep, trial

TEXT = """\
sweep demo of nb.ipynb: stopped, 3 of 9 trials (1 complete, 1 pruned, 1 failed)

best trial 0: roc_auc 0.7123
  C  0.25

trial  state       roc_auc     C   took  note
    0  ✓ complete   0.7123  0.25  1.5 s  best
    1  ✂ pruned                2  1.5 s
    2  ✗ failed                3  1.5 s  ValueError: no

✗ trial 2: ValueError: no

space    C = float(0, 1)
sampler  tpe, pruner median
mlflow   experiment demo, run_id ab12"""


def test_text_of_a_small_sweep() -> None:
    """Counts, the best, the trials, why one failed, and where to look further."""
    trials = (trial(0, 0.71234, C=0.25), trial(1, state="PRUNED"), replace(trial(2, state="FAIL"), error="ValueError: no"))
    assert sweep_text(replace(made_sweep(0), status="stopped", wanted=9, space={"C": "float(0, 1)"}, trials=trials)) == TEXT


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_empty_sweep(objectives: int) -> None:
    """Before the first trial there is a headline, and neither table nor picture."""
    state = replace(made_sweep(0, objectives=objectives, status="running"), wanted=5)
    assert sweep_text(state).startswith("sweep demo of nb.ipynb: running, 0 of 5 trials\n\nspace")
    assert not re.search("<img|<table", sweep_html(state))


def test_time_that_is_left() -> None:
    """It is told while the sweep runs, if anybody knows it."""
    state = replace(made_sweep(5, status="running"), seconds_left=42.0)
    assert headline(state).endswith("), about 42 s left")
    assert "left" not in headline(replace(state, status="done"))
    assert "left" not in headline(replace(state, seconds_left=math.nan))


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_thousand_trials_stay_small(objectives: int) -> None:
    """A card of 1,000 trials of 12 parameters takes less than 90 kB, a terminal fewer than 70 lines; both say what they leave out."""
    state = made_sweep(1000, parameters=12, objectives=objectives)
    page, text = sweep_html(state), sweep_text(state)
    assert len(page) < 90_000
    assert len(text.splitlines()) < 70
    assert "60 of 1000 trials" in page
    assert "20 of 1000 trials" in text
    assert "trials failed; the last 10:" in text


def test_best_is_among_the_trials_that_are_shown() -> None:
    """The table of many trials has the best ones and the last ones."""
    state = replace(made_sweep(0), space={"C": "float(0, 1)"}, trials=(trial(0, 9.0), *(trial(number, 1.0) for number in range(1, 200))))
    text = sweep_text(state)
    assert re.search(r"^    0  ✓ complete.*best$", text, re.MULTILINE)
    assert re.search(r"^  199  ✓ complete", text, re.MULTILINE)


def test_several_objectives_have_a_front() -> None:
    """No trial is the best, some are on the front, which the table says of each."""
    state = made_sweep(20, objectives=2)
    front = best_numbers(state)
    assert best_line(state, front) == f"{len(front)} of {len(state.complete)} trials are on the Pareto front"
    assert sweep_text(state).count("on the front") == len(front)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308, 10**30, True, None, "text", ("a", 1)])
def test_cells_sort_by_what_json_can_hold(value: object) -> None:
    """A row has a cell for each heading, and a key for each cell, whatever the values are."""
    state = replace(made_sweep(0), space={"C": "choice(1, 2)"})
    cells, keys = trial_row(state, replace(trial(0, C=value), values=(value,) if isinstance(value, float) else ()), ["C"], {0})
    assert len(cells) == len(keys) == len(trial_header(state, ["C"]))
    json.dumps(keys, allow_nan=False)


def test_infinities_sort_at_the_ends() -> None:
    """Infinity is the largest number, NaN is nothing."""
    state = replace(made_sweep(0), space={})
    keys = [trial_row(state, trial(0, value), [], ())[1][2] for value in (-math.inf, 1.0, math.inf, math.nan)]
    assert keys[:3] == sorted(keys[:3])
    assert keys[3] is None


def test_parameters_that_a_callable_chooses_have_columns() -> None:
    """Without a range, the parameters are those that the trials have; one that a trial has not is empty."""
    state = replace(made_sweep(0), space={}, trials=(trial(0, 0.5, depth=3), trial(1, 0.7, kernel="rbf")))
    assert re.search(r"^trial .* depth +kernel +took", sweep_text(state), re.MULTILINE)
    assert re.search(r"^ +1 .* 0.7 +rbf", sweep_text(state), re.MULTILINE)
    assert "Parallel coordinates of 2 trials: depth, kernel, roc_auc" in sweep_html(state)


def test_failed_sweep_says_why() -> None:
    """An error of the sweep itself comes before those of trials."""
    assert "✗ the storage is gone" in sweep_text(replace(made_sweep(3), status="failed", error="the storage is gone"))
