"""What differs from the champion: intervals that hold what they say, directions, and no verdict where none is known."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn import metrics as sk

from nbmlops.promotion import comparing
from nbmlops.promotion.base import Evidence
from nbmlops.promotion.comparing import compare_evidence, direction_of, intervals

if TYPE_CHECKING:
    from nbmlops.promotion.state import Difference


def npz(truth: Any, score: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, y_true=truth, y_score=score)
    return stream.getvalue()


def scores(noise: float, seed: int = 3, rows: int = 500) -> tuple[np.ndarray, np.ndarray]:
    truth = np.random.default_rng(1).integers(0, 2, rows)
    return truth, np.clip(0.5 + 0.25 * (truth - 0.5) + noise * np.random.default_rng(seed).normal(size=rows), 0.01, 0.99).round(2)


SCIKIT = {
    "roc_auc": sk.roc_auc_score,
    "average_precision": sk.average_precision_score,
    "log_loss": sk.log_loss,
    "brier": sk.brier_score_loss,
    "rmse": sk.root_mean_squared_error,
    "mae": sk.mean_absolute_error,
    "r2": sk.r2_score,
    "accuracy": lambda truth, score, sample_weight: sk.accuracy_score(truth, score > 0.5, sample_weight=sample_weight),
}


@pytest.mark.parametrize("name", SCIKIT)
def test_each_metric_is_scikit_learns(name: str) -> None:
    """On rows with ties and with weights, as a draw of the bootstrap has them."""
    truth, score = scores(0.3)
    for weights in (np.ones(len(truth)), np.random.default_rng(5).integers(0, 4, len(truth)).astype(float)):
        mine = comparing._STATISTICS[name](truth, score)(weights)
        assert mine == pytest.approx(SCIKIT[name](truth, score, sample_weight=weights), rel=1e-9)


def evidence(metrics: dict[str, float], *gates: str, evaluated: bool = True) -> Evidence:
    files = {"nbmlops/evaluation.npz": "0" * 64} if evaluated else {}
    return Evidence(run_id="r", stage="s", status="done", time_s=0, metrics=metrics, gates=tuple({"name": gate} for gate in gates), files=files)


def compared(mine: tuple[Any, Any], its: tuple[Any, Any], name: str = "roc_auc") -> Difference:
    logged = [{name: float(SCIKIT[name](truth, score, sample_weight=None))} for truth, score in (mine, its)]
    (found,) = compare_evidence(evidence(logged[0]), evidence(logged[1]), npz(*mine), npz(*its))
    return found


def test_better_worse_and_unclear() -> None:
    """The interval decides: clear of 0 on the good side, on the bad side, or around it."""
    good, bad = scores(0.1), scores(0.6)
    assert (compared(good, bad).verdict, compared(bad, good).verdict) == ("better", "worse")
    assert (compared(good, bad, "log_loss").verdict, compared(bad, good, "log_loss").verdict) == ("better", "worse")
    near = compared(scores(0.3, seed=3), scores(0.3, seed=4))
    assert near.verdict == "unclear"
    assert near.low is not None
    assert near.high is not None
    assert near.low < near.difference < near.high  # type: ignore[operator]
    assert compared(good, bad) == compared(good, bad)


def test_the_interval_is_paired() -> None:
    """The same scores but for a few rows differ by far less than two samples would."""
    truth, score = scores(0.3)
    other = score.copy()
    other[:5] = 1 - other[:5]
    found = compared((truth, other), (truth, score))
    assert found.high - found.low < 0.03  # type: ignore[operator]
    assert compared((truth, score), (truth, score)).verdict == "same"


def test_an_interval_holds_the_difference_as_often_as_it_says() -> None:
    """Of 60 pairs of samples whose true difference is known to be none, at least 51 intervals hold 0 (95% of 60 are 57)."""
    hits = 0
    for seed in range(60):
        chance = np.random.default_rng(seed)
        truth = chance.integers(0, 2, 200)
        one, other = (np.clip(0.5 + 0.2 * (truth - 0.5) + 0.3 * chance.normal(size=200), 0.01, 0.99) for _ in range(2))
        found, _ = intervals(npz(truth, one), npz(truth, other), ["brier"])
        hits += found["brier"][2] <= 0 <= found["brier"][3]
    assert hits >= 51


@pytest.mark.parametrize(
    ("mine", "its", "why"),
    [
        (scores(0.3), (1 - scores(0.3)[0], scores(0.3)[1]), "different rows"),
        (scores(0.3), (scores(0.3)[0][:-1], scores(0.3)[1][:-1]), "different rows"),
        ((["yes", "no"], [0.1, 0.2]), (["yes", "no"], [0.1, 0.2]), "cannot be read"),
        (([0, 1], [0.1, math.nan]), ([0, 1], [0.1, 0.2]), "holds NaN"),
        (([[0, 1]], [[0.1, 0.2]]), ([[0, 1]], [[0.1, 0.2]]), "not one score for each row"),
        (([], []), ([], []), "not one score for each row"),
    ],
)
def test_no_interval_without_equal_rows(mine: Any, its: Any, why: str) -> None:
    """And the note says why."""
    (found,) = compare_evidence(evidence({"roc_auc": 0.7}), evidence({"roc_auc": 0.6}), npz(*mine), npz(*its))
    assert (found.low, found.high) == (None, None)
    assert why in found.note
    assert found.verdict == "better"
    assert compare_evidence(evidence({"roc_auc": 0.7}), evidence({"roc_auc": 0.6}), b"no archive", npz(*its))[0].note.endswith("cannot be read")


def test_a_metric_of_other_rows_gets_no_interval() -> None:
    """What was logged is not what the scores give: the interval would be of something else."""
    truth, score = scores(0.3)
    (found,) = compare_evidence(evidence({"roc_auc": 0.9}), evidence({"roc_auc": 0.8}), npz(truth, score), npz(truth, score))
    assert (found.low, found.note) == (None, "no interval: the metric was not logged of the rows of the evaluation")


def test_nan_and_missing_metrics_have_no_verdict() -> None:
    """They are shown, and nothing is said of them."""
    mine, its = evidence({"roc_auc": math.nan, "mine": 1.0}, evaluated=False), evidence({"roc_auc": 0.5, "its": 1.0}, evaluated=False)
    found = {item.metric: item for item in compare_evidence(mine, its, None, None)}
    assert {name: (item.verdict, item.difference) for name, item in found.items()} == dict.fromkeys(["roc_auc", "mine", "its"], ("", None))
    assert found["mine"].note == "the champion has none"


@pytest.mark.parametrize(
    ("name", "gates", "direction"),
    [
        ("roc_auc", (), "higher"),
        ("validation_roc_auc", (), "higher"),
        ("test.RMSE", (), "lower"),
        ("widgets", (), ""),
        ("widgets", ("widgets >= 3",), "higher"),
        ("widgets", ("roc_auc > 0.5 and widgets < 3",), "lower"),
        ("widgets", ("3 < widgets",), "higher"),
        ("widgets", ("widgets == 3",), ""),
        ("widgets", ("widgets >= champion.widgets - 1",), "higher"),
        ("widgets", ("no expression at all",), ""),
        ("worst_roc_auc_by_origin", (), "higher"),
        ("worst_rmse_by_origin", (), "lower"),
        ("gap_roc_auc_by_origin", (), "lower"),
        ("judge/gap_recall_by_sex", ("recall > 0",), "lower"),
    ],
)
def test_which_way_is_better(name: str, gates: tuple[str, ...], direction: str) -> None:
    """By its name, else by a gate's comparison; else nobody knows, and there is no verdict."""
    assert direction_of(name, [{"name": gate} for gate in gates]) == direction


def test_very_many_rows_are_resampled_less_often() -> None:
    """What is drawn is bounded by rows times resamples."""
    rows = 2_000
    truth = np.random.default_rng(1).integers(0, 2, rows)
    score = np.random.default_rng(2).random(rows)
    drawn: list[int] = []
    original = np.bincount

    def count(*arguments: Any, **options: Any) -> Any:
        drawn.append(1)
        return original(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "bincount", count)
        patch.setattr(comparing, "_ROWS", 100 * rows)
        intervals(npz(truth, score), npz(truth, 1 - score), ["brier"])
    assert len(drawn) == 200
