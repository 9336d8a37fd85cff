"""Functions with `functools.cache`: what they return is shared by all who call them, in one process."""

from __future__ import annotations

import functools
import gc
from typing import TYPE_CHECKING, Any

from nbmlops.store.fingerprint import mutable_ids

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["cached", "keeps_state", "times_called"]

_Cached = functools._lru_cache_wrapper  # noqa: SLF001 - it has no public name


def cached(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cached functions of a namespace by name, those that are methods of its own classes as ``"Loader.load"``."""
    found: dict[str, Any] = {}
    for name, value in list(namespace.items()):
        if isinstance(value, _Cached):
            found[name] = value
        elif isinstance(value, type) and value.__module__ == "__main__":
            methods = {f"{name}.{item}": getattr(held, "__func__", held) for item, held in list(vars(value).items())}
            found.update({method: function for method, function in methods.items() if isinstance(function, _Cached)})
    return found


def times_called(functions: Mapping[str, Any]) -> dict[str, int]:
    """Return how often each of these cached functions has been called."""
    found = ((name, function.cache_info()) for name, function in functions.items())
    return {name: info.hits + info.misses for name, info in found}


def keeps_state(function: Any) -> bool:  # noqa: ANN401 - a cached function has no public type
    """Tell whether a cached function keeps something that whoever got it may change in place."""
    own = {id(function.__wrapped__), id(vars(function))}
    held = [item for item in gc.get_referents(function) if id(item) not in own and not isinstance(item, type)]
    # a cache without a limit is one dict, from arguments to what was returned; one with a limit has links there, and names what they hold
    values = [value for item in held for value in (item.values() if type(item) is dict else [item])]
    # of a method, the arguments begin with the object itself
    arguments = {id(key) for item in held if type(item) is dict for key in item}
    returned = [value for value in values if type(value) is not object and type(value).__name__ != "_lru_list_elem" and id(value) not in arguments]
    return any(mutable_ids(value) for value in returned)
