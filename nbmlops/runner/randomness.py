"""The global random states of a process, of `random` and of numpy where it is loaded."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["random_states", "restore_random", "save_random"]


def random_states() -> dict[str, Any]:
    """Return the states as small values that can be compared, by module name."""
    states: dict[str, Any] = {"random": hash(random.getstate())}
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        name, keys, position, *rest = numpy_random.get_state()
        states["numpy"] = (name, hash(keys.tobytes()), position, *rest)
    return states


def save_random() -> dict[str, Any]:
    """Return the states whole, by module name, for `restore_random`."""
    states: dict[str, Any] = {"random": random.getstate()}
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        states["numpy"] = numpy_random.get_state()
    return states


def restore_random(states: Mapping[str, Any]) -> None:
    """Set the states that `save_random` returned."""
    if "random" in states:
        random.setstate(states["random"])
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None and "numpy" in states:
        numpy_random.set_state(states["numpy"])
