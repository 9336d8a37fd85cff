"""Equal bytes for equal values: what pickle would let the history of a value decide.

Pickle writes an object in full where it meets it first, and a reference afterwards. Whether two equal strings are one object
depends on interning, so on where the value came from; whether two dtypes are, on whether the array was loaded; and a set is
written in the order of its hash table. Here equal immutable values count as one object, and sets have one order.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Canonical", "OrderedSet"]

_TUPLE_LIMIT = 8
# Of a million rows each would cost 10 us; what counts is how often a tuple is met, which equal values have in common.
_TUPLE_BUDGET = 20_000
_NUMBERS = frozenset({int, float, bool, complex})


class OrderedSet:
    """Stands for a set in the stream; what is loaded is the set itself."""

    __slots__ = ("items", "kind")

    def __init__(self, kind: type, items: list[Any]) -> None:
        self.kind = kind
        self.items = items

    def __reduce__(self) -> Any:  # noqa: ANN401
        """Make a frozenset from its items; fill a set afterwards, since it may hold what refers to it."""
        if self.kind is frozenset:
            return frozenset, (self.items,)
        return set, (), self.items, None, None, set.update


class Canonical:
    """Maps each value of one encoding to the object that stands for all values equal to it.

    Parameters
    ----------
    sort_key : callable
        Gives bytes that say what an object of any other type is, to sort sets of such objects.
    """

    def __init__(self, sort_key: Callable[[Any], bytes]) -> None:
        self._sort_key = sort_key
        self._texts: dict[str, str] = {}
        self._bytes: dict[bytes, bytes] = {}
        self._tuples: dict[Any, tuple[Any, ...]] = {}
        self._tuples_left = _TUPLE_BUDGET
        self._sets: dict[int, tuple[Any, OrderedSet]] = {}
        self._dtypes: dict[str, Any] = {}

    def handler(self, kind: type) -> Callable[[Any], Any] | None:
        """Return the function that maps values of type `kind`; None if these are written as they are."""
        if kind is str:
            return lambda value: self._texts.setdefault(value, value)
        if kind is bytes:
            return lambda value: self._bytes.setdefault(value, value)
        if kind is tuple:
            return self._tuple
        if kind in {set, frozenset}:
            return self._set
        if kind.__module__ == "numpy.dtypes":
            return self._dtype
        return None

    def _tuple(self, value: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self._tuples_left <= 0:
            return None
        self._tuples_left -= 1
        key = _key(value)
        return None if key is None else self._tuples.setdefault(key, value)

    def _dtype(self, value: Any) -> Any:  # noqa: ANN401
        from nbmlops.store.serializers.layout import has_one_form  # noqa: PLC0415

        return self._dtypes.setdefault(value.str, value) if has_one_form(value) else None

    def _set(self, value: set[Any] | frozenset[Any]) -> OrderedSet | None:
        if not value:
            return None
        found = self._sets.get(id(value))
        if found is None:
            # the value is kept too: its id must not be given to another set meanwhile
            found = self._sets[id(value)] = (value, OrderedSet(type(value), self._ordered(value)))
        return found[1]

    def _ordered(self, value: set[Any] | frozenset[Any]) -> list[Any]:
        kind, found = type(value), list(value)
        ordered = sorted(found, key=self._order)
        # Two equal sets may iterate in different orders, and a stage may depend on it. Where hashes are the same in the
        # reading process and the sorted items would give another order, the items' own order is kept.
        stable = not sys.flags.hash_randomization or all(type(item) in _NUMBERS for item in found)
        if stable and _differs(list(kind(ordered)), found) and not _differs(list(kind(found)), found):
            return found
        return ordered

    def _order(self, item: object) -> tuple[Any, ...]:
        kind = type(item)
        if kind in {str, bytes, int}:
            return kind.__name__, item
        if kind in {float, bool, complex, type(None)}:
            return kind.__name__, repr(item)
        if isinstance(item, tuple) and kind is tuple:
            return "tuple", tuple(self._order(part) for part in item)
        return f"~{kind.__qualname__}", self._sort_key(item)


def _differs(left: list[Any], right: list[Any]) -> bool:
    return any(a is not b for a, b in zip(left, right, strict=True))


def _key(value: object) -> Any:  # noqa: ANN401 - hashable, or None
    kind = type(value)
    if kind in {str, bytes, int, bool, type(None)}:
        # 1, 1.0 and True are equal and hash alike
        return kind, value
    if isinstance(value, float) and kind is float:
        # the zeros are equal too
        return kind, value.hex()
    if isinstance(value, tuple) and kind is tuple and len(value) <= _TUPLE_LIMIT:
        parts = []
        for item in value:
            part = _key(item)
            if part is None:
                return None
            parts.append(part)
        return kind, tuple(parts)
    return None
