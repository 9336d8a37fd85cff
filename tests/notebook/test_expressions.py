"""The expressions of gates and conditions."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbmlops.errors import NotebookError
from nbmlops.notebook.expressions import parse_expression

VALUES: dict[str, Any] = {
    "auc": 0.75,
    "gap": -0.2,
    "n": 10,
    "city": "JFK",
    "cities": ["JFK", "LGA"],
    "nan": math.nan,
    "flag": True,
    "none": None,
    "champion.auc": 0.74,
    "narrow": np.float32(0.5),
    "array": np.arange(3),
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("auc >= 0.7", True),
        ("auc >= champion.auc - 0.01", True),
        ("0.7 < auc < 0.8", True),
        ("0.7 < auc < 0.72", False),
        ("abs(gap) <= 0.2 and not flag", False),
        ("city in ['JFK', 'LGA']", True),
        ("city not in ['JFK']", False),
        ("city in cities", True),
        ("city == 'EWR' or n % 3 == 1", True),
        ("min(n, 3) + max(1, 2, 3) * 2", 9),
        ("round(auc, 1)", 0.8),
        ("-n // 3", -4),
        ("n ** 2", 100),
        ("narrow == 0.5", True),
        ("none or n", True),
        ("-1 in [-1, +2]", True),
    ],
)
def test_expression_has_pythons_value(text: str, value: object) -> None:
    """The subset means what Python means by it."""
    assert parse_expression(text).evaluate(VALUES) == value


@pytest.mark.parametrize(
    "text",
    [
        "nan > 0",
        "nan != 0",
        "nan == nan",
        "not nan > 0",
        "not (auc > 0 and nan > 0)",
        "not not nan < 1",
        "min(auc, nan) > 0",
        "min(nan, auc) < 1",
        "round(nan) < 1",
        "abs(nan) + 1 > 0",
        "nan in [1]",
        "nan not in [1]",
        "1 not in [nan]",
        "flag and nan",
        "nan",
        "0 < 1 < nan",
    ],
)
def test_nan_never_holds(text: str) -> None:
    """A metric that is NaN passes no gate, whichever way the gate is put."""
    assert parse_expression(text).holds(VALUES) is False


def test_nan_does_not_hide_what_is_true_anyway() -> None:
    """What holds without the NaN holds."""
    assert parse_expression("auc > 0 or nan > 0").holds(VALUES)
    assert parse_expression("not (auc < 0 and nan > 0)").holds(VALUES)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x =",
        "x; y",
        "x = 1",
        "(x := 1)",
        "lambda: 1",
        "x if y else z",
        "[x for x in y]",
        "x[0]",
        "x.y",
        "champion",
        "champion.a.b",
        "champion['a']",
        "().__class__",
        "__import__('os')",
        "open('x')",
        "abs(x, y)",
        "min(x)",
        "min(*x)",
        "max(a, b, key=c)",
        "round()",
        "x is y",
        "x @ y",
        "x << 2",
        "~x",
        "x == None",
        "x == (1, 2)",
        "x == [1]",
        "[1]",
        "x in [[1]]",
        "{1: 2}",
        "f'{x}'",
        "b'x'",
        "1j",
        "...",
        "await x",
        "x\ny",
        "(x >\n1)",
        "\0",
        "(" * 500,
        "-" * 900 + "x",
        "x + " * 400 + "x",
    ],
)
def test_nothing_else_parses(text: str) -> None:
    """What is not in the subset is refused before anything is evaluated."""
    with pytest.raises(NotebookError) as caught:
        parse_expression(text)
    assert caught.value.fix
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("acu > 1", "'acu' has no value; did you mean 'auc'?"),
        ("champion.gap > 1", "'champion.gap' has no value"),
        ("city > 1", "not supported"),
        ("city * 3 == 'x'", "not a number"),
        ("n / 0 > 1", "zero"),
        ("2 ** 10000 > 1", "exponent"),
        ("((9 ** 64) ** 64) ** 64 > 1", "too large"),
        ("n ** 60 * 10.0 ** 64 * 10.0 ** 64 ** 2 > 1", "exponent"),
        ("array > 1", "neither true nor false"),
        ("1 in n", "not iterable"),
        ("cities < 3", "not supported"),
    ],
)
def test_failing_evaluation_is_one_line(text: str, part: str) -> None:
    """A missing or unfit value says which expression needs what."""
    with pytest.raises(NotebookError) as caught:
        parse_expression(text).holds(VALUES)
    assert caught.value.code == "NB110"
    assert part in str(caught.value)
    assert text in str(caught.value)


def test_names_come_in_order_with_the_champions_flagged() -> None:
    """Functions are no names; the champion's metrics are named with their prefix."""
    expression = parse_expression("min(b, a) > champion.c and b in ['x']")
    assert expression.names == ("b", "a", "champion.c")
    assert expression.champion_names == ("c",)


@pytest.mark.parametrize(
    ("text", "sides"),
    [("auc >= 0.7", (0.75, 0.7)), ("0.7 <= auc", (0.75, 0.7)), ("champion.auc < auc", (0.75, 0.74)), ("0 < auc < 1", None), ("flag", None)],
)
def test_sides_are_value_and_threshold(text: str, sides: tuple[float, float] | None) -> None:
    """One comparison gives the evidence of a gate, the threshold last."""
    assert parse_expression(text).sides(VALUES) == sides


def test_decimals_are_numbers() -> None:
    """Any numeric type may be compared and computed with."""
    assert parse_expression("x + 1 > 2").holds({"x": Decimal("1.5")})


@given(st.text(alphabet="ab 01.+-*/%<>=()[],'\"notandri", max_size=40))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    """Parsing and evaluating give a value or a NotebookError."""
    try:
        parse_expression(text).holds({"a": 1, "b": 2.5})
    except NotebookError as error:
        told = str(error)
    else:
        told = ""
    assert "\n" not in told
