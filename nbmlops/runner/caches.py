"""Functions with `functools.cache`: what they return is shared by all who call them, in one process."""

from __future__ import annotations

import functools
import gc
from typing import TYPE_CHECKING, Any

from nbmlops.store.fingerprint import mutable_ids

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["calls", "keeps_state"]

_Cached = functools._lru_cache_wrapper  # noqa: SLF001 - it has no public name


def calls(namespace: Mapping[str, Any]) -> dict[str, int]:
    """Return how often each cached function of a namespace has been called."""
    found = ((name, value.cache_info()) for name, value in list(namespace.items()) if isinstance(value, _Cached))
    return {name: info.hits + info.misses for name, info in found}


def keeps_state(function: Any) -> bool:  # noqa: ANN401 - a cached function has no public type
    """Tell whether a cached function keeps something that whoever got it may change in place."""
    own = {id(function.__wrapped__), id(vars(function))}
    held = [item for item in gc.get_referents(function) if id(item) not in own and not isinstance(item, type)]
    # a cache without a limit is one dict, from arguments to what was returned; one with a limit has links there, and names what they hold
    values = [value for item in held for value in (item.values() if type(item) is dict else [item])]
    return any(mutable_ids(value) for value in values if type(value) is not object and type(value).__name__ != "_lru_list_elem")
