"""Seed the global random states of a process, also of a numpy that is imported later."""

from __future__ import annotations

import random
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from typing import TYPE_CHECKING, Any

from nbmlops.runner.randomness import loaded_numpy_random, random_states

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["ComingSeed", "seed_random", "seed_when_imported", "untouched_since"]

_SEED_LIMIT = 2**32


def seed_random(seed: int, *, only: frozenset[str] = frozenset({"random", "numpy"})) -> None:
    """Seed the global random state of `random`, and of numpy if it is loaded."""
    if "random" in only:
        random.seed(seed)
    numpy_random = loaded_numpy_random()
    if numpy_random is not None and "numpy" in only:
        numpy_random.seed(seed % _SEED_LIMIT)


def untouched_since(seed: int) -> frozenset[str]:
    """Return which global random states are still as `seed_random(seed)` left them."""
    found = {"random"} if random.getstate() == random.Random(seed).getstate() else set()  # noqa: S311 - what the user draws from
    numpy_random = loaded_numpy_random()
    if numpy_random is not None:
        now, fresh = numpy_random.get_state(), numpy_random.RandomState(seed % _SEED_LIMIT).get_state()
        if now[2:] == fresh[2:] and (now[1] == fresh[1]).all():
            found.add("numpy")
    return frozenset(found)


@dataclass(slots=True)
class ComingSeed:
    """What numpy's global random state is seeded with once it is there, and where the state that it has then is noted."""

    seed: int
    states: dict[str, Any] = field(default_factory=dict)


@contextmanager
def seed_when_imported(seed: int) -> Iterator[ComingSeed]:
    """Seed numpy's global random state if numpy is imported while the body runs: it would be seeded from entropy."""
    coming = ComingSeed(seed)
    finder = _SeedingFinder(coming)
    if "numpy.random" in sys.modules:
        yield coming
        return
    sys.meta_path.insert(0, finder)
    try:
        yield coming
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)


class _SeedingFinder(MetaPathFinder):
    def __init__(self, coming: ComingSeed) -> None:
        self._coming = coming

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ANN401
        if fullname != "numpy.random":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(fullname, path, target) if hasattr(finder, "find_spec") else None
            if spec is not None and spec.loader is not None:
                spec.loader = _SeedingLoader(spec.loader, self._coming)
                return spec
        return None


class _SeedingLoader(Loader):
    def __init__(self, loader: Any, coming: ComingSeed) -> None:  # noqa: ANN401
        self._loader = loader
        self._coming = coming

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        module.seed(self._coming.seed % _SEED_LIMIT)
        self._coming.states.setdefault("numpy", random_states()["numpy"])
