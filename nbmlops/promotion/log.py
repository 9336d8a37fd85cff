"""The log of a model's promotions in one store: a file for each entry, never written again, each naming the hash of the one before.

An entry that was edited fails its seal or its hash, one that is gone leaves a hole, one that was moved is not of its place, one of another
model names that. Whoever rewrites the whole log, or cuts off its end, makes hashes that differ from those which the registry keeps: see
`nbmlops.promotion.told`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from nbmlops.errors import StoreError, Tampered
from nbmlops.pattern import pattern
from nbmlops.promotion.state import PromotionEvent
from nbmlops.store.objects import Planted
from nbmlops.store.records import BadSeal, ForeignSeal, seal, unseal
from nbmlops.store.store import promotion_path

if TYPE_CHECKING:
    from nbmlops.store.store import Store

__all__ = ["Log", "Reading", "first_break", "hash_of", "sealed_event"]

_FOLDER = "promotions"
_KIND = "promotion/1"
_STORE_KIND = "promotions-store/1"
_NAME = pattern(r"(\d{8})\.json")
_STORE = "store"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a log holds.

    Parameters
    ----------
    events : tuple of PromotionEvent
        Those that can be read, by position; of a whole log all, from 1.
    broken : str
        The first thing that is not what was written, one line; "" for nothing.
    last : int
        The highest position that is taken, also by what cannot be read.
    """

    events: tuple[PromotionEvent, ...] = ()
    broken: str = ""
    last: int = 0


def hash_of(event: PromotionEvent) -> str:
    """Return the blake3 of an entry's canonical JSON, without its own hash: sorted keys, no blanks, ASCII."""
    data = event.to_json()
    del data["hash"]
    return blake3(json.dumps(data, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


def sealed_event(event: PromotionEvent, before: PromotionEvent | None, position: int = 0) -> PromotionEvent:
    """Return an event as the entry that follows `before`: with its position, the hash before it, and its own.

    Parameters
    ----------
    event : PromotionEvent
    before : PromotionEvent or None
        The last entry that can be read.
    position : int
        Where it is not the next one, since something that cannot be read has its place.
    """
    position = position or (1 if before is None else before.position + 1)
    placed = replace(event, position=position, previous="" if before is None else before.hash, hash="")
    return replace(placed, hash=hash_of(placed))


def first_break(event: PromotionEvent, position: int, before: PromotionEvent | None, model: str) -> str:
    """Return why an entry cannot stand at its place, one line; "" if it can."""
    if event.model != model:
        return f"entry {position} is one of the model {event.model!r}"
    if event.position != position:
        return f"entry {position} is entry {event.position} of the log: it was moved"
    if event.hash != hash_of(event):
        return f"entry {position} was edited: it differs from its hash"
    if event.previous != ("" if before is None else before.hash):
        return f"entry {position} does not follow entry {position - 1}: one of them was put in place of another"
    return ""


class Log:
    """The log of one model in one store.

    Parameters
    ----------
    store : Store
    model : str
    """

    def __init__(self, store: Store, model: str) -> None:
        self._store = store
        self.model = model
        self._place = blake3(model.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def lock_name(self) -> str:
        """What the lock is called that an act on this model holds on this machine."""
        return f"locks/promotion-{self._place}.lock"

    def read(self) -> Reading:
        """Return the entries, each verified with those before it."""
        paths: dict[int, str] = {}
        for info in self._store.blobs.list(f"{_FOLDER}/{self._place}"):
            if info.temporary:
                continue
            match = _NAME.fullmatch(info.name)
            if match is None or info.path != self._path(int(match[1])):
                return Reading((), f"{info.path} is no entry of the log")
            paths[int(match[1])] = info.path
        events: list[PromotionEvent] = []
        broken = ""
        before: PromotionEvent | None = None
        for number, position in enumerate(sorted(paths), 1):
            event, what = self._entry(position)
            what = what or (first_break(event, position, before, self.model) if event is not None else "")
            broken = broken or (what if position == number else f"entry {number} is gone")
            before = event
            if event is not None:
                events.append(event)
        return Reading(tuple(events), broken, max(paths, default=0))

    def append(self, event: PromotionEvent) -> None:
        """Keep an entry that `sealed_event` has made, durably; an equal one may be there already.

        Raises
        ------
        Tampered
            If another entry has its place.
        StoreError
            If it cannot be written.
        """
        path = self._path(event.position)
        data = {"kind": _KIND, "place": self._name(event.position), "entry": event.to_json()}
        # A store elsewhere has no exclusive creation, and would write over an old file: whoever appends holds the model's claim, and looks first.
        if self._store.blobs.stat(path) is None:
            self._store.blobs.write(path, [memoryview(seal(data, key=self._store.key))], overwrite=False)
        found, what = self._entry(event.position)
        if found is None or found.hash != event.hash or what:
            raise Tampered(
                f"entry {event.position} of the log of {self.model!r} is there already, and is another one",
                code="NB659",
                fix="look at nbmlops history --verify",
            )

    def store_id(self) -> str:
        """Return by what name the registry knows this store; it is made with the first entry."""
        known = self.known_store_id()
        if known:
            return known
        sealed = seal({"kind": _STORE_KIND, "place": _STORE, "id": os.urandom(8).hex()}, key=self._store.key)
        self._store.blobs.write(promotion_path(_STORE), [memoryview(sealed)], overwrite=False)
        made = self.known_store_id()
        if not made:
            raise StoreError(f"{promotion_path(_STORE)} of the store cannot be read", code="NB659", fix="look at nbmlops store verify")
        return made

    def known_store_id(self) -> str:
        """Return by what name the registry knows this store; "" if it has none yet, or none that can be read."""
        try:
            data = unseal(self._store.blobs.read(promotion_path(_STORE)))
        except (FileNotFoundError, Planted, BadSeal):
            return ""
        return str(data.get("id", ""))

    def _path(self, position: int) -> str:
        return promotion_path(self._name(position))

    def _name(self, position: int) -> str:
        return f"{self._place}/{position:08d}"

    def _entry(self, position: int) -> tuple[PromotionEvent | None, str]:
        """Return an entry, and what is wrong with the file that holds it."""
        path = self._path(position)
        try:
            sealed = self._store.blobs.read(path)
        except FileNotFoundError:
            return None, f"entry {position} is gone"
        except Planted:
            return None, f"entry {position} is no plain file"
        try:
            data: dict[str, Any] = unseal(sealed, key=self._store.key)
        except ForeignSeal:
            return _event_in(unseal(sealed)), f"entry {position} is not sealed with the key of NBMLOPS_STORE_KEY"
        except BadSeal as error:
            return None, f"entry {position} was edited: {error}"
        event = _event_in(data)
        if event is None:
            return None, f"entry {position} is none that this version of nbmlops can read"
        moved = data.get("place") != self._name(position)
        return event, f"entry {position} is one of another place: it was moved" if moved else ""


def _event_in(data: dict[str, Any]) -> PromotionEvent | None:
    if data.get("kind") != _KIND:
        return None
    try:
        return PromotionEvent.from_json(data["entry"])
    except (KeyError, TypeError, ValueError):
        return None
