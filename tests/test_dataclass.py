"""Our `dataclass` makes what the standard one makes."""

from __future__ import annotations

import dataclasses
import pickle
from dataclasses import field
from typing import Any

import pytest

from nbmlops.dataclass import dataclass

OPTIONS: list[dict[str, bool]] = [{"frozen": True, "slots": True, "kw_only": True}, {"frozen": True}, {"slots": True}, {"order": True}]


@dataclass(frozen=True, slots=True)
class Pair:
    """Can be pickled."""

    left: int
    right: tuple[int, ...] = ()


def _made(make: Any, options: dict[str, bool], fields: int) -> Any:
    names: dict[str, Any] = {"__annotations__": {f"f{number}": object for number in range(fields)}, "__qualname__": "Made"}
    if fields:
        names[f"f{fields - 1}"] = field(default=0, compare=False, repr=False)
    return make(**options)(type("Made", (), names))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("fields", [0, 1, 2, 3])
def test_it_behaves_as_the_standard_one(options: dict[str, bool], fields: int) -> None:
    """Comparing, hashing and showing, whatever the options, with a field that takes no part in it."""
    ours, plain = _made(dataclass, options, fields), _made(dataclasses.dataclass, options, fields)
    for first in ({}, {"f0": 1}, {"f0": [1]}) if fields > 1 else ({},):
        given = {f"f{number}": number for number in range(fields - 1)} | first
        for other in (given, given | {"f0": 2} if fields > 1 else given):
            assert (ours(**given) == ours(**other)) is (plain(**given) == plain(**other))
        assert repr(ours(**given)) == repr(plain(**given))
        assert _hashable(ours(**given)) is _hashable(plain(**given))
        assert ours(**given) != plain(**given)
    assert [item.name for item in dataclasses.fields(ours)] == [item.name for item in dataclasses.fields(plain)]


def _hashable(value: object) -> bool:
    try:
        return hash(value) == hash(value)
    except TypeError:
        return False


def test_equal_ones_have_one_hash_and_come_back_from_a_pickle() -> None:
    """They are keys of dicts, and go to other processes."""
    pair = Pair(1, (2,))
    assert {pair: "found"}[pickle.loads(pickle.dumps(pair))] == "found"
    assert dataclasses.replace(pair, left=3) == Pair(3, (2,))
    with pytest.raises(dataclasses.FrozenInstanceError):
        pair.left = 2  # type: ignore[misc]


def test_what_a_class_says_itself_stands() -> None:
    """As with the standard one."""

    @dataclass(frozen=True)
    class Own:
        x: int

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

        def __repr__(self) -> str:
            return "own"

    assert Own(1) == Own(2)
    assert (hash(Own(1)), repr(Own(1))) == (7, "own")


@pytest.mark.parametrize("slots", [True, False])
def test_frozen_ones_refuse_as_the_standard_ones_do(slots: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Setting and deleting, of fields and of other names, also in a subclass that is none itself."""
    for make in (dataclass, dataclasses.dataclass):
        made = _made(make, {"frozen": True, "slots": slots}, 2)
        below = type("Below", (made,), {})
        told = [_told(act, value) for value in (made(1), below(1)) for act in _ACTS]
        if make is dataclass:
            ours = told
    assert ours == told
    assert "FrozenInstanceError: cannot assign to field 'f0'" in told


_ACTS: list[Any] = [
    lambda value: setattr(value, "f0", 2),
    lambda value: delattr(value, "f0"),
    lambda value: setattr(value, "other", 2),
    lambda value: delattr(value, "other"),
]


def _told(act: Any, value: object) -> str:
    try:
        act(value)
    except (AttributeError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return "done"
