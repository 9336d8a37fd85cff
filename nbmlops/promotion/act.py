"""Move an alias so that it is written down, whatever happens in between.

In this order: the registry keeps what shall be done (``nbmlops.pending.TOKEN``); the alias moves and is read back; the log of the store gets
its entry; the registry gets the entry, then its hash as that of the newest; what was to be done is taken away. Whoever comes next, with the
claim in hand, so that nobody else is at it, finds an act that was broken off and settles it (`Act.settle`): if the alias means what was
wanted, the entry is written; if not, nothing has happened, and nothing is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from blake3 import blake3

from nbmlops.errors import LostRace
from nbmlops.failpoints import failpoint
from nbmlops.promotion.log import hash_of, sealed_event
from nbmlops.promotion.told import HEAD, PENDING, chain_of, entry_tag, head_of, told_in, written

if TYPE_CHECKING:
    from nbmlops.promotion.base import Registry
    from nbmlops.promotion.claim import Claim
    from nbmlops.promotion.log import Log
    from nbmlops.promotion.state import PromotionEvent
    from nbmlops.promotion.told import Chain

__all__ = ["Act"]

_FILES = 200  # of a run's data, that an entry names one by one


class Act:
    """One act on a model, by whoever has the claim.

    Parameters
    ----------
    registry : Registry
    log : Log
    claim : Claim
    """

    def __init__(self, registry: Registry, log: Log, claim: Claim) -> None:
        self._registry = registry
        self._log = log
        self._claim = claim
        self._model = claim.model

    def do(self, event: PromotionEvent, chain: Chain) -> PromotionEvent:
        """Move the alias that an event names to its version, and write that down.

        Parameters
        ----------
        event : PromotionEvent
            Without its place in the log.
        chain : Chain
            The log as it is.

        Raises
        ------
        LostRace
            If the claim does not hold any more, or the alias does not stay: somebody moves it past nbmlops.
        """
        entry = sealed_event(_short(event), chain.last, chain.free)
        store = self._log.store_id()
        self._take_over(chain)
        for untold in chain.untold:
            self._tell(untold, store, newest=False)
        pending = f"{PENDING}{self._claim.token}"
        failpoint("promotion.pend")
        self._registry.set_tags(self._model, written(pending, entry, store))
        try:
            self._claim.check(self._registry)
        except LostRace:
            self._forget(self._claim.token)
            raise
        failpoint("promotion.move")
        self._registry.move(self._model, entry.alias, entry.version)
        failpoint("promotion.read")
        found = self._registry.aliases(self._model).get(entry.alias)
        self._write_down(entry, store, self._claim.token)
        if found != entry.version:
            raise LostRace(
                f"{entry.alias} of {self._model!r} was moved to version {entry.version}, and means {found} a moment later",
                code="NB664",
                fix="somebody moves it past nbmlops; the log has what was done here",
            )
        return entry

    def settle(self) -> list[str]:
        """Settle every act that was broken off, as whoever has the claim alone may; return what became of each, one line."""
        told = told_in(self._registry.tags(self._model))
        notes = []
        for token in told.torn:
            self._forget(token)
        for token, event in told.pending.items():
            said = f"{event.act} of version {event.version} to {event.alias} by {event.who} at {event.when}"
            now = told_in(self._registry.tags(self._model))
            chain = chain_of(self._log.read(), now, self._model, self._log.known_store_id())
            there = next((item for item in chain.events if item.hash == event.hash), None)
            means = self._registry.aliases(self._model).get(event.alias)
            if event.hash != hash_of(event) or event.model != self._model:
                self._forget(token)
                notes.append(f"an act that was broken off is not what was written, and is left out: {said}")
            elif there is not None or means == event.version:
                store = self._log.store_id()
                self._take_over(chain)
                last = chain.last
                follows = there is not None or (event.position == chain.free and event.previous == ("" if last is None else last.hash))
                self._write_down(event if follows else sealed_event(event, last, chain.free), store, token)
                notes.append(f"{said} was broken off after the alias had moved; its entry was written now")
            else:
                failpoint("promotion.settle")
                self._forget(token)
                meant = "nothing" if means is None else f"version {means}"
                known = "" if means == event.from_version else ", so that nobody can tell whether it moved meanwhile"
                notes.append(f"{said} was broken off before the alias moved: {event.alias} means {meant}{known}; there is no entry of it")
        return notes

    def _take_over(self, chain: Chain) -> None:
        """Keep what other stores have written; where the log is broken, what is left of it stays as it is."""
        for missing in chain.missing if not chain.broken else ():
            self._log.append(missing)

    def _write_down(self, entry: PromotionEvent, store: str, token: str) -> None:
        failpoint("promotion.log")
        self._log.append(entry)
        self._tell(entry, store, newest=True)
        failpoint("promotion.settle")
        self._forget(token)

    def _tell(self, entry: PromotionEvent, store: str, *, newest: bool) -> None:
        failpoint("promotion.tell")
        self._registry.set_tags(self._model, written(entry_tag(entry.position), entry, store))
        if newest:
            failpoint("promotion.head")
            self._registry.set_tags(self._model, {HEAD: head_of(entry)})

    def _forget(self, token: str) -> None:
        name = f"{PENDING}{token}"
        parts = [tag for tag in self._registry.tags(self._model) if tag.startswith(f"{name}.")]
        self._registry.delete_tags(self._model, [name, *parts])  # the first part, which makes it whole, goes first


def _short(event: PromotionEvent) -> PromotionEvent:
    """Return an event that fits into tags: of very many files of data, one digest of all their digests is kept."""
    if len(event.data) <= _FILES:
        return event
    hasher = blake3()
    for path, digest in sorted(event.data.items()):
        hasher.update(f"{path}\0{digest}\0".encode("utf-8", "surrogatepass"))
    return replace(event, data={f"({len(event.data)} files)": hasher.hexdigest()})
