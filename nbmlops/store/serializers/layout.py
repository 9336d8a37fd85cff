"""How an array lies in memory: its dtype in one string, and its axes in their order."""

from __future__ import annotations

from typing import Any

__all__ = ["SIMPLE_KINDS", "compact", "has_one_form", "is_simple"]

SIMPLE_KINDS = frozenset("biufcmMSUV")


def is_simple(dtype: Any) -> bool:  # noqa: ANN401 - numpy.dtype, imported late
    """Say whether a dtype is wholly described by its `str`, without fields, subarrays, objects or metadata."""
    return dtype.kind in SIMPLE_KINDS and dtype.fields is None and dtype.subdtype is None and dtype.metadata is None


def has_one_form(dtype: Any) -> bool:  # noqa: ANN401 - numpy.dtype, imported late
    """Say whether all dtypes with this `str` mean the same; so do those of objects, whose arrays are not simple."""
    return is_simple(dtype) or (dtype.str == "|O" and dtype.metadata is None)


def compact(array: Any) -> Any:  # noqa: ANN401 - numpy.ndarray, imported late
    """Return the array without gaps between its values, with the axes in the order that they have in memory."""
    import numpy as np

    if array.flags.c_contiguous or array.flags.f_contiguous:
        return array
    axes = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    dense = np.ascontiguousarray(array.transpose(axes))
    dense.flags.writeable = array.flags.writeable
    return dense.transpose([axes.index(axis) for axis in range(array.ndim)])
