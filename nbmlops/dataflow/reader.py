"""What all reading of code needs: the scope it is in, what was found, and targets that bind or change."""

from __future__ import annotations

import ast
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbmlops.dataflow.carrying import Held, settle
from nbmlops.dataflow.frames import ClassFrame, ComprehensionFrame, Frame, FunctionFrame, ModuleFrame
from nbmlops.dataflow.state import dotted, environment_variable, is_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nbmlops.dataflow.flow import Carry, PathUse

__all__ = ["Reader", "namespace_key"]


class Reader:
    """Reads code in the order in which Python evaluates it; subclasses say how for each kind of node.

    `held` collects what the value under construction may keep, `guarded` counts the ``try`` blocks around that catch a missing name, and
    `unsure` the places around that may not be evaluated.
    """

    def __init__(self) -> None:
        self.module = ModuleFrame()
        self.frame: Frame = self.module
        self.held = Held()
        self.guarded = 0
        self.unsure = 0
        self.in_call = False
        self.lazy_annotations = False
        self.lazy: list[set[str]] = []
        self.strings: dict[str, str] = {}
        self.imports: dict[str, str] = {}
        self.modules: set[str] = set()
        self.files: dict[tuple[str, str], tuple[str, PathUse]] = {}
        self.environment: set[str] = set()
        self.dynamic: dict[tuple[str, int], None] = {}
        self.process_state: dict[tuple[str, int], None] = {}
        self._bound: dict[type[ast.AST], Callable[[Any], None]] = {}

    # -- machinery

    def visit(self, node: ast.AST | None) -> None:
        """Read a node by its type; one without a method of its own is read part by part."""
        if node is None:
            return
        kind = type(node)
        method = self._bound.get(kind)
        if method is None:
            method = self._bound[kind] = getattr(self, f"visit_{kind.__name__}", self._parts)
        method(node)

    def visit_all(self, nodes: Sequence[ast.AST | None]) -> None:
        """Read nodes one after the other."""
        for node in nodes:
            self.visit(node)

    def _parts(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            self.visit(child)

    def apart(self, *nodes: ast.AST | None) -> None:
        """Read what the value under construction does not keep."""
        held, self.held = self.held, Held()
        for node in nodes:
            self.visit(node)
        self.held = held

    def perhaps(self, nodes: Sequence[ast.AST | None]) -> None:
        """Read what may not be evaluated."""
        self.unsure += 1
        self.visit_all(nodes)
        self.unsure -= 1

    @contextmanager
    def inside(self, frame: Frame) -> Iterator[None]:
        """Read in an inner scope."""
        outer, self.frame = self.frame, frame
        unsure, self.unsure = self.unsure, 0 if isinstance(frame, FunctionFrame | ClassFrame) else self.unsure
        try:
            yield
        finally:
            self.frame, self.unsure = outer, unsure

    def read(self, name: str, line: int, *, soft: bool = False, called: bool = False) -> None:
        """Note that a name is looked up here."""
        self.frame.read(name, line, soft=soft or self.guarded > 0, called=called)
        if self.lazy and not self._is_target(name):
            for names in self.lazy:
                names.add(name)

    def _is_target(self, name: str) -> bool:
        frame = self.frame
        while isinstance(frame, ComprehensionFrame):
            if name in frame.targets:
                return True
            frame = frame.outer()
        return False

    def bind(self, name: str, line: int) -> None:
        """Note that a name is bound here."""
        self.strings.pop(name, None)
        self.frame.bind(name, line, sure=not self.unsure)
        if self.imports and self.frame is self.module:
            self.imports.pop(name, None)

    # -- scopes and files

    def function(self) -> FunctionFrame | None:
        """Give the function around, if there is one."""
        frame: Frame | None = self.frame
        while frame is not None and not isinstance(frame, FunctionFrame):
            frame = frame.parent
        return frame

    def read_global(self, name: str, line: int, *, soft: bool = False) -> None:
        """Note that a name is looked up in ``globals()``, whatever the scopes around hide."""
        function = self.function()
        if function is None:
            self.module.read(name, line, soft=soft or self.guarded > 0)
        else:
            function.global_reads.add(name)
        for names in self.lazy:
            names.add(name)

    def run(self, carry: Carry, line: int) -> None:
        """Note that code may run here; inside a function this shows when the function itself runs."""
        frame = self.frame
        while isinstance(frame, ComprehensionFrame | ClassFrame):
            frame = frame.outer()
        if isinstance(frame, ModuleFrame):
            frame.run(carry, line)

    def close(self, frame: FunctionFrame) -> Carry:
        """End a function, keeping of its files those that are not named by its own variables."""
        own = frame.own
        for name in frame.bound & frame.globals & frame.carries.keys():
            frame.given.append((name, settle(frame.carries[name], frame.carries.get)))
        outer = self.function()
        for name, carry in frame.given:
            held = Held()
            held.add(carry)
            left = held.carry(carry.kind, without=own)
            if outer is None:
                self.module.give(name, left, 0, sure=False, replace=False)
            else:
                outer.given.append((name, left))
        for kind, use in frame.files:
            if own.isdisjoint(use.names):
                self.add_file(kind, use)
        return frame.close()

    def add_file(self, kind: str, use: PathUse) -> None:
        """Note a file, once."""
        frame = self.frame
        while isinstance(frame, ComprehensionFrame | ClassFrame):
            if isinstance(frame, ComprehensionFrame) and not frame.targets.isdisjoint(use.names):
                return
            frame = frame.outer()
        if isinstance(frame, FunctionFrame):
            frame.files.append(("read" if kind == "read" else "write", use))
            return
        parts = tuple(self.strings.get(part.id, part) if isinstance(part, ast.Name) else part for part in use.parts)
        use = replace(use, parts=parts)
        if self.module.lines.keys().isdisjoint(use.names):
            text = "\0".join(part if isinstance(part, str) else f"\1{part.id}" for part in parts)
            self.files.setdefault((kind, text), (kind, use))

    # -- targets

    def store(self, target: ast.expr, held: Held | None = None) -> None:
        """Bind or change a target."""
        if isinstance(target, ast.Name):
            self.bind(target.id, target.lineno)
            if held:
                self.frame.give(target.id, held.carry(), target.lineno, sure=not self.unsure, replace=True)
        elif isinstance(target, ast.Tuple | ast.List):
            for item in target.elts:
                self.store(item, held)
        elif isinstance(target, ast.Starred):
            self.store(target.value, held)
        else:
            self.change(target, held)

    def change(self, target: ast.expr, held: Held | None = None) -> None:
        """Change an object through an attribute or item of it."""
        name = namespace_key(target)
        if name is not None:
            self.bind_global(name, target.lineno)
            if held:
                self.module.give(name, held.carry(), target.lineno, sure=False, replace=False)
            return
        self._note_namespace_write(target)
        self.apart(getattr(target, "value", None), getattr(target, "slice", None))
        if self._note_state(target):
            return
        for base in _bases(target):
            self.frame.mutate(base, target.lineno)
            if held:
                self.frame.give(base, held.carry(), target.lineno, sure=not self.unsure, replace=False)

    def bind_global(self, name: str, line: int) -> None:
        """Note that a name of the module is bound other than by an assignment."""
        function = self.function()
        if function is None:
            self.module.bind(name, line, sure=not self.unsure and self.frame is self.module)
        else:
            function.global_binds.add(name)

    def _note_namespace_write(self, target: ast.expr) -> None:
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Call) and isinstance(target.value.func, ast.Name):
            name = target.value.func.id
            if name in {"globals", "locals", "vars"}:
                self.dynamic[f"{name}()", target.lineno] = None

    def _note_state(self, target: ast.expr) -> bool:
        name = self.dotted(target.value if isinstance(target, ast.Subscript) else target)
        if name and is_state(name):
            self.process_state[name.replace("()", ""), target.lineno] = None
            return True
        bases = _bases(target)
        if bases and all(base in self.imports for base in bases):
            self.process_state[name or self.imports[bases[0]], target.lineno] = None
            return True
        return False

    def dotted(self, node: ast.expr) -> str:
        """Write the full dotted name of an expression, "" if it has none."""
        return dotted(node, self.imports)

    def note_environment(self, node: ast.expr) -> None:
        """Note the environment variable that an expression reads, if any."""
        name = environment_variable(node, self.imports)
        if name is not None:
            self.environment.add(name)


def namespace_key(node: ast.expr) -> str | None:
    """Give ``x`` of ``globals()["x"]``."""
    if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.value, ast.Call)):
        return None
    known = isinstance(node.value.func, ast.Name) and node.value.func.id == "globals"
    return node.slice.value if known and isinstance(node.slice.value, str) else None


def _bases(node: ast.expr) -> list[str]:
    """List the names whose objects a change of `node` changes."""
    while True:
        if isinstance(node, ast.Name):
            return [node.id]
        if isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
            node = node.value
        elif isinstance(node, ast.NamedExpr):
            node = node.target
        elif isinstance(node, ast.IfExp):
            return _bases(node.body) + _bases(node.orelse)
        elif isinstance(node, ast.BoolOp):
            return [name for value in node.values for name in _bases(value)]
        else:
            return []
