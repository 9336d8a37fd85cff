"""What features matter: the right ones, the same twice, by the way that was asked for."""

from __future__ import annotations

import builtins
import importlib.util
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import nbmlops
from nbmlops.errors import MissingDependency, UsageError
from nbmlops.runner.randomness import random_states

FEATURES = ["much", "some", "none"]


@pytest.fixture(scope="module")
def data() -> tuple[pd.DataFrame, pd.Series]:
    """Return rows whose class hangs on one feature much, on another a little, on the third not at all."""
    draw = np.random.default_rng(5)
    table = pd.DataFrame(draw.normal(size=(400, 3)), columns=FEATURES)
    return table, (table["much"] * 2 + table["some"] + draw.normal(size=400) * 0.3 > 0).astype(int)


@pytest.fixture(scope="module")
def forest(data: tuple[pd.DataFrame, pd.Series]) -> RandomForestClassifier:
    return RandomForestClassifier(20, random_state=0).fit(*data)


MODELS = [
    (LogisticRegression(), "roc_auc"),
    (make_pipeline(StandardScaler(), LogisticRegression()), "roc_auc"),
    (HistGradientBoostingClassifier(max_iter=20, random_state=0), "roc_auc"),
    (RandomForestRegressor(10, random_state=0), "the model score"),
]


@pytest.mark.parametrize(("model", "score"), MODELS, ids=lambda item: type(item).__name__ if not isinstance(item, str) else "")
def test_what_matters_most_comes_first(data: tuple[pd.DataFrame, pd.Series], model: Any, score: str) -> None:
    """By permutation, of any model; a pipeline by the features that go into it."""
    found = nbmlops.explain(model.fit(*data), *data)
    assert list(found.frame["feature"]) == FEATURES
    assert (found.method, found.score, found.rows, found.of_rows) == ("permutation", f"fall in {score}", 400, 400)


def test_repeated_and_left_alone(data: tuple[pd.DataFrame, pd.Series], forest: RandomForestClassifier) -> None:
    """The same seed draws the same rows and shuffles them the same; neither data, nor model, nor the global random states change."""
    table, y = data
    before, model, states = table.copy(deep=True), pickle.dumps(forest), random_states()
    first, again, other = (nbmlops.explain(forest, table, y, max_rows=100, seed=seed) for seed in (0, 0, 1))
    assert (first.rows, first.of_rows) == (100, 400)
    pd.testing.assert_frame_equal(first.frame, again.frame)
    assert not first.frame.equals(other.frame)
    pd.testing.assert_frame_equal(table, before)
    assert (pickle.dumps(forest), random_states()) == (model, states)


def test_arrays_have_numbered_features(data: tuple[pd.DataFrame, pd.Series]) -> None:
    """Where neither the data nor the model names them; where the model does, by its names."""
    table, y = data
    plain = LogisticRegression().fit(table.to_numpy(), y)
    assert list(nbmlops.explain(plain, table.to_numpy(), y.to_numpy()).frame["feature"]) == ["x0", "x1", "x2"]


def test_shap_is_used_where_it_is_asked_for(data: tuple[pd.DataFrame, pd.Series], forest: RandomForestClassifier) -> None:
    """Of trees, those included that took for ever when all rows were given; from 1,000 rows at most, and with no draw from global states."""
    table, y = data
    many = pd.concat([table] * 5, ignore_index=True)
    nbmlops.explain(forest, table.head(20), y.head(20), method="shap")  # what importing it draws is not what explaining draws
    states = random_states()
    found = nbmlops.explain(forest, many, pd.concat([y] * 5, ignore_index=True), method="shap")
    assert (found.method, found.rows, found.of_rows) == ("shap", 1000, 2000)
    assert list(found.frame["feature"]) == FEATURES
    boosted = HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(*data)
    assert list(nbmlops.explain(boosted, table, y, method="shap").frame["feature"]) == FEATURES
    assert random_states() == states


def test_shap_that_is_not_installed_names_the_extra(
    data: tuple[pd.DataFrame, pd.Series], forest: RandomForestClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is the pip command; without being asked for it is not missed."""
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "shap" else known(name, *rest))
    monkeypatch.setattr(builtins, "__import__", _without_shap(builtins.__import__))
    with pytest.raises(MissingDependency, match=r'pip install "nbmlops\[shap\]"'):
        nbmlops.explain(forest, *data, method="shap")
    assert nbmlops.explain(forest, *data).method == "permutation"


def _without_shap(before: Any) -> Any:
    def find(name: str, *rest: Any, **more: Any) -> Any:
        if name == "shap":
            raise ModuleNotFoundError(name)
        return before(name, *rest, **more)

    return find


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("NB641", {"method": "lime"}, "no method 'lime'"),
    ("NB641", {"n_repeats": 0}, "n_repeats is 0"),
    ("NB641", {"max_rows": True}, "max_rows is True"),
    ("NB641", {"seed": -1}, "seed is -1"),
    ("NB641", {"y": None}, "X has 400 rows and y 0"),
    ("NB641", {"model": 3}, "a int does not predict"),
    ("NB641", {"y": [1, 0]}, "X has 400 rows and y 2"),
    ("NB641", {"X": [1, 2, 3]}, "X has the shape (3,)"),
    ("NB641", {"X": pd.DataFrame({"other": range(400)}), "y": [0, 1] * 200}, "the model cannot score these rows"),
    ("NB642", {"model": "logistic", "method": "shap"}, "SHAP values of a LogisticRegression take too long"),
]


@pytest.mark.parametrize(("code", "changed", "words"), BAD, ids=[words for *_, words in BAD])
def test_bad_input_is_one_line(
    data: tuple[pd.DataFrame, pd.Series], forest: RandomForestClassifier, code: str, changed: dict[str, Any], words: str
) -> None:
    """What is wrong, and what to do."""
    given = {"model": forest, "X": data[0], "y": data[1]} | changed
    if given["model"] == "logistic":
        given["model"] = LogisticRegression().fit(*data)
    with pytest.raises(UsageError) as error:
        nbmlops.explain(given.pop("model"), given.pop("X"), given.pop("y"), **given)
    assert (error.value.code, words in str(error.value), "\n" in str(error.value)) == (code, True, False), str(error.value)
    assert error.value.fix


def test_rows_in_another_order_are_refused(data: tuple[pd.DataFrame, pd.Series], forest: RandomForestClassifier) -> None:
    """Each row would be held to another row's truth."""
    with pytest.raises(UsageError, match="y has another index than X"):
        nbmlops.explain(forest, data[0], data[1].sort_values())


def test_the_result_can_be_handed_on(data: tuple[pd.DataFrame, pd.Series], forest: RandomForestClassifier) -> None:
    """It crosses processes as it is, and shows itself as a page there."""
    found = nbmlops.explain(forest, *data)
    back = pickle.loads(pickle.dumps(found))
    pd.testing.assert_frame_equal(back.frame, found.frame)
    assert back._repr_mimebundle_()["text/html"].count("<tr>") == 4
