"""What setup cells define, by kind, as a document is read from top to bottom."""

from __future__ import annotations

import ast
import functools
import importlib
from dataclasses import field
from typing import TYPE_CHECKING, Any

from nbmlops.dataclass import dataclass
from nbmlops.notebook.purity import MUTATING_METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Changes", "Known", "root_names"]


@dataclass(slots=True)
class Known:
    """What the setup cells read so far give to later ones.

    Parameters
    ----------
    imports : dict of str to str
        Bound name to the dotted name that it stands for.
    values : set of str
        Names of constants and parameters.
    code : set of str
        Names of functions and classes.
    foreign : set of str
        Names that a stage or report cell binds or changes, which setup can therefore not use.
    """

    imports: dict[str, str] = field(default_factory=dict)
    values: set[str] = field(default_factory=set)
    code: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)

    def copy(self) -> Known:
        """Return a copy, so that a cell that turns out to be no setup leaves no trace."""
        return Known(dict(self.imports), set(self.values), set(self.code), set(self.foreign))

    def learn(self, tree: ast.Module) -> None:
        """Take what a cell that is tagged as setup or parameters binds as known, however it computes it."""
        changes = _changes(tree)
        for name in changes.bound | changes.imported:
            self.bind(name, self.values)
        for node in tree.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self.bind_imports(node)

    def forget(self, tree: ast.Module) -> None:
        """Take what a stage or report cell binds or changes as unknown."""
        changes = _changes(tree)
        # a module that setup imported is the same wherever it is imported again, and `pd.options.x = 1` leaves `pd` what it is
        changed = changes.bound | (changes.imported | changes.mutated) & (self.values | self.code) | changes.imported - self.imports.keys()
        for name in changed:
            self.drop(name)
        self.foreign |= changed

    def has(self, name: str) -> bool:
        """Tell whether setup defines `name`."""
        return name in self.values or name in self.code or name in self.imports

    def bind(self, name: str, place: set[str]) -> None:
        """Make `name` a member of `place` only."""
        self.drop(name)
        self.foreign.discard(name)
        place.add(name)

    def drop(self, name: str) -> None:
        """Know nothing of `name`."""
        self.imports.pop(name, None)
        self.values.discard(name)
        self.code.discard(name)

    def bind_imports(self, node: ast.Import | ast.ImportFrom) -> None:
        """Bind the names of an import statement."""
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            if alias.name == "*":
                for name in _star_names(module) if not getattr(node, "level", 0) else ():
                    self._bind_import(name, f"{module}.{name}")
            elif isinstance(node, ast.ImportFrom):
                self._bind_import(alias.asname or alias.name, f"{module}.{alias.name}")
            else:
                top = alias.name.partition(".")[0]
                self._bind_import(alias.asname or top, alias.name if alias.asname else top)

    def _bind_import(self, name: str, dotted: str) -> None:
        self.drop(name)
        self.foreign.discard(name)
        self.imports[name] = dotted


@dataclass(slots=True)
class Changes:
    """The names that code changes in its own scope.

    Parameters
    ----------
    bound : set of str
        Bound or deleted, those of `global` in functions included.
    imported : set of str
        Bound by an import.
    mutated : set of str
        Changed by attribute, by item, or by a method that changes its object, wherever in the code.
    """

    bound: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)
    mutated: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, tree: ast.AST) -> Changes:
        """Collect the changes of a piece of code."""
        found = cls()
        # one walk that dispatches on types: it runs over all cells, and `ast.walk` costs more than parsing did
        waiting = [(tree, True)]
        while waiting:
            node, outer = waiting.pop()
            kind = type(node)
            if kind in _LEAVES:
                if isinstance(node, ast.Name) and outer and not isinstance(node.ctx, ast.Load):
                    found.bound.add(node.id)
                continue
            found.see(node, outer=outer)
            inner = outer and kind not in _SCOPES
            for name in node._fields:
                value = getattr(node, name, None)
                if type(value) is list:
                    waiting += [(item, inner) for item in value if isinstance(item, ast.AST)]
                elif isinstance(value, ast.AST):
                    waiting.append((value, inner))
        return found

    def see(self, node: Any, *, outer: bool) -> None:  # noqa: ANN401, C901 - any node, told apart by its exact type
        """Take note of one node; `outer` says whether it stands in the code's own scope."""
        kind = type(node)
        if kind in _ASSIGNABLE:
            if type(node.ctx) is ast.Load:
                return
            if kind is not ast.Name:
                self.mutated.update(root_names(node))
            elif outer:
                self.bound.add(node.id)
        elif kind is ast.Call:
            if type(node.func) is ast.Attribute and node.func.attr in MUTATING_METHODS:
                self.mutated.update(root_names(node.func))
        elif kind is ast.Global:
            self.bound.update(node.names)
        elif kind is ast.NamedExpr:
            # in a comprehension it binds outside; in a function it does not, but we rather know too little
            self.bound.add(node.target.id)
        elif outer and kind in _IMPORTS:
            self.imported.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif outer and kind in _NAMED:
            self.bound.update(filter(None, [getattr(node, _NAMED[kind])]))


@functools.lru_cache(maxsize=1024)  # of cells, which are read again around each cell that runs in a kernel
def _changes(tree: ast.Module) -> Changes:
    return Changes.of(tree)


# modules whose names are worth knowing behind `from typing import *`, and that cost nothing to import
_STAR_MODULES = frozenset(
    {"collections", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "itertools", "math", "operator", "pathlib", "typing"}
)


def _star_names(module: str) -> list[str]:
    if module not in _STAR_MODULES:
        return []
    names = vars(importlib.import_module(module))
    return list(names.get("__all__", ())) or [name for name in names if not name.startswith("_")]


_OPERATORS = (ast.expr_context, ast.operator, ast.cmpop, ast.unaryop, ast.boolop)
_LEAVES = frozenset({ast.Name, ast.Constant, *(kind for family in _OPERATORS for kind in family.__subclasses__())})
_ASSIGNABLE = frozenset({ast.Name, ast.Attribute, ast.Subscript})
_IMPORTS = frozenset({ast.Import, ast.ImportFrom})
_NAMED = {
    ast.FunctionDef: "name",
    ast.AsyncFunctionDef: "name",
    ast.ClassDef: "name",
    ast.ExceptHandler: "name",
    ast.MatchAs: "name",
    ast.MatchStar: "name",
    ast.MatchMapping: "rest",
}
_SCOPES = frozenset(
    {
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
        ast.Lambda,
        ast.ListComp,
        ast.SetComp,
        ast.DictComp,
        ast.GeneratorExp,
    }
)


def root_names(node: ast.expr) -> Iterator[str]:
    """Yield the name that a chain of attributes and items begins with, if it begins with one."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id
