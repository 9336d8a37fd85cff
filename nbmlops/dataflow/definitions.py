"""Read what binds names: assignments, imports, functions and classes."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nbmlops.dataflow.calls import CallReader
from nbmlops.dataflow.carrying import Held
from nbmlops.dataflow.flow import Carry
from nbmlops.dataflow.frames import ClassFrame, FunctionFrame
from nbmlops.dataflow.reader import namespace_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DefinitionReader"]

# decorators of the standard library: by last name, since the import mostly stands in another cell
_WRAPPERS = frozenset(
    {
        "property", "staticmethod", "classmethod", "cached_property", "wraps", "lru_cache", "cache", "singledispatch", "singledispatchmethod",
        "contextmanager", "asynccontextmanager", "abstractmethod", "total_ordering", "dataclass", "overload", "override", "final",
        "runtime_checkable", "no_type_check",
    },
)  # fmt: skip
_ACCESSORS = frozenset({"setter", "getter", "deleter"})


class DefinitionReader(CallReader):
    """Reads statements that bind names."""

    def __init__(self, stars: Callable[[str], Mapping[str, bool] | None] | None = None) -> None:
        super().__init__()
        self.stars = stars
        self.star_imports: list[str] = []

    def end_branch(self) -> None:
        """Note that what follows is not reached from here."""
        if self.frame is self.module:
            self.module.state.dead = True

    # -- assignments

    def visit_Expr(self, node: ast.Expr) -> None:
        """Read an expression whose value is dropped."""
        self.apart(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Read an assignment."""
        self._assign(node.targets, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Read an assignment with an annotation; without a value it binds nothing."""
        if not isinstance(self.frame, FunctionFrame):
            outer, self.held = self.held, Held()
            self.annotation(node.annotation)
            held, self.held = self.held, outer
            if isinstance(self.frame, ClassFrame):
                self.frame.held.add(held.carry())
        if node.value is not None:
            self._assign([node.target], node.value)
        elif isinstance(self.frame, FunctionFrame) and isinstance(node.target, ast.Name):
            self.frame.bound.add(node.target.id)

    def _assign(self, targets: list[ast.expr], value: ast.expr) -> None:
        name = targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else None
        if name is not None and isinstance(value, ast.Lambda):
            carry = self.read_lambda(value)
            self.bind(name, value.lineno)
            self.frame.give(name, carry, value.lineno, sure=not self.unsure, replace=True)
            return
        outer, self.held = self.held, Held()
        self.visit(value)
        held, self.held = self.held, outer
        for target in targets:
            self.store(target, held)
            self.alias(target, value)
        if name is not None and self.frame is self.module and not self.unsure and isinstance(value, ast.Constant) and isinstance(value.value, str):
            self.strings[name] = value.value

    def alias(self, target: ast.expr, value: ast.expr | None) -> None:
        """Note ``y = x``: changing one changes the other."""
        if self.frame is not self.module or not isinstance(value, ast.Name):
            return
        for item in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
            if isinstance(item, ast.Name) and item.id != value.id:
                self.module.state.aliases[item.id] = value.id

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Read ``x += y``, which may change the object."""
        outer, self.held = self.held, Held()
        target = node.target
        if isinstance(target, ast.Name):
            self.read(target.id, target.lineno)
            self.visit(node.value)
            self.frame.mutate(target.id, target.lineno)
            self._rebind(target)
        else:
            # Python looks at the target first, and only then at the value
            key = namespace_key(target)
            if key is None:
                self.apart(getattr(target, "value", None), getattr(target, "slice", None))
            else:
                self.read_global(key, target.lineno)
            self.visit(node.value)
            self.change(target, self.held)
        self.held = outer

    def _rebind(self, target: ast.Name) -> None:
        carry = self.held.carry()
        if self.frame is self.module:
            # the object keeps what it held, and every name it had
            old, alias = self.module.state.carries.get(target.id), self.module.state.aliases.get(target.id)
            self.bind(target.id, target.lineno)
            if old is not None:
                self.module.state.carries[target.id] = old
            if alias is not None:
                self.module.state.aliases[target.id] = alias
        else:
            self.bind(target.id, target.lineno)
        if self.held:
            self.frame.give(target.id, carry, target.lineno, sure=not self.unsure, replace=False)

    def visit_Delete(self, node: ast.Delete) -> None:
        """Read a deletion."""
        for target in node.targets:
            self._delete(target)

    def _delete(self, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.frame.delete(target.id, target.lineno, sure=not self.unsure)
            self.strings.pop(target.id, None)
        elif isinstance(target, ast.Tuple | ast.List):
            for item in target.elts:
                self._delete(item)
        elif (name := namespace_key(target)) is not None and self.function() is None:
            self.module.delete(name, target.lineno, sure=not self.unsure and self.frame is self.module)
        else:
            self.change(target)

    # -- modules

    def visit_Import(self, node: ast.Import) -> None:
        """Read an import."""
        for alias in node.names:
            self.modules.add(alias.name)
            name = alias.asname or alias.name.partition(".")[0]
            self.bind(name, node.lineno)
            if self.frame is self.module:
                self.imports[name] = alias.name if alias.asname else name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Read an import."""
        source = "." * node.level + (node.module or "")
        self.modules.add(source)
        if source == "__future__":
            self.lazy_annotations = self.lazy_annotations or any(alias.name == "annotations" for alias in node.names)
        for alias in node.names:
            if alias.name == "*":
                self._star(source, node)
                continue
            full = f"{source}.{alias.name}" if not source.endswith(".") else source + alias.name
            # the name may be a module of a package
            self.modules.add(full)
            self.bind(alias.asname or alias.name, node.lineno)
            if self.frame is self.module:
                self.imports[alias.asname or alias.name] = full

    def _star(self, source: str, node: ast.ImportFrom) -> None:
        names = self.stars(source) if self.stars is not None else None
        if names is None:
            self.star_imports.append(source)
            self.note(f"from {source} import *", node)
            return
        for name, sure in names.items():
            self.unsure += not sure
            self.bind(name, node.lineno)
            self.unsure -= not sure
            self.imports[name] = f"{source}.{name}"

    # -- functions and classes

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Read a function: its decorators and defaults run here, its body later."""
        outer, self.held = self.held, Held()
        self.visit_all(node.decorator_list)
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Name):
                self.read(decorator.id, decorator.lineno, called=True)
                self.held.calls.add(decorator.id)
        held = self.held
        if not node.decorator_list:
            held = Held()
        self.held = Held()
        self.defaults(node.args)
        self._annotations(node)
        frame = FunctionFrame(self.frame)
        self._type_parameters(node, frame.bound)
        self.parameters(node.args, frame)
        in_call, self.in_call, guarded, self.guarded = self.in_call, False, self.guarded, 0
        with self.inside(frame):
            self.visit_all(node.body)
        self.in_call, self.guarded = in_call, guarded
        self.held = outer
        self._define(node, self.close(frame), held)

    visit_AsyncFunctionDef = visit_FunctionDef

    def _annotations(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = node.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
            if argument is not None:
                self.annotation(argument.annotation)
        self.annotation(node.returns)

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, carry: Carry, held: Held) -> None:
        """Bind what a definition makes: its decorators may run it, keep it, or put their own code around it."""
        sure = not self.unsure
        if not all(self._only_wraps(decorator) for decorator in node.decorator_list):
            self.run(carry, node.lineno)
        self.bind(node.name, node.lineno)
        if held:
            kind = carry.kind
            held.add(carry)
            carry = held.carry(kind)
        self.frame.give(node.name, carry, node.lineno, sure=sure, replace=True)
        for decorator in node.decorator_list:
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                self.frame.give(target.value.id, Carry(loads=frozenset({node.name})), node.lineno, sure=sure, replace=False)

    def _only_wraps(self, decorator: ast.expr) -> bool:
        """Tell whether a decorator is known to run nothing of what it is given: that waits for a call."""
        if isinstance(decorator, ast.Attribute) and decorator.attr in _ACCESSORS:
            return True
        name = self.dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
        return name.rpartition(".")[2] in _WRAPPERS

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Read a class: its body runs here, its methods later."""
        outer, self.held = self.held, Held()
        self.visit_all(node.decorator_list)
        self.visit_all(node.bases)
        self.visit_all(node.keywords)
        held, self.held = self.held, Held()
        frame = ClassFrame(self.frame)
        self._type_parameters(node, frame.bound)
        with self.inside(frame):
            self.visit_all(node.body)
        self.held = outer
        self._define(node, frame.held.carry("class"), held)

    def _type_parameters(self, node: ast.AST, names: set[str]) -> None:
        # since Python 3.12 a definition may have type parameters, which are its own
        names.update(parameter.name for parameter in getattr(node, "type_params", ()))

    def visit_TypeAlias(self, node: ast.AST) -> None:
        """Read ``type X = ...`` (Python 3.12), whose value is looked up when it is first asked for."""
        self._assign([node.name], node.value)  # type: ignore[attr-defined]

    def visit_Return(self, node: ast.Return) -> None:
        """Note what a function gives."""
        self._hand_out(node.value)
        self.end_branch()

    def visit_Yield(self, node: ast.Yield | ast.YieldFrom) -> None:
        """Note what a generator gives."""
        self._hand_out(node.value)

    visit_YieldFrom = visit_Yield

    def _hand_out(self, value: ast.expr | None) -> None:
        frame = self.frame
        outer, self.held = self.held, frame.held if isinstance(frame, FunctionFrame) else Held()
        self.visit(value)
        self.held = outer

    def visit_Global(self, node: ast.Global) -> None:
        """Note names that are the module's."""
        if isinstance(self.frame, FunctionFrame):
            self.frame.globals.update(node.names)
        elif isinstance(self.frame, ClassFrame):
            for name in node.names:
                self.module.bind(name, node.lineno, sure=False)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        """Note names of the function around."""
        if isinstance(self.frame, FunctionFrame):
            self.frame.nonlocals.update(node.names)
