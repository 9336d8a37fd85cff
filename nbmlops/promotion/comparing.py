"""What differs between a version and the one in use: each metric, with an interval where both were evaluated on the same rows."""

from __future__ import annotations

import ast
import io
import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nbmlops.pattern import pattern
from nbmlops.promotion.packing import EVALUATION_FILE
from nbmlops.promotion.state import Difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from nbmlops.promotion.base import Evidence

    Floats = npt.NDArray[np.float64]
    Drawn = Callable[[Floats], float]
    Statistic = Callable[[Floats, Floats], Drawn]

__all__ = ["compare_evidence", "direction_of", "intervals"]

_RESAMPLES, _FEWEST = 1000, 200
_ROWS = 50_000_000  # rows times resamples: a few seconds
_SEED = 20261126
_TAILS = (2.5, 97.5)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HIGHER = _words(
    "roc_auc auc average_precision accuracy balanced_accuracy f1 f1_score precision recall sensitivity specificity r2 r2_score mcc "
    "matthews_corrcoef cohen_kappa kappa explained_variance gini ndcg map iou dice score"
)
_LOWER = _words(
    "log_loss logloss cross_entropy brier brier_score rmse mse mae mape smape medae error error_rate loss msle rmsle ece deviance "
    "hamming_loss hinge_loss mean_squared_error mean_absolute_error root_mean_squared_error max_error perplexity"
)


_GROUPED = pattern(r"(?:.*/)?(worst|gap)_(\w+)_by_\w+")  # what `nbmlops.slices` logs


def compare_evidence(mine: Evidence, champion: Evidence, one: bytes | None, other: bytes | None) -> tuple[Difference, ...]:
    """Return what differs in each metric of either, those with an interval first.

    Parameters
    ----------
    mine, champion : Evidence
    one, other : bytes or None
        The bytes of their `EVALUATION_FILE`; None where there is none, or it cannot be had.
    """
    names = [*mine.metrics, *(name for name in champion.metrics if name not in mine.metrics)]
    both = EVALUATION_FILE in mine.files and EVALUATION_FILE in champion.files
    found, why = intervals(one, other, names) if both else ({}, "no interval: no evaluation was registered with both models")
    gates = (*mine.gates, *champion.gates)
    names.sort(key=lambda name: name not in found)  # what says the most stands first
    return tuple(_difference(name, mine.metrics.get(name), champion.metrics.get(name), direction_of(name, gates), found, why) for name in names)


def direction_of(metric: str, gates: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return which way a metric is better, ``higher`` or ``lower``; "" where neither its name nor a gate's comparison tells.

    Examples
    --------
    >>> direction_of("validation_roc_auc"), direction_of("test.rmse"), direction_of("widgets")
    ('higher', 'lower', '')
    """
    group = _GROUPED.fullmatch(metric)
    if group is not None:
        return "lower" if group[1] == "gap" else direction_of(group[2], gates)
    words = re.split(r"[^a-z0-9]+", metric.lower())
    for start in range(len(words)):
        name = "_".join(words[start:])
        if name in _HIGHER | _LOWER:
            return "higher" if name in _HIGHER else "lower"
    for gate in gates:
        if told := _told_by(str(gate.get("name", "")), metric):
            return told
    return ""


def intervals(one: bytes | None, other: bytes | None, metrics: Sequence[str]) -> tuple[dict[str, tuple[float, float, float, float]], str]:
    """Return for each metric that can be computed its value for both models and the 95% interval of the first minus the second; else why not.

    The rows are drawn anew 1,000 times (fewer where there are very many rows), the same for both models, from a fixed seed.
    """
    import numpy as np

    if one is None or other is None:
        return {}, "no interval: an evaluation cannot be read"
    try:
        (truth, score), (truth_too, score_too) = _loaded(one), _loaded(other)
    except (KeyError, ValueError, OSError, EOFError):
        return {}, "no interval: an evaluation cannot be read"
    if truth.shape != truth_too.shape or not np.array_equal(truth, truth_too):
        return {}, "no interval: the models were evaluated on different rows"
    if truth.ndim != 1 or not len(truth) or score.shape != truth.shape or score_too.shape != truth.shape:
        return {}, "no interval: the evaluations are not one score for each row"
    if not all(np.isfinite(item).all() for item in (truth, score, score_too)):
        return {}, "no interval: an evaluation holds NaN"
    known = {name: statistic for name in metrics if (statistic := _statistic(name)) is not None and _fits(statistic, truth, score, score_too)}
    prepared = [(statistic(truth, score), statistic(truth, score_too)) for statistic in known.values()]
    chance = np.random.default_rng(_SEED)
    drawn: list[list[float]] = [[] for _ in known]
    for _ in range(max(_FEWEST, min(_RESAMPLES, _ROWS // len(truth)))) if known else ():
        weights = np.bincount(chance.integers(0, len(truth), len(truth)), minlength=len(truth)).astype(float)
        for found, (mine, its) in zip(drawn, prepared, strict=True):
            found.append(mine(weights) - its(weights))
    once = np.ones(len(truth))
    sides = [(mine(once), its(once)) for mine, its in prepared]
    result = {}
    for name, side, found in zip(known, sides, drawn, strict=True):
        usable = [value for value in found if not math.isnan(value)]  # a draw of one class has no roc_auc
        if len(usable) > len(found) // 2:
            low, high = np.percentile(usable, _TAILS)
            result[name] = (*side, float(low), float(high))
    return result, ""


def _difference(
    name: str, mine: float | None, its: float | None, better: str, found: Mapping[str, tuple[float, float, float, float]], why: str
) -> Difference:
    if mine is None or its is None:
        return Difference(
            metric=name, value=mine, champion=its, better=better, note=f"{'not logged here' if mine is None else 'the champion has none'}"
        )
    if math.isnan(mine) or math.isnan(its):
        return Difference(metric=name, value=mine, champion=its, better=better, note="NaN compares with nothing")
    low = high = None
    note = why or "no interval: not computed from scores"
    if name in found:
        computed, computed_too, low, high = found[name]
        note = ""
        if not (math.isclose(computed, mine, rel_tol=1e-6, abs_tol=1e-9) and math.isclose(computed_too, its, rel_tol=1e-6, abs_tol=1e-9)):
            low = high = None
            note = "no interval: the metric was not logged of the rows of the evaluation"
    by = mine - its
    return Difference(
        metric=name, value=mine, champion=its, difference=by, low=low, high=high, better=better, verdict=_verdict(by, low, high, better), note=note
    )


def _verdict(by: float, low: float | None, high: float | None, better: str) -> str:
    if by == 0 and not low and not high:
        return "same"
    if low is not None and high is not None and low <= 0 <= high:
        return "unclear"
    if not better:
        return ""
    return "better" if (by > 0) == (better == "higher") else "worse"


def _told_by(text: str, metric: str) -> str:
    """Return the direction that a plain comparison of the metric tells; of two metrics, as in ``brier < brier_of_base_rate``, the first is judged."""
    try:
        nodes = list(ast.walk(ast.parse(text.strip(), mode="eval")))
    except (SyntaxError, ValueError):
        return ""
    for node in nodes:
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            left = isinstance(node.left, ast.Name) and node.left.id == metric
            right = isinstance(node.comparators[0], ast.Name) and node.comparators[0].id == metric and not isinstance(node.left, ast.Name)
            if left != right and isinstance(node.ops[0], (ast.GtE, ast.Gt, ast.LtE, ast.Lt)):
                return "higher" if isinstance(node.ops[0], (ast.GtE, ast.Gt)) == left else "lower"
    return ""


def _loaded(content: bytes) -> tuple[Floats, Floats]:
    import numpy as np

    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return np.asarray(arrays["y_true"], dtype=float), np.asarray(arrays["y_score"], dtype=float)


def _statistic(metric: str) -> Statistic | None:
    words = re.split(r"[^a-z0-9]+", metric.lower())
    return next((found for start in range(len(words)) if (found := _STATISTICS.get("_".join(words[start:]))) is not None), None)


def _fits(statistic: Statistic, truth: Floats, *scores: Floats) -> bool:
    """Tell whether a statistic is about such rows: those of classes want zeros and ones, and probabilities where they take logarithms."""
    import numpy as np

    if statistic in {_rmse, _mae, _r2}:
        return True
    binary = bool(np.isin(truth, (0.0, 1.0)).all())
    likely = all(bool(((item >= 0) & (item <= 1)).all()) for item in scores)
    return binary and (statistic in {_roc_auc, _average_precision} or likely)


# Each takes what does not hang on a draw out of it: a draw gives each row a weight.


def _roc_auc(truth: Floats, score: Floats) -> Drawn:
    import numpy as np

    order = np.argsort(-score, kind="stable")
    truth, score = truth[order], score[order]
    last = np.r_[np.flatnonzero(np.diff(score)), len(score) - 1]  # of each score: rows with the same one count half

    def area(weights: Floats) -> float:
        weights = weights[order]
        right = np.r_[0.0, np.cumsum(weights * truth)[last]]
        wrong = np.r_[0.0, np.cumsum(weights)[last] - right[1:]]
        whole = right[-1] * wrong[-1]
        return float(np.sum(np.diff(wrong) * (right[1:] + right[:-1])) / 2 / whole) if whole else math.nan

    return area


def _average_precision(truth: Floats, score: Floats) -> Drawn:
    import numpy as np

    order = np.argsort(-score, kind="stable")
    truth, score = truth[order], score[order]
    last = np.r_[np.flatnonzero(np.diff(score)), len(score) - 1]

    def area(weights: Floats) -> float:
        weights = weights[order]
        right, all_of = np.cumsum(weights * truth)[last], np.cumsum(weights)[last]
        if not right[-1]:
            return math.nan
        precision = np.divide(right, all_of, out=np.zeros_like(right), where=all_of > 0)
        return float(np.sum(np.diff(np.r_[0.0, right]) * precision) / right[-1])

    return area


def _log_loss(truth: Floats, score: Floats) -> Drawn:
    import numpy as np

    tiny = np.finfo(float).eps
    likely = np.clip(score, tiny, 1 - tiny)
    return _mean(-(truth * np.log(likely) + (1 - truth) * np.log(1 - likely)))


def _brier(truth: Floats, score: Floats) -> Drawn:
    return _mean((truth - score) ** 2)


def _accuracy(truth: Floats, score: Floats) -> Drawn:
    return _mean(((score > 0.5) == (truth > 0.5)).astype(float))  # noqa: PLR2004 - where a probability becomes a class


def _rmse(truth: Floats, score: Floats) -> Drawn:
    squares = _mean((truth - score) ** 2)
    return lambda weights: math.sqrt(squares(weights))


def _mae(truth: Floats, score: Floats) -> Drawn:
    return _mean(abs(truth - score))


def _r2(truth: Floats, score: Floats) -> Drawn:
    around = truth - truth.mean()
    squares, middle, spread = _mean((truth - score) ** 2), _mean(around), _mean(around**2)

    def share(weights: Floats) -> float:
        variance = spread(weights) - middle(weights) ** 2
        return 1 - squares(weights) / variance if variance > 0 else math.nan

    return share


def _mean(values: Floats) -> Drawn:
    return lambda weights: float(weights @ values / weights.sum())


_STATISTICS: Mapping[str, Statistic] = {
    "roc_auc": _roc_auc,
    "auc": _roc_auc,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
    "logloss": _log_loss,
    "brier": _brier,
    "brier_score": _brier,
    "accuracy": _accuracy,
    "rmse": _rmse,
    "mae": _mae,
    "r2": _r2,
}
