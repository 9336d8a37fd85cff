"""Handing a value from one stage to the next through the store, against joblib's dump and load through a file."""

from __future__ import annotations

import importlib
import itertools
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Cost, expect, race, within
from benchmarks.table import Row, race_rows
from nbmlops.settings import Settings
from nbmlops.store.serializers import Context, decode, encode
from nbmlops.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.peers import Peers

__all__ = ["rows"]

_MOST = 1 / 2
_ROUNDS = 5


def rows(folder: Path, _peers: Peers) -> list[Row]:
    """Measure a frame, an array and a forest; each time with bytes that the store does not hold yet."""
    found: list[Row] = []
    for name, make in (("1M x 20 frame", _frame), ("100 MB array", _array), ("forest of 200 trees", _forest)):
        value, change, same = make()
        handing = _Handing(folder / name.replace(" ", "-"))
        handing.folder.mkdir()
        expect(same(handing.ours(value), value), f"the store gives back another {name}")
        expect(same(handing.theirs(value), value), f"joblib gives back another {name}")
        result = race(lambda: handing.timed(handing.ours, value, change), lambda: handing.timed(handing.theirs, value, change), _ROUNDS)  # noqa: B023
        found += race_rows(f"hand over a {name}", "joblib dump + load", result, most=_MOST)
    return found


class _Handing:
    """One store and one file to hand values over by."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._store = Store(str(folder / "store"), settings=Settings(project_root=folder, store=str(folder / "store")))
        self._context = Context(trusted=True)
        self._joblib: Any = importlib.import_module("joblib")
        self._numbers = itertools.count(1)

    def ours(self, value: Any) -> Any:  # noqa: ANN401 - any value
        """Store it and load it, as two stages do: serialized, hashed, synced; verified and mapped."""
        encoded = encode(value, self._context)
        digest = self._store.objects.put(encoded.buffers)
        return decode(encoded.format, self._store.objects.view(digest), self._context, encoded.form)

    def theirs(self, value: Any) -> Any:  # noqa: ANN401
        """Dump it and load it."""
        path = self.folder / "value.joblib"
        self._joblib.dump(value, path)
        return self._joblib.load(path)

    def timed(self, hand_over: Callable[[Any], Any], value: Any, change: Callable[[Any, int], None]) -> Cost:  # noqa: ANN401
        """Return what handing over costs; the value is another one each time."""
        change(value, next(self._numbers))
        cost = within(lambda: hand_over(value))
        for path in self.folder.rglob("objects/*/*"):
            path.unlink()
        return cost


def _frame() -> tuple[Any, Callable[[Any, int], None], Callable[[Any, Any], bool]]:
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    numbers = {f"x{place}": rng.normal(size=1_000_000) for place in range(16)}
    counts = {f"n{place}": rng.integers(0, 1000, 1_000_000) for place in range(4)}
    frame = pd.DataFrame({**numbers, **counts})

    def change(value: Any, number: int) -> None:  # noqa: ANN401
        value.iloc[0, 0] = float(number)

    return frame, change, lambda left, right: bool(left.equals(right))


def _array() -> tuple[Any, Callable[[Any, int], None], Callable[[Any, Any], bool]]:
    import numpy as np

    array = np.random.default_rng(0).normal(size=12_500_000)

    def change(value: Any, number: int) -> None:  # noqa: ANN401
        value[0] = number

    return array, change, lambda left, right: bool((left == right).all())


def _forest() -> tuple[Any, Callable[[Any, int], None], Callable[[Any, Any], bool]]:
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(0)
    x = rng.normal(size=(5000, 10))
    forest = RandomForestClassifier(200, random_state=0).fit(x, x[:, 0] + rng.normal(size=5000) > 0)

    def change(value: Any, number: int) -> None:  # noqa: ANN401
        value.random_state = number

    return forest, change, lambda left, right: bool((left.predict_proba(x) == right.predict_proba(x)).all())
