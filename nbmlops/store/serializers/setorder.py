"""The order in which a set is iterated: where its items lie in its hash table, and how to make a set whose items lie there again.

Equal sets may be iterated in different orders, by the order in which they were filled, and a program may go by it: by
``columns = list(words)`` in one cell and ``zip(words, ...)`` in another. The order of building from sorted items is another one in
most sets of more than ten texts. So the places are kept beside the bytes, and the set is filled in an order that leads to them; that
needs the hashes to be the same, as they are in all processes with one hash seed.

What is relied on is how CPython probes and when it resizes, unchanged since 3.7. It is tried out before it is relied on: a place
that does not come out is not kept.

References
----------
CPython, ``Objects/setobject.c``: `set_add_entry`, `set_insert_clean`, `set_table_resize`, `set_update_internal`.
"""

from __future__ import annotations

import ctypes
import itertools
import random
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["Places", "places_of", "rebuilt"]

_SMALLEST = 8
_LINEAR_PROBES = 9
_PERTURB_SHIFT = 5
_HASH_MASK = (1 << 64) - 1
# from 50,000 items CPython grows by another factor
_MOST_ITEMS = 30_000
_TURNS = 16
# as far as the layout of a set is known not to change
_KNOWN = sys.implementation.name == "cpython" and sys.version_info < (3, 15) and not hasattr(sys, "gettotalrefcount")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the items of a set lie.

    Parameters
    ----------
    size : int
        Of the table, a power of two.
    slots : list of int
        Of each item, in the order in which the items are written.
    deleted : list of int
        Slots of items that are gone and that have turned others away.
    """

    size: int
    slots: list[int]
    deleted: list[int]


def places_of(value: set[Any] | frozenset[Any], items: Sequence[Any]) -> Places | None:
    """Return where the items of a set lie, if `rebuilt` then gives its very order.

    Parameters
    ----------
    value : set or frozenset
    items : sequence
        The same objects, in the order in which they are written.
    """
    if not _KNOWN or len(value) > _MOST_ITEMS:
        return None
    places = _read_table(value, items)
    return None if places is None or rebuilt(type(value), items, places) is None else places


def rebuilt(kind: type, items: Sequence[Any], places: Places, into: set[Any] | None = None) -> Any:  # noqa: ANN401 - a set or frozenset
    """Return a set that is iterated in the order of these places; None if no way is known to fill one so.

    Parameters
    ----------
    kind : type
        `set` or `frozenset`.
    items : sequence
    places : Places
    into : set, optional
        An empty set to fill; if that fails it is empty again.
    """
    order = _filling_order(items, places)
    if order is None:
        return None
    made: Any = set() if into is None else into
    wanted = [item for _, item in sorted(zip(places.slots, items, strict=True), key=lambda pair: pair[0])]
    # the very places, so that what is made is stored in the same form again; else the order alone
    for exactly, fill in itertools.product((True, False), list(_ways(kind, order, places, wanted))):
        made = fill(made)
        same = all(left is right for left, right in zip(made, wanted, strict=True))
        if same and (not exactly or _slots(made, items) == places.slots):
            return made
        if kind is set:
            made.clear()
    return None


def _ways(kind: type, order: tuple[list[Any], list[Any]], places: Places, wanted: list[Any]) -> Iterator[Callable[[Any], Any]]:
    """Yield functions that fill an empty set and return it, or return a frozenset."""
    homes, others = order
    count, size = len(wanted), places.size
    if size == _presized(count):
        yield _by(kind, dict.fromkeys([*homes, *others]))
    if size == _grown(count):
        yield _by(kind, [*homes, *others])
        # where the last item made the table grow, all were moved in the order of their places in the smaller one
        for start in range(min(count, _TURNS) if _grown(count - 1) != size else 0):
            yield _by(kind, [*wanted[start:], *wanted[:start]])
    if size // 4 <= count and size > _SMALLEST:
        # as a union: a table made for the first part has room for the second
        filled = [*homes, *others]
        yield _by(kind, dict.fromkeys(filled[: size // 4]), filled[size // 4 :])
    if kind is set:
        yield lambda made: _filled(made, homes, others, places)
    else:
        yield lambda _: _difference(homes, others, places)


def _by(kind: type, first: Iterable[Any], second: Iterable[Any] = ()) -> Callable[[Any], Any]:
    def fill(made: Any) -> Any:  # noqa: ANN401
        if kind is frozenset:
            return frozenset(first).union(second) if second else frozenset(first)
        made.update(first)
        made.update(second)
        return made

    return fill


class _Head(ctypes.Structure):
    """How the object of a set begins."""

    _fields_ = tuple((name, ctypes.c_ssize_t) for name in ("references", "type", "fill", "used", "mask", "table"))


def _head(value: Any) -> Any:  # noqa: ANN401 - a set or frozenset; its head
    return _Head.from_address(id(value))


def _read_table(value: Any, items: Sequence[Any]) -> Places | None:  # noqa: ANN401
    """Return where the items lie now; None if the object does not look as expected."""
    found = _slots(value, items)
    if found is None:
        return None
    size = _head(value).mask + 1
    passed = {slot for item, target in zip(items, found, strict=True) for slot in _path(item, target, size)}
    return Places(size, found, sorted(passed - set(found)))


def _slots(value: Any, items: Sequence[Any]) -> list[int] | None:  # noqa: ANN401
    head = _head(value)
    mask = head.mask
    if head.type != id(type(value)) or head.used != len(value) or not head.used <= head.fill <= mask or mask & (mask + 1):
        return None
    keys = list((ctypes.c_ssize_t * (2 * (mask + 1))).from_address(head.table))[::2]
    wanted = {id(item) for item in items}
    slots = {key: slot for slot, key in enumerate(keys) if key in wanted}
    if len(slots) != len(value) or len(items) != len(value):
        return None
    return [slots[id(item)] for item in items]


def _path(item: object, target: int, size: int) -> list[int]:
    """Return the slots that an item was turned away from before it came to its own."""
    tried = itertools.islice(_probed(item, size), size * 2)
    return list(itertools.takewhile(lambda slot: slot != target, tried))


def _probed(item: object, size: int) -> Iterator[int]:
    """Yield the slots that are tried for an item, in order, without end."""
    mask, perturb = size - 1, hash(item) & _HASH_MASK
    slot = perturb & mask
    while True:
        yield from range(slot, slot + (_LINEAR_PROBES if slot + _LINEAR_PROBES <= mask else 0) + 1)
        perturb >>= _PERTURB_SHIFT
        slot = (slot * 5 + 1 + perturb) & mask


def _filling_order(items: Sequence[Any], places: Places) -> tuple[list[Any], list[Any]] | None:
    """Return the items that lie where they belong, and the others after those that turn them away; None if that is impossible."""
    taken = set(places.deleted)
    homes: list[Any] = []
    waiting: dict[int, list[tuple[Any, int, list[int]]]] = {}
    ready: list[tuple[Any, int]] = []
    for item, slot in zip(items, places.slots, strict=True):
        path = _path(item, slot, places.size)
        if not path:
            homes.append(item)
            ready.append((item, slot))
        else:
            waiting.setdefault(path[0], []).append((item, slot, path))
    order: list[Any] = []
    ready += [(None, slot) for slot in places.deleted if slot in waiting]
    while ready:
        item, slot = ready.pop()
        if item is not None:
            order.append(item)
            taken.add(slot)
        for other, target, path in waiting.pop(slot, ()):
            blocker = next((tried for tried in path if tried not in taken), None)
            if blocker is None:
                ready.append((other, target))
            else:
                waiting.setdefault(blocker, []).append((other, target, path))
    at_home = set(map(id, homes))
    return (homes, [item for item in order if id(item) not in at_home]) if not waiting else None


def _table_for(used: int, factor: int) -> int:
    """Return the size of the smallest table for so many times the items."""
    size = _SMALLEST
    while size <= used * factor:
        size *= 2
    return size


def _limit(size: int) -> int:
    """Return how many items make a table of this size grow."""
    return -(-(size - 1) * 3 // 5)


def _grown(count: int) -> int:
    """Return the table's size after adding so many items one by one."""
    size = _SMALLEST
    while _limit(size) <= count:
        size = _table_for(_limit(size), 4)
    return size


def _presized(count: int) -> int:
    """Return the table's size after adding all keys of a dict at once."""
    return _SMALLEST if count < _limit(_SMALLEST) else _table_for(count, 2)


def _filled(made: set[Any], homes: list[Any], others: list[Any], places: Places) -> set[Any]:
    """Fill a set whose table has any size, with help of integers that are taken out again."""
    fillers = _Fillers({*homes, *others}, places.size, {*places.slots, *places.deleted})
    helping = [fillers.at(slot) for slot in places.deleted]
    early = [*reversed(homes), *helping]
    now = _SMALLEST
    while now < places.size:
        limit = _limit(now)
        # how many items there are when the table grows decides its next size; those that were taken out count for when it grows
        wanted = min(places.size // 8, limit)
        while len(made) < wanted - 1:
            if not early:
                helping.append(fillers.free())
            made.add(early.pop() if early else helping[-1])
        while _head(made).fill < limit - 1:
            _pass(made, fillers.anywhere())
        free = [fillers.free() for _ in range(4 * _TURNS)]
        grower = next((item for item in (*reversed(early[-_TURNS:]), *free) if _grows(made, item)), free[0])
        if grower in early:
            early.remove(grower)
        elif grower is not None:
            helping.append(grower)
        now = _table_for(wanted, 4)
    for item in (*reversed(early), *others):
        made.add(item)
    for item in helping:
        made.discard(item)
    return made


def _difference(homes: list[Any], others: list[Any], places: Places) -> frozenset[Any]:
    """Make a frozenset as one that others were taken from: its table is that of the larger one."""
    fillers = _Fillers({*homes, *others}, places.size, {*places.slots, *places.deleted})
    helping = [fillers.at(slot) for slot in places.deleted]
    while _presized(len(homes) + len(others) + len(helping)) < places.size:
        helping.append(fillers.free())
    # of a list, since taking a set away may make a new table
    return frozenset(dict.fromkeys([*homes, *helping, *others])).difference(helping)


def _pass(made: set[Any], item: object) -> None:
    made.add(item)
    made.discard(item)


def _grows(made: set[Any], item: object) -> bool:
    """Add an item if that makes the table grow, and not if it takes the place of one that is gone."""
    before = _head(made).mask
    made.add(item)
    if _head(made).mask == before:
        made.discard(item)
    return bool(_head(made).mask != before)


class _Fillers:
    """Integers that are no items of the set, each of which belongs into a slot of one's choice."""

    def __init__(self, items: set[Any], size: int, taken: set[int]) -> None:
        self._items = items
        self._size = size
        free = [slot for slot in range(size) if slot not in taken]
        random.Random(0).shuffle(free)  # noqa: S311 - side by side they would stand in each other's way
        self._free = itertools.cycle(free)
        self._turn = 1 << 20

    def at(self, slot: int) -> int:
        """Return an integer that belongs into a slot."""
        while True:
            self._turn += 1
            value = slot + self._size * self._turn
            if value not in self._items:
                return value

    def free(self) -> int:
        """Return one that belongs into a slot that stays empty, another one each time."""
        return self.at(next(self._free))

    def anywhere(self) -> int:
        """Return one that will be taken out before the table grows, in another slot each time."""
        return self.at(self._turn % self._size)
