"""The metrics that groups are compared by: what each needs, which way is better, and where it is not defined.

A metric that is not defined for some rows, such as the area under the ROC curve of rows of one class, is NaN there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    Values = np.ndarray[Any, np.dtype[Any]]

__all__ = ["SCORES", "Score", "roc_auc"]

_CLOSEST = 1e-15  # to 0 and 1, for logarithms


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One metric.

    Parameters
    ----------
    name : str
    of : callable
        Takes the true values, the scores and the threshold, as arrays of floats, and returns a float.
    higher_is_better : bool
    classes : bool
        Whether the true values are 0 and 1.
    probabilities : bool
        Whether scores are probabilities.
    """

    name: str
    of: Callable[[Values, Values, float], float]
    higher_is_better: bool = True
    classes: bool = True
    probabilities: bool = False

    def worst(self, values: list[float]) -> float:
        """Return the worst of some values."""
        return min(values) if self.higher_is_better else max(values)


def roc_auc(y: Values, score: Values, _threshold: float) -> float:
    """Return the area under the ROC curve: how often a positive row's score is above a negative one's, ties counting half.

    References
    ----------
    Hanley and McNeil, The meaning and use of the area under a receiver operating characteristic (ROC) curve, Radiology 143, 1982.
    """
    import numpy as np

    positive = float(y.sum())
    negative = len(y) - positive
    if not positive or not negative:
        return math.nan
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    counts = np.diff(last, prepend=-1)
    ranks = np.repeat(last + 1 - (counts - 1) / 2, counts)
    return float((ranks[y[order] > 0].sum() - positive * (positive + 1) / 2) / (positive * negative))


def _average_precision(y: Values, score: Values, _threshold: float) -> float:
    import numpy as np

    positive = float(y.sum())
    if not positive or positive == len(y):
        return math.nan
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], np.cumsum(y[order])
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    recall = hits[last] / positive
    return float(np.sum(np.diff(recall, prepend=0.0) * hits[last] / (last + 1)))


def _log_loss(y: Values, score: Values, _threshold: float) -> float:
    import numpy as np

    near = np.clip(score, _CLOSEST, 1 - _CLOSEST)
    return float(-np.mean(np.where(y > 0, np.log(near), np.log1p(-near))))


def _brier(y: Values, score: Values, _threshold: float) -> float:
    return float(((y - score) ** 2).mean())


def _accuracy(y: Values, score: Values, threshold: float) -> float:
    return float(((score >= threshold) == (y > 0)).mean())


def _precision(y: Values, score: Values, threshold: float) -> float:
    chosen = score >= threshold
    return float(y[chosen].mean()) if chosen.any() else math.nan


def _recall(y: Values, score: Values, threshold: float) -> float:
    actual = y > 0
    return float((score[actual] >= threshold).mean()) if actual.any() else math.nan


def _rmse(y: Values, score: Values, _threshold: float) -> float:
    return float(((y - score) ** 2).mean() ** 0.5)


def _mae(y: Values, score: Values, _threshold: float) -> float:
    return float(abs(y - score).mean())


SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score(name="roc_auc", of=roc_auc),
        Score(name="average_precision", of=_average_precision),
        Score(name="log_loss", of=_log_loss, higher_is_better=False, probabilities=True),
        Score(name="brier", of=_brier, higher_is_better=False, probabilities=True),
        Score(name="accuracy", of=_accuracy),
        Score(name="precision", of=_precision),
        Score(name="recall", of=_recall),
        Score(name="rmse", of=_rmse, higher_is_better=False, classes=False),
        Score(name="mae", of=_mae, higher_is_better=False, classes=False),
    )
}
