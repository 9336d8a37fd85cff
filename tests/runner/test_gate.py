"""Gates: the evidence of each requirement, and that nothing passes by accident."""

from __future__ import annotations

import math
from typing import Any

import pytest

from nbmlops.runner.gate import judge

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
    (found,) = judge((text,), metrics)
    assert (found["name"], found["passed"]) == (text, passed)
    assert repr((found["value"], found["threshold"])) == repr((value, threshold))


def test_every_requirement_has_its_evidence() -> None:
    """One that does not hold hides no other."""
    assert [item["passed"] for item in judge(("a > 1", "b > 1", "c > 1"), {"a": 2, "c": 2})] == [True, False, True]
    assert judge((), {"a": 1}) == ()
