"""Whether code asks for local time: it hangs on the time zone, which Python takes from ``TZ`` without any look-up that could be noticed."""

from __future__ import annotations

import ast
import functools

from nbmlops.dataflow.nodes import nodes_of

__all__ = ["time_zone_variables"]

_LOCAL = frozenset({"astimezone", "ctime", "fromtimestamp", "localtime", "mktime", "now", "timestamp", "today", "tzlocal", "tzname"})


@functools.lru_cache(maxsize=4096)  # of each statement of setup, and of each cell, it is asked whenever the notebook is linked
def time_zone_variables(tree: ast.AST) -> frozenset[str]:
    """Return ``{"TZ"}`` for code that names a function which gives local time, else nothing."""
    found = any(
        (isinstance(part, ast.Attribute) and part.attr in _LOCAL) or (isinstance(part, ast.Name) and part.id in _LOCAL) for part in nodes_of(tree)
    )
    return frozenset({"TZ"}) if found else frozenset()
