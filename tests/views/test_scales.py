"""Values and their places."""

from __future__ import annotations

import math
from typing import Any

import pytest

from nbmlops.views.scales import finite, scale_of

HUGE = 10**400


@pytest.mark.parametrize(
    ("values", "log", "labels"),
    [
        pytest.param([0.0, 1.0], False, ["0", "0.2", "0.4", "0.6", "0.8", "1"], id="linear"),
        pytest.param([0, 1], False, ["0", "1"], id="whole numbers"),
        pytest.param([0.01, 0.3], True, ["0.01", "0.02", "0.05", "0.1", "0.2"], id="logarithmic"),
        pytest.param([1e-6, 1], True, ["1e-06", "0.0001", "0.01", "1"], id="many decades"),
        pytest.param([-1.0, 1.0], True, ["-1", "-0.5", "0", "0.5", "1"], id="no logarithm of what is negative"),
        pytest.param([3.0, 3.0], False, ["2.8", "3", "3.2"], id="one value"),
        pytest.param([1234567.0, 1234569.0], False, ["1234567", "1234567.5", "1234568", "1234568.5", "1234569"], id="near neighbours"),
        pytest.param(["b", None, "a"], False, ["b", "null", "a"], id="categories"),
        pytest.param([True, False], False, ["true", "false"], id="booleans"),
    ],
)
def test_ticks_are_round(values: list[Any], log: bool, labels: list[str]) -> None:  # noqa: FBT001 - a row of the table
    """A scale has a few labels, in order, that can be told apart."""
    ticks = scale_of(values, 0, 100, log=log).ticks(5)
    assert [label for _, label in ticks] == labels
    assert [place for place, _ in ticks] == sorted(place for place, _ in ticks)


@pytest.mark.parametrize("values", [[1e299, -1e299], [5e-324, 1e-320], [0.1, math.nextafter(0.1, 1)], [0, 0], [HUGE, 1], [math.nan, 1], ["x"]])
@pytest.mark.parametrize("log", [False, True])
def test_every_value_has_a_place(values: list[Any], log: bool) -> None:  # noqa: FBT001 - a row of the table
    """Extreme values and those that are no numbers stay between the ends, and the ticks are few."""
    scale = scale_of(values, 10, 90, log=log)
    assert all(10 <= scale.at(value) <= 90 for value in values)
    assert len(scale.ticks(5)) < 12


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, HUGE, 1e308, True, "1", None])
def test_what_has_no_place_on_a_line(value: object) -> None:
    """Only ordinary numbers are drawn on number lines."""
    assert not finite(value)
