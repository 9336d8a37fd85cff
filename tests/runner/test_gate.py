"""Gates: the evidence of each requirement, and that nothing passes by accident."""

from __future__ import annotations

import math
from typing import Any

import pytest

from nbmlops.runner.gate import NoChampion, judge
from nbmlops.runner.results import StageResult
from nbmlops.store.records import Artifact

ROWS: list[tuple[str, dict[str, Any], bool, Any, Any]] = [
    ("auc >= 0.7", {"auc": 0.8}, True, 0.8, 0.7),
    ("auc >= 0.7", {"auc": 0.7}, True, 0.7, 0.7),
    ("auc >= 0.7", {"auc": 0.6}, False, 0.6, 0.7),
    ("auc >= 0.7", {"auc": math.nan}, False, math.nan, 0.7),
    ("not auc < 0.7", {"auc": math.nan}, False, None, None),
    ("auc >= 0.7", {}, False, None, 0.7),
    ("auc >= 0.7", {"auc": "high"}, False, "high", 0.7),
    ("auc >= 0.7", {"auc": None}, False, None, 0.7),
    ("auc > low", {"auc": 0.8, "low": 0.5}, True, 0.8, "low"),
    ("a / b > 1", {"a": 1, "b": 0}, False, None, None),
    ("a > 0 and b > 0", {"a": 1, "b": 1}, True, None, None),
]


@pytest.mark.parametrize(("text", "metrics", "passed", "value", "threshold"), ROWS)
def test_requirement_is_judged(text: str, metrics: dict[str, Any], passed: bool, value: object, threshold: object) -> None:  # noqa: FBT001
    """A metric that is missing, NaN or no number never passes; a plain comparison shows both sides."""
    (found,) = judge((text,), StageResult(name="eval", status="ran", metrics=metrics))
    assert (found["name"], found["passed"]) == (text, passed)
    assert repr((found["value"], found["threshold"])) == repr((value, threshold))


def test_every_requirement_has_its_evidence() -> None:
    """One that does not hold hides no other."""
    result = StageResult(name="eval", status="ran", metrics={"a": 2, "c": 2})
    assert [item["passed"] for item in judge(("a > 1", "b > 1", "c > 1"), result)] == [True, False, True]
    assert judge((), result) == ()


@pytest.mark.parametrize("text", ["'auc >= 0.9'", "0.9", "1 < 2", "auc - 0.9", "-auc", "auc >= 0.9 or 'x'", "champion.auc", "rows.X", "max(auc, 1)"])
def test_what_says_of_nothing_whether_it_is_so_is_no_requirement(text: str) -> None:
    """Python takes a text in quotes, or the difference of two numbers, for true."""
    (found,) = judge((text,), StageResult(name="eval", status="ran", metrics={"auc": 0.5}), _Outside(None))
    assert not found["passed"]
    assert "compares nothing" in found["reason"] or "names nothing" in found["reason"]


@pytest.mark.parametrize(
    ("value", "passed"), [(True, True), (1.0, True), (0.0, False), (math.nan, False), (0.5, False), ("no", False), (5000, False)]
)
def test_a_metric_by_itself_is_a_yes_or_no(value: object, passed: bool) -> None:  # noqa: FBT001
    """A score whose threshold was forgotten passes nothing."""
    (found,) = judge(("ok",), StageResult(name="eval", status="ran", metrics={"ok": value}))
    assert found["passed"] == passed
    assert ("neither true nor false" in found.get("reason", "")) == (value in (0.5, "no", 5000))


class _Outside:
    """A champion with known metrics, or none; nothing is reproducible."""

    def __init__(self, metrics: dict[str, float] | None) -> None:
        self.metrics = metrics

    def champion(self, metric: str) -> Any:
        if self.metrics is None:
            raise NoChampion
        return self.metrics[metric]

    def reproducible(self, result: StageResult) -> bool:
        return result.name == "same"


CHAMPION: list[tuple[str, dict[str, Any], dict[str, float] | None, bool]] = [
    ("auc >= champion.auc - 0.01", {"auc": 0.7}, {"auc": 0.705}, True),
    ("auc >= champion.auc - 0.01", {"auc": 0.69}, {"auc": 0.705}, False),
    ("auc >= champion.auc", {"auc": 0.7}, {"auc": math.nan}, False),
    ("auc >= champion.auc", {"auc": 0.7}, {}, False),
    ("auc >= champion.auc", {"auc": 0.7}, None, True),
    ("auc >= champion.auc", {"auc": math.nan}, None, False),
    ("auc >= champion.auc", {}, None, False),
    ("auc >= champion.auc", {"auc": "high"}, None, False),
    ("auc >= 0.62 and auc >= champion.auc", {"auc": 0.5}, None, False),
    ("auc >= 0.62 and auc >= champion.auc", {"auc": 0.7}, None, True),
    ("not auc < champion.auc", {"auc": 0.7}, None, True),
    ("not (auc < 0.62 or auc < champion.auc)", {"auc": 0.5}, None, False),
    ("low < auc < champion.auc", {"auc": 0.5, "low": 0.6}, None, False),
    ("a - a > -1 and auc >= champion.auc", {"a": math.inf, "auc": 0.7}, None, False),
    ("not (a - a > 1 or auc < champion.auc)", {"a": math.inf, "auc": 0.7}, None, False),
    ("auc >= champion.auc - (a - a)", {"a": math.inf, "auc": 0.7}, None, False),
    ("auc >= max(0.5, champion.auc)", {"auc": 0.7}, None, True),
    ("auc in [champion.auc]", {"auc": 0.7}, None, True),
]


@pytest.mark.parametrize(("text", "metrics", "champion", "passed"), CHAMPION)
def test_comparison_with_the_champion(text: str, metrics: dict[str, Any], champion: dict[str, float] | None, passed: bool) -> None:  # noqa: FBT001
    """Where there is none, only what hangs on it passes, with a note."""
    (found,) = judge((text,), StageResult(name="eval", status="ran", metrics=metrics), _Outside(champion))
    assert found["passed"] == passed, found
    if champion is None:
        assert (found.get("reason") == "no champion yet") == passed


def test_evidence_of_a_comparison_shows_both_numbers() -> None:
    """The champion's metric of that day stands in the evidence, and what the stage looked at."""
    result = StageResult(name="eval", status="ran", metrics={"auc": 0.7}, looked_at={"stage": "k", "model": "d"})
    (found,) = judge(("auc >= champion.auc",), result, _Outside({"auc": 0.6}))
    assert (found["value"], found["threshold"], found["digests"]) == (0.7, 0.6, {"stage": "k", "model": "d"})


@pytest.mark.parametrize(
    ("summary", "kind", "passed"),
    [
        ("1,000 x 20", "pandas.DataFrame", True),
        ("999 x 20", "pandas.DataFrame", False),
        ("336,776 int64", "pandas.Series", True),
        ("5,000 items", "list", True),
        ("5000", "int", False),
        ("5,000 characters", "str", False),
        ("", "sklearn.Pipeline", False),
    ],
)
def test_rows_of_an_artifact_are_counted(summary: str, kind: str, passed: bool) -> None:  # noqa: FBT001
    """Data volume: rows of a table, an array or a collection; what has none is refused."""
    artifact = Artifact(name="flights", digest="0" * 64, format="arrow", size_bytes=1, type=kind, summary=summary)
    (found,) = judge(("rows.flights >= 1000",), StageResult(name="ingest", status="ran", outputs={"flights": artifact}))
    assert found["passed"] == passed, found


def test_rows_of_what_is_not_made_are_refused() -> None:
    """The line says what to do."""
    (found,) = judge(("rows.fligths >= 1000",), StageResult(name="ingest", status="ran"))
    assert not found["passed"]
    assert "makes no 'fligths'" in found["reason"]


def test_reproducible_is_asked_for() -> None:
    """By the name alone; a metric of that name is the metric."""
    assert judge(("reproducible",), StageResult(name="same", status="ran"), _Outside({}))[0]["passed"]
    assert not judge(("reproducible",), StageResult(name="other", status="ran"), _Outside({}))[0]["passed"]
    assert not judge(("reproducible",), StageResult(name="same", status="ran"))[0]["passed"]
    assert not judge(("reproducible",), StageResult(name="same", status="ran", metrics={"reproducible": 0}), _Outside({}))[0]["passed"]
