"""What the code of one cell tells by itself, read once however often the notebook around it is read again."""

from __future__ import annotations

import ast
import copy
import functools
from typing import TYPE_CHECKING

from nbmlops.dataflow import acting, normalise
from nbmlops.dataflow.nodes import nodes_of
from nbmlops.dataflow.scopes import analyse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nbmlops.dataflow.flow import Flow

__all__ = ["fingerprint", "flow_of", "imported_names", "looks_for_subclasses", "postpones_annotations", "single_statements", "statement_trees"]

_KEPT = 4096
"""Trees of cells and statements: `parse_code` gives equal cells the same one, and what is told of it holds as long as that is kept."""


def flow_of(tree: ast.Module, stars: Callable[[str], Mapping[str, bool] | None] | None, *, postponed: bool) -> Flow:
    """Read what code takes and gives.

    Parameters
    ----------
    tree : ast.Module
        Of a cell, or of one of its statements.
    stars : callable or None
        As of `analyse`.
    postponed : bool
        Whether ``from __future__ import annotations`` holds, so that annotations read nothing.
    """
    alone = _flow_alone(tree, postponed)
    if alone is not None:
        return alone
    return analyse(_without_annotations(tree) if postponed else tree, stars)


@functools.lru_cache(maxsize=_KEPT)
def _flow_alone(tree: ast.Module, postponed: bool) -> Flow | None:  # noqa: FBT001 - a key of the cache
    """Read code that hangs on nothing else; None where a star import binds what another file says."""
    asked: list[str] = []
    flow = analyse(_without_annotations(tree) if postponed else tree, asked.append)
    return None if asked else flow


@functools.lru_cache(maxsize=_KEPT)
def statement_trees(tree: ast.Module) -> tuple[ast.Module, ...]:
    """Return each statement of a cell as code of its own, an import of several names as several."""
    return tuple(ast.Module(body=[node], type_ignores=[]) for node in single_statements(tree.body))


def single_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a cell, an import of several names as several."""
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)) and len(node.names) > 1:
            for alias in node.names:
                single: ast.stmt
                if isinstance(node, ast.Import):
                    single = ast.Import(names=[alias])
                else:
                    single = ast.ImportFrom(module=node.module, names=[alias], level=node.level)
                yield ast.copy_location(single, node)
        else:
            yield node


@functools.lru_cache(maxsize=_KEPT)
def fingerprint(tree: ast.Module) -> str:
    """Return the digest of the normalised source of a cell or statement."""
    return normalise.fingerprint(tree)


@functools.lru_cache(maxsize=_KEPT)
def looks_for_subclasses(tree: ast.Module) -> bool:
    """Tell whether a cell finds classes without their names."""
    return acting.looks_for_subclasses(tree)


@functools.lru_cache(maxsize=_KEPT)
def imported_names(tree: ast.Module) -> frozenset[str]:
    """Return the names that imports bind, wherever in a cell."""
    imports = (part for part in nodes_of(tree) if isinstance(part, (ast.Import, ast.ImportFrom)))
    return frozenset(alias.asname or alias.name.partition(".")[0] for node in imports for alias in node.names)


def postpones_annotations(tree: ast.Module) -> bool:
    """Tell whether a cell has ``from __future__ import annotations``: IPython keeps it for the cells that follow."""
    futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    return any(alias.name == "annotations" for node in futures for alias in node.names)


def _without_annotations(tree: ast.Module) -> ast.Module:
    """Return the code without the annotations, which are not evaluated."""
    bare: ast.Module = _Bare().visit(copy.deepcopy(tree))
    return bare


class _Bare(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.copy_location(ast.Constant(value=None), node)
        return self.generic_visit(node)
