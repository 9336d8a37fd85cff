"""The demo's second chapter: a few small trials, and an ending that says what its numbers say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import nbmlops

if TYPE_CHECKING:
    from tests.acceptance.project import Project

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "flight_delay_sweep.ipynb"
SMALL = {"sample_rows": 1500, "refit_rows": 2000, "max_iter": 10, "trees_per_report": 5}
SWEPT = {"learning_rate", "max_leaf_nodes", "min_samples_leaf", "look_back_hours", "max_features"}


def source_of(cell_id: str) -> str:
    """Return the source of one of the notebook's cells."""
    return next("".join(item["source"]) for item in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if item["id"] == cell_id)


def outputs_of(path: str, cell_id: str, kind: str) -> list[str]:
    """Return what a cell of an executed notebook shows in one form."""
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    shown = next(item["outputs"] for item in cells if item.get("id") == cell_id)
    return ["".join(output["data"][kind]) for output in shown if kind in output.get("data", {})]


@pytest.fixture
def judging() -> dict[str, Any]:
    """Give the functions that compare two models."""
    from collections.abc import Iterable

    import numpy as np
    import pandas as pd

    found: dict[str, Any] = {"np": np, "pd": pd, "seed": 0, "Iterable": Iterable}
    exec(source_of("judging-functions"), found)
    return found


@pytest.mark.thorough
def test_trials_never_see_the_test_months(project: Project) -> None:
    """Three trials learn from early months and are compared on later ones; the best one's notebook alone opens the rest, and says what it found."""
    store = str(project.folder / "store")
    small = [word for name, value in SMALL.items() for word in ("-p", name, value)]
    words = ("--trials", 3, "--maximize", "validation_roc_auc", *small, "--store", store, "--json")
    done = project.call("sweep", NOTEBOOK, *words, env={"NBMLOPS_TRUSTED_STORES": store})
    assert done.code == 0, done.err
    assert set(done.data["space"]) == SWEPT
    assert [set(trial["ran"]) for trial in done.data["trials"]] == [{"train"}] * 3
    best = done.data["best"]

    session = nbmlops.open(NOTEBOOK, store=store, trusted_stores=(store,))
    run = next(item for item in session.runs() if item.id == best["run_id"])
    months = {name: set(run[name]["month"]) for name in ("train_set", "validation_set", "past_set", "test_set")}
    assert months == {"train_set": set(range(1, 7)), "validation_set": {7, 8}, "past_set": set(range(1, 9)), "test_set": set(range(9, 13))}
    assert run["past_departures"]["time_hour"].max() < run["test_set"]["time_hour"].min()
    seen = {name: {read.name for read in stage.reads} for name, stage in session.graph().stages.items()}
    assert [name for name, names in seen.items() if names & {"test_set", "past_set"}] == []
    assert [name for name, names in seen.items() if "departures" in names] == ["split"]

    answer = "".join(outputs_of(best["output"], "report-verdict", "text/markdown"))
    table = outputs_of(best["output"], "report-difference", "text/plain")[-1]
    row = next(line for line in table.splitlines() if line.startswith("all test months"))
    difference, low, high = map(float, row.split()[3:])
    word = "better than" if low > 0 else "worse than" if high < 0 else "not to be told from"
    assert f"the chosen settings are {word} the default: {difference:+.4f} ROC AUC (95% interval {low:+.4f} to {high:+.4f})" in answer


def test_default_is_what_the_parameters_say() -> None:
    """A run without a sweep compares the default with itself, and says so."""
    parameters: dict[str, Any] = {}
    exec(source_of("parameters"), parameters)
    constants: dict[str, Any] = {}
    exec(source_of("constants"), constants)
    assert constants["DEFAULT"] == {name: parameters[name] for name in SWEPT}


@pytest.mark.parametrize(
    ("interval", "words"),
    [((0.001, 0.003), "are better than the default"), ((-0.003, -0.001), "are worse than"), ((-0.001, 0.003), "are not to be told from")],
)
def test_verdict_follows_the_interval(judging: dict[str, Any], interval: tuple[float, float], words: str) -> None:
    """Better is said only where chance is excluded, and worse is said too."""
    assert words in judging["verdict"]("they are", sum(interval) / 2, *interval)


def test_difference_is_that_of_the_roc_aucs(judging: dict[str, Any]) -> None:
    """By days counted once it is the plain difference, equal scores included; a model does not differ from itself."""
    from sklearn.metrics import roc_auc_score

    np, pd = judging["np"], judging["pd"]
    rng = np.random.default_rng(1)
    flights = pd.DataFrame({"month": 9, "day": rng.integers(1, 31, 500), "late": rng.random(500) < 0.3})
    flights["one"] = rng.random(500).round(1)
    flights["other"] = (flights["late"] * 0.3 + rng.random(500)).round(1)
    plain = roc_auc_score(flights["late"], flights["other"]) - roc_auc_score(flights["late"], flights["one"])
    aucs = judging["roc_aucs"](flights, ["one", "other"])
    found = judging["gain"](aucs, "one", "other")
    assert found["difference"] == pytest.approx(plain)
    assert found["low"] < plain < found["high"]
    assert set(judging["gain"](aucs, "one", "one").values()) == {0.0}
