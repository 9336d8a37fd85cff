"""What the registry keeps of the log of a model's promotions, so that a log that was rewritten, or cut off, differs from something.

Each entry is a tag of the registered model, ``nbmlops.promotion.0001``, with its whole JSON and the name of the store that wrote it; a long
one goes on in ``nbmlops.promotion.0001.1``. ``nbmlops.log.head`` names the newest entry and its hash. Another store takes entries over from
there; what a person could have edited is its hash as little as in a store: see `nbmlops.promotion.log`.

An act that is on its way is kept the same way, in ``nbmlops.pending.TOKEN``, before its alias moves: whoever comes next, from whatever store,
finds it and settles it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbmlops.pattern import pattern
from nbmlops.promotion.log import Reading, first_break, hash_of
from nbmlops.promotion.state import PromotionEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HEAD", "PENDING", "Chain", "Told", "chain_of", "entry_tag", "head_of", "told_in", "written"]

HEAD = "nbmlops.log.head"
PENDING = "nbmlops.pending."
_ENTRY = "nbmlops.promotion."
_PART = 4000  # MLflow's databases take 5,000 in a tag of a registered model
_ENTRY_NAME = pattern(re.escape(_ENTRY) + r"([0-9]{4,8})")
_PENDING_NAME = pattern(re.escape(PENDING) + r"([0-9a-f]{16})(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Told:
    """What a model's tags tell.

    Parameters
    ----------
    events : mapping of int to PromotionEvent
        By position.
    stores : mapping of int to str
        Which store wrote each entry.
    unreadable : tuple of int
        Positions whose tags hold no entry.
    head : tuple of int and str, or None
        The position and the hash of the newest entry.
    pending : mapping of str to PromotionEvent
        The acts that are on their way, or were broken off, by the token of their claim.
    torn : tuple of str
        Tokens of acts that were broken off before they were written down, so before they began.
    """

    events: Mapping[int, PromotionEvent] = field(default_factory=dict)
    stores: Mapping[int, str] = field(default_factory=dict)
    unreadable: tuple[int, ...] = ()
    head: tuple[int, str] | None = None
    pending: Mapping[str, PromotionEvent] = field(default_factory=dict)
    torn: tuple[str, ...] = ()

    @property
    def silent(self) -> bool:
        """Whether the registry tells of no entry at all."""
        return not self.events and not self.unreadable and self.head is None


@dataclass(frozen=True, slots=True)
class Chain:
    """A log as store and registry have it together.

    Parameters
    ----------
    events : tuple of PromotionEvent
        By position.
    broken : str
        The first place where they are not what was written, one line; "" where all is whole.
    missing : tuple of PromotionEvent
        What other stores have written and this one lacks.
    untold : tuple of PromotionEvent
        What the registry lacks, if it has nothing at all, as one that was made anew.
    free : int
        The next position, behind all that is taken, also by what cannot be read.
    remedy : str
        What mends what is broken, where that is known.
    """

    events: tuple[PromotionEvent, ...] = ()
    broken: str = ""
    missing: tuple[PromotionEvent, ...] = ()
    untold: tuple[PromotionEvent, ...] = ()
    free: int = 1
    remedy: str = ""

    @property
    def last(self) -> PromotionEvent | None:
        """The newest entry."""
        return self.events[-1] if self.events else None


def entry_tag(position: int) -> str:
    """Return the name of an entry's tag."""
    return f"{_ENTRY}{position:04d}"


def head_of(event: PromotionEvent) -> str:
    """Return what the tag of the newest entry holds."""
    return f"{event.position}:{event.hash}"


def written(name: str, event: PromotionEvent, store: str) -> dict[str, str]:
    """Return the tags that hold an event under `name`, in the order in which they must be set: the first part, last, makes it whole."""
    text = json.dumps({"store": store, "entry": event.to_json()}, separators=(",", ":"))
    parts = [text[start : start + _PART] for start in range(0, len(text), _PART)]
    rest = {f"{name}.{number}": part for number, part in enumerate(parts[1:], 1)}
    return {**rest, name: f"{len(parts)} {parts[0]}"}


def told_in(tags: Mapping[str, str]) -> Told:
    """Read a model's tags."""
    events: dict[int, PromotionEvent] = {}
    stores: dict[int, str] = {}
    unreadable: list[int] = []
    pending: dict[str, PromotionEvent] = {}
    torn: set[str] = set()
    for name in tags:
        if match := _ENTRY_NAME.fullmatch(name):
            read = _read(tags, name)
            if read is None:
                unreadable.append(int(match[1]))
            else:
                stores[int(match[1])], events[int(match[1])] = read
        elif match := _PENDING_NAME.fullmatch(name):
            read = _read(tags, f"{PENDING}{match[1]}")
            if read is None:
                torn.add(match[1])
            else:
                pending[match[1]] = read[1]
    position, _, digest = tags.get(HEAD, "").partition(":")
    head = (int(position), digest) if position.isascii() and position.isdecimal() and len(position) <= len("00000001") else None
    return Told(events, stores, tuple(unreadable), head, pending, tuple(sorted(torn)))


def _read(tags: Mapping[str, str], name: str) -> tuple[str, PromotionEvent] | None:
    try:
        count, _, first = tags[name].partition(" ")
        data = json.loads("".join([first, *(tags[f"{name}.{number}"] for number in range(1, int(count)))]))
        return str(data["store"]), PromotionEvent.from_json(data["entry"])
    except (KeyError, TypeError, ValueError):
        return None


def chain_of(local: Reading, told: Told, model: str, store: str) -> Chain:
    """Compare a store's log with what the registry tells.

    What only the registry has is another store's work and is taken over, unless this very store wrote it: then it was removed here. An entry
    of an act that is on its way, or was broken off, is not missed where it is not yet.

    Parameters
    ----------
    local : Reading
    told : Told
    model : str
    store : str
        The name of the store that `local` is of.
    """
    on_its_way = {event.hash for event in told.pending.values() if event.hash == hash_of(event)}
    here = {event.position: event for event in local.events}
    broken = local.broken
    events: list[PromotionEvent] = []
    missing: list[PromotionEvent] = []
    untold: list[PromotionEvent] = []
    for number, position in enumerate(sorted({*told.events, *told.unreadable, *here}), 1):
        own, other = here.get(position), told.events.get(position)
        event = own or other
        if position != number:
            broken = broken or f"entry {number} is gone from the log, and from the registry's tags"
        if event is None:
            broken = broken or f"the registry's tag of entry {position} was edited"
            continue
        broken = broken or _differs(position, own, other, told, store, on_its_way)
        if own is None:
            broken = broken or first_break(event, position, events[-1] if events else None, model).replace("entry", "the registry's entry", 1)
            missing.append(event)
        elif other is None:
            untold.append(event)
        events.append(event)
    again = tuple(untold) if told.silent and not local.broken else ()
    free = max([local.last, *told.events, *told.unreadable]) + 1
    return Chain(tuple(events), broken or _wrong_head(told, events, on_its_way), tuple(missing), again, free)


def _differs(position: int, own: PromotionEvent | None, other: PromotionEvent | None, told: Told, store: str, on_its_way: set[str]) -> str:
    if own is not None and other is not None:
        same = own.hash == other.hash == hash_of(other)
        return "" if same else f"entry {position} is not the one that the registry tells of: one of them was rewritten"
    if other is not None:
        return f"entry {position}, which this store wrote, is gone from its log" if store and told.stores[position] == store else ""
    if own is None or own.hash in on_its_way:
        return ""
    if position in told.unreadable:
        return f"the registry's tag of entry {position} was edited"
    if told.silent:
        return "the registry tells of no entry of this store's log: it is another registry, was made anew, or the log is of another one"
    return f"the registry does not tell of entry {position}: its tag was removed, or the entry added past nbmlops"


def _wrong_head(told: Told, events: list[PromotionEvent], on_its_way: set[str]) -> str:
    settled = [event for event in events if event.hash not in on_its_way]
    newest = settled[-1] if settled else None
    allowed = {(event.position, event.hash) for event in events[len(settled) - 1 if settled else 0 :]}
    if newest is None and told.head is None:
        return ""
    if told.head is None:
        return "the registry's tag of the newest entry is gone"
    return "" if told.head in allowed else f"the newest entry is not the one that the registry names, {told.head[0]} with hash {told.head[1][:12]}"
