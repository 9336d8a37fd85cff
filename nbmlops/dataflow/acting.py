"""Whether a statement at the top level does more than bind its names: whoever comes after it depends on it, reading one of the names or not."""

from __future__ import annotations

import ast
import functools
from typing import TYPE_CHECKING

from nbmlops.dataflow.nodes import nodes_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

__all__ = ["acting_decorators", "acts", "calls_something", "changes_what_a_call_gives", "looks_for_subclasses", "root_name"]

_BLOCKS = (ast.If, ast.Try, ast.TryStar, ast.With, ast.For, ast.While)
# methods by which an object keeps what it is given
_REGISTERING = frozenset(
    {"add", "append", "appendleft", "connect", "extend", "insert", "on", "push", "put", "register", "setdefault", "subscribe", "update"},
)
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
        What `acting_decorators` gives of the same code; None where every decorator that is not known is taken for one.
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


def _acts_on_imports(function: ast.FunctionDef | ast.AsyncFunctionDef, imported: Collection[str]) -> bool:
    """Tell whether calling a function may set an attribute or an item of what an import gave."""
    for part in ast.walk(function):
        if isinstance(part, (ast.Attribute, ast.Subscript)) and not isinstance(part.ctx, ast.Load) and root_name(part) in imported:
            return True
        if isinstance(part, ast.Call) and root_name(part.func) == "setattr" and part.args and root_name(part.args[0]) in imported:
            return True
    return False


def acting_decorators(definition: ast.stmt, imported: Collection[str]) -> set[str]:
    r"""Return the ways of decorating with a function or class of the same code that change what is not its own: ``step``, ``step()``.

    Parameters
    ----------
    definition : ast.stmt
    imported : collection of str
        Names that imports bind.

    Examples
    --------
    >>> code = "def step(f):\n    STEPS.append(f)\n    return f"
    >>> acting_decorators(ast.parse(code).body[0], ()) == {"step", "step()"}
    True
    """
    if isinstance(definition, ast.ClassDef):
        made = [node for node in definition.body if isinstance(node, ast.FunctionDef) and node.name in {"__init__", "__new__", "__call__"}]
        return {definition.name, f"{definition.name}()"} if any(acting_decorators(node, imported) for node in made) else set()
    if not isinstance(definition, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return set()
    # what a wrapper does waits for a call, and the functions inside a function that is called as a decorator are decorators
    found = {definition.name, f"{definition.name}()"} if _acts_on_imports(definition, imported) or _changes_others(definition) else set()
    inner = [node for node in definition.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return found | ({f"{definition.name}()"} if any(_changes_others(node) for node in inner) else set())


def changes_what_a_call_gives(node: ast.stmt) -> bool:
    """Tell whether a statement sets an attribute or item of what a call gives: ``getcontext().prec = 8``."""
    targets = node.targets if isinstance(node, (ast.Assign, ast.Delete)) else [getattr(node, "target", None)]
    parts = [part for target in targets if target is not None for part in _outer_parts(target)]
    return any(isinstance(part, (ast.Attribute, ast.Subscript)) and _through_call(part.value) for part in parts)


@functools.lru_cache(maxsize=4096)  # of each statement of setup it is asked for each stage
def calls_something(node: ast.AST) -> bool:
    """Tell whether evaluating an expression calls a function."""
    return any(isinstance(part, (ast.Call, ast.Await)) for part in ast.walk(node))


def looks_for_subclasses(tree: ast.AST) -> bool:
    """Tell whether code finds classes without their names, so that defining one is enough."""
    return any(
        (isinstance(part, ast.Attribute) and part.attr in _NOTING)
        or (isinstance(part, ast.FunctionDef) and part.name in _NOTING)
        or (isinstance(part, ast.keyword) and part.arg == "metaclass" and _last_name(part.value) != "ABCMeta")
        for part in nodes_of(tree)
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
    # what a method of an object of the notebook notes is told by nothing: `@registry.add`
    if acting is None or root_name(made) in imported or isinstance(made, ast.Attribute):
        return True
    return f"{root_name(made)}{'()' if made is not decorator else ''}" in acting


def _changes_others(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether the body of a function, without those inside it, changes what it neither is given nor makes."""
    parts = list(_own_parts(function.body))
    arguments = function.args
    local = {
        item.arg for item in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg) if item is not None
    }
    local |= {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    local -= {name for part in parts if isinstance(part, (ast.Global, ast.Nonlocal)) for name in part.names}
    for part in parts:
        match part:
            case ast.Global() | ast.Nonlocal():
                return True
            case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()) if root_name(part) not in local:
                return True
            case ast.Expr(value=ast.Call() as value) if not _only_tells(value) and root_name(value.func) not in local:
                return True
            case ast.Call(func=ast.Attribute(attr=method) as func) if method in _REGISTERING and root_name(func) not in local:
                return True
    return False


def _own_parts(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for node in body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield node
            yield from _own_parts(ast.iter_child_nodes(node))


def _outer_parts(target: ast.expr) -> list[ast.expr]:
    return [part for item in target.elts for part in _outer_parts(item)] if isinstance(target, (ast.Tuple, ast.List)) else [target]


def _through_call(node: ast.expr) -> bool:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return isinstance(node, ast.Call)


def _leads_out(target: ast.expr, imported: Collection[str]) -> bool:
    if isinstance(target, (ast.Tuple, ast.List)):
        return any(_leads_out(item, imported) for item in target.elts)
    return isinstance(target, (ast.Attribute, ast.Subscript)) and root_name(target) in imported


def _inner(node: ast.stmt) -> Iterable[ast.stmt]:
    for name in ("body", "orelse", "finalbody"):
        yield from getattr(node, name, ())
    for handler in getattr(node, "handlers", ()):
        yield from handler.body
