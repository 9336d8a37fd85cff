"""Code without what does not matter: comments, formatting, positions."""

from __future__ import annotations

import ast
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["fingerprint", "normalise"]

# Constant.kind tells u"x" from "x"; a name's context follows from where it stands
_IGNORED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_KNOWN: dict[type, tuple[str, tuple[str, ...]]] = {}


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
        _written(item, parts.append)
        parts.append("\n")
    return "".join(parts)


def fingerprint(node: ast.AST | Sequence[ast.AST]) -> str:
    """Hash the normal form of code to 32 hexadecimal digits."""
    return blake2b(normalise(node).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _fields(kind: type[ast.AST]) -> tuple[str, tuple[str, ...]]:
    fields = _KNOWN.get(kind)
    if fields is None:
        fields = _KNOWN[kind] = (kind.__name__ + "(", tuple(name for name in reversed(kind._fields) if name not in _IGNORED))
    return fields


def _written(node: ast.AST, write: Callable[[str], None]) -> None:
    # a stack, not recursion: a sum of a thousand terms is a thousand levels deep
    stack: list[object] = [node]
    while stack:
        item = stack.pop()
        kind = type(item)
        known = _KNOWN.get(kind)
        if known is None and isinstance(item, ast.AST):
            known = _fields(type(item))
        if known is not None:
            write(known[0])
            stack.append(_CLOSE)
            stack += [getattr(item, name, None) for name in known[1]]
        elif isinstance(item, _Mark):
            write(item)
        elif isinstance(item, list):
            write("[")
            stack.append(_END)
            stack += item[::-1]
        else:
            write(f"{item!r},")


class _Mark(str):
    """Text to be written as it is, told apart from a string constant."""

    __slots__ = ()


_CLOSE = _Mark(")")
_END = _Mark("]")
