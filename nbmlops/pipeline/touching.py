"""Which objects a stage may change, as far as reading its code can rule it out.

A run from top to bottom watches what each stage does. A run of a few stages has to know, before the others have ever run, which of them
it cannot leave out: ``--stage c`` after ``x = [1]`` in a, ``x.append(2)`` in b and ``y = sum(x)`` in c needs b.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nbmlops.notebook.purity import MUTATING_METHODS, PURE_BUILTINS, PURE_METHODS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbmlops.pipeline.model import Pipeline, Stage
    from nbmlops.pipeline.source import Source

__all__ = ["earlier_changers", "may_change"]

# of tables, arrays and estimators: they leave the object as it is, unless they are told `inplace`
_READING_METHODS = frozenset({
    "agg", "all", "any", "apply", "argmax", "argmin", "argsort", "assign", "astype", "boxplot", "corr", "cov", "cumsum", "decision_function",
    "describe", "diff", "dot", "drop", "drop_duplicates", "dropna", "dtypes", "equals", "filter", "flatten", "groupby", "head", "hist", "idxmax",
    "idxmin", "iloc", "iterrows", "itertuples", "loc", "map", "max", "mean", "median", "melt", "merge", "min", "mode", "nlargest", "nsmallest",
    "nunique", "pipe", "pivot", "pivot_table", "plot", "predict", "predict_log_proba", "predict_proba", "prod", "quantile", "query", "ravel",
    "rename", "reset_index", "reshape", "rolling", "round", "sample", "score", "select_dtypes", "set_index", "shift", "sort_index",
    "sort_values", "std", "sum", "tail", "to_csv", "to_dict", "to_json", "to_list", "to_numpy", "to_parquet", "to_string", "tolist", "transform",
    "transpose", "unique", "value_counts", "values", "var", "where",
})  # fmt: skip
# what they are given stays as it is; what they are called on may not
_TAKING_METHODS = MUTATING_METHODS | PURE_METHODS | _READING_METHODS | frozenset({"fit", "fit_predict", "fit_transform", "partial_fit", "write"})
# what they give back may be the object, or a part of it
_VIEWING_METHODS = frozenset({"apply", "filter", "get", "groupby", "items", "pipe", "ravel", "reshape", "setdefault", "transpose", "values"})
_SCALAR_CALLS = frozenset(
    {"abs", "all", "any", "bool", "bytes", "display", "float", "format", "hash", "int", "isinstance", "len", "print", "range", "repr", "round", "str"}
    | {"sum", "type"}
)
_CHANGING_FUNCTIONS = frozenset({"copyto", "fill_diagonal", "heapify", "heappop", "heappush", "place", "put", "put_along_axis", "putmask", "shuffle"})
_ORDINARY_CALLS = frozenset(PURE_BUILTINS) | {"display", "print"}


def earlier_changers(stage: Stage, pipeline: Pipeline, source: Source) -> list[str]:
    """Return the stages before `stage` that may change in place what it reads, or another output of a stage that it reads from."""
    used = {(read.provider, read.name if read.kind == "setup" else "") for read in stage.reads}
    libraries = {name for piece in source.pieces if piece.stage is None for name in piece.flow.imports}
    found = []
    for other in pipeline.stages.values():
        if other.cells[0] >= stage.cells[0]:
            continue
        shared = {read.name for read in other.reads if used & {(read.provider, ""), (read.provider, read.name)}} - libraries
        if shared and any(may_change(member.tree, shared, libraries) for member in source.stages[other.name] if member.tree is not None):
            found.append(other.name)
    return found


def may_change(tree: ast.AST, names: Iterable[str], imported: Iterable[str] = ()) -> bool:
    """Tell whether running code may change an object that one of `names` means.

    Parameters
    ----------
    tree : ast.AST
    names : iterable of str
    imported : iterable of str
        Names that are modules, functions and classes of libraries: what they are given they do not change, a known few apart.

    Examples
    --------
    >>> may_change(ast.parse("y = x.mean() + len(x)"), ["x"])
    False
    >>> may_change(ast.parse("z = [x]; z[0].append(1)"), ["x"])
    True
    """
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    mentions = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and (isinstance(node.ctx, ast.Load) or _is_augmented(node, parents))]
    libraries = frozenset(imported).union(*(_imported(node) for node in ast.walk(tree)))
    meant, seen = set(names), set[str]()
    while meant - seen:
        seen |= meant
        for node in mentions:
            if node.id in seen:
                passed_to = _passed_to(node, parents, libraries)
                if passed_to is None:
                    return True
                meant |= passed_to
    return False


def _is_augmented(node: ast.Name, parents: dict[ast.AST, ast.AST]) -> bool:
    return isinstance(parents[node], ast.AugAssign)


def _imported(node: ast.AST) -> set[str]:
    return {alias.asname or alias.name.partition(".")[0] for alias in node.names} if isinstance(node, ast.Import | ast.ImportFrom) else set()


def _passed_to(node: ast.expr, parents: dict[ast.AST, ast.AST], libraries: frozenset[str]) -> set[str] | None:
    """Return the names that may mean the object, or what holds it, from here on; None if it may be changed."""
    found: set[str] = set()
    child: ast.AST = node
    while (parent := parents.get(child)) is not None:
        if _changes(parent, child, libraries):
            return None
        found |= _names(parent, child)
        if _ends(parent, child):
            break
        child = parent
    return found


def _changes(parent: ast.AST, child: ast.AST, libraries: frozenset[str]) -> bool:
    if isinstance(parent, ast.Attribute | ast.Subscript):
        return parent.value is child and not isinstance(parent.ctx, ast.Load)
    if isinstance(parent, ast.Call):
        return not _leaves_alone(parent, child, libraries)
    if isinstance(parent, ast.AugAssign):
        return parent.target is child
    return isinstance(parent, ast.Return | ast.Yield | ast.YieldFrom | ast.Await)  # it goes to whoever called


def _names(parent: ast.AST, child: ast.AST) -> set[str]:
    targets: list[ast.AST] = []
    if isinstance(parent, ast.Assign):
        targets = [*parent.targets]
    elif isinstance(parent, ast.withitem):
        targets = [parent.optional_vars] if parent.optional_vars else []
    elif isinstance(parent, ast.AnnAssign | ast.NamedExpr | ast.For | ast.AsyncFor | ast.comprehension):
        targets = [parent.target]
    elif isinstance(parent, ast.Call) and isinstance(parent.func, ast.Attribute) and parent.func.attr in MUTATING_METHODS:
        targets = [parent.func.value]  # `y.append(x)`
    # `d["k"] = x` puts it into what `d` means
    return {node.id for target in targets if target is not child for node in ast.walk(target) if isinstance(node, ast.Name)}


def _ends(parent: ast.AST, child: ast.AST) -> bool:
    """Tell whether what comes of the object is another one."""
    if isinstance(parent, ast.Subscript):
        return parent.slice is child
    if isinstance(parent, ast.Call):
        function = parent.func
        if isinstance(function, ast.Attribute):
            return function is child and function.attr not in _VIEWING_METHODS
        return isinstance(function, ast.Name) and function.id in _SCALAR_CALLS
    return isinstance(parent, ast.BinOp | ast.Compare | ast.UnaryOp | ast.FormattedValue | ast.Slice | ast.stmt | ast.comprehension | ast.withitem)


def _leaves_alone(call: ast.Call, child: ast.AST, libraries: frozenset[str]) -> bool:
    """Tell whether a call leaves alone the object that it is made on, or that it is given."""
    if any(keyword.arg in {"inplace", "out", "copy"} for keyword in call.keywords):
        return False
    function = call.func
    if isinstance(function, ast.Name):
        return function is not child and (function.id in _ORDINARY_CALLS or (function.id in libraries and function.id not in _CHANGING_FUNCTIONS))
    if not isinstance(function, ast.Attribute):
        return False
    if function is child:
        return function.attr in PURE_METHODS or function.attr in _READING_METHODS
    root: ast.AST = function
    while isinstance(root, ast.Attribute):
        root = root.value
    if isinstance(root, ast.Name) and root.id in libraries:
        return function.attr not in _CHANGING_FUNCTIONS
    return function.attr in _TAKING_METHODS
