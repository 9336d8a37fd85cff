"""Tell cells that only define, import and configure (setup) from those that compute or show (report).

The answer is careful: a cell counts as setup only if running it in every stage process changes nothing but the
names that it binds and the settings that it sets.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nbmlops.notebook.known import Changes, Known, root_names
from nbmlops.notebook.purity import (
    BUILTIN_VALUES,
    CALLING,
    CONFIG_MAGICS,
    CONFIGURING,
    CONFIGURING_TARGETS,
    FRONT_MAGIC,
    FUNCTIONS,
    MUTATING_METHODS,
    PURE_BUILTINS,
    PURE_METHODS,
    SEEDED,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["is_front_only", "is_setup"]

_MAGIC_METHODS = frozenset({"run_line_magic", "run_cell_magic"})


def is_front_only(tree: ast.Module) -> bool:
    """Tell whether a cell only calls nbmlops' own magics, such as ``%mlrun``, loading them included."""
    return any(_is_front(node) for node in tree.body) and all(_is_front(node) or _loads_nbmlops(node) for node in tree.body)


def is_setup(tree: ast.Module, known: Known) -> bool:
    """Tell whether an untagged cell is a setup cell; if so, `known` learns what it defines.

    Parameters
    ----------
    tree : ast.Module
        The cell's code.
    known : Known
        What earlier setup and parameters cells define.
    """
    trial = known.copy()
    reader = _Reader(trial)
    if not all(reader.statement(node) for node in tree.body) or not reader.gives:
        return False
    known.imports, known.values, known.code, known.foreign = trial.imports, trial.values, trial.code, trial.foreign
    return True


def _is_front(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, (ast.Expr, ast.Assign)) else None
    return value is not None and FRONT_MAGIC.fullmatch(_magic_name(value)) is not None


def _loads_nbmlops(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Expr) or _magic_name(node.value) not in {"load_ext", "reload_ext"}:
        return False
    return any(isinstance(item, ast.Constant) and item.value == "nbmlops" for item in getattr(node.value, "args", ()))


def _magic_name(node: ast.expr) -> str:
    """Return the name of the magic that `node` runs, or ""."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=method),
            args=[ast.Constant(value=str(name)), *_],
        ) if method in _MAGIC_METHODS:
            return name
    return ""


class _Reader:
    """Reads one cell's statements; `gives` becomes true at the first that a later cell could need."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.gives = False

    def statement(self, node: ast.stmt) -> bool:  # noqa: PLR0911 - one case for each kind of statement
        """Tell whether a statement may stand in a setup cell."""
        match node:
            case ast.Import() | ast.ImportFrom():
                self.known.bind_imports(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                if not self._can_be_defined(node):
                    return False
                self.known.bind(node.name, self.known.code)
            case ast.Pass():
                return True
            case ast.Expr(value=value):
                return self._expression_statement(value)
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign() | ast.Delete():
                if not self._assignment(node):
                    return False
            case ast.If() | ast.Try() | ast.With() | ast.Raise() | ast.Assert():
                return self._compound(node)
            case _:
                if type(node).__name__ != "TypeAlias":  # Python 3.12
                    return False
                self.known.bind(node.name.id, self.known.values)  # type: ignore[attr-defined]
        self.gives = True
        return True

    def _expression_statement(self, value: ast.expr) -> bool:
        magic = _magic_name(value)
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            self.gives = True
        elif magic:
            if magic not in CONFIG_MAGICS:
                return False
            self.gives = True
        elif isinstance(value, ast.Call) and self._configures(value):
            self.gives = True
        else:
            # `print(pd.__version__)` below imports does no harm, yet alone it is there to show something
            return self._shows(value)
        return True

    def _shows(self, value: ast.expr) -> bool:
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "print":
            return not self.known.has("print") and all(self.pure(item) for item in value.args) and not value.keywords
        return self.pure(value)

    def _configures(self, call: ast.Call) -> bool:
        arguments = (*call.args, *(keyword.value for keyword in call.keywords))
        if not all(self.pure(item) for item in arguments):
            return False
        if self.dotted(call.func) in CONFIGURING:
            return True
        if not isinstance(call.func, ast.Attribute):
            return False
        # `columns.append("x")` where setup made the list, `logging.getLogger("x").setLevel("INFO")`
        if call.func.attr in MUTATING_METHODS:
            return set(root_names(call.func)) <= self.known.values and any(True for _ in root_names(call.func))
        if call.func.attr in {"makedirs", "mkdir"}:
            return self._makes_folder(call, call.func)
        return call.func.attr in {"setLevel", "addHandler"} and self.pure(call.func.value)

    def _makes_folder(self, call: ast.Call, func: ast.Attribute) -> bool:
        """Tell whether a call makes a folder that may be there already, so that it may run in every process."""
        exist_ok = any(item.arg == "exist_ok" and isinstance(item.value, ast.Constant) and item.value.value is True for item in call.keywords)
        return exist_ok and (self.dotted(func) == "os.makedirs" or self._is_value(func.value, frozenset()))

    def _assignment(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Delete) -> bool:
        if isinstance(node, ast.Delete):
            return all(self._target(target, deletes=True) for target in node.targets)
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id not in self.known.values:
            return False
        if node.value is not None and not self._value(node.value):
            return False
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return node.value is None or all(self._target(target) for target in targets)

    def _value(self, value: ast.expr) -> bool:
        # `old = np.seterr(all="ignore")`, `_ = load_dotenv()`
        return self.pure(value) or (isinstance(value, ast.Call) and self.dotted(value.func) in CONFIGURING and self._configures(value))

    def _target(self, target: ast.expr, *, deletes: bool = False) -> bool:
        match target:
            case ast.Name(id=name) if deletes:
                known = self.known.has(name)
                self.known.drop(name)
                return known
            case ast.Name(id=name):
                self.known.bind(name, self.known.values)
                return True
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return all(self._target(part, deletes=deletes) for part in parts)
            case ast.Starred(value=part):
                return self._target(part)
        return isinstance(target, (ast.Attribute, ast.Subscript)) and self._place(target)

    def _place(self, target: ast.Attribute | ast.Subscript) -> bool:
        """Tell whether assigning to an attribute or item sets a setting, or fills what setup itself made."""
        if isinstance(target, ast.Subscript) and not self.pure(target.slice):
            return False
        dotted = self.dotted(target if isinstance(target, ast.Attribute) else target.value)
        if any(dotted == prefix or dotted.startswith(f"{prefix}.") for prefix in CONFIGURING_TARGETS):
            return True
        return any(name in self.known.values for name in root_names(target))

    def _compound(self, node: ast.If | ast.Try | ast.With | ast.Raise | ast.Assert) -> bool:
        match node:
            case ast.If(test=test):
                return self.pure(test) and self._block(node.body) and self._block(node.orelse)
            case ast.Try():
                handlers = (self._handler(handler) for handler in node.handlers)
                return self._block(node.body) and all(handlers) and self._block(node.orelse) and self._block(node.finalbody)
            case ast.With(items=items, body=body):
                return all(self._context(item) for item in items) and self._block(body)
            case ast.Assert(test=test):
                return self.pure(test)
            case ast.Raise(exc=problem):
                return problem is None or all(self.pure(item) for item in (problem.args if isinstance(problem, ast.Call) else [problem]))

    def _handler(self, handler: ast.ExceptHandler) -> bool:
        if handler.name:
            self.known.bind(handler.name, self.known.values)
        return self._block(handler.body)

    def _block(self, body: Iterable[ast.stmt]) -> bool:
        return all(self.statement(node) for node in body)

    def _context(self, item: ast.withitem) -> bool:
        call = item.context_expr
        dotted = self.dotted(call.func) if isinstance(call, ast.Call) else ""
        return dotted in {"warnings.catch_warnings", "contextlib.suppress"} and item.optional_vars is None

    def _can_be_defined(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
        """Tell whether what is evaluated at the definition (decorators, defaults, class level) is there in every process."""
        postponed = self.known.imports.get("annotations") == "__future__.annotations"
        return not any(name in self.known.foreign for part in _evaluated_at_definition(node, annotations=not postponed) for name in part)

    def dotted(self, node: ast.expr) -> str:
        """Return the full dotted name that an expression of imported names stands for, or ""."""
        if isinstance(node, ast.Attribute):
            owner = self.dotted(node.value)
            return f"{owner}.{node.attr}" if owner else ""
        if isinstance(node, ast.Call):  # getcontext().prec, getLogger("x").setLevel
            return self.dotted(node.func)
        return self.known.imports.get(node.id, "") if isinstance(node, ast.Name) else ""

    def pure(self, node: ast.AST, local: frozenset[str] = frozenset()) -> bool:  # noqa: PLR0911 - one case for each kind of expression
        """Tell whether an expression of known names has no side effect."""
        match node:
            case ast.Constant():
                return True
            case ast.Name(id=name):
                return name in local or self._is_known(name)
            case ast.Call():
                return self._pure_call(node, local)
            case ast.Lambda(args=arguments):
                defaults = (*arguments.defaults, *(item for item in arguments.kw_defaults if item is not None))
                return all(self.pure(item, local) for item in defaults)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return self._pure_comprehension(node, local)
            case ast.Await() | ast.Yield() | ast.YieldFrom() | ast.NamedExpr():
                return False
        return all(self.pure(child, local) for child in ast.iter_child_nodes(node) if not isinstance(child, _GRAMMAR))

    def _is_known(self, name: str) -> bool:
        if self.known.has(name):
            return True
        return name not in self.known.foreign and (name in PURE_BUILTINS or name in BUILTIN_VALUES or _is_exception(name))

    def _is_builtin(self, node: ast.expr, local: frozenset[str]) -> bool:
        if not isinstance(node, ast.Name) or node.id not in PURE_BUILTINS:
            return False
        return node.id not in local and node.id not in self.known.foreign and not self.known.has(node.id)

    def _pure_call(self, call: ast.Call, local: frozenset[str]) -> bool:
        arguments = (*call.args, *(keyword.value for keyword in call.keywords))
        if not all(self.pure(item, local) for item in arguments):
            return False
        dotted = self.dotted(call.func)
        if self._is_builtin(call.func, local) or dotted in FUNCTIONS:
            return all(self._may_be_called(item, local) for item in self._callees(call, dotted))
        if dotted in SEEDED:
            return bool(arguments)
        if not isinstance(call.func, ast.Attribute) or call.func.attr not in PURE_METHODS:
            return False
        return self._is_value(call.func.value, local) and not any(isinstance(item, ast.Lambda) or self._is_code(item) for item in arguments)

    def _callees(self, call: ast.Call, dotted: str) -> Iterator[ast.expr]:
        """Yield what a pure function is given to call: `sorted(paths, key=f)`, `map(f, paths)`."""
        yield from (keyword.value for keyword in call.keywords if keyword.arg == "key")
        if (dotted or getattr(call.func, "id", "")) in CALLING:
            yield from call.args[:1]

    def _may_be_called(self, node: ast.expr, local: frozenset[str]) -> bool:
        if isinstance(node, ast.Lambda):
            names = node.args
            arguments = {item.arg for item in (*names.posonlyargs, *names.args, *names.kwonlyargs)}
            return self.pure(node.body, local | arguments)
        pure_method = isinstance(node, ast.Attribute) and node.attr in PURE_METHODS and self._is_value(node.value, local)
        return (
            self._is_builtin(node, local) or self.dotted(node) in FUNCTIONS or pure_method or (isinstance(node, ast.Constant) and node.value is None)
        )

    def _is_code(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self.known.code

    def _is_value(self, node: ast.expr, local: frozenset[str]) -> bool:
        """Tell whether a method of `node` is one of plain values, and not a function of a module or a class of ours."""
        roots = set(root_names(node))
        named = not roots or bool(roots & (self.known.values | local)) or self.dotted(node) in FUNCTIONS
        builtin = isinstance(node, ast.Name) and node.id in {"str", "dict", "int", "float", "bytes"}
        return self.pure(node, local) and (named or builtin or self.dotted(node).startswith(("os.environ", "sys.", "string.")))

    def _pure_comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, local: frozenset[str]) -> bool:
        inner = local
        for generator in node.generators:
            if generator.is_async or not self.pure(generator.iter, inner):
                return False
            inner |= Changes.of(generator.target).bound
            if not all(self.pure(test, inner) for test in generator.ifs):
                return False
        parts = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
        return all(self.pure(part, inner) for part in parts)


_GRAMMAR = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)


def _is_exception(name: str) -> bool:
    """Tell whether `name` is a builtin exception, as in ``RETRY_ON = (OSError, TimeoutError)``."""
    return name.endswith(("Error", "Warning", "Exception", "Interrupt", "Iteration"))


def _evaluated_at_definition(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, *, annotations: bool) -> Iterator[Iterator[str]]:
    parts: list[ast.AST] = list(node.decorator_list)
    if isinstance(node, ast.ClassDef):
        parts += [*node.bases, *node.keywords]
        for inner in node.body:
            if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield from _evaluated_at_definition(inner, annotations=annotations)
            else:
                parts.append(inner)
    else:
        parts += [*node.args.defaults, *(item for item in node.args.kw_defaults if item is not None)]
        if annotations:
            arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg)
            parts += [item.annotation for item in arguments if item is not None and item.annotation is not None]
            parts += [] if node.returns is None else [node.returns]
    for part in parts:
        yield (inner.id for inner in ast.walk(part) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load))
