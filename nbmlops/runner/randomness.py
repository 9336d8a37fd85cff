"""The global random states of a process, of `random` and of numpy where it is loaded."""

from __future__ import annotations

import importlib
import random
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["loaded_numpy_random", "random_states", "restore_random", "save_random"]


def loaded_numpy_random() -> Any:  # noqa: ANN401 - a module, or None
    """Return `numpy.random` if numpy is loaded, else None."""
    # `import numpy` leaves `numpy.random` to its first use (numpy 2.3): seeded and compared only then, it would be too late
    return importlib.import_module("numpy.random") if "numpy" in sys.modules else None


def random_states() -> dict[str, Any]:
    """Return the states as small values that can be compared, by module name."""
    states: dict[str, Any] = {"random": hash(random.getstate())}
    numpy_random = loaded_numpy_random()
    if numpy_random is not None:
        name, keys, position, *rest = numpy_random.get_state()
        states["numpy"] = (name, hash(keys.tobytes()), position, *rest)
    return states


def save_random() -> dict[str, Any]:
    """Return the states whole, by module name, for `restore_random`."""
    states: dict[str, Any] = {"random": random.getstate()}
    numpy_random = loaded_numpy_random()
    if numpy_random is not None:
        states["numpy"] = numpy_random.get_state()
    return states


def restore_random(states: Mapping[str, Any]) -> None:
    """Set the states that `save_random` returned."""
    if "random" in states:
        random.setstate(states["random"])
    numpy_random = loaded_numpy_random()
    if numpy_random is not None and "numpy" in states:
        numpy_random.set_state(states["numpy"])
