"""Which cause is named, from which executions differ."""

from __future__ import annotations

import pytest

from nbmlops.session.verifying.causes import Difference, causes_of
from nbmlops.session.verifying.conditions import FACTORS, Conditions, other_conditions, usual_conditions

X, Y = Difference("artifact", "x"), Difference("artifact", "y")


def causes(*, always: frozenset[Difference] = frozenset(), still: frozenset[Difference] = frozenset(), **by: frozenset[Difference]) -> dict[str, str]:
    """Return the cause of each name; `by` says which factor changes what."""
    usual, other = usual_conditions(), other_conditions()

    def run(conditions: Conditions) -> frozenset[Difference]:
        changed = [name for name in FACTORS if getattr(conditions, name) != getattr(usual, name)]
        return always.union(*(by.get(name, frozenset()) for name in changed))

    found = causes_of(frozenset({X, Y}), usual, other, run, lambda _: still)
    return {item.name: text for text, part in found for item in part}


@pytest.mark.parametrize(
    ("factor", "word"),
    [("hash_seed", "hash seed"), ("shift_s", "date"), ("threads", "threads"), ("zone", "time zone"), ("locale", "locale"), ("place", "folder")],
)
def test_the_factor_that_changes_it_is_named(factor: str, word: str) -> None:
    """One factor explains both."""
    found = causes(**{factor: frozenset({X, Y})})
    assert set(found) == {"x", "y"}
    assert all(text.startswith("depends on") and word in text for text in found.values())


def test_each_artifact_has_its_own_cause() -> None:
    """What one factor does not explain is looked for further."""
    found = causes(zone=frozenset({X}), place=frozenset({X, Y}))
    assert ("time zone" in found["x"], "folder" in found["y"]) == (True, True)


def test_randomness_and_clock_are_told_apart() -> None:
    """What differs although the clock stands still is random; what then is equal takes the time."""
    found = causes(always=frozenset({X, Y}), still=frozenset({X}))
    assert ("randomness without a seed" in found["x"], "date and time" in found["y"]) == (True, True)


def test_what_no_single_factor_explains_is_said() -> None:
    """Several conditions together."""
    assert "change at once" in causes(zone=frozenset({X}))["y"]
