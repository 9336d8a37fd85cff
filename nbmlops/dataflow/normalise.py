"""Code without what does not matter: comments, formatting, positions."""

from __future__ import annotations

import ast
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["fingerprint", "normalise"]

# Constant.kind tells u"x" from "x"; a name's context follows from where it stands
_IGNORED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_KNOWN: dict[type[ast.AST], tuple[str, ...]] = {}


def normalise(node: ast.AST | Sequence[ast.AST]) -> str:
    """Write code in the one form that equal code shares.

    Positions, comments, formatting and type comments are gone; docstrings stay, since code can read them.

    Parameters
    ----------
    node : ast.AST or sequence of ast.AST
        A tree, or statements one after the other.
    """
    parts: list[str] = []
    for item in [node] if isinstance(node, ast.AST) else node:
        parts.extend(_written(item))
        parts.append("\n")
    return "".join(parts)


def fingerprint(node: ast.AST | Sequence[ast.AST]) -> str:
    """Hash the normal form of code to 32 hexadecimal digits."""
    return blake2b(normalise(node).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    fields = _KNOWN.get(kind)
    if fields is None:
        fields = _KNOWN[kind] = tuple(name for name in reversed(kind._fields) if name not in _IGNORED)
    return fields


def _written(node: ast.AST) -> Iterator[str]:
    # a stack, not recursion: a sum of a thousand terms is a thousand levels deep
    stack: list[object] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, _Mark):
            yield item
        elif isinstance(item, ast.AST):
            kind = type(item)
            yield kind.__name__
            yield "("
            stack.append(_CLOSE)
            stack.extend(getattr(item, name, None) for name in _fields(kind))
        elif isinstance(item, list):
            yield "["
            stack.append(_END)
            stack.extend(reversed(item))
        else:
            yield f"{item!r},"


class _Mark(str):
    """Text to be written as it is, told apart from a string constant."""

    __slots__ = ()


_CLOSE = _Mark(")")
_END = _Mark("]")
