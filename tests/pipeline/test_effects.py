"""Effects as data: equal effects are equal values, and JSON gives them back."""

from __future__ import annotations

import json

from nbmlops.pipeline.effects import NO_EFFECTS, Effects

SOME = Effects(reads=("a", "b"), aliases=(("x", "y"), ("p", "q")), files_absent=("conf.yml",), random=("numpy",))


def test_json_gives_equal_effects() -> None:
    """Tuples, also those inside tuples, come back as tuples."""
    assert Effects.from_json(json.loads(json.dumps(SOME.to_json()))) == SOME


def test_empty_fields_are_left_out() -> None:
    """A stage that taught nothing takes no room in its record."""
    assert NO_EFFECTS.to_json() == {}
    assert set(SOME.to_json()) == {"reads", "aliases", "files_absent", "random"}


def test_field_of_a_newer_version_is_ignored() -> None:
    """A store that a newer nbmlops has written can be read."""
    assert Effects.from_json({"reads": ["a"], "threads": 4}) == Effects(reads=("a",))


def test_effects_can_be_compared_and_collected() -> None:
    """The planner tries each set of effects once."""
    assert len({SOME, Effects.from_json(SOME.to_json()), NO_EFFECTS}) == 2
