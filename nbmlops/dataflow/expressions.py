"""Read expressions: the names they load, and those that their value holds on to."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nbmlops.dataflow.carrying import Held
from nbmlops.dataflow.frames import ComprehensionFrame, FunctionFrame
from nbmlops.dataflow.reader import Reader, namespace_key
from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from nbmlops.dataflow.flow import Carry

__all__ = ["ExpressionReader"]

_IDENTIFIER = pattern(r"[^\W\d]\w*")
_NAMESPACES = frozenset({"globals", "locals", "vars", "dir"})


class ExpressionReader(Reader):
    """Reads expressions."""

    # -- names and what they are part of

    def visit_Name(self, node: ast.Name) -> None:
        """Read a name, which the value may keep."""
        self.read(node.id, node.lineno)
        self.held.loads.add(node.id)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Skip a constant."""

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Read the object; the value may keep it."""
        self.visit(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """Read an item, or the name in ``globals()["name"]``."""
        self.note_environment(node)
        name = namespace_key(node)
        if name is None:
            self.visit(node.value)
        else:
            self.read_global(name, node.lineno)
            self.held.loads.add(name)
        self.apart(node.slice)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Read an operation from left to right."""
        # a loop over the left side: a long sum nests deeper than Python's stack
        rights: list[ast.expr] = [node.right]
        left = node.left
        while isinstance(left, ast.BinOp):
            rights.append(left.right)
            left = left.left
        self.visit(left)
        self.visit_all(rights[::-1])

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Read what may stop after its first part."""
        self.visit(node.values[0])
        self.perhaps(node.values[1:])

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """Read a choice."""
        self.apart(node.test)
        self.perhaps([node.body, node.orelse])

    def visit_Compare(self, node: ast.Compare) -> None:
        """Read a comparison, whose value keeps nothing."""
        self.note_environment(node)
        asked = _namespace_test(node)
        if asked is not None:
            self.read_global(asked, node.lineno, soft=True)
            return
        self.apart(node.left, node.comparators[0])
        held, self.held = self.held, Held()
        self.perhaps(node.comparators[1:])
        self.held = held

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Read an f-string, whose value keeps nothing."""
        self.apart(*node.values)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        """Read ``(name := value)``, which binds outside comprehensions."""
        outer, self.held = self.held, Held()
        self.visit(node.value)
        held, self.held = self.held, outer
        outer.add(held)
        frame = self.frame
        sure = not self.unsure
        hidden: set[str] = set()
        while isinstance(frame, ComprehensionFrame):
            hidden |= frame.targets
            frame, sure = frame.outer(), False
        frame.bind(node.target.id, node.lineno, sure=sure)
        if held:
            frame.give(node.target.id, held.carry(without=hidden), node.lineno, sure=sure, replace=True)

    def visit_Tuple(self, node: ast.Tuple | ast.List | ast.Set) -> None:
        """Read a display."""
        self.visit_all(node.elts)

    visit_List = visit_Tuple
    visit_Set = visit_Tuple

    def visit_Dict(self, node: ast.Dict) -> None:
        """Read a dict."""
        for key, value in zip(node.keys, node.values, strict=True):
            self.visit(key)
            self.visit(value)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Read an operand."""
        self.visit(node.operand)

    def visit_Starred(self, node: ast.Starred) -> None:
        """Read what is unpacked."""
        self.visit(node.value)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> None:
        """Read a part of an f-string."""
        self.visit(node.value)
        self.visit(node.format_spec)

    def visit_Slice(self, node: ast.Slice) -> None:
        """Read a slice."""
        self.visit_all([node.lower, node.upper, node.step])

    # -- comprehensions and lambdas

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp) -> None:
        """Read a comprehension, which runs where it stands."""
        self._comprehension(node.generators, [node.elt])

    visit_SetComp = visit_ListComp

    def visit_DictComp(self, node: ast.DictComp) -> None:
        """Read a comprehension, which runs where it stands."""
        self._comprehension(node.generators, [node.key, node.value])

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        """Read a generator, which runs when it is consumed."""
        # it runs when it is consumed: its names count here, and again for whoever holds it
        names: set[str] = set()
        frame = self._comprehension(node.generators, [node.elt], lazy=names)
        self.held.reads |= names - frame.targets

    def _comprehension(self, generators: list[ast.comprehension], results: list[ast.expr], *, lazy: set[str] | None = None) -> ComprehensionFrame:
        outer, self.held = self.held, Held()
        self.visit(generators[0].iter)  # at once, also where the rest waits to be consumed
        if lazy is not None:
            self.lazy.append(lazy)
        frame = ComprehensionFrame(self.frame)
        with self.inside(frame):
            self.unsure += 1
            for generator in generators:
                self._comprehension_target(generator.target)
            for position, generator in enumerate(generators):
                if position:
                    self.visit(generator.iter)
                self.apart(*generator.ifs)
            self.visit_all(results)
            self.unsure -= 1
        if lazy is not None:
            self.lazy.pop()
        held, self.held = self.held, outer
        outer.add(held.carry(without=frame.targets))
        return frame

    def _comprehension_target(self, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.frame.bind(target.id, target.lineno, sure=True)
        elif isinstance(target, ast.Tuple | ast.List):
            for item in target.elts:
                self._comprehension_target(item)
        elif isinstance(target, ast.Starred):
            self._comprehension_target(target.value)
        else:
            self.store(target)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Read a lambda, which the value keeps."""
        self.held.add(self.read_lambda(node))

    def read_lambda(self, node: ast.Lambda) -> Carry:
        """Read a lambda; inside a call's arguments its body may run at once."""
        self.defaults(node.args)
        frame = FunctionFrame(self.frame)
        self.parameters(node.args, frame)
        outer, self.held = self.held, frame.held
        in_call, self.in_call = self.in_call, False
        with self.inside(frame):
            self.visit(node.body)
        self.held, self.in_call = outer, in_call
        carry = self.close(frame)
        if in_call:
            self.run(carry, node.lineno)
        return carry

    # -- parts of definitions

    def defaults(self, arguments: ast.arguments) -> None:
        """Read default values, which are evaluated outside the function."""
        self.visit_all(arguments.defaults)
        self.visit_all(arguments.kw_defaults)

    def parameters(self, arguments: ast.arguments, frame: FunctionFrame) -> None:
        """Bind a function's parameters."""
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
            if argument is not None:
                frame.bound.add(argument.arg)

    def annotation(self, node: ast.expr | None) -> None:
        """Read an annotation; one in a string, or under ``from __future__ import annotations``, may be evaluated later or never."""
        if node is None:
            return
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                for name in _IDENTIFIER.findall(node.value):
                    self.read(name, node.lineno, soft=True)
                    self.held.loads.add(name)
            return
        if isinstance(node, ast.Subscript):
            self.annotation(node.value)
            for part in node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]:
                self.annotation(part)
            return
        self.guarded += self.lazy_annotations
        self.visit(node)
        self.guarded -= self.lazy_annotations


def _namespace_test(node: ast.Compare) -> str | None:
    """Give ``x`` of ``"x" in globals()``."""
    if len(node.ops) != 1 or not isinstance(node.ops[0], ast.In | ast.NotIn) or not isinstance(node.left, ast.Constant):
        return None
    asked = node.comparators[0]
    known = isinstance(asked, ast.Call) and isinstance(asked.func, ast.Name) and asked.func.id in _NAMESPACES
    return node.left.value if known and isinstance(node.left.value, str) else None
