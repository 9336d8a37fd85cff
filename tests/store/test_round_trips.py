"""Every value that a store keeps comes back: value, type, order, identity, dtype and index."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import fractions
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nbmlops.store.serializers import Context, decode, encode
from tests.store.equal_values import VALUES

CONTEXT = Context(trusted=True)
ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(allow_nan=False),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.dates(),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.timedeltas(),
    st.uuids(),
    st.decimals(allow_nan=False).filter(lambda value: value is not None),
    st.fractions(),
)
KEYS = st.one_of(st.text(max_size=3), st.integers(), st.booleans(), st.dates(), st.tuples(st.integers(), st.text(max_size=2)))
PLAIN = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sets(KEYS, max_size=6),
        st.frozensets(KEYS, max_size=6),
        inner.map(lambda item: [item, item]),
    ),
    max_leaves=12,
)
DTYPES = st.one_of(arrays.integer_dtypes(), arrays.floating_dtypes(sizes=(32, 64)), arrays.boolean_dtypes(), arrays.unicode_string_dtypes(max_len=4))
ARRAYS = DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))


def stored(value: Any) -> tuple[bytes, bytes, Any]:
    """Return a value's bytes, its form, and the value that is loaded from them."""
    encoded = encode(value, CONTEXT)
    data = b"".join(encoded.buffers)
    return data, encoded.form, decode(encoded.format, memoryview(bytearray(data)), CONTEXT, encoded.form)


def exact(value: Any) -> str:
    """Return a text that tells values of different types, orders and signs apart."""
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({', '.join(map(exact, value))})"
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__}({', '.join(sorted(map(exact, value)))})"
    if isinstance(value, dict):
        return f"dict({', '.join(f'{exact(key)}: {exact(item)}' for key, item in value.items())})"
    if isinstance(value, float) and math.isnan(value):
        return f"nan {math.copysign(1.0, value)}"
    return f"{type(value).__name__} {value!r}"


@given(PLAIN)
@example([frozenset({""}), [frozenset({""})], {""}]).via("equal frozensets are one object once loaded, and the sets after them are counted alike")
@settings(max_examples=200)
def test_nested_values_come_back_exactly(value: Any) -> None:
    """Of the same types, in the same order, and with equal bytes when they are stored again."""
    data, form, again = stored(value)
    assert exact(again) == exact(value)
    assert stored(again)[:2] == (data, form)


@given(PLAIN)
@settings(max_examples=100)
def test_a_copy_has_equal_bytes(value: Any) -> None:
    """Whatever of it was shared: a deep copy shares what may change alike, and the rest does not count."""
    assert stored(copy.deepcopy([value]))[0] == stored([value])[0]


@given(ARRAYS, st.sampled_from(["C", "F"]), st.booleans())
@settings(max_examples=150)
def test_arrays_come_back_exactly(array: Any, order: Any, cut: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """Value, dtype, shape and order of the axes, of a whole array and of a view."""
    value = np.array(array, order=order)
    value = value[::-1] if cut and value.ndim else value
    data, form, again = stored(value)
    assert (again.dtype, again.shape, again.tobytes()) == (value.dtype, value.shape, value.tobytes())
    assert (np.argsort(again.strides, kind="stable").tolist() == np.argsort(np.abs(value.strides), kind="stable").tolist()) or min(value.shape) < 2
    assert stored(again)[:2] == (data, form)


COLUMNS = {
    "integers": [1, 2, 3],
    "floats": [0.5, math.nan, -0.0],
    "texts": ["a", None, "c"],
    "bools": [True, False, True],
    "times": pd.to_datetime(["2020-01-01", None, "2021-01-01"]),
    "zoned": pd.to_datetime(["2020-01-01", "2020-06-01", None]).tz_localize("Europe/Berlin"),
    "durations": pd.to_timedelta([1, 2, None], unit="h"),
    "categories": pd.Categorical(["b", "a", None], categories=["b", "a", "z"], ordered=True),
    "nullable": pd.array([1, None, 3], dtype="Int16"),
    "objects": [1, "x", None],
    "small": np.array([1, 2, 3], "u1"),
    "periods": pd.period_range("2020", periods=3, freq="M"),
    "intervals": pd.interval_range(0, 3),
}
INDEXES = {
    "range": pd.RangeIndex(3),
    "steps": pd.RangeIndex(5, -1, -2, name="n"),
    "integers": pd.Index([7, 5, 5], name="id"),
    "texts": pd.Index(["x", "y", "x"]),
    "dates": pd.DatetimeIndex(["2020-01-01", "2020-01-03", "2020-01-02"], name="day"),
    "with a frequency": pd.date_range("2020", periods=3, freq="D"),
    "levels": pd.MultiIndex.from_product([["a"], [1, 2, 3]], names=["x", None]),
    "categories": pd.CategoricalIndex(["u", "v", "u"]),
}


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize("column", COLUMNS)
def test_tables_come_back_exactly(column: str, index: str) -> None:
    """Every kind of column under every kind of index: values, dtypes, names, frequency."""
    frame = pd.DataFrame({"first": [1.5, 2.5, 3.5], column: COLUMNS[column]})
    frame.index = INDEXES[index]
    data, form, again = stored(frame)
    pd.testing.assert_frame_equal(again, frame, check_exact=True, check_freq=True, check_categorical=True)
    assert type(again.index) is type(frame.index)
    assert again.index.names == frame.index.names
    assert [repr(kind) for kind in again.dtypes] == [repr(kind) for kind in frame.dtypes]
    assert stored(again)[:2] == (data, form)
    pd.testing.assert_series_equal(stored(frame[column])[2], frame[column], check_exact=True, check_freq=True)


@pytest.mark.parametrize("name", [name for name in VALUES if not name.startswith("containers: r")])
def test_parts_that_are_one_stay_one(name: str) -> None:
    """A value in two places is one object again, and another equal one that may change stays another."""
    make = VALUES[name][0]
    value = [make()]
    one, other, apart = stored([value, value, [make()]])[2]
    assert one is other
    assert apart is not one


@pytest.mark.parametrize(
    "value",
    [
        decimal.Decimal("NaN"),
        decimal.Decimal("-0.0"),
        fractions.Fraction(-1, 3),
        dt.time(1, 2, fold=1),
        range(0),
        -0.0,
        1e400,
        10**400,
        "\ud800",
        b"\x00",
    ],
    ids=repr,
)
def test_odd_atoms_come_back(value: Any) -> None:
    """Signs, folds, halves of characters and numbers beyond a word."""
    assert repr(stored(value)[2]) == repr(value)
