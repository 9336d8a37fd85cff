"""Where a value goes: only shown, measured as a duration, or kept in what the code computes.

A value that is printed changes no artifact, so most checks are about values that are kept.
"""

from __future__ import annotations

import ast
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from nbmlops.dataclass import dataclass
from nbmlops.pipeline.checks.libraries import CLOCKS, DURATIONS, SHOWING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nbmlops.pipeline.checks.sites import Sites

__all__ = ["ORDER", "VALUE", "Fate", "Rules", "fate_of"]

_ENDS = (ast.Expr, ast.Assert, ast.Raise, ast.ExceptHandler, ast.Delete)
_LOGGING = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})


class Fate(IntEnum):
    """What becomes of a value; the greater one counts."""

    SHOWN = 0
    MEASURED = 1
    KEPT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What matters about the value that is followed.

    Parameters
    ----------
    passes : frozenset of str
        Functions whose result is the value in another form.
    ends : frozenset of str
        Functions in whose result what matters is gone.
    methods : frozenset of str
        Methods that take the value and keep nothing of what matters.
    keywords : frozenset of str
        Arguments that do not reach a result.
    tests : Fate
        What it is to decide an ``if`` or ``while``.
    order : bool
        Whether the value's order matters, rather than the value.
    """

    passes: frozenset[str]
    ends: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()
    keywords: frozenset[str] = frozenset()
    tests: Fate = Fate.SHOWN
    order: bool = False


VALUE = Rules(
    passes=frozenset({"abs", "bool", "float", "format", "int", "repr", "round", "str", "datetime.timedelta", "pandas.Timedelta", "human_seconds"}),
    ends=frozenset({"len", "isinstance", "type"}),
    keywords=frozenset({"max_workers", "n_jobs", "n_workers", "nthread", "num_threads", "num_workers", "processes", "threads", "workers"}),
)
ORDER = Rules(
    passes=frozenset({"enumerate", "filter", "iter", "list", "map", "next", "reversed", "tuple", "zip", "tqdm.tqdm", "tqdm.auto.tqdm", "str"}),
    ends=frozenset({"all", "any", "bool", "collections.Counter", "frozenset", "isinstance", "len", "max", "min", "set", "sorted", "sum", "type"}),
    methods=frozenset(
        {
            "difference", "difference_update", "discard", "drop", "intersection", "intersection_update", "isdisjoint", "isin", "issubset",
            "issuperset", "remove", "symmetric_difference", "union",
        }
    ),
    keywords=frozenset({"stop_words", "subset", "usecols"}),
    order=True,
)  # fmt: skip


def fate_of(sites: Sites, node: ast.expr, rules: Rules, handed: frozenset[str] | None) -> Fate:
    """Follow a value through the code around it.

    Parameters
    ----------
    sites : Sites
    node : ast.expr
        What makes the value.
    rules : Rules
    handed : frozenset of str or None
        The names that other code takes from this; None where every name may be taken.
    """
    return _Follower(sites, rules, handed).follow(_Value(node))


@dataclass(frozen=True, slots=True)
class _Value:
    """A value on its way: the expression that has it, and whether it is the difference of two times by now."""

    node: ast.AST
    duration: bool = False

    def at(self, node: ast.AST) -> _Value:
        """Return the value as another expression has it."""
        return _Value(node, self.duration)

    @property
    def kept(self) -> Fate:
        """What it comes to if it is kept."""
        return Fate.MEASURED if self.duration else Fate.KEPT


class _Follower:
    """Climbs from a value; each kind of node around it either decides, or hands the value on."""

    def __init__(self, sites: Sites, rules: Rules, handed: frozenset[str] | None) -> None:
        self.sites = sites
        self.rules = rules
        self.handed = handed
        self._seen: set[str] = set()

    def follow(self, value: _Value) -> Fate:
        """Return what becomes of a value."""
        while (outer := self.sites.parents.get(value.node)) is not None:
            if isinstance(outer, _ENDS):
                return Fate.SHOWN
            step: Callable[[Any, _Value], Fate | _Value] = getattr(self, f"visit_{type(outer).__name__}", self._other)
            found = step(outer, value)
            if isinstance(found, Fate):
                return found
            value = found
        return value.kept

    def _other(self, outer: ast.AST, value: _Value) -> Fate | _Value:
        return value.kept if isinstance(outer, (ast.stmt, ast.Lambda, ast.Yield, ast.YieldFrom)) else value.at(outer)

    def visit_Call(self, outer: ast.Call, value: _Value) -> Fate | _Value:
        """Go on with the result of a method or of a function that only converts; other functions keep the value, unless they show it."""
        if value.node is outer.func:
            return value.at(outer)
        if self._shows(outer):
            return Fate.SHOWN
        return value.at(outer) if self._name(outer) in self.rules.passes else value.kept

    def visit_keyword(self, outer: ast.keyword, value: _Value) -> Fate | _Value:
        """Leave out arguments that decide how fast something is computed, not what."""
        return Fate.SHOWN if outer.arg in self.rules.keywords else value.at(outer)

    def visit_If(self, outer: ast.If | ast.While | ast.IfExp, value: _Value) -> Fate | _Value:
        """Decide by a value."""
        if value.node is not outer.test:
            return value.at(outer)
        return max(self.rules.tests, Fate.MEASURED) if value.duration else self.rules.tests

    visit_While = visit_IfExp = visit_If

    def visit_Assign(self, outer: ast.Assign | ast.AnnAssign | ast.AugAssign | ast.withitem, value: _Value) -> Fate | _Value:
        """Go on under the names that the value gets."""
        return max((self._bound(target, value) for target in _targets(outer)), default=Fate.SHOWN)

    visit_AnnAssign = visit_AugAssign = visit_withitem = visit_Assign

    def visit_NamedExpr(self, outer: ast.NamedExpr, value: _Value) -> Fate | _Value:
        """Go on under the name and in the expression."""
        return max(self._bound(outer.target, value), self.follow(value.at(outer)))

    def visit_Compare(self, outer: ast.Compare, value: _Value) -> Fate | _Value:
        """Forget the order where only membership is asked."""
        member = self.rules.order and any(isinstance(operator, (ast.In, ast.NotIn)) for operator in outer.ops)
        return Fate.SHOWN if member else value.at(outer)

    def visit_BinOp(self, outer: ast.BinOp, value: _Value) -> Fate | _Value:
        """Tell the difference of two times, a duration."""
        measured = isinstance(outer.op, ast.Sub) and self._measures(outer, value.node)
        return _Value(outer, value.duration or measured)

    def visit_For(self, outer: ast.For | ast.AsyncFor, value: _Value) -> Fate | _Value:
        """Keep the order in a loop, unless it does the same in any."""
        return Fate.SHOWN if value.node is outer.iter and self.rules.order and _orderless(outer.body) else value.kept

    visit_AsyncFor = visit_For

    def visit_comprehension(self, outer: ast.comprehension, value: _Value) -> Fate | _Value:
        """Go on with what is made in that order; a set has none."""
        if value.node is not outer.iter or not self.rules.order:
            return value.kept
        whole = self.sites.parents[outer]
        return Fate.SHOWN if isinstance(whole, ast.SetComp) else value.at(whole)

    def visit_Subscript(self, outer: ast.Subscript, value: _Value) -> Fate | _Value:
        """Go on with an item of the value; as an index it decides."""
        return value.at(outer) if value.node is outer.value else value.kept

    def _measures(self, outer: ast.BinOp, node: ast.AST) -> bool:
        """Tell ``time.time() - started`` from ``datetime.now() - timedelta(days=1)``, which is a time again."""
        other = outer.right if node is outer.left else outer.left
        return isinstance(other, (ast.Name, ast.Attribute, ast.Subscript)) or (
            isinstance(other, ast.Call) and self._name(other) in CLOCKS | DURATIONS
        )

    def _name(self, call: ast.Call) -> str:
        return self.sites.name(call.func)

    def _shows(self, call: ast.Call) -> bool:
        name = self._name(call)
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if name in SHOWING or name in self.rules.ends or (self.rules.order and method in self.rules.methods):
            return True
        owner = call.func.value if isinstance(call.func, ast.Attribute) else None
        return method in _LOGGING and isinstance(owner, ast.Name) and "log" in owner.id.lower()

    def _bound(self, target: ast.expr, value: _Value) -> Fate:
        """Follow a value under the name that it gets."""
        if isinstance(target, (ast.Tuple, ast.List)):
            return max((self._bound(item, value) for item in target.elts), default=Fate.SHOWN)
        if not isinstance(target, ast.Name):
            return value.kept
        if target.id in self._seen or (self.rules.order and self._is_sorted(target.id)):
            return Fate.SHOWN
        self._seen.add(target.id)
        function = self.sites.function(target)
        if function is None and (self.handed is None or target.id in self.handed):
            return value.kept
        uses = [use for use in self.sites.names.get(target.id, ()) if isinstance(use.ctx, ast.Load)]
        if function is not None:
            uses = [use for use in uses if function in self.sites.around(use)]
        return max((self.follow(value.at(use)) for use in uses), default=Fate.SHOWN)

    def _is_sorted(self, name: str) -> bool:
        """Tell whether the list is sorted in place."""
        for use in self.sites.names.get(name, ()):
            method = self.sites.parents.get(use)
            if isinstance(method, ast.Attribute) and method.attr == "sort" and isinstance(self.sites.parents.get(method), ast.Call):
                return True
        return False


def _targets(node: ast.Assign | ast.AnnAssign | ast.AugAssign | ast.withitem) -> Sequence[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    if isinstance(node, ast.withitem):
        return [node.optional_vars] if node.optional_vars is not None else []
    return [node.target]


def _orderless(body: Sequence[ast.stmt]) -> bool:
    """Tell whether going through a loop in another order comes to the same: it only shows, counts, or fills sets."""
    for node in body:
        if isinstance(node, (ast.Pass, ast.Continue, ast.Assert, ast.Raise)):
            continue
        if isinstance(node, ast.If):
            if not (_orderless(node.body) and _orderless(node.orelse)):
                return False
        elif isinstance(node, ast.AugAssign):
            if not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, (int, float)) and isinstance(node.op, (ast.Add, ast.Sub))):
                return False
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _forgets(node.value.func)):
            return False
    return True


def _forgets(func: ast.expr) -> bool:
    if isinstance(func, ast.Name):
        return func.id in {"print", "display"}
    return isinstance(func, ast.Attribute) and func.attr in {"add", "discard", "remove", "unlink", "rmdir", "rmtree", "mkdir", "close"}
