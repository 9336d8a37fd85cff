"""Read Python code in order, with full scoping: what it takes from outside and what it leaves bound."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nbmlops.dataflow.carrying import Held
from nbmlops.dataflow.definitions import DefinitionReader
from nbmlops.dataflow.flow import Binding, Carry, Flow, PathUse
from nbmlops.dataflow.frames import ClassFrame, State
from nbmlops.dataflow.hidden import is_history

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Binding", "Carry", "Flow", "PathUse", "analyse"]

_SWALLOWING = ("suppress", "raises")
_CATCH_ALL = frozenset({"NameError", "Exception", "BaseException"})


def analyse(tree: ast.Module, stars: Callable[[str], Mapping[str, bool] | None] | None = None) -> Flow:
    """Read module-level code once, from top to bottom.

    Parameters
    ----------
    tree : ast.Module
        The code, after IPython syntax became Python.
    stars : callable, optional
        Gives the names that ``from m import *`` binds, each with whether it surely does; None where nobody can know.

    Examples
    --------
    >>> flow = analyse(ast.parse("y = x + 1"))
    >>> dict(flow.reads), flow.binds["y"].kind
    ({'x': 1}, 'definite')
    """
    reader = _Reader(stars)
    reader.visit_all(tree.body)
    return reader.flow()


class _Reader(DefinitionReader):
    """Reads statements; only the module's are followed branch by branch."""

    def flow(self) -> Flow:
        """Sum up."""
        module = self.module
        for name, line in module.reads.items():
            if is_history(name):
                self.dynamic[name, line] = None
        binds = module.bindings()
        return Flow(
            reads=module.reads,
            soft=frozenset(module.reads.keys() - module.hard),
            binds=binds,
            deleted=frozenset(module.state.gone),
            perhaps_deleted=frozenset(module.state.perhaps_gone - module.state.gone - binds.keys()),
            mutates=module.mutated,
            carries={name: carry for name, carry in module.state.carries.items() if name not in module.state.gone},
            before={name: frozenset(names) for name, names in module.before.items() if names},
            imports={name: module_ for name, module_ in self.imports.items() if name in binds},
            star_imports=tuple(self.star_imports),
            modules=frozenset(self.modules),
            files_read=tuple(use for kind, use in self.files.values() if kind == "read"),
            files_written=tuple(use for kind, use in self.files.values() if kind == "write"),
            environment=frozenset(self.environment),
            dynamic=tuple(self.dynamic),
            process_state=tuple(self.process_state),
        )

    # -- branches

    def _branches(self, *bodies: Sequence[ast.AST | None]) -> None:
        """Read bodies of which one runs."""
        if isinstance(self.frame, ClassFrame):
            self._class_branches(self.frame, bodies)
            return
        if self.frame is not self.module or self.unsure:
            for body in bodies:
                self.perhaps(body)
            return
        start = self.module.state
        ends: list[State] = []
        for body in bodies:
            self.module.state = start.copy()
            self.visit_all(body)
            ends.append(self.module.state)
        self.module.state = State.join(ends)

    def _class_branches(self, frame: ClassFrame, bodies: Sequence[Sequence[ast.AST | None]]) -> None:
        start = frame.bound
        ends: list[set[str]] = []
        for body in bodies:
            frame.bound = set(start)
            self.visit_all(body)
            ends.append(frame.bound)
        frame.bound = set.intersection(*ends)

    def visit_If(self, node: ast.If) -> None:
        """Read both branches."""
        self.apart(node.test)
        if _always(node.test):
            self.visit_all(node.body)
            return
        # what is there for another Python or library names what this one does not have
        versions = _asks_version(node.test)
        self.guarded += versions
        self._branches(node.body, node.orelse)
        self.guarded -= versions

    def visit_Match(self, node: ast.Match) -> None:
        """Read every case."""
        self.apart(node.subject)
        total = any(case.guard is None and isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None for case in node.cases)
        bodies: list[list[ast.AST | None]] = [[case.pattern, case.guard, *case.body] for case in node.cases]
        self._branches(*bodies, *([] if total else [[]]))

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        """Bind a capture."""
        self.visit(node.pattern)
        self._capture(node.name, node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        """Bind a capture."""
        self._capture(node.name, node)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        """Bind the rest."""
        self.visit_all(node.keys)
        self.visit_all(node.patterns)
        self._capture(node.rest, node)

    def visit_MatchOr(self, node: ast.MatchOr) -> None:
        """Read alternatives, which all bind the same names."""
        self.visit_all(node.patterns)

    def _capture(self, name: str | None, node: ast.pattern) -> None:
        if name is not None:
            self.bind(name, node.lineno)

    # -- loops

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        """Read a loop."""
        outer, self.held = self.held, Held()
        self.visit(node.iter)
        held, self.held = self.held, outer
        self._loop(node, held)

    visit_AsyncFor = visit_For

    def visit_While(self, node: ast.While) -> None:
        """Read a loop."""
        self._loop(node, Held())

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While, held: Held) -> None:
        module = self.module
        hard, lines = set(module.hard), set(module.lines)
        carries = dict(module.state.carries)
        self._turn(node, held)
        if self.frame is module and any(carry.reads or carry.binds for name, carry in module.state.carries.items() if carries.get(name) is not carry):
            # the second turn may call what the first defined
            self._turn(node, held)
        # read in the loop above where it binds: the first turn knows how to do without
        module.hard -= (module.lines.keys() - lines) - hard
        if node.orelse:
            self._branches([], node.orelse)

    def _turn(self, node: ast.For | ast.AsyncFor | ast.While, held: Held) -> None:
        module = self.module
        if isinstance(node, ast.While):
            self.apart(node.test)
        if isinstance(self.frame, ClassFrame):
            start_of_class = set(self.frame.bound)
            self._target(node, held)
            self.visit_all(node.body)
            self.frame.bound &= start_of_class
            return
        if self.frame is not module or self.unsure:
            self._target(node, held)
            self.perhaps(node.body)
            return
        start = module.state
        module.state = start.copy()
        self._target(node, held)
        self.visit_all(node.body)
        module.state.dead = False
        module.state = State.join([start, module.state])

    def _target(self, node: ast.For | ast.AsyncFor | ast.While, held: Held) -> None:
        if not isinstance(node, ast.While):
            unsure = self.frame is not self.module and not isinstance(self.frame, ClassFrame)
            self.unsure += unsure
            self.store(node.target, held)
            self.unsure -= unsure
            self.alias(node.target, _iterated(node.iter))

    def visit_Break(self, node: ast.Break) -> None:  # noqa: ARG002
        """End this way through the loop."""
        self.end_branch()

    visit_Continue = visit_Break

    # -- try and with

    def visit_Try(self, node: ast.Try) -> None:
        """Read a body that may stop anywhere, and what catches it."""
        guarded = any(_catches_names(handler) for handler in node.handlers)
        if isinstance(self.frame, ClassFrame):
            self.guarded += guarded
            self._class_branches(self.frame, [[*node.body, *node.orelse], *([handler] for handler in node.handlers)])
            self.guarded -= guarded
            self.visit_all(node.finalbody)
            return
        if self.frame is not self.module or self.unsure:
            self.guarded += guarded
            self.perhaps(node.body)
            self.guarded -= guarded
            self.perhaps([*node.handlers, *node.orelse])
            self.visit_all(node.finalbody)
            return
        module = self.module
        start, deletions = module.state, len(module.deletions)
        module.state = start.copy()
        self.guarded += guarded
        self.visit_all(node.body)
        self.guarded -= guarded
        tried = module.state
        interrupted = State.join([start.copy(), _alive(tried)])
        # it may have stopped between a deletion and the binding that follows
        interrupted.perhaps_gone.update(module.deletions[deletions:])
        self.visit_all(node.orelse)
        ends = [module.state]
        for handler in node.handlers:
            module.state = interrupted.copy()
            self.visit(handler)
            ends.append(module.state)
        joined = State.join(ends)
        if node.finalbody:
            # it also runs when the body was interrupted: read it so first
            module.state = State.join([interrupted, *map(_alive, ends)])
            self.visit_all(node.finalbody)
        module.state = joined
        self.visit_all(node.finalbody)

    visit_TryStar = visit_Try

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        """Read a handler, whose name ends with it."""
        # looked up only where something was raised
        self.guarded += 1
        self.apart(node.type)
        self.guarded -= 1
        if node.name is None:
            self.visit_all(node.body)
            return
        known = node.name in self.module.lines
        self.bind(node.name, node.lineno)
        self.visit_all(node.body)
        if self.frame is self.module and not self.unsure:
            self.module.delete(node.name, node.lineno, sure=True)
            if not known:
                self.module.lines.pop(node.name, None)
        elif isinstance(self.frame, ClassFrame):
            self.frame.delete(node.name, node.lineno, sure=True)

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        """Read a block."""
        swallows = False
        for item in node.items:
            outer, self.held = self.held, Held()
            self.visit(item.context_expr)
            held, self.held = self.held, outer
            if item.optional_vars is not None:
                self.store(item.optional_vars, held)
            swallows = swallows or (isinstance(item.context_expr, ast.Call) and self.dotted(item.context_expr.func).endswith(_SWALLOWING))
        if swallows:
            self._branches(node.body, [])
        else:
            self.visit_all(node.body)

    visit_AsyncWith = visit_With

    def visit_Raise(self, node: ast.Raise) -> None:
        """End this way."""
        self.apart(node.exc, node.cause)
        self.end_branch()

    def visit_Assert(self, node: ast.Assert) -> None:
        """Read a test."""
        self.apart(node.test)
        self.unsure += 1
        self.apart(node.msg)
        self.unsure -= 1


def _always(test: ast.expr) -> bool:
    """Tell whether a test holds wherever a notebook runs."""
    if isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__" and isinstance(test.ops[0], ast.Eq):
        return isinstance(test.comparators[0], ast.Constant) and test.comparators[0].value == "__main__"
    return isinstance(test, ast.Constant) and bool(test.value)


def _asks_version(test: ast.expr) -> bool:
    """Tell whether a test is ``sys.version_info < (3,)``, ``parse(numpy.__version__) >= ...``, ``TYPE_CHECKING`` or the like."""
    names = {"version_info", "__version__", "TYPE_CHECKING", "PY2", "PY3"}
    return any(getattr(node, "attr", getattr(node, "id", None)) in names for node in ast.walk(test))


def _alive(state: State) -> State:
    copy = state.copy()
    copy.dead = False
    return copy


def _catches_names(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or (isinstance(kind, ast.Name) and kind.id in _CATCH_ALL) for kind in kinds)


def _iterated(node: ast.expr) -> ast.expr | None:
    """Give what a loop takes its objects from: ``xs`` in ``enumerate(xs)`` and ``xs.items()``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"items", "values"}:
        return node.func.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"enumerate", "reversed", "zip", "sorted"} and node.args:
        return node.args[0]
    return node
