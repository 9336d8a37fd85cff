"""Whether a statement at the top level does more than bind its names: whoever comes after it depends on it, reading one of the names or not."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ["acts", "acts_on_others", "calls_something", "looks_for_subclasses", "root_name"]

_BLOCKS = (ast.If, ast.Try, ast.TryStar, ast.With, ast.For, ast.While)
_TELLING = frozenset({"critical", "debug", "display", "error", "exception", "info", "print", "warn", "warning"})
# by these a class is noted when it is made, or found without its name
_NOTING = frozenset({"__init_subclass__", "__subclasses__", "__set_name__"})
# decorators that give back what they decorate, or another form of it, and tell nobody else; by their last name
_PLAIN_DECORATORS = frozenset(
    {
        "abstractmethod", "asynccontextmanager", "attrs", "beartype", "cache", "cached", "cached_property", "classmethod", "contextmanager",
        "cuda", "dataclass", "dataclass_transform", "define", "delayed", "deleter", "deprecated", "experimental", "final", "frozen", "function",
        "functor", "getter", "guvectorize", "jit", "lru_cache", "memoize", "mutable", "ngjit", "njit", "no_grad", "no_type_check", "overload",
        "override", "profile", "property", "remote", "retry", "runtime_checkable", "s", "script", "setter", "singledispatch",
        "singledispatchmethod", "staticmethod", "stencil", "timer", "total_ordering", "typechecked", "unique", "validate_arguments",
        "validate_call", "vectorize", "wraps",
    },
)  # fmt: skip


def acts(node: ast.stmt, imported: Collection[str], *, acting: Collection[str] | None = None) -> bool:
    """Tell whether a statement may change what is not its own: a library's settings or classes, a registry elsewhere.

    Parameters
    ----------
    node : ast.stmt
        A statement at the top level of a cell or module.
    imported : collection of str
        Names that imports bind.
    acting : collection of str, optional
        Functions of the same code that do so when they are called; None where every decorator that is not known is taken for one.
    """
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return any(_registers(item, imported, acting) for item in node.decorator_list)
        case ast.Assign(targets=targets):
            return any(_leads_out(target, imported) for target in targets)
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
            return _leads_out(target, imported)
        case ast.Expr(value=value):
            return calls_something(value) and not _only_tells(value)
        case ast.If(test=test) if any(isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(test)):
            return False
    # what is left imports, deletes, raises or is a type alias
    return isinstance(node, _BLOCKS) and any(acts(item, imported, acting=acting) for item in _inner(node))


def acts_on_others(function: ast.FunctionDef | ast.AsyncFunctionDef, imported: Collection[str]) -> bool:
    """Tell whether calling a function may set an attribute or an item of what an import gave."""
    for part in ast.walk(function):
        if isinstance(part, (ast.Attribute, ast.Subscript)) and not isinstance(part.ctx, ast.Load) and root_name(part) in imported:
            return True
        if isinstance(part, ast.Call) and root_name(part.func) == "setattr" and part.args and root_name(part.args[0]) in imported:
            return True
    return False


def calls_something(node: ast.AST) -> bool:
    """Tell whether evaluating an expression calls a function."""
    return any(isinstance(part, (ast.Call, ast.Await)) for part in ast.walk(node))


def looks_for_subclasses(parts: Iterable[ast.AST]) -> bool:
    """Tell whether code, given as all its nodes, finds classes without their names, so that defining one is enough."""
    return any(
        (isinstance(part, ast.Attribute) and part.attr in _NOTING)
        or (isinstance(part, ast.FunctionDef) and part.name in _NOTING)
        or (isinstance(part, ast.keyword) and part.arg == "metaclass" and _last_name(part.value) != "ABCMeta")
        for part in parts
    )


def root_name(node: ast.AST) -> str:
    """Return the name that a chain of attributes, items and calls begins with, or ""."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else root_name(node)


def _only_tells(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and _last_name(value.func) in _TELLING


def _registers(decorator: ast.expr, imported: Collection[str], acting: Collection[str] | None) -> bool:
    made = decorator.func if isinstance(decorator, ast.Call) else decorator
    if _last_name(made) in _PLAIN_DECORATORS:
        return False
    return acting is None or root_name(made) in imported or root_name(made) in acting


def _leads_out(target: ast.expr, imported: Collection[str]) -> bool:
    if isinstance(target, (ast.Tuple, ast.List)):
        return any(_leads_out(item, imported) for item in target.elts)
    return isinstance(target, (ast.Attribute, ast.Subscript)) and root_name(target) in imported


def _inner(node: ast.stmt) -> Iterable[ast.stmt]:
    for name in ("body", "orelse", "finalbody"):
        yield from getattr(node, name, ())
    for handler in getattr(node, "handlers", ()):
        yield from handler.body
