"""Values that can never change, and what tells two of them apart: where that is equal, one may stand for both.

Two NaNs are not equal: whether two places hold one NaN can be seen (``x in rows``), so they stand for themselves.
"""

from __future__ import annotations

import copyreg
import functools
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["is_immutable", "key_of"]

_TEXTS = frozenset({str, bytes, int, bool, type(None)})
_CONTAINERS = frozenset({tuple, frozenset})
# by module and name, since most processes have not loaded all of them; what they reduce to is texts, numbers and each other
_NAMED = frozenset(
    {
        "builtins.complex", "builtins.range", "builtins.slice", "datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta",
        "datetime.timezone", "decimal.Decimal", "fractions.Fraction", "ipaddress.IPv4Address", "ipaddress.IPv6Address", "pathlib.PosixPath",
        "pathlib.PurePosixPath", "pathlib._local.PosixPath", "pathlib._local.PurePosixPath", "re.Pattern", "uuid.UUID", "zoneinfo.ZoneInfo",
        "pandas.Timestamp", "pandas.Timedelta", "pandas._libs.tslibs.timestamps.Timestamp", "pandas._libs.tslibs.timedeltas.Timedelta",
    },
)  # fmt: skip
_ARGUMENTS, _STATE = 1, 2  # their places in what __reduce_ex__ returns


@functools.lru_cache(maxsize=256)  # of the types of a value it is asked again and again
def is_immutable(kind: type) -> bool:
    """Tell whether values of this very type are known to be unchangeable; containers are, if what they hold is."""
    return kind in _CONTAINERS or f"{kind.__module__}.{kind.__qualname__}" in _NAMED or _is_numpy_scalar(kind)


def key_of(value: object) -> Hashable | None:
    """Return what equal values of the same type have in common, and no others; None where that is not known."""
    kind = type(value)
    if kind in _TEXTS:
        # 1, 1.0 and True are equal and hash alike
        return kind, value
    if isinstance(value, float) and kind is float:
        # the zeros are equal too
        return (kind, value.hex()) if value == value else None  # noqa: PLR0124 - NaN is what is not equal to itself
    if kind in _CONTAINERS:
        return _container_key(value)
    if _is_numpy_scalar(kind):  # type: ignore[arg-type]  # a class is hashable
        scalar: Any = value
        return (kind, scalar.dtype.str, scalar.tobytes()) if scalar == scalar else None  # noqa: PLR0124
    return _reduced_key(value) if is_immutable(kind) else None  # type: ignore[arg-type]  # a class is hashable


def _container_key(value: Any) -> Hashable | None:  # noqa: ANN401 - tuple or frozenset
    parts = [key_of(item) for item in value]
    return None if None in parts else (type(value), type(value)(parts))


def _reduced_key(value: Any) -> Hashable | None:  # noqa: ANN401
    kind = type(value)
    if kind is not slice and value != value:  # noqa: PLR0124 - a Decimal that is no number, a complex with NaN
        return None
    reducer = copyreg.dispatch_table.get(kind)
    reduced: Any = reducer(value) if reducer else value.__reduce_ex__(5)
    state = reduced[_STATE] if len(reduced) > _STATE else None
    parts = [*(item for item in reduced[_ARGUMENTS] if item is not kind), *sorted((state or {}).items())]
    if kind.__module__ == "zoneinfo" and not parts[-1]:
        return None  # a zone outside the cache equals no other
    key = key_of(tuple(parts))
    return None if key is None else (kind, key)


@functools.lru_cache(maxsize=256)
def _is_numpy_scalar(kind: type) -> bool:
    if kind.__module__ != "numpy":
        return False
    numpy = sys.modules["numpy"]
    return issubclass(kind, numpy.generic) and not issubclass(kind, (numpy.void, numpy.object_))
