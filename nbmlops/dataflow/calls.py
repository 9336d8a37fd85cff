"""Read calls: what they run, what their result may keep, and the names and files in their arguments."""

from __future__ import annotations

import ast
from typing import ClassVar

from nbmlops.dataflow.carrying import Held
from nbmlops.dataflow.expressions import ExpressionReader
from nbmlops.dataflow.files import DATABASE_CALLS, FILE_CALLS, path_calls
from nbmlops.dataflow.flow import PathUse
from nbmlops.dataflow.frames import ClassFrame, FunctionFrame
from nbmlops.dataflow.hidden import (
    Magic,
    cell_magic,
    line_magic,
    parse_hidden,
    query_names,
    shell_expressions,
    shell_variables,
    sql_names,
)
from nbmlops.dataflow.state import is_state_call

__all__ = ["CallReader"]

# their results are data: functions given to them are used up
_DATA_CALLS = frozenset(
    {
        "abs", "all", "any", "bool", "bytes", "callable", "chr", "display", "divmod", "float", "format", "hasattr", "hash", "id", "int",
        "isinstance", "issubclass", "len", "max", "min", "ord", "pow", "print", "range", "repr", "round", "str", "sum",
    },
)  # fmt: skip
_DATA_METHODS = frozenset(
    {
        "agg", "aggregate", "all", "any", "apply", "applymap", "assign", "combine", "combine_first", "count", "decision_function", "describe",
        "drop", "fillna", "filter", "fit_predict", "fit_transform", "format", "head", "inverse_transform", "item", "join", "map", "max", "mean",
        "median", "merge", "min", "pipe", "predict", "predict_log_proba", "predict_proba", "reduce", "rename", "reset_index", "round", "score",
        "sort_index", "sort_values", "std", "sum", "tail", "to_numpy", "tolist", "transform", "value_counts", "where",
    },
)  # fmt: skip
_CONSUMERS = frozenset({"dict", "frozenset", "list", "set", "sorted", "tuple"})
_STORING = frozenset({"add", "append", "appendleft", "connect", "extend", "insert", "push", "put", "register", "setdefault", "subscribe", "update"})
_SHELL_OWNERS = frozenset({"get_ipython", "ip", "ipython", "shell"})


class CallReader(ExpressionReader):
    """Reads calls; the names of functions that do more than call are looked up in two tables."""

    by_name: ClassVar[dict[str, str]] = {
        "eval": "_eval", "exec": "_exec", "globals": "_namespace", "locals": "_namespace", "vars": "_namespace", "dir": "_namespace",
        "setattr": "_setattr", "delattr": "_setattr", "__import__": "_import", "import_module": "_import", "run_path": "_dynamic",
        "run_module": "_dynamic",
    }  # fmt: skip
    by_method: ClassVar[dict[str, str]] = {
        "query": "_query", "eval": "_query", "sql": "_sql", "execute": "_sql", "system": "_shell", "getoutput": "_shell", "run_line_magic": "_magic",
        "run_cell_magic": "_magic", "get": "_key_method", "pop": "_key_method", "setdefault": "_key_method", "import_module": "_import",
        "reload": "_dynamic", "Popen": "_process", "run": "_process", "check_call": "_process", "check_output": "_process", "call": "_process",
        "getenv": "note_environment",
    }  # fmt: skip

    def visit_Call(self, node: ast.Call) -> None:
        """Read a call: the function, the arguments, then what the function runs."""
        func = node.func
        if isinstance(func, ast.Name):
            name, special = func.id, self.by_name.get(func.id)
            keeps = name not in _DATA_CALLS
            self.read(name, node.lineno, called=True)
            if name in _CONSUMERS:
                self._consume(node)
            else:
                self._arguments(node, keeps=keeps)
            if keeps:
                self.held.calls.add(name)
            if name in self.imports or special == "_dynamic":
                self._note_state_call(func)
                self.note_environment(node)
        elif isinstance(func, ast.Attribute):
            name, special = func.attr, self.by_method.get(func.attr)
            keeps = name not in _DATA_METHODS
            if keeps:
                self.visit(func.value)
            else:
                self.apart(func.value)
            self._arguments(node, keeps=keeps, into=func.value.id if name in _STORING and isinstance(func.value, ast.Name) else None)
            self._note_state_call(func)
        else:
            self.visit(func)
            self._arguments(node, keeps=True)
            return
        if name in FILE_CALLS or (name == "connect" and self.dotted(func) in DATABASE_CALLS):
            for kind, use in path_calls(node):
                self.add_file(kind, use)
        if special is not None:
            getattr(self, special)(node)

    def _arguments(self, node: ast.Call, *, keeps: bool, into: str | None = None) -> None:
        in_call, self.in_call = self.in_call, True
        outer, self.held = self.held, Held()
        self.visit_all(node.args)
        self.visit_all(node.keywords)
        held, self.held, self.in_call = self.held, outer, in_call
        if keeps:
            outer.add(held)
            if into is not None and held:
                self.frame.give(into, held.carry(), node.lineno, sure=False, replace=False)

    def visit_keyword(self, node: ast.keyword) -> None:
        """Read a keyword argument's value."""
        self.visit(node.value)

    def _consume(self, node: ast.Call) -> None:
        """Read ``list(map(f, xs))``: the list keeps what `f` returns, not `f`."""
        in_call, self.in_call = self.in_call, True
        for argument in node.args:
            if isinstance(argument, ast.GeneratorExp):
                self._comprehension(argument.generators, [argument.elt])
            elif isinstance(argument, ast.Call) and isinstance(argument.func, ast.Name) and argument.func.id in {"map", "filter"}:
                self.apart(argument)
                names = [item.id for item in argument.args if isinstance(item, ast.Name)]
                self.held.calls.update(names[:1])
                self.held.loads.update(names[1:])
            else:
                self.visit(argument)
        for keyword in node.keywords:
            if keyword.arg == "key":
                self.apart(keyword.value)
            else:
                self.visit(keyword.value)
        self.in_call = in_call

    def _note_state_call(self, func: ast.expr) -> None:
        name = self.dotted(func)
        if is_state_call(name):
            self.process_state[name.replace("()", ""), func.lineno] = None
        elif name == "os.system":
            self.dynamic[name, func.lineno] = None

    def note(self, what: str, node: ast.AST) -> None:
        """Note what hides names from reading."""
        self.dynamic[what, getattr(node, "lineno", 0)] = None

    # -- calls that run code in strings

    def run_code(self, code: str, line: int, how: str) -> bool:
        """Read Python from a string as if it stood here: in this scope, in one of its own ("aside"), or in a way not known ("perhaps")."""
        tree = parse_hidden(code)
        if tree is None:
            return False
        ast.increment_lineno(tree, line - 1)
        if how == "here" and self.frame is self.module:
            self.visit_all(tree.body)
        elif how == "aside":
            self._run_aside(tree)
        elif how == "perhaps" and self.frame is self.module:
            self.guarded += 1
            self.perhaps(tree.body)
            self.guarded -= 1
        else:
            with self.inside(ClassFrame(self.frame)):
                self.visit_all(tree.body)
        return True

    def _run_aside(self, tree: ast.Module) -> None:
        # `%%timeit` makes a function of its code, and calls it
        frame = FunctionFrame(self.frame)
        in_call, self.in_call = self.in_call, False
        with self.inside(frame):
            self.visit_all(tree.body)
        self.in_call = in_call
        carry = self.close(frame)
        if self.frame is self.module and tree.body:
            self.module.run(carry, tree.body[0].lineno, soft=self.guarded > 0)

    def _exec(self, node: ast.Call) -> None:
        code = self.text(node.args[0]) if len(node.args) == 1 else None
        if code is None or not self.run_code(code, node.lineno, "here"):
            self.note("exec", node)

    def _eval(self, node: ast.Call) -> None:
        code = self.text(node.args[0]) if len(node.args) == 1 else None
        if code is None or not self.run_code(code.strip(), node.lineno, "here"):
            self.note("eval", node)

    def text(self, node: ast.expr) -> str | None:
        """Give a string that is written out, here or in a name assigned above."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        return self.strings.get(node.id) if isinstance(node, ast.Name) else None

    def _namespace(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        in_function = isinstance(self.frame, FunctionFrame)
        if not node.args and (name == "globals" or not in_function):
            self.note(f"{name}()", node)

    def _dynamic(self, node: ast.Call) -> None:
        self.note(self.dotted(node.func), node)

    def _process(self, node: ast.Call) -> None:
        name = self.dotted(node.func)
        if name.startswith("subprocess."):
            self.note(name, node)

    def _key_method(self, node: ast.Call) -> None:
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        self.note_environment(node)
        if isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "globals" and node.args:
            name = self.text(node.args[0])
            if name is not None:
                self.read_global(name, node.lineno, soft=True)
                self.held.loads.add(name)

    def _setattr(self, node: ast.Call) -> None:
        if node.args and _is_main_module(node.args[0]):
            name = self.text(node.args[1]) if len(node.args) > 1 else None
            if name is None or self.dotted(node.func) == "delattr":
                self.note(f"{self.dotted(node.func)} on the main module", node)
            else:
                self.bind_global(name, node.lineno)
            return
        target = ast.copy_location(ast.Attribute(value=node.args[0], attr="", ctx=ast.Store()), node) if node.args else None
        if target is not None:
            self.change(target)

    def _import(self, node: ast.Call) -> None:
        name = self.text(node.args[0]) if node.args else None
        if name is None:
            self.note("import of a computed name", node)
        else:
            self.modules.add(name)

    # -- names in queries

    def _soft(self, names: list[str], node: ast.AST) -> None:
        for name in names:
            self.read(name, getattr(node, "lineno", 0), soft=True)

    def _texts(self, node: ast.expr) -> list[str]:
        # names in the literal parts of an f-string or a sum count too
        known = self.text(node)
        if known is not None:
            return [known]
        parts: list[ast.expr] = []
        if isinstance(node, ast.JoinedStr):
            parts = node.values
        elif isinstance(node, ast.BinOp):
            parts = [node.left, node.right]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            parts = [node.func.value]
        return [text for part in parts for text in self._texts(part)]

    def _first(self, node: ast.Call) -> list[str]:
        if node.args:
            return self._texts(node.args[0])
        return [text for keyword in node.keywords if keyword.arg in {"expr", "query"} for text in self._texts(keyword.value)]

    def _query(self, node: ast.Call) -> None:
        whole = isinstance(node.func, ast.Attribute) and node.func.attr == "eval" and self.dotted(node.func) == "pandas.eval"
        for text in self._first(node):
            for name in query_names(text):
                self.read(name, node.lineno)
            self._soft(sql_names(text), node)
            tree = parse_hidden(text) if whole else None
            if tree is not None:
                self._soft([part.id for part in ast.walk(tree) if isinstance(part, ast.Name)], node)

    def _sql(self, node: ast.Call) -> None:
        for text in self._first(node):
            self._soft(sql_names(text), node)

    # -- the shell and magics

    def _shell(self, node: ast.Call) -> None:
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        owner = owner.func if isinstance(owner, ast.Call) else owner
        if isinstance(owner, ast.Name) and owner.id in _SHELL_OWNERS:
            self.note("!", node)
            for text in self._first(node):
                self._expand(text, node.lineno)

    def _expand(self, text: str, line: int) -> None:
        for name in shell_variables(text):
            self.read(name, line, soft=True)
            self.environment.add(name)
        self.guarded += 1
        for expression in shell_expressions(text):
            ast.increment_lineno(expression, line - 1)
            self.apart(expression)
        self.guarded -= 1

    def _magic(self, node: ast.Call) -> None:
        name, *rest = [self.text(argument) for argument in node.args] or [None]
        if name is None or not rest or rest[0] is None:
            self.note("a computed magic", node)
        elif len(rest) == 1 or rest[1] is None:
            self._do_magic(line_magic(name, rest[0]), node.lineno)
        else:
            self._do_magic(cell_magic(name, rest[0], rest[1]), node.lineno)

    def _do_magic(self, magic: Magic, line: int) -> None:
        self._expand(magic.expands, line)
        if magic.dynamic:
            self.dynamic[magic.dynamic, line] = None
        if magic.state:
            self.process_state[magic.state, line] = None
        if magic.environment:
            self.environment.add(magic.environment)
        if magic.written:
            self.add_file("write", PathUse((magic.written,), line))
        for code, how, offset in magic.code:
            if not self.run_code(code, line + offset, how):
                self.dynamic["code that does not parse", line + offset] = None
        for name in magic.binds:
            self.bind(name, line)


def _is_main_module(node: ast.expr) -> bool:
    """Tell ``sys.modules[__name__]`` and ``sys.modules["__main__"]``: the notebook's own namespace."""
    if not (isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr == "modules"):
        return False
    key = node.slice
    return (isinstance(key, ast.Name) and key.id == "__name__") or (isinstance(key, ast.Constant) and key.value == "__main__")
