"""Tables as Arrow files."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from nbmlops.store.serializers import Context, Serializer, decode, encode
from nbmlops.store.serializers.tables import TableSerializer
from tests.store.serializer_conformance import SerializerConformance, join, round_trip

RNG = np.random.default_rng(0)
COLUMNS: dict[str, Any] = {
    "float": [1.5, np.nan, -0.0],
    "int8": np.array([1, -2, 3], "i1"),
    "bool": [True, False, True],
    "str": ["x", None, "é"],
    "string": pd.array(["x", pd.NA, ""], "string"),
    "Int64": pd.array([1, None, 3], "Int64"),
    "Float32": pd.array([1.5, None, np.inf], "Float32"),
    "boolean": pd.array([True, None, False], "boolean"),
    "naive": pd.to_datetime(["2024-01-01", None, "1900-02-03"]),
    "seconds": np.array(["2024-01-01", "NaT", "2025-01-01"], "M8[s]"),
    "utc": pd.to_datetime(["2024-01-01", None, "2024-07-01"], utc=True),
    "zoned": pd.to_datetime(["2024-01-01", "2024-06-01", "2024-07-01"]).tz_localize("Europe/Berlin"),
    "delta": pd.to_timedelta(["1D", None, "2h"]),
    "category": pd.Categorical(["b", None, "a"], categories=["b", "a", "unused"], ordered=True),
    "codes": pd.Categorical([3, 1, 3]),
}
EXACT = [
    *(pd.DataFrame({name: values}) for name, values in COLUMNS.items()),
    pd.DataFrame(COLUMNS),
    pd.DataFrame(COLUMNS).iloc[:0],
    pd.DataFrame(COLUMNS).iloc[1:],
    pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}, index=pd.Index(["r", "s"], name="row")),
    pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(10, 14, 2, name="n")),
    pd.DataFrame({"a": [1, 2]}, index=pd.DatetimeIndex(["2024-01-01", "2024-03-01"], tz="UTC")),
    pd.DataFrame({"a": [1, 2]}, index=pd.CategoricalIndex(["u", "v"])),
    pd.DataFrame({"a": [1.5]}).rename_axis(columns="names"),
    pd.DataFrame({"t": pd.to_datetime(["2024-01-01 12:00"]).tz_localize(dt.timezone(dt.timedelta(hours=2)))}),
    pd.Series([1.0, np.nan], name="s"),
    pd.Series(["a", None], index=[5, 3]),
    pd.Series([], dtype="float64", name=3),
    pd.Series(pd.Categorical(["a"])),
]
OTHERS = [
    pd.DataFrame(),
    pd.DataFrame(index=[1, 2]),
    pd.DataFrame([[1, 2]], columns=["a", "a"]),
    pd.DataFrame([[1, 2]]),
    pd.DataFrame({"o": [1, "x", None]}),
    pd.DataFrame({"o": [None, float("nan"), pd.NA]}, dtype=object),
    pd.DataFrame({"o": ["x", "y"]}, dtype=object),
    pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["n", None])),
    pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2024-01-01", periods=2)),
    pd.DataFrame({("a", 1): [1]}),
    pd.DataFrame({"p": pd.period_range("2024", periods=2, freq="M")}),
    pd.DataFrame({"i": pd.arrays.IntervalArray.from_breaks([0, 1, 2])}),
    pd.DataFrame({"s": pd.arrays.SparseArray([0, 1])}),
    pd.DataFrame({"c": np.array([1j, 2])}),
    pd.DataFrame({"h": np.float16([1, 2])}),
    pd.DataFrame({"t": pd.to_datetime(["2024-01-01"]).tz_localize(zoneinfo.ZoneInfo("UTC"))}),
    pd.DataFrame({"c": pd.Categorical([1.5, "x", None])}),
    pd.DataFrame({"a": pd.array([1], pd.ArrowDtype(pa.int64()))}),
    pd.DataFrame({"py": pd.array(["x"], pd.StringDtype("python"))}),
    pd.DataFrame({"__index__": [1]}, index=["x"]),
    pd.Series([1], name=("a", 1)),
    pd.Series([1]).set_flags(allows_duplicate_labels=False),
    pd.Series([{"a": 1}, [2]]),
]


def same(left: Any, right: Any) -> bool:
    """Compare two pandas objects by everything that shows: dtypes, storage, zones, labels, freq, values, attrs."""
    kinds = [str([(kind, repr(kind), getattr(kind, "tz", None).__class__) for kind in np.atleast_1d(item.dtypes)]) for item in (left, right)]
    assert kinds[0] == kinds[1]
    if isinstance(right, pd.DataFrame):
        pd.testing.assert_frame_equal(left, right, check_exact=True, check_freq=True, check_index_type="exact", check_column_type="exact")
        assert left.columns.identical(right.columns)
        assert [block.mgr_locs.as_array.tolist() for block in left._mgr.blocks] == [block.mgr_locs.as_array.tolist() for block in right._mgr.blocks]
    else:
        pd.testing.assert_series_equal(left, right, check_exact=True, check_freq=True, check_index_type="exact")
    assert left.index.identical(right.index)
    return bool(left.attrs == right.attrs and left.flags == right.flags)


class TestConformance(SerializerConformance):
    """Frames and series keep the contract of a serializer."""

    serializer: ClassVar[Serializer] = TableSerializer()
    examples: ClassVar[tuple[Any, ...]] = tuple(EXACT)
    refused: ClassVar[tuple[Any, ...]] = tuple(OTHERS)

    def same(self, left: Any, right: Any) -> bool:
        """Compare exactly."""
        return same(left, right)


@pytest.mark.parametrize("value", OTHERS, ids=lambda value: str(value.shape))
def test_other_frames_come_back_through_pickle(value: Any) -> None:
    """What Arrow would change is kept exactly by another format, with equal bytes when stored again."""
    encoded = encode(value, Context())
    again = decode(encoded.format, memoryview(bytearray(join(encoded))), Context(trusted=True), encoded.form)
    assert same(again, value)
    assert join(encode(again, Context())) == join(encoded)


def test_missing_values_in_object_columns_stay_what_they_were() -> None:
    """None, NaN, NA and NaT are not taken for each other."""
    values = [None, float("nan"), pd.NA, pd.NaT, 1]
    encoded = encode(pd.DataFrame({"o": pd.Series(values, dtype=object)}), Context())
    again = decode(encoded.format, memoryview(join(encoded)), Context(trusted=True), encoded.form)
    assert [type(value) for value in again["o"]] == [type(value) for value in values]


LAYOUTS = [
    pd.DataFrame(RNG.random((5001, 3)), columns=list("abc"), copy=False),
    pd.DataFrame(RNG.random((5001, 3)), columns=list("abc")),
    pd.DataFrame({name: RNG.random(5001) for name in "abc"}),
    pd.DataFrame(RNG.random((9000, 6)), columns=list("abcdef"), copy=False).iloc[::2, 1:4],
    pd.DataFrame({"a": RNG.random(5001), "n": 1, "b": RNG.random(5001).astype("f4"), "c": RNG.random(5001)}),
]


@pytest.mark.parametrize("frame", LAYOUTS, ids=range(len(LAYOUTS)))
def test_sums_have_the_same_bits(frame: pd.DataFrame) -> None:
    """The order of a frame's blocks in memory decides how sums are rounded, so it is kept."""
    again = round_trip(TableSerializer(), frame, Context())
    assert again.sum().tolist() == frame.sum().tolist()
    assert again.sum(axis=1).tolist() == frame.sum(axis=1).tolist()
    assert again.to_numpy().flags.f_contiguous == frame.to_numpy().flags.f_contiguous or frame.to_numpy().base is not None


def test_loaded_frames_can_be_written_and_are_private() -> None:
    """Every column can be assigned in place, which changes no other load."""
    frame = pd.DataFrame(COLUMNS)
    encoded = TableSerializer().encode(frame, Context())
    assert encoded is not None
    view = memoryview(join(encoded))
    first, second = (TableSerializer().decode(view, Context()) for _ in range(2))
    for name in frame:
        first.loc[0, name] = first.loc[2, name]
    assert first.loc[0].equals(first.loc[2]) or first.loc[0, "int8"] == 3
    assert same(second, frame)


def test_loading_a_block_copies_nothing() -> None:
    """Columns of 8-byte values lie in the memory that was given, as one block."""
    frame = pd.DataFrame({name: RNG.random(1000) for name in "abc"})
    encoded = TableSerializer().encode(frame, Context())
    assert encoded is not None
    memory = bytearray(join(encoded))
    again = TableSerializer().decode(memoryview(memory), Context())
    assert np.shares_memory(again._mgr.blocks[0].values, np.frombuffer(memory, np.uint8))
    assert again._mgr.blocks[0].values.flags.c_contiguous  # noqa: PD011 - a block's


def test_what_a_null_hides_leaves_no_trace() -> None:
    """Values below a mask and the rows that a slice was cut from are not part of the bytes."""
    full = pd.array([1, 2, 3], "Int64")
    hidden = full.copy()
    hidden[1] = None
    text = pd.Series(["aa", "bb", "cc", None, "dd"])[2:5].reset_index(drop=True)
    for left, right in ((pd.Series(hidden), pd.Series(pd.array([1, None, 3], "Int64"))), (text, pd.Series(["cc", None, "dd"]))):
        assert join(encode(left, Context())) == join(encode(right, Context()))


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"a": [1, None], "b": ["x", None]}),
        pa.table({"a": [1.5]}).replace_schema_metadata({"k": "v"}),
        pa.table({"a": pa.chunked_array([[1], [2, 3]])}),
        pa.table({"d": pa.array(["x", "y"]).dictionary_encode()}),
        pa.table({"l": [[1, 2], None]}),
    ],
)
def test_arrow_tables_come_back(table: pa.Table) -> None:
    """Schema, metadata, chunks and nulls are kept."""
    encoded = encode(table, Context())
    again = decode(encoded.format, memoryview(bytearray(join(encoded))), Context(trusted=True), encoded.form)
    assert again.equals(table, check_metadata=True)
    assert [column.num_chunks for column in again.columns] == [column.num_chunks for column in table.columns]


def test_other_readers_can_read_the_object() -> None:
    """The object is an Arrow file with the frame's columns."""
    encoded = encode(pd.DataFrame({"a": [1, 2], "t": ["x", None]}), Context())
    assert pa.ipc.open_file(join(encoded)).read_all().to_pydict() == {"a": [1, 2], "t": ["x", None]}
