"""Which expressions are sets, as far as reading one piece of code shows it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbmlops.pipeline.checks.sites import Sites

__all__ = ["is_set", "may_hold_text"]

_OPERATORS = (ast.BitOr, ast.BitAnd, ast.BitXor, ast.Sub)
_METHODS = frozenset({"copy", "difference", "intersection", "symmetric_difference", "union"})


def is_set(sites: Sites, node: ast.expr, seen: frozenset[str] = frozenset()) -> bool:
    """Tell whether an expression surely gives a set."""
    if isinstance(node, (ast.Set, ast.SetComp)):
        return True
    if isinstance(node, ast.Call):
        if sites.name(node.func) in {"set", "frozenset"}:
            return True
        return isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS and is_set(sites, node.func.value, seen)
    if isinstance(node, ast.BinOp) and isinstance(node.op, _OPERATORS):
        return any(is_set(sites, side, seen) or _is_keys(side) for side in (node.left, node.right))
    if isinstance(node, ast.IfExp):
        return is_set(sites, node.body, seen) and is_set(sites, node.orelse, seen)
    return isinstance(node, ast.Name) and node.id not in seen and _names_set(sites, node, seen | {node.id})


def _is_keys(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "keys" and not node.args


def _names_set(sites: Sites, name: ast.Name, seen: frozenset[str]) -> bool:
    """Tell whether all that binds a name here binds it to a set."""
    function = sites.function(name)
    bindings = [use for use in sites.names.get(name.id, ()) if not isinstance(use.ctx, ast.Load) and sites.function(use) is function]
    return bool(bindings) and all(_binds_set(sites, use, seen) for use in bindings)


def _binds_set(sites: Sites, use: ast.Name, seen: frozenset[str]) -> bool:
    outer = sites.parents.get(use)
    if isinstance(outer, ast.AugAssign):
        return isinstance(outer.op, _OPERATORS)
    if isinstance(outer, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and outer.value is not None:
        return is_set(sites, outer.value, seen)
    return False


def may_hold_text(sites: Sites, node: ast.expr, seen: frozenset[str] = frozenset()) -> bool:
    """Tell whether a set may hold anything but numbers, whose order is the same in every process."""
    if isinstance(node, ast.Set):
        return not all(_is_number(item) for item in node.elts)
    if isinstance(node, ast.SetComp):
        return not _counts(node.generators[0].iter) or not isinstance(node.elt, (ast.Name, ast.BinOp))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
        inner = node.args[0]
        numbers = isinstance(inner, (ast.List, ast.Tuple, ast.Set)) and all(_is_number(item) for item in inner.elts)
        return not (numbers or _counts(inner))
    if isinstance(node, ast.BinOp):
        return may_hold_text(sites, node.left, seen) and may_hold_text(sites, node.right, seen)
    return not isinstance(node, ast.Name) or node.id in seen or _name_may_hold_text(sites, node.id, seen)


def _name_may_hold_text(sites: Sites, name: str, seen: frozenset[str]) -> bool:
    outer = [sites.parents.get(use) for use in sites.names.get(name, ()) if not isinstance(use.ctx, ast.Load)]
    values = [item.value for item in outer if isinstance(item, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and item.value is not None]
    return not values or any(may_hold_text(sites, value, seen | {name}) for value in values)


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (int, float, complex))


def _counts(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"
