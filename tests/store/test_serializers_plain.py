"""JSON for plain data."""

from __future__ import annotations

import enum
import math
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbmlops.store.serializers import Context, Serializer
from nbmlops.store.serializers.plain import PlainSerializer
from tests.store.serializer_conformance import SerializerConformance, round_trip

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Level(enum.IntEnum):
    """Equal to an int, and of another type."""

    LOW = 1


def deep(levels: int) -> list[Any]:
    """Nest lists."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


SHARED: list[Any] = []
CYCLE: list[Any] = []
CYCLE.append(CYCLE)


class TestConformance(SerializerConformance):
    """JSON keeps the contract of a serializer, and leaves alone what it would change."""

    serializer: ClassVar[Serializer] = PlainSerializer()
    examples: ClassVar[tuple[Any, ...]] = (
        {"b": [1, 1.0, True, "1", None], "a": {"": []}, "é": "\U0001f600\x00"}, 0, "", False, None, -0.0, 1e22, 5e-324, 2**600, deep(50),
    )  # fmt: skip
    refused: ClassVar[tuple[Any, ...]] = (
        math.nan, math.inf, (1,), {1: 1}, {True: 1}, {"a": (1,)}, b"a", {1}, 1j, np.float64(1), np.int64(1), np.str_("a"), Level.LOW,
        {"a": Level.LOW},
        "\ud800", "\ud83d\ude00", 10**5000, deep(500), [SHARED, SHARED], CYCLE,
    )  # fmt: skip

    def same(self, left: Any, right: Any) -> bool:
        """Tell -0.0 from 0.0 and 1 from True."""
        return repr(left) == repr(right)


@given(PLAIN)
def test_what_is_taken_comes_back_exactly(value: Any) -> None:
    """Any plain value is refused or given back with type and sign."""
    encoded = PlainSerializer().encode(value, Context())
    if encoded is not None:
        assert repr(round_trip(PlainSerializer(), value, Context())) == repr(value)


def test_the_order_of_a_dict_is_part_of_it() -> None:
    """Two orders are two values, and each comes back."""
    for value in ({"a": 1, "b": 2}, {"b": 2, "a": 1}):
        assert list(round_trip(PlainSerializer(), value, Context())) == list(value)


@pytest.mark.parametrize("value", ["short", ["a"] * 3])
def test_repeated_strings_are_no_sharing(value: Any) -> None:
    """Immutable values may be one object in two places."""
    assert PlainSerializer().encode([value, "short", "short"], Context()) is not None
