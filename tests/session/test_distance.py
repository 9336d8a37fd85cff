"""How far two artifacts of numbers are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from nbmlops.session.verifying.distance import apart
from nbmlops.settings import Settings
from nbmlops.store.records import Artifact
from nbmlops.store.serializers import Context, encode
from nbmlops.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

NAN, INF = float("nan"), float("inf")
FRAME = pd.DataFrame({"a": [1.0, 2.0, NAN], "n": [1, 2, 3]})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store."""
    return Store(str(tmp_path / "store"), settings=Settings(project_root=tmp_path, store=str(tmp_path / "store")))


def kept(store: Store, value: Any) -> Artifact:
    """Store a value."""
    encoded = encode(value, Context())
    return Artifact(name="x", digest=store.objects.put(encoded.buffers), format=encoded.format, size_bytes=encoded.size_bytes)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (1.0, 1.5, "at most 0.5 apart, relative 0.33"),
        ({"auc": 0.5, "n": 3}, {"auc": 0.25, "n": 3}, "at most 0.25 apart, relative 0.5"),
        ([1.0, [2.0, 4.0]], [1.0, [3.0, 4.5]], "at most 1 apart, relative 0.33"),
        (np.array([1.0, NAN, 2.0]), np.array([1.0, NAN, 4.0]), "at most 2 apart, relative 0.5"),
        (FRAME, FRAME.assign(a=[1.0, 4.0, NAN]), "at most 2 apart, relative 0.5"),
        (FRAME["a"], FRAME["a"] * 2, "at most 2 apart, relative 0.5"),
    ],
    ids=["number", "metrics", "list", "array", "frame", "series"],
)
def test_the_largest_distance_is_told(store: Store, left: Any, right: Any, expected: str) -> None:
    """Absolutely and relatively, whatever holds the numbers."""
    assert apart(store, kept(store, left), kept(store, right)) == expected


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1.0, 1),
        (1.0, INF),
        ([1.0], [1.0, 2.0]),
        ({"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0}),
        ({"a": 1.0, "b": "x"}, {"a": 2.0, "b": "y"}),
        (np.array([1.0]), np.array([[2.0]])),
        (np.array([1]), np.array([2])),
        (np.array([1.0]), np.array([NAN])),
        (FRAME, FRAME.assign(n=[3, 2, 1])),
        (FRAME, FRAME.iloc[::-1]),
        ((1.0,), (2.0,)),
    ],
    ids=repr,
)
def test_more_than_numbers_is_not_measured(store: Store, left: Any, right: Any) -> None:
    """Another type, shape, order or text, a NaN, and formats that run code."""
    assert apart(store, kept(store, left), kept(store, right)) == ""
