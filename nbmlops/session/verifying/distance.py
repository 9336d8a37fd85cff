"""How far two artifacts of numbers are apart. Formats that run code when read are not opened."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nbmlops.store.loading import load_artifact
from nbmlops.store.serializers import Context, runs_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nbmlops.store.records import Artifact
    from nbmlops.store.store import Store

__all__ = ["apart"]


def apart(store: Store, left: Artifact, right: Artifact) -> str:
    """Say by how much the numbers of two artifacts differ, in a few words; "" where more than numbers differs, or none can be told.

    Examples
    --------
    >>> apart(store, first, second)  # doctest: +SKIP
    'at most 4.4e-16 apart, relative 1.2e-15'
    """
    if left.format != right.format or left.members or runs_code(left.format):
        return ""
    first, second = (load_artifact(store, item, Context()) for item in (left, right))
    try:
        found = list(_distances(first, second))
    except _NotNumbers:
        return ""
    if not found:
        return ""
    return f"at most {max(item[0] for item in found):.2g} apart, relative {max(item[1] for item in found):.2g}"


class _NotNumbers(Exception):
    """Something differs that is no number."""


def _distances(left: Any, right: Any) -> Iterator[tuple[float, float]]:  # noqa: ANN401 - values of any plain format
    if type(left) is not type(right):
        raise _NotNumbers
    if isinstance(left, float):
        yield from _floats(left, right)
    elif isinstance(left, (dict, list)):
        if len(left) != len(right) or (isinstance(left, dict) and list(left) != list(right)):
            raise _NotNumbers
        for one, two in zip(_items(left), _items(right), strict=True):
            yield from _distances(one, two)
    elif hasattr(left, "dtypes"):
        yield from _columns(left, right)
    elif hasattr(left, "dtype"):
        yield from _array(left, right)
    elif left != right:
        raise _NotNumbers


def _items(value: Any) -> Iterable[Any]:  # noqa: ANN401 - dict or list
    return value.values() if isinstance(value, dict) else value


def _floats(left: float, right: float) -> Iterator[tuple[float, float]]:
    if left != right:
        if not (math.isfinite(left) and math.isfinite(right)):
            raise _NotNumbers
        yield abs(left - right), abs(left - right) / max(abs(left), abs(right))


def _columns(left: Any, right: Any) -> Iterator[tuple[float, float]]:  # noqa: ANN401 - pandas.DataFrame or Series
    if not left.index.equals(right.index):
        raise _NotNumbers
    if not hasattr(left, "columns"):
        left, right = left.to_frame(), right.to_frame()
    if list(left.columns) != list(right.columns):
        raise _NotNumbers
    for place in range(left.shape[1]):
        one, two = left.iloc[:, place], right.iloc[:, place]
        if one.equals(two):
            continue
        if one.dtype != two.dtype or one.dtype.kind != "f":
            raise _NotNumbers
        yield from _array(one.to_numpy(float, na_value=math.nan), two.to_numpy(float, na_value=math.nan))


def _array(left: Any, right: Any) -> Iterator[tuple[float, float]]:  # noqa: ANN401 - numpy.ndarray
    if left.shape != right.shape or left.dtype != right.dtype or left.dtype.kind != "f":
        raise _NotNumbers
    import numpy as np

    differs = (left != right) & ~(np.isnan(left) & np.isnan(right))
    one, two = left[differs].astype(float), right[differs].astype(float)
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise _NotNumbers
    if one.size:
        yield float(np.abs(one - two).max()), float((np.abs(one - two) / np.maximum(np.abs(one), np.abs(two))).max())
