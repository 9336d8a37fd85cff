"""Claims keep all others out: every way in which two people's requests can fall between each other, and many of three."""

from __future__ import annotations

import itertools
import json
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbmlops.errors import LostRace, TrackerUnavailable
from nbmlops.promotion.claim import LIMIT_S, STALE_S, Claim, claims_in, holding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Registry:
    """Tags in memory, of one model; each request waits for its turn."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.turns: dict[int, threading.Semaphore] = {}
        self.waiting = threading.Semaphore(0)

    def tags(self, model: str) -> Mapping[str, str]:  # noqa: ARG002
        """Return the tags."""
        self._turn()
        return dict(self.held)

    def set_tags(self, model: str, tags: Mapping[str, str], *, number: int | None = None) -> None:  # noqa: ARG002
        """Set tags."""
        self._turn()
        self.held.update(tags)

    def delete_tags(self, model: str, names: Sequence[str]) -> None:  # noqa: ARG002
        """Take tags away."""
        if names:
            self._turn()
        for name in names:
            self.held.pop(name, None)

    def _turn(self) -> None:
        turn = self.turns.get(threading.get_ident())
        if turn is not None:
            self.waiting.release()
            turn.acquire()


class Person(threading.Thread):
    """Wants to be inside once."""

    def __init__(self, registry: Registry, name: str, inside: list[str], tries: int) -> None:
        super().__init__(daemon=True)
        self.registry, self.who, self.inside, self.tries = registry, name, inside, tries
        self.ended = ""
        self.met: list[str] = []

    def run(self) -> None:
        """Be inside, and look whether anybody else is."""
        self.registry.turns[threading.get_ident()] = threading.Semaphore(0)
        try:
            with holding(self.registry, "m", "champion", self.who, tries=self.tries, pause=lambda _: None):
                self.inside.append(self.who)
                self.met += self.inside
                self.registry.tags("m")  # somebody else may come in here, if it can be
                self.met += self.inside
                self.inside.remove(self.who)
            self.ended = "was inside"
        except LostRace as error:
            self.ended = str(error)
        finally:
            del self.registry.turns[threading.get_ident()]
            self.registry.waiting.release()


def play(schedule: Iterator[int], count: int, tries: int) -> list[Person]:
    """Let people go on one request at a time, in the order of the schedule, and check that nobody meets anybody inside."""
    registry, inside = Registry(), list[str]()
    people = [Person(registry, f"person {number}", inside, tries) for number in range(count)]
    for person in people:
        person.start()
        registry.waiting.acquire()
    while alive := [person for person in people if person.ident in registry.turns]:
        person = alive[next(schedule, 0) % len(alive)]
        registry.turns[person.ident or 0].release()
        registry.waiting.acquire()
    for person in people:
        person.join()
        assert set(person.met) <= {person.who}, person.met
        assert person.ended == "was inside" or "somebody else is moving an alias" in person.ended
    assert registry.held == {}
    return people


def test_every_interleaving_of_two() -> None:
    """With one try each, in every order: never both inside, nothing left behind; alone one comes in, and both can only fail together."""
    outcomes = {tuple(person.ended == "was inside" for person in play(iter(schedule), 2, 1)) for schedule in itertools.product((0, 1), repeat=10)}
    assert outcomes == {(True, True), (True, False), (False, True), (False, False)}


@given(st.lists(st.integers(0, 5), max_size=60))
def test_many_interleavings_of_three_who_try_again(schedule: list[int]) -> None:
    """Never two inside, and nothing is left behind."""
    play(iter(schedule), 3, 3)


def test_who_loses_is_told_who_wins() -> None:
    """The message names the person and the alias."""
    registry = Registry()
    with (
        holding(registry, "m", "challenger", "Ada"),
        pytest.raises(LostRace, match="Ada for challenger"),
        holding(registry, "m", "champion", "Bob", pause=lambda _: None),
    ):
        pass
    assert registry.held == {}


def claim(age_s: float, lock: str = "") -> Claim:
    return Claim("m", "champion", "0" * 16, "Ada", time.time() - age_s, lock)


@pytest.mark.parametrize(
    ("age_s", "lock", "enters"),
    [(STALE_S - 5, "", False), (STALE_S + 5, "", True), (-STALE_S - 5, "", True), (1, "ours", True), (1, "theirs", False)],
)
def test_claims_of_the_dead_are_removed(age_s: float, lock: str, *, enters: bool) -> None:
    """Those that are too old, from a far future, or of whoever held the lock that we hold; no others."""
    registry = Registry()
    registry.held.update(claim(age_s, lock).tag)
    try:
        with holding(registry, "m", "champion", "Bob", lock="ours", tries=2, pause=lambda _: None):
            assert len(claims_in("m", registry.held)) == 1
        entered = True
    except LostRace:
        entered = False
    assert entered == enters
    assert len(registry.held) == (not enters)


@pytest.mark.parametrize("text", ["", "{}", '{"who": 1}', "[]", '{"who": "x", "time_s": "y", "lock": ""}', '{"who": "x", "time_s": NaN, "lock": ""}'])
def test_a_claim_that_cannot_be_read_is_stale(text: str) -> None:
    """A tag that somebody has written by hand keeps nobody out for ever."""
    registry = Registry()
    registry.held[f"nbmlops.claim.champion.{'0' * 16}"] = text
    with holding(registry, "m", "champion", "Bob", tries=1):
        pass
    assert registry.held == {}


def test_a_claim_holds_only_as_long_as_it_is_there() -> None:
    """The last look before the alias moves: removed by somebody whose clock differs, or too slow."""
    registry = Registry()
    with holding(registry, "m", "champion", "Ada") as mine:
        mine.check(registry)
        late = Claim(mine.model, mine.alias, mine.token, mine.who, mine.time_s, _begun=time.monotonic() - LIMIT_S - 1)
        with pytest.raises(LostRace, match="took longer than 30 s"):
            late.check(registry)
        registry.held.clear()
        with pytest.raises(LostRace, match="removed by somebody else"):
            mine.check(registry)


def test_a_registry_that_goes_away_is_told_and_the_claim_runs_out() -> None:
    """What went wrong is what is told, although the claim cannot be taken back."""

    class Gone(Registry):
        def tags(self, model: str) -> Mapping[str, str]:  # noqa: ARG002
            raise TrackerUnavailable("gone")

        def delete_tags(self, model: str, names: Sequence[str]) -> None:  # noqa: ARG002
            raise TrackerUnavailable("gone too")

    with pytest.raises(TrackerUnavailable, match=r"gone$"), holding(Gone(), "m", "champion", "Ada"):
        pass


def test_a_claim_says_who_and_when() -> None:
    """In JSON that anybody can read in MLflow's page."""
    (name,) = claim(0).tag
    assert name == f"nbmlops.claim.champion.{'0' * 16}"
    assert set(json.loads(claim(0).tag[name])) == {"who", "time_s", "lock"}
