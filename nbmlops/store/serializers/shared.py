"""Arrays that share memory come back sharing it: writing through one shows in the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["ARRAY_SUBCLASSES", "Window", "is_plain_array", "private_arrays", "rebuild_view", "rebuild_window", "shared_windows"]

ARRAY_SUBCLASSES = frozenset({"memmap", "recarray", "matrix"})


@dataclass(frozen=True, slots=True)
class Window:
    """One array as a place in a block of memory that others use too."""

    block: Any
    offset: int


def shared_windows(arrays: list[Any]) -> dict[int, Window] | None:
    """Return, by the array's id, the windows of those arrays whose memory overlaps another's.

    None where they hold objects, whose memory cannot be copied as bytes, or are of a class that nobody here knows how to make of a block.
    """
    windows: dict[int, Window] = {}
    for group in _groups(arrays):
        if any(array.dtype.hasobject or not is_plain_array(type(array)) for _, _, array in group):
            return None
        low, high = group[0][0], max(item[1] for item in group)
        block = _memory(low, high)
        windows.update((id(array), Window(block, start - low)) for start, _, array in group)
    return windows


def is_plain_array(kind: type) -> bool:
    """Tell the arrays that are a view of memory and nothing else."""
    return kind.__module__.partition(".")[0] == "numpy" and kind.__name__ in {"ndarray", *ARRAY_SUBCLASSES}


def rebuild_view(kind: type, *parts: Any) -> Any:  # noqa: ANN401 - called by pickle
    """Return the array at its place in the block, as one of a subclass."""
    return rebuild_window(*parts).view(kind)


def rebuild_window(block: Any, dtype: Any, shape: Any, strides: Any, offset: int, writeable: bool) -> Any:  # noqa: ANN401, FBT001 - called by pickle
    """Return the array at its place in the block."""
    import numpy as np

    array = np.ndarray(shape, dtype, buffer=block, offset=offset - _lowest(shape, strides), strides=strides)
    array.flags.writeable = writeable
    return array


def private_arrays(value: Any) -> list[Any]:  # noqa: ANN401 - a pandas block or extension array
    """Return the arrays inside a pandas object: pandas copies them before it writes, so sharing is no part of the value."""
    import numpy as np

    # `values` of a frame or an index would make a copy; only a block has places
    inner = [value.values] if hasattr(value, "mgr_locs") else []
    parts = [*inner, getattr(value, "_ndarray", None), *getattr(value, "__dict__", {}).values()]
    return [part for part in parts if isinstance(part, np.ndarray)]


def _groups(arrays: list[Any]) -> list[list[tuple[int, int, Any]]]:
    if len(arrays) < 2:  # noqa: PLR2004 - then nothing overlaps, and whoever uses no numpy need not wait for it
        return []
    from numpy.lib.array_utils import byte_bounds

    unique = {id(array): array for array in arrays if array.size}
    bounds = sorted(((*byte_bounds(array), array) for array in unique.values()), key=lambda item: item[:2])
    groups: list[list[tuple[int, int, Any]]] = []
    end = -1
    for low, high, array in bounds:
        if low >= end:
            groups.append([])
        groups[-1].append((low, high, array))
        end = max(end, high)
    return [group for group in groups if len(group) > 1]


def _memory(low: int, high: int) -> Any:  # noqa: ANN401
    import ctypes  # noqa: PLC0415

    import numpy as np

    # the arrays are alive, and all of the range lies in their common base
    return np.frombuffer(memoryview((ctypes.c_char * (high - low)).from_address(low)), np.uint8).copy()


def _lowest(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    return sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True) if stride < 0)
