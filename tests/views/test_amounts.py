"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from nbmlops.views.amounts import exact_value, human_bytes, human_seconds, human_value


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_960, "10 kB"),
        (999_499, "999 kB"),
        (999_600, "1.0 MB"),
        (1_300_000, "1.3 MB"),
        (4e21, "4000 EB"),
        (-1, "?"),
    ],
)
def test_bytes(size_bytes: float, text: str) -> None:
    """Two digits, and never 1000 of a unit that has a larger one."""
    assert human_bytes(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0994, "99 ms"),
        (0.0996, "0.1 s"),
        (4.2, "4.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (75, "1 min 15 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
        (math.nan, "?"),
        (math.inf, "?"),
    ],
)
def test_seconds(seconds: float, text: str) -> None:
    """Two units at most, and never 60 of the smaller one."""
    assert human_seconds(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.712345, "0.7123"), ("JFK", "JFK"), (True, "true"), ([1, 2], "[1, 2]"), (math.nan, "nan"), ({(1, 2): 3}, "dict")]
)
def test_values(value: object, text: str) -> None:
    """Floats are short, the rest is JSON, and what is not JSON is told by its type."""
    assert human_value(value) == text


@pytest.mark.parametrize(("value", "text"), [(1.0, "1.0"), (0.69996, "0.69996"), (1, "1"), (None, "null")])
def test_exact_values(value: object, text: str) -> None:
    """What decides is not rounded: 0.69996 did not reach 0.7, and 1.0 is not 1."""
    assert exact_value(value) == text
