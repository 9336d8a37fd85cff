"""Equal bytes for equal values: what pickle would let the history of a value decide.

Pickle writes an object in full where it meets it first, and a reference afterwards. Whether two equal strings are one object
depends on interning, so on where the value came from; whether two dtypes are, on whether the array was loaded; and a set is
written in the order of its hash table. Here equal immutable values count as one object, and sets are written in one order; the
order in which they were iterated is told apart from the bytes, as their form.
"""

from __future__ import annotations

import itertools
import json
import math
import struct
import sys
from typing import TYPE_CHECKING, Any

from nbmlops.store.serializers.definitions import LOADER, Loader
from nbmlops.store.serializers.immutables import is_immutable, key_of
from nbmlops.store.serializers.setorder import Places, places_of, rebuilt

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Canonical", "OrderedSet", "SetForms"]

# Of a million rows each would cost 10 us; what counts is how often an item is met, which equal values have in common.
_KEY_BUDGET = 50_000
_NUMBERS = frozenset({"builtins.int", "builtins.float", "builtins.bool", "builtins.complex", "decimal.Decimal", "fractions.Fraction"})
_SEEDED = frozenset({"builtins.str", "builtins.bytes"})


class OrderedSet:
    """Stands for a set in the stream; what is loaded is the set itself."""

    __slots__ = ("index", "items", "kind")

    def __init__(self, kind: type, items: list[Any], index: int) -> None:
        self.kind = kind
        self.items = items
        self.index = index

    def __reduce__(self) -> Any:  # noqa: ANN401
        """Make a frozenset from its items; fill a set afterwards, since it may hold what refers to it."""
        if self.kind is frozenset:
            return _make_frozenset, (LOADER, self.index, self.items)
        return set, (), (LOADER, self.index, self.items), None, None, _fill_set


class Nan:
    """Stands for one NaN in the stream: `np.nan in values` asks for this very object."""

    __slots__ = ("value",)

    def __init__(self, value: float) -> None:
        self.value = value

    def __reduce__(self) -> Any:  # noqa: ANN401
        """Find the NaN of a module again, or make one with the same bits."""
        if self.value is math.nan:  # noqa: PLW0177 - its identity is the point
            return getattr, (math, "nan")
        numpy = sys.modules.get("numpy")
        if numpy is not None and self.value is getattr(numpy, "nan", None):
            return getattr, (numpy, "nan")
        return _make_nan, (struct.pack("<d", self.value),)


class SetForms:
    """How the sets of one encoding were iterated, by the order in which they are met.

    Parameters
    ----------
    form : bytes
        What `to_bytes` gave; empty for none.
    """

    def __init__(self, form: bytes = b"") -> None:
        self._found: dict[str, list[Any]] = json.loads(form) if form else {}

    def note(self, index: int, value: set[Any] | frozenset[Any], items: list[Any]) -> None:
        """Keep the order of a set, where it is neither that of filling a set in the order of `items` nor arbitrary."""
        seeded = _needs_seed(items)
        if seeded is None or (seeded and sys.flags.hash_randomization):
            return
        if all(left is right for left, right in zip(type(value)(items), value, strict=True)):
            return
        places = places_of(value, items)
        if places is not None:
            self._found[str(index)] = [seeded, places.size, places.slots, places.deleted]

    def fill(self, kind: type, index: int, items: list[Any], into: set[Any] | None = None) -> Any:  # noqa: ANN401 - a set or frozenset
        """Return a set of the items, in its order where that is kept and the hashes are those that it was kept with."""
        seeded, *parts = self._found.get(str(index), (True, None))
        if len(parts) == 3 and not (seeded and sys.flags.hash_randomization):  # noqa: PLR2004 - size, slots, deleted
            made = rebuilt(kind, items, Places(*parts), into)
            if made is not None:
                return made
        if into is None:
            return kind(items)
        into.update(items)
        return into

    def to_bytes(self) -> bytes:
        """Return all that was noted; nothing where there is none."""
        return json.dumps(self._found, separators=(",", ":")).encode() if self._found else b""


def _make_frozenset(loader: Loader, index: int, items: list[Any]) -> frozenset[Any]:
    made: frozenset[Any] = loader.forms.fill(frozenset, index, items)
    return made


def _fill_set(value: set[Any], state: tuple[Loader, int, list[Any]]) -> None:
    loader, index, items = state
    loader.forms.fill(set, index, items, value)


def _make_nan(bits: bytes) -> float:
    return float(struct.unpack("<d", bits)[0])


def _needs_seed(items: Any) -> bool | None:  # noqa: ANN401 - any iterable
    """Tell whether the hashes of the items hang on the hash seed; None if they hang on where the items lie in memory."""
    found = False
    for item in items:
        kind = type(item)
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in _NUMBERS:
            if item != item:  # noqa: PLR0124 - the hash of a NaN is its address
                return None
        elif kind in {tuple, frozenset}:
            below = _needs_seed(item)
            if below is None:
                return None
            found = found or below
        elif name in _SEEDED or (is_immutable(kind) and name != "zoneinfo.ZoneInfo" and key_of(item) is not None):  # type: ignore[arg-type]  # a class is hashable
            found = True
        else:
            return None
    return found


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
        self._immutables: dict[Any, Any] = {}
        self._keys_left = _KEY_BUDGET
        self._sets: dict[int, tuple[Any, OrderedSet]] = {}
        self._sets_made = itertools.count()
        self._frozensets: dict[Any, OrderedSet] = {}
        self._nans: dict[int, Nan] = {}
        self._dtypes: dict[str, Any] = {}
        self.forms = SetForms()

    def handler(self, kind: type) -> Callable[[Any], Any] | None:
        """Return the function that maps values of type `kind`; None if these are written as they are."""
        if kind is str:
            return lambda value: self._texts.setdefault(value, value)
        if kind is bytes:
            return lambda value: self._bytes.setdefault(value, value)
        if kind in {set, frozenset}:
            return self._set
        if kind.__module__ == "numpy.dtypes":
            return self._dtype
        return self._immutable if is_immutable(kind) else None

    def _immutable(self, value: Any) -> Any:  # noqa: ANN401
        key = self._key(value)
        return None if key is None else self._immutables.setdefault(key, value)

    def _key(self, value: Any) -> Any:  # noqa: ANN401
        cost = 1 + (len(value) if type(value) in {tuple, frozenset} else 0)
        if cost > self._keys_left:
            return None
        self._keys_left -= cost
        return key_of(value)

    def nan(self, value: float) -> Nan:
        """Return what stands for this NaN."""
        return self._nans.setdefault(id(value), Nan(value))

    def _dtype(self, value: Any) -> Any:  # noqa: ANN401
        from nbmlops.store.serializers.layout import has_one_form  # noqa: PLC0415

        return self._dtypes.setdefault(value.str, value) if has_one_form(value) else None

    def _set(self, value: set[Any] | frozenset[Any]) -> OrderedSet | None:
        if not value:
            return None
        found = self._sets.get(id(value))
        if found is None:
            key = self._key(value) if type(value) is frozenset else None
            made = self._frozensets.get(key) if key is not None else None
            # the value is kept too: its id must not be given to another set meanwhile
            found = self._sets[id(value)] = (value, made or self._ordered(value))
            if key is not None:
                self._frozensets[key] = found[1]
        return found[1]

    def _ordered(self, value: set[Any] | frozenset[Any]) -> OrderedSet:
        made = OrderedSet(type(value), sorted(value, key=self._order), next(self._sets_made))
        self.forms.note(made.index, value, made.items)
        return made

    def _order(self, item: object) -> tuple[Any, ...]:
        kind = type(item)
        if kind in {str, bytes, int}:
            return kind.__name__, item
        if kind in {float, bool, complex, type(None)}:
            return kind.__name__, repr(item)
        if isinstance(item, tuple) and kind is tuple:
            return "tuple", tuple(self._order(part) for part in item)
        return f"~{kind.__qualname__}", self._sort_key(item)
