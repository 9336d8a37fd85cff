"""One person at a time moves a model's aliases, although MLflow has no compare-and-set: whoever wants to writes a claim, and then looks.

A claim is a tag of the registered model, ``nbmlops.claim.ALIAS.TOKEN``, with who wrote it and when. The token is random, so nobody writes
over another's claim. All claims on one model exclude each other, whichever alias they are for, since a model has one log.

Why at most one is inside
-------------------------
Assume that the registry shows a tag that was written to every reader that begins after the write has returned, as MLflow over a database does.
Whoever enters has (1) written the own claim W, (2) read all claims R after W had returned, and found no other live one. Let A and B both have
entered while neither has released. W(A) precedes R(A), and W(B) precedes R(B). Either W(A) returned before R(B) began: then B saw A's claim,
and did not enter. Or R(B) began before W(A) returned, so W(B) had returned before W(A) returned, hence before R(A) began: then A saw B's.
So one of them did not enter. Neither may have: both withdraw, and try again after pauses of random length, so that one of them is alone sooner
or later. Who withdraws leaves nothing behind, and who finds somebody else again and again says who that is.

A claim of a process that died would keep everybody out. So one that is older than `STALE_S`, by the clock of whoever reads it, is removed. The
argument then needs that no live claim is removed: a holder acts only within `LIMIT_S` of its claim by its own steady clock (`Claim.check`,
right before the alias moves), so the machines' clocks may differ by up to the difference of the two, 30 seconds. A holder whose clock differs
by more finds its claim removed, at that same check, and does not act. What no protocol without compare-and-set can exclude is a process that is
stopped for 30 seconds between the check and the request that follows it; whoever comes next sees what it did, since every act is written down
before the alias moves (`nbmlops.promotion.told`), and checks that the alias means what it looked at.

Within one store a file lock stands before all this, so that the processes of one person, or of one shared store, wait for each other in turn.
A claim names that lock: whoever holds the very same one knows that the claim's process is dead, and need not wait for its age.
"""

from __future__ import annotations

import json
import math
import random
import re
import secrets
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from nbmlops.errors import LostRace, NbmlopsError
from nbmlops.failpoints import failpoint
from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["LIMIT_S", "STALE_S", "Claim", "claims_in", "holding"]

STALE_S = 60.0
LIMIT_S = 30.0
_TRIES = 6
_PAUSE_S = 0.4
_PREFIX = "nbmlops.claim."
_NAME = pattern(re.escape(_PREFIX) + r"(.+)\.([0-9a-f]{16})")


class Tags(Protocol):
    """The part of a registry that claims need; see `nbmlops.promotion.base.Registry`."""

    def tags(self, model: str) -> Mapping[str, str]:
        """Return the tags of a model."""

    def set_tags(self, model: str, tags: Mapping[str, str], *, number: int | None = None) -> None:
        """Set tags of a model."""

    def delete_tags(self, model: str, names: Sequence[str]) -> None:
        """Take tags of a model away."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim, one's own or another's.

    Parameters
    ----------
    model, alias : str
    token : str
    who : str
    time_s : float
        Unix time at which it was written, by the clock of who wrote it; NaN for one that cannot be read.
    lock : str
        Which file lock its holder holds meanwhile; "" where that cannot be told.
    """

    model: str
    alias: str
    token: str
    who: str
    time_s: float
    lock: str = ""
    _begun: float = field(default_factory=time.monotonic, compare=False)

    @property
    def name(self) -> str:
        """The tag's name."""
        return f"{_PREFIX}{self.alias}.{self.token}"

    @property
    def tag(self) -> dict[str, str]:
        """The tag."""
        return {self.name: json.dumps({"who": self.who, "time_s": self.time_s, "lock": self.lock})}

    def is_stale(self, now_s: float) -> bool:
        """Tell whether whoever wrote it must be gone; one from a far future is of a clock that nobody can go by."""
        return not abs(now_s - self.time_s) <= STALE_S

    def check(self, registry: Tags) -> None:
        """Raise `LostRace` unless this claim still holds: asked right before something is moved."""
        late = time.monotonic() - self._begun > LIMIT_S
        if late or self.name not in registry.tags(self.model):
            why = f"took longer than {LIMIT_S:.0f} s" if late else "was removed by somebody else, whose clock differs"
            raise LostRace(f"the claim on {self.model!r} {why}", code="NB656", fix="nothing was moved; try again")


def claims_in(model: str, tags: Mapping[str, str]) -> list[Claim]:
    """Return the claims that a model's tags tell of."""
    found = []
    for name, text in tags.items():
        if match := _NAME.fullmatch(name):
            try:
                data = json.loads(text)
                who, time_s, lock = str(data["who"]), float(data["time_s"]), str(data["lock"])
            except (KeyError, TypeError, ValueError):
                who, time_s, lock = "somebody", math.nan, ""
            found.append(Claim(model, match[1], match[2], who, time_s, lock))
    return found


@contextmanager
def holding(
    registry: Tags,
    model: str,
    alias: str,
    who: str,
    *,
    lock: str = "",
    tries: int = _TRIES,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> Iterator[Claim]:
    """Be the only one who moves aliases of a model, while in this context.

    Parameters
    ----------
    registry : Registry
    model, alias, who : str
    lock : str
        Which file lock the caller holds: a claim of whoever held it before is that of a dead process.
    tries : int
        How often to look whether somebody else is at it.
    pause, clock : callable
        For tests.

    Raises
    ------
    LostRace
        If somebody else is at it all the time; the message says who. Nothing is left behind.
    """
    claim = _enter(registry, model, alias, (who, lock), tries, pause, clock)
    try:
        yield claim
    finally:
        failpoint("promotion.release")
        _withdraw(registry, claim)


def _enter(
    registry: Tags, model: str, alias: str, me: tuple[str, str], tries: int, pause: Callable[[float], None], clock: Callable[[], float]
) -> Claim:
    who, lock = me
    other = ""
    for number in range(tries):
        if number:
            pause(_PAUSE_S * number * (0.5 + random.random()))  # noqa: S311 - so that two do not go on meeting
        claim = Claim(model, alias, secrets.token_hex(8), who, clock(), lock)
        failpoint("promotion.claim")
        try:
            registry.set_tags(model, claim.tag)
            failpoint("promotion.look")
            others = [item for item in claims_in(model, registry.tags(model)) if item.token != claim.token]
            now_s = clock()
            dead = [item for item in others if item.is_stale(now_s) or (lock and item.lock == lock)]
            registry.delete_tags(model, [item.name for item in dead])
        except BaseException:
            _withdraw(registry, claim)
            raise
        live = [item for item in others if item not in dead]
        if not live:
            return claim
        _withdraw(registry, claim)
        other = f"{live[0].who} for {live[0].alias}"
    raise LostRace(f"somebody else is moving an alias of {model!r}: {other}", code="NB656", fix="look again in a minute; nothing was changed")


def _withdraw(registry: Tags, claim: Claim) -> None:
    # What was done is done, and what went wrong is told, though the registry may have gone meanwhile: the claim is stale in a minute.
    with suppress(NbmlopsError):
        registry.delete_tags(claim.model, [claim.name])
