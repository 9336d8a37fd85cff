"""All nodes of a piece of code, listed once for all who look through them: `ast.walk` costs more than parsing did."""

from __future__ import annotations

import ast
import functools

__all__ = ["nodes_of"]

_KEPT = 4096


@functools.lru_cache(maxsize=_KEPT)
def nodes_of(tree: ast.AST) -> tuple[ast.AST, ...]:
    """Return the nodes of a tree, itself first, as `ast.walk` gives them, without the contexts in which names are used."""
    found = [tree]
    for node in found:  # which grows meanwhile
        for name in node._fields:
            value = getattr(node, name, None)
            if type(value) is list:
                found += [item for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                found.append(value)
    return tuple(found)
