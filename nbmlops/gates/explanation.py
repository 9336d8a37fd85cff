"""What a model's features matter: by permutation, or by SHAP values where they are asked for."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nbmlops.errors import MissingDependency, UsageError
from nbmlops.gates.showing import Shown

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Values = np.ndarray[Any, np.dtype[Any]]

__all__ = ["Explanation", "explain"]

_METHODS = ("auto", "permutation", "shap")
# SHAP's own code for trees reads these; its way around any other model takes hours
_TREES = ("sklearn.ensemble.", "sklearn.tree.", "xgboost.", "lightgbm.", "catboost.")
_SHAP_ROWS = 1000
_TWO, _THREE = 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(Shown):
    """What each feature matters.

    Parameters
    ----------
    method : {"permutation", "shap"}
    frame : DataFrame
        A row for each feature, the most important first: ``feature``, ``importance`` and ``std``. By permutation that is how much the score
        falls when the feature's values are shuffled, over the repetitions; by SHAP the size of its share in a prediction, over the rows.
    score : str
        What the importance is measured in.
    rows, of_rows : int
        How many rows it was computed from, and how many were given.
    """

    view: ClassVar[str] = "explanation"
    method: str
    frame: pd.DataFrame
    score: str
    rows: int
    of_rows: int


def explain(
    model: Any,  # noqa: ANN401 - whatever predicts
    X: Any,  # noqa: ANN401, N803 - scikit-learn's own name
    y: Any,  # noqa: ANN401
    *,
    method: str = "auto",
    n_repeats: int = 5,
    max_rows: int = 5000,
    seed: int = 0,
) -> Explanation:
    """Tell what each feature matters to a model: see `nbmlops.explain`."""
    if method not in _METHODS:
        raise UsageError(f"explain: there is no method {method!r}", code="NB641", fix=f"choose from: {', '.join(_METHODS)}")
    for name, number, least in (("n_repeats", n_repeats, 1), ("max_rows", max_rows, 1), ("seed", seed, 0)):
        if type(number) is not int or number < least:
            raise UsageError(f"explain: {name} is {number!r}", code="NB641", fix=f"give a whole number from {least}")
    if not callable(getattr(model, "predict", None)):
        raise UsageError(f"explain: a {type(model).__name__} does not predict", code="NB641", fix="give a fitted model with a method predict")
    given, names = _features(model, X)
    count = len(y) if hasattr(y, "__len__") else 0
    if count != given.shape[0]:
        raise UsageError(f"explain: X has {given.shape[0]:,} rows and y {count:,}", code="NB641", fix="give the same rows to both")
    if hasattr(given, "index") and hasattr(y, "index") and hasattr(y, "iloc") and not given.index.equals(y.index):
        raise UsageError("explain: y has another index than X", code="NB641", fix="take the same rows, such as y.loc[X.index]")
    most = min(max_rows, _SHAP_ROWS) if method == "shap" else max_rows
    rows = _chosen(len(given), most, seed)
    part = given.iloc[rows] if hasattr(given, "iloc") else given[rows]
    if method == "shap":
        importance, std = _by_shap(model, part)
        score = "mean size of the SHAP value"
    else:
        importance, std, score = _by_permutation(model, part, _taken(y, rows), n_repeats, seed)
    return Explanation(
        method="shap" if method == "shap" else "permutation", frame=_frame(names, importance, std), score=score, rows=len(rows), of_rows=len(given)
    )


def _features(model: Any, X: Any) -> tuple[Any, list[str]]:  # noqa: ANN401, N803
    """Return what the model predicts from, and its features' names."""
    import numpy as np

    table = X if hasattr(X, "iloc") and hasattr(X, "columns") else np.asarray(X)
    if len(table.shape) != _TWO or not table.shape[0] or not table.shape[1]:
        raise UsageError(f"explain: X has the shape {table.shape}", code="NB641", fix="give a table with a column for each feature")
    if hasattr(table, "columns"):
        return table, [str(name) for name in table.columns]
    known = [str(name) for name in getattr(model, "feature_names_in_", ())]
    return table, known if len(known) == table.shape[1] else [f"x{number}" for number in range(table.shape[1])]


def _chosen(count: int, most: int, seed: int) -> Values:
    """Return which rows to look at, in order; always the same ones for a seed."""
    import numpy as np

    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def _taken(values: Any, rows: Values) -> Any:  # noqa: ANN401
    import numpy as np

    return values.iloc[rows] if hasattr(values, "iloc") else np.asarray(values)[rows]


def _by_permutation(model: Any, X: Any, y: Any, n_repeats: int, seed: int) -> tuple[Values, Values, str]:  # noqa: ANN401, N803
    import numpy as np
    from sklearn.inspection import permutation_importance
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - beside what it limits

    two_classes = len(getattr(model, "classes_", ())) == _TWO and len(np.unique(np.asarray(y))) == _TWO
    ranks = two_classes and any(hasattr(model, name) for name in ("predict_proba", "decision_function"))
    if not ranks and not hasattr(model, "score"):
        fix = "give a model with scikit-learn's method score"
        raise UsageError(f"explain: a {type(model).__name__} has no score to lose", code="NB641", fix=fix)
    scoring = "roc_auc" if ranks else None
    try:
        # a hundred short predictions: threads that wait for each other on a busy machine take twenty times as long
        with threadpool_limits(limits=1, user_api="openmp"):
            found = permutation_importance(model, X, y, scoring=scoring, n_repeats=n_repeats, random_state=seed % 2**32)
    except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
        text = " ".join(str(error).split())
        raise UsageError(
            f"explain: the model cannot score these rows: {text[:300]}",
            code="NB641",
            fix="give X and y as the model was fitted on, rows of a test set",
        ) from error
    classifies = hasattr(model, "classes_")
    return found.importances_mean, found.importances_std, f"fall in {scoring or ('accuracy' if classifies else 'the model score')}"


def _by_shap(model: Any, X: Any) -> tuple[Values, Values]:  # noqa: ANN401, N803
    """Return the mean size of each feature's SHAP values, and how it spreads over the rows."""
    if importlib.util.find_spec("shap") is None:
        raise MissingDependency("shap", "shap", "method='shap'")
    kind = type(model)
    if not kind.__module__.startswith(_TREES):
        raise UsageError(
            f"explain: SHAP values of a {kind.__name__} take too long, only those of trees do not",
            code="NB642",
            fix='take method="permutation"; of a Pipeline give the last step, and X as the steps before it make it',
        )
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what shap itself imports
        import shap

    try:
        found = np.asarray(shap.TreeExplainer(model).shap_values(X, check_additivity=False))
    except Exception as error:
        text = " ".join(str(error).split())
        raise UsageError(f"explain: SHAP cannot read this {kind.__name__}: {text[:300]}", code="NB642", fix='take method="permutation"') from error
    # of several classes: rows, features, classes
    sizes = np.abs(found).mean(axis=2) if found.ndim == _THREE else np.abs(found)
    return sizes.mean(axis=0), sizes.std(axis=0)


def _frame(names: list[str], importance: Values, std: Values) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame({"feature": pd.Series(names, dtype=object), "importance": importance, "std": std})
    return frame.sort_values("importance", ascending=False, kind="stable", ignore_index=True)
