"""Fingerprints and names that share state."""

from __future__ import annotations

import dataclasses
import enum
import functools
import logging
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from blake3 import blake3

from nbmlops.store.fingerprint import alias_sets, mutable_ids, value_fingerprint
from nbmlops.store.serializers import Context, encode


def test_a_fingerprint_is_the_digest_of_the_object() -> None:
    """It equals the name that the store would give."""
    for value in ([1], {1, 2}, np.arange(3), pd.DataFrame({"a": [1]})):
        assert value_fingerprint(value, Context()) == blake3(b"".join(encode(value, Context()).buffers)).hexdigest()


def test_a_change_in_place_changes_the_fingerprint() -> None:
    """Whatever is changed inside, the fingerprint differs."""
    values: list[tuple[Any, Any]] = [
        ({"a": [1]}, lambda value: value["a"].append(2)),
        (np.zeros(3), lambda value: value.__setitem__(1, 1)),
        (pd.DataFrame({"a": [1.0]}), lambda value: value.loc.__setitem__((0, "a"), 2.0)),
        (np.random.default_rng(0), lambda value: value.random()),
    ]
    for value, change in values:
        before = value_fingerprint(value, Context())
        assert before == value_fingerprint(value, Context())
        change(value)
        assert value_fingerprint(value, Context()) != before


def test_what_cannot_be_stored_has_no_fingerprint() -> None:
    """A generator gives None instead of an error."""
    assert value_fingerprint((x for x in ()), Context()) is None


@dataclasses.dataclass(frozen=True)
class Fixed:
    """Cannot be changed, but what it holds can."""

    inner: Any


class Colour(enum.Enum):
    """Members are the process's own."""

    RED = 1


def plain_function(x: int) -> int:
    """Is found by its name."""
    return x


ATOMS = [
    1, "text", b"b", None, (1, (2, "x")), frozenset({1}), re.compile("a"), Colour.RED, Fixed(1), np.float64(1), np.dtype("f8"),
    pd.Timestamp("2024-01-01"),
    pd.Index([1, 2]), pd.CategoricalDtype(["a"]), int, np, plain_function, logging.getLogger("x"), range(3), len, np.sum, pd.NA,
]  # fmt: skip


@pytest.mark.parametrize("value", ATOMS, ids=lambda value: type(value).__name__)
def test_immutable_values_never_alias(value: Any) -> None:
    """Two names for a constant share nothing that can change."""
    assert mutable_ids(value) == set()
    assert alias_sets({"a": value, "b": value, "c": [value], "d": (value,)}) == ()


class Box:
    """Holds something."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def method(self) -> Any:
        """Return it."""
        return self.inner


class Slotted:
    """Holds something in a slot."""

    __slots__ = ("inner",)

    def __init__(self, inner: Any) -> None:
        self.inner = inner


def closing_over(value: Any) -> Any:
    """Return a function that keeps `value`."""
    return lambda: value


HOLDERS = [
    lambda value: [value], lambda value: {"k": value}, lambda value: (1, (value,)), Box, Slotted, Fixed, closing_over,
    lambda value: Box(value).method,
    lambda value: functools.partial(plain_function, value), lambda value: np.array([value, None], object), lambda value: lambda x=value: x, iter,
]  # fmt: skip


@pytest.mark.parametrize("hold", HOLDERS)
def test_holding_a_mutable_value_is_sharing_it(hold: Any) -> None:
    """Containers, instances, closures, defaults, methods and object arrays share what they hold."""
    value = [1, 2]
    assert alias_sets({"value": value, "holder": hold(value), "other": [1, 2]}) == (("holder", "value"),)


@pytest.mark.parametrize("view", [lambda a: a, lambda a: a[2:], lambda a: a.T, lambda a: a.reshape(2, 3).view("i8"), lambda a: Box(a[::-1])])
def test_views_share_the_memory_of_their_base(view: Any) -> None:
    """An array and any view of it are one; a copy is another."""
    array = np.arange(6.0)
    assert alias_sets({"a": array, "v": view(array), "c": array.copy()}) == (("a", "v"),)


def test_frames_share_only_themselves() -> None:
    """Pandas copies on write, so a column taken from a frame is its own."""
    frame = pd.DataFrame({"a": [1, 2]})
    assert alias_sets({"frame": frame, "same": frame, "column": frame["a"], "both": [frame]}) == (("both", "frame", "same"),)


@pytest.mark.parametrize("hold", [lambda frame: frame.groupby("a"), lambda frame: frame.rolling(2), lambda frame: frame.loc])
def test_what_keeps_a_frame_shares_its_state(hold: Any) -> None:
    """A change of the frame shows in its groups, windows and indexers."""
    frame = pd.DataFrame({"a": ["x", "y"], "b": [1, 2]})
    assert alias_sets({"frame": frame, "held": hold(frame)}) == (("frame", "held"),)


def test_sharing_is_transitive() -> None:
    """Two names that share with a third are one set."""
    left, right = [1], [2]
    assert alias_sets({"z": left, "a": right, "m": (left, right), "n": [3]}) == (("a", "m", "z"),)


def test_cycles_end() -> None:
    """A value that holds itself is walked once."""
    value: list[Any] = []
    value.append(value)
    assert mutable_ids(value) == {id(value)}


def test_instances_of_one_class_share_nothing_by_it() -> None:
    """A class, its module and loggers are nobody's own state."""
    left, right = Box(logging.getLogger("a")), Box(logging.getLogger("a"))
    assert alias_sets({"left": left, "right": right}) == ()


def test_models_of_one_kind_are_apart() -> None:
    """Two fitted models share no state, a pipeline shares its step's."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline

    first, second = (RandomForestClassifier(2, random_state=0).fit([[0], [1]], [0, 1]) for _ in range(2))
    assert alias_sets({"first": first, "second": second, "line": make_pipeline(first), "tree": second.estimators_[0]}) == (
        ("first", "line"),
        ("second", "tree"),
    )
