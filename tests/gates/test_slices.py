"""Groups compared by metrics: right numbers, no group judged that cannot be, nothing said better than it is."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame
from sklearn import metrics as sklearn_metrics

import nbmlops
from nbmlops.errors import UsageError
from nbmlops.gates.scores import SCORES
from nbmlops.gates.slices import MISSING
from nbmlops.runner.logged import Logbook, logging_to
from nbmlops.runner.randomness import random_states

ROWS = 1200


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Return rows of three origins, scored better in some than in others, a few without origin."""
    draw = np.random.default_rng(3)
    frame = pd.DataFrame({"origin": draw.choice(["EWR", "JFK", "LGA"], ROWS), "hour": draw.integers(0, 3, ROWS)})
    frame["y"] = (draw.random(ROWS) < 0.3).astype(int)
    noise = frame["origin"].map({"EWR": 0.5, "JFK": 1.0, "LGA": 2.0})
    frame["score"] = 1 / (1 + np.exp(-(frame["y"] - 0.5 + noise * draw.normal(size=ROWS)))).round(2)
    frame.loc[:39, "origin"] = None
    return frame


ROUND = {
    "roc_auc": sklearn_metrics.roc_auc_score,
    "average_precision": sklearn_metrics.average_precision_score,
    "log_loss": sklearn_metrics.log_loss,
    "brier": sklearn_metrics.brier_score_loss,
    "accuracy": lambda y, s: sklearn_metrics.accuracy_score(y, s >= 0.5),
    "precision": lambda y, s: sklearn_metrics.precision_score(y, s >= 0.5),
    "recall": lambda y, s: sklearn_metrics.recall_score(y, s >= 0.5),
    "rmse": sklearn_metrics.root_mean_squared_error,
    "mae": sklearn_metrics.mean_absolute_error,
}


@pytest.mark.parametrize("name", SCORES)
def test_each_metric_is_that_of_scikit_learn(table: pd.DataFrame, name: str) -> None:
    """Of all rows and of each group, ties and all; a metric without a twin here fails the test."""
    found = nbmlops.slices(table["y"], table["score"], by=table[["origin"]], metrics=[name])
    assert found.overall[name] == pytest.approx(ROUND[name](table["y"], table["score"]), abs=1e-12)
    for group, rows in table.groupby("origin"):
        row = found["origin"].set_index("group").loc[group]
        assert (row["rows"], row[name]) == (len(rows), pytest.approx(ROUND[name](rows["y"], rows["score"]), abs=1e-12))
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]


def test_worst_and_gap(table: pd.DataFrame) -> None:
    """By a metric that should be high the worst is the lowest, by a loss the highest; the gap lies in its interval."""
    found = nbmlops.slices(table["y"], table["score"], by=table[["origin"]], metrics=["roc_auc", "log_loss"])
    by_group = found["origin"].query("not small").set_index("group")
    auc, loss = found.columns["origin"].gaps
    assert (auc.worst_group, auc.worst) == (by_group["roc_auc"].idxmin(), by_group["roc_auc"].min())
    assert (loss.worst_group, loss.worst) == (by_group["log_loss"].idxmax(), by_group["log_loss"].max())
    assert auc.gap == by_group["roc_auc"].max() - by_group["roc_auc"].min()
    assert auc.low < auc.gap < auc.high
    assert found.metrics["worst_roc_auc_by_origin"] == auc.worst
    assert found.metrics["gap_log_loss_by_origin"] == loss.gap


def test_intervals_are_those_of_fairlearn(table: pd.DataFrame) -> None:
    """Fairlearn's own bootstrap gives intervals of about the same ends and width."""
    frame = MetricFrame(
        metrics={"roc_auc": lambda y, s: SCORES["roc_auc"].of(y, s, 0.5)},
        y_true=table["y"],
        y_pred=table["score"],
        sensitive_features=table[["hour"]],
        n_boot=150,
        ci_quantiles=[0.025, 0.975],
        random_state=0,
    )
    ours = nbmlops.slices(table["y"], table["score"], by=table[["hour"]])["hour"].set_index("group")
    for side, theirs in zip(("low", "high"), frame.by_group_ci, strict=True):
        for hour, end in theirs["roc_auc"].items():
            assert ours.loc[str(hour), f"roc_auc_{side}"] == pytest.approx(end, abs=0.02)


def test_small_groups_are_marked_and_left_out(table: pd.DataFrame) -> None:
    """What is missing is a group of its own; with 40 rows it is shown, has no interval, and is neither best nor worst, though it would be."""
    bad = table.assign(score=table["score"].where(table["origin"].notna(), 1 - table["y"]))
    found = nbmlops.slices(bad["y"], bad["score"], by=bad[["origin"]])
    row = found["origin"].set_index("group").loc[MISSING]
    assert (row["rows"], row["small"], row["roc_auc"], math.isnan(row["roc_auc_low"])) == (40, True, 0.0, True)
    assert found.columns["origin"].small == (MISSING,)
    assert found.columns["origin"].gaps[0].worst_group == "LGA"
    assert "1 group of fewer than 100 rows: left out of worst and gap: (missing)" in str(found)
    judged = nbmlops.slices(bad["y"], bad["score"], by=bad[["origin"]], min_size=40)
    assert judged.columns["origin"].gaps[0].worst_group == MISSING


def test_a_group_of_one_class_is_not_defined(table: pd.DataFrame) -> None:
    """It counts as neither best nor worst: nobody can tell which that is, and NaN passes no gate."""
    one = table.assign(y=table["y"].where(table["origin"] != "JFK", 0))
    found = nbmlops.slices(one["y"], one["score"], by=one[["origin"]], metrics=["roc_auc", "accuracy"])
    auc, accuracy = found.columns["origin"].gaps
    assert math.isnan(found["origin"].set_index("group").loc["JFK", "roc_auc"])
    assert (auc.worst_group, math.isnan(auc.worst), math.isnan(auc.gap)) == (None, True, True)
    assert not math.isnan(accuracy.gap)
    assert math.isnan(found.metrics["worst_roc_auc_by_origin"])
    assert "roc_auc: worst group and gap not defined: roc_auc is not defined for the group 'JFK'" in str(found)


def test_one_group_has_no_gap(table: pd.DataFrame) -> None:
    """A gap of 0 between one group and itself would pass any gate."""
    found = nbmlops.slices(table["y"], table["score"], by=table.assign(all="x")[["all"]])
    assert math.isnan(found.metrics["gap_roc_auc_by_all"])
    assert found.metrics["worst_roc_auc_by_all"] == found.overall["roc_auc"]
    none = nbmlops.slices(table["y"], table["score"], by=table[["origin"]], min_size=5000)
    assert math.isnan(none.metrics["worst_roc_auc_by_origin"])
    assert none.columns["origin"].gaps[0].why == "no group has 5,000 rows"


def test_repeated_and_left_alone(table: pd.DataFrame) -> None:
    """The same seed gives the same, another group more or less or another order of rows too; the inputs and the global random states stay."""
    before, states = table.copy(deep=True), random_states()
    first, again, other = (nbmlops.slices(table["y"], table["score"], by=table[["origin"]], seed=seed) for seed in (0, 0, 1))
    assert random_states() == states
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(first["origin"], again["origin"])
    assert not first["origin"].equals(other["origin"])
    rest = table[table["origin"] != "JFK"]
    alone = nbmlops.slices(rest["y"], rest["score"], by=rest[["origin"]])["origin"].set_index("group")
    pd.testing.assert_series_equal(alone.loc["LGA"], first["origin"].set_index("group").loc["LGA"])


def test_numbers_are_judged_by_errors(table: pd.DataFrame) -> None:
    """Values that are no classes have rmse and mae; a Series and a mapping make groups too."""
    truth = table["hour"] + table["y"] / 3
    for by in (table["origin"], {"origin": list(table["origin"])}):
        found = nbmlops.slices(truth.to_numpy(), table["score"].to_numpy(), by=by)
        assert list(found.overall) == ["rmse", "mae"]
        assert set(found["origin"]["group"]) == {"EWR", "JFK", "LGA", MISSING}


def test_groups_of_any_value() -> None:
    """A number and a word that look alike are two groups, and a group that is called as what is missing stays another."""
    values: list[Any] = [1, "1", None, MISSING, float("nan"), "x"]
    by = pd.Series(values * 50, dtype=object, name="any")
    found = nbmlops.slices([0, 1, 0, 1, 1, 0] * 50, np.linspace(0, 1, 300), by=by, metrics="accuracy")["any"]
    assert dict(zip(found["group"], found["rows"], strict=True)) == {MISSING: 100, "'(missing)'": 50, "'1'": 50, "'x'": 50, "1": 50}


def logged(*calls: dict[str, Any]) -> dict[str, float]:
    book = Logbook("judge")
    with logging_to(book):
        for call in calls:
            nbmlops.slices(**call)
    return book.metrics


def test_the_worst_of_several_calls_counts(table: pd.DataFrame) -> None:
    """A second look at easier rows, or at rows of which nothing can be said, hides no bad result."""
    hard = {"y_true": table["y"], "y_score": table["score"], "by": table[["origin"]]}
    easy = hard | {"y_score": table["y"] * 0.9}
    single = hard | {"y_true": table["y"] * 0}
    assert logged(hard, easy) == logged(easy, hard) == logged(hard)
    assert logged(easy)["gap_roc_auc_by_origin"] == 0
    for calls in ((hard, single), (single, hard)):
        assert math.isnan(logged(*calls)["gap_roc_auc_by_origin"])


def test_outside_a_stage_nothing_is_logged(table: pd.DataFrame, recwarn: pytest.WarningsRecorder) -> None:
    """And nobody is warned of that."""
    nbmlops.slices(table["y"], table["score"], by=table[["origin"]])
    assert [str(item.message) for item in recwarn.list] == []


def test_group_performance_is_no_demographic_fairness(table: pd.DataFrame) -> None:
    """Only a column that is named as sensitive is called so."""
    plain = str(nbmlops.slices(table["y"], table["score"], by=table[["origin"]]))
    named = str(nbmlops.slices(table["y"], table["score"], by=table[["origin"]], sensitive="origin"))
    assert "group performance by origin" in plain
    assert "fairness" not in plain
    assert "demographic fairness by origin" in named


def test_the_result_can_be_handed_on(table: pd.DataFrame) -> None:
    """It crosses processes as it is, and shows itself as a page there."""
    found = nbmlops.slices(table["y"], table["score"], by=table[["origin"]])
    back = pickle.loads(pickle.dumps(found))
    pd.testing.assert_frame_equal(back["origin"], found["origin"])
    shown = back._repr_mimebundle_()
    assert "<table>" in shown["text/html"]
    assert "<img" in shown["text/html"]
    assert shown["text/plain"] == str(found)


def refused(table: pd.DataFrame, **changed: Any) -> UsageError:
    given = {"y_true": table["y"], "y_score": table["score"], "by": table[["origin"]]} | changed
    with pytest.raises(UsageError) as error:
        nbmlops.slices(**given)
    assert "\n" not in str(error.value)
    assert error.value.fix
    return error.value


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("NB637", {"y_score": [0.5] * 3}, "y_true has 1,200 rows and y_score 3"),
    ("NB637", {"y_score": np.full((ROWS, 2), 0.5)}, "y_score has the shape (1200, 2)"),
    ("NB637", {"y_score": [math.nan] * ROWS}, "1,200 missing or infinite values"),
    ("NB637", {"y_true": ["late"] * ROWS}, "no number"),
    ("NB637", {"y_score": np.ma.masked_array([0.5] * ROWS, mask=[True] + [False] * (ROWS - 1))}, "y_score has 1 missing"),
    ("NB637", {"y_score": [0.5 + 1j] * ROWS}, "y_score holds what is no number"),
    ("NB637", {"y_score": pd.date_range("2024-01-01", periods=ROWS)}, "y_score holds what"),
    ("NB637", {"threshold": None}, "threshold None"),
    ("NB638", {"metrics": 5}, "metrics is 5"),
    ("NB639", {"sensitive": None}, "sensitive is None"),
    ("NB637", {"min_size": 0}, "min_size is 0"),
    ("NB637", {"seed": "a"}, "seed is 'a'"),
    ("NB637", {"threshold": math.nan}, "threshold nan"),
    ("NB637", {"y_true": [], "y_score": [], "by": {"g": []}}, "no rows"),
    ("NB638", {"metrics": ["roc_uac"]}, "did you mean 'roc_auc'"),
    ("NB638", {"metrics": []}, "metrics is empty"),
    ("NB638", {"metrics": "log_loss", "y_score": [2.0] * ROWS}, "needs scores from 0 to 1"),
    ("NB638", {"metrics": "roc_auc", "y_true": [2] * ROWS}, "needs y_true of 0 and 1"),
    ("NB639", {"by": "origin"}, "`by` is a str"),
    ("NB639", {"by": {}}, "no column"),
    ("NB639", {"sensitive": ["sex"]}, "sensitive names 'sex'"),
    ("NB639", {"by": {"a b": [1] * ROWS, "a_b": [1] * ROWS}}, "'a b' and 'a_b'"),
    ("NB639", {"by": {"id": range(ROWS)}}, "makes 1,200 groups"),
    ("NB639", {"by": {"list": [[1]] * ROWS}}, "'list' holds values that make no groups"),
]


@pytest.mark.parametrize(("code", "changed", "words"), BAD, ids=[words for *_, words in BAD])
def test_bad_input_is_one_line(table: pd.DataFrame, code: str, changed: dict[str, Any], words: str) -> None:
    """What is wrong, where, and what to do."""
    error = refused(table, **changed)
    assert (error.code, words in str(error)) == (code, True), str(error)


def test_rows_in_another_order_are_refused(table: pd.DataFrame) -> None:
    """Rows are taken in order: those of a frame that is sorted otherwise would be held to another row's truth."""
    assert "by['origin'] has another index than y_true" in str(refused(table, by=table[["origin"]].sort_values("origin")))
    assert "y_score has another index" in str(refused(table, y_score=table["score"].sort_values()))


def test_two_columns_of_one_name_are_refused(table: pd.DataFrame) -> None:
    """Nobody could tell whose gap it is."""
    assert refused(table, by=pd.concat([table[["origin"]], table[["origin"]]], axis=1)).code == "NB639"
