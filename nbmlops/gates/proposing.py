"""A first suite from a frame: what holds of it today, with some room where numbers may grow."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.errors import UsageError
from nbmlops.gates.expectations import check_frame, judge_frame
from nbmlops.gates.suites import Suite, check_name, suite_json, write_suite
from nbmlops.notebook.expecting import suite_path

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["propose_suite"]

_FEW = 20
_MARGIN = 0.1
_ROOM = 0.05
_WRITTEN_BY = "nbmlops.propose_suite"


def propose_suite(df: Any, name: str, *, replace: bool = False) -> Any:  # noqa: ANN401 - a frame in, a suite of Great Expectations out
    """Write a first suite: see `nbmlops.propose_suite`."""
    check_name(name)
    check_frame(df)
    if not len(df) or not len(df.columns):
        raise UsageError("a frame without rows or columns shows nothing to expect", code="NB634", fix="give one with data")
    unnamed = [column for column in df.columns if not isinstance(column, str)]
    if unnamed:
        raise UsageError(f"the column {unnamed[0]!r} has no text for a name", code="NB634", fix="df.columns = df.columns.map(str)")
    proposed = tuple(_proposed(df))
    # what Great Expectations cannot compute here is not proposed
    checks = judge_frame(df, Suite(name=name, expectations=proposed, place="the proposal")).checks
    kept = [item for item, check in zip(proposed, checks, strict=True) if check.met and not check.reason]
    data = suite_json(name, kept, _WRITTEN_BY)
    path = Path(suite_path(name))
    if path.exists() and not replace and path.read_bytes() != data:
        raise UsageError(f"there is a suite {path.as_posix()!r} already", code="NB631", fix="give another name, or replace=True")
    write_suite(name, data)
    from nbmlops.gates.greatexpectations import configured, quiet  # noqa: PLC0415 - seconds, for those who validate

    expectations = [configured(item, "the proposal") for item in kept]
    with quiet():
        from great_expectations.core import ExpectationSuite

        return ExpectationSuite(name=name, expectations=expectations)


def _proposed(df: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - a pandas.DataFrame
    yield _expect("expect_table_columns_to_match_set", column_set=list(df.columns))
    yield _expect("expect_table_row_count_to_be_between", min_value=max(1, len(df) // 2))
    for column in df.columns:
        yield from _of_column(df[column], column)


def _of_column(values: Any, column: str) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - a pandas.Series
    import pandas as pd

    yield _expect("expect_column_values_to_be_of_type", column=column, type_=str(values.dtype))
    there = float(values.notna().mean())
    if there == 1:
        yield _expect("expect_column_values_to_not_be_null", column=column)
    elif there:
        # rounded down, and with room: months differ
        mostly = math.floor(max(0.0, there - _ROOM) * 1000) / 1000
        if mostly:
            yield _expect("expect_column_values_to_not_be_null", column=column, mostly=mostly)
    known = values.dropna()
    if not len(known):
        return
    numeric = pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype)
    if numeric and not pd.api.types.is_complex_dtype(values.dtype):
        yield from _range(known, column)
    elif pd.api.types.is_string_dtype(values.dtype) or values.dtype == object or isinstance(values.dtype, pd.CategoricalDtype):
        yield from _words(known, column)
    if len(known) > _FEW and there == 1 and _is_unique(known):
        yield _expect("expect_column_values_to_be_unique", column=column)


def _range(known: Any, column: str) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - a pandas.Series
    low, high = (end.item() if hasattr(end, "item") else end for end in (known.min(), known.max()))  # those of a sparse column are Python's
    if not (math.isfinite(low) and math.isfinite(high)):
        return
    room = (high - low) * _MARGIN
    first, last = (math.floor(low - room), math.ceil(high + room)) if isinstance(low, int) else (low - room, high + room)
    # what is never below zero counts or measures something
    yield _expect("expect_column_values_to_be_between", column=column, min_value=max(0, first) if low >= 0 else first, max_value=last)


def _words(known: Any, column: str) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - a pandas.Series
    try:
        words = sorted(set(known))
    except TypeError:  # lists, or values that have no order
        return
    if all(isinstance(word, str) for word in words) and len(words) <= _FEW and len(words) * 2 <= len(known):
        yield _expect("expect_column_values_to_be_in_set", column=column, value_set=words)


def _is_unique(known: Any) -> bool:  # noqa: ANN401 - a pandas.Series
    try:
        return bool(known.is_unique)
    except TypeError:
        return False


def _expect(kind: str, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401 - what expectations take
    return {"type": kind, "kwargs": kwargs}
