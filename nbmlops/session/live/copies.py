"""Names that were taken from a module with ``from m import f``, and whether they are what the module has by now."""

from __future__ import annotations

import ast
import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from nbmlops.runner.stagekey import type_exact

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_as_before", "taken_names"]

_PLAIN = (bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset, type(None))


def is_as_before(old: Any, new: Any) -> bool:  # noqa: ANN401 - any values
    """Tell whether what was taken from a module is what the module has now: the same object, the same code, or equal plain data."""
    if old is new:
        return True
    if isinstance(old, _PLAIN) and isinstance(new, _PLAIN):
        return type_exact(old) == type_exact(new)
    return _same_code(old, new)


def _same_code(old: Any, new: Any) -> bool:  # noqa: ANN401 - any code
    """Tell whether two functions or classes have the same code: ``%autoreload`` changes the old ones in place."""
    if isinstance(old, type) and isinstance(new, type):
        names = {name for name, part in vars(new).items() if hasattr(part, "__code__")}
        return bool(names) and all(getattr(vars(old).get(name), "__code__", None) == vars(new)[name].__code__ for name in names)
    return hasattr(old, "__code__") and hasattr(new, "__code__") and old.__code__ == new.__code__ and old.__defaults__ == new.__defaults__


def taken_names(module: ModuleType, source: bytes) -> Iterator[tuple[str, ModuleType, str]]:
    """Give the names that a module's own code takes from other modules: the name here, the module, the name there."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in _at_top(tree.body):
        package = module.__package__ or module.__name__
        try:
            name = importlib.util.resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
        except ImportError:
            continue
        other = sys.modules.get(name or "")
        if other is None:
            continue
        for alias in node.names:
            if alias.name == "*":
                yield from ((item, other, item) for item in vars(other) if not item.startswith("_") and item in vars(module))
            else:
                yield alias.asname or alias.name, other, alias.name


def _at_top(body: list[ast.stmt]) -> Iterator[ast.ImportFrom]:
    """Give the imports that run when the module's code is executed."""
    for node in body:
        if isinstance(node, ast.ImportFrom):
            yield node
        for part in ("body", "orelse", "finalbody"):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield from _at_top(getattr(node, part, []))
        for handler in getattr(node, "handlers", []):
            yield from _at_top(handler.body)
