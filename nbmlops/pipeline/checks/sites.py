"""The places in code that checks look at: its calls, loops and names, found in one walk over its tree.

Most cells hold nothing that any check asks for, and are told by their words alone, before anything is walked.
"""

from __future__ import annotations

import ast
import builtins
import functools
import re
from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from nbmlops.dataclass import dataclass
from nbmlops.dataflow.hidden import cell_magic, line_magic, parse_hidden
from nbmlops.dataflow.state import dotted
from nbmlops.notebook.roles import Role
from nbmlops.pattern import pattern
from nbmlops.pipeline.checks.libraries import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nbmlops.dataflow.flow import Flow
    from nbmlops.notebook.kale import Prelude
    from nbmlops.notebook.roles import RoledCell
    from nbmlops.pipeline.setup import Statement

__all__ = ["Piece", "Sites", "find_sites", "magic_words", "shown"]

_WORD = pattern(r"[^\W\d]\w*")
# what needs a look without a telling word: shell and magic lines, absolute paths and addresses, sets that are written out
_TELLING = pattern(
    r"""
    ^[ \t]*[%!] | =[ \t]*[%!]
    | ["'](?:[/~] | [A-Za-z]:[\\/] | [a-z][a-z0-9+]{1,9}://)
    | \{[^{}:]+\}
    """,
    re.MULTILINE | re.VERBOSE,
)
_LONGEST = 80
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_BUILTINS = frozenset({*dir(builtins), "display", "get_ipython"})


class Piece(Protocol):
    """A part of the document that linking sees as one unit."""

    @property
    def cell(self) -> int:
        """The cell's position."""
        ...

    @property
    def role(self) -> Role:
        """What the cell is for."""
        ...

    @property
    def stage(self) -> str | None:
        """The stage that it belongs to."""
        ...

    @property
    def flow(self) -> Flow:
        """What it takes and gives."""
        ...

    @property
    def statement(self) -> Statement | None:
        """Of a setup or parameters cell, the statement that it is."""
        ...

    @property
    def prelude(self) -> Prelude | None:
        """Which of Kale's blocks it belongs to."""
        ...


@dataclass(slots=True, kw_only=True)
class Sites:
    """One piece of code with the places in it that checks look at.

    Parameters
    ----------
    position : int
        The piece's position in the document.
    cell : int
    role : Role
    stage : str or None
    imports : dict of str to str
        Names that an import binds when the piece runs, to the dotted name of what they are.
    bound : set of str
        Names of builtins that the notebook binds, before the piece or in it.
    calls : list of ast.Call
    iterations : list of ast.For or ast.AsyncFor or ast.comprehension
    stars : list of ast.Starred
    attributes : list of ast.Attribute
    names : dict of str to list of ast.Name
        Every place of each name.
    parents : dict of ast.AST to ast.AST
        The node around each node.
    """

    position: int
    cell: int
    role: Role
    stage: str | None
    imports: dict[str, str]
    bound: set[str]
    calls: list[ast.Call] = field(default_factory=list)
    iterations: list[ast.For | ast.AsyncFor | ast.comprehension] = field(default_factory=list)
    stars: list[ast.Starred] = field(default_factory=list)
    attributes: list[ast.Attribute] = field(default_factory=list)
    names: dict[str, list[ast.Name]] = field(default_factory=dict)
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)
    _names: dict[ast.AST, str] = field(default_factory=dict, init=False)

    @property
    def setup(self) -> bool:
        """Whether every stage that uses it runs it."""
        return self.role in {Role.SETUP, Role.PARAMETERS, Role.INJECTED}

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the nodes around a node, innermost first."""
        while (outer := self.parents.get(node)) is not None:
            yield outer
            node = outer

    def function(self, node: ast.AST) -> ast.AST | None:
        """Return the function that a node stands in."""
        return next((outer for outer in self.around(node) if isinstance(outer, _FUNCTIONS)), None)

    def name(self, node: ast.expr) -> str:
        """Write the dotted name of a library's function or of a builtin; "" for anything that the notebook binds itself."""
        found = self._names.get(node)
        if found is None:
            found = self._names[node] = self._name(node)
        return found

    def _name(self, node: ast.expr) -> str:
        root = node
        while isinstance(root, (ast.Attribute, ast.Call)):
            root = root.value if isinstance(root, ast.Attribute) else root.func
        if not isinstance(root, ast.Name):
            return ""
        known = root.id in self.imports
        if not known and (root.id not in _BUILTINS or root.id in self.bound):
            return ""
        return "" if self._is_local(root) else dotted(node, self.imports if known else {root.id: root.id})

    def used(self) -> Iterator[tuple[ast.expr, str]]:
        """Yield each call, and each function that is handed to another, with its dotted name: ``map(uuid.uuid4, rows)``."""
        for call in self.calls:
            yield call, self.name(call.func)
            for value in (*call.args, *(keyword.value for keyword in call.keywords)):
                if isinstance(value, (ast.Name, ast.Attribute)) and (name := self.name(value)):
                    yield value, name

    def _is_local(self, root: ast.Name) -> bool:
        """Tell whether a parameter of a function around hides the name."""
        for outer in self.around(root):
            if isinstance(outer, _FUNCTIONS):
                given = outer.args
                every = (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg)
                if any(argument is not None and argument.arg == root.id for argument in every):
                    return True
        return False

    def walk(self, tree: ast.AST) -> None:
        """Collect the places of a tree."""
        waiting = [tree]
        parents = self.parents
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.Name):
                self.names.setdefault(node.id, []).append(node)
                continue
            if type(node) in _WANTED:
                waiting += self._take(node)
            for name in node._fields:
                value = getattr(node, name, None)
                if type(value) is list:
                    for item in value:
                        if isinstance(item, ast.AST):
                            parents[item] = node
                            waiting.append(item)
                elif isinstance(value, ast.AST):
                    parents[value] = node
                    waiting.append(value)
        self.calls.sort(key=lambda call: (call.lineno, call.col_offset))

    def _take(self, node: ast.AST) -> list[ast.AST]:
        """Take note of a node; return the code that it runs from a string."""
        if isinstance(node, ast.Call):
            self.calls.append(node)
            return list(self._inside_magic(node))
        if isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
            self.iterations.append(node)
        elif isinstance(node, ast.Attribute):
            self.attributes.append(node)
        elif isinstance(node, ast.Starred):
            self.stars.append(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom)) and self.function(node) is not None:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
                plain = alias.name.partition(".")[0]
                self.imports.setdefault(alias.asname or plain, inner if alias.asname or isinstance(node, ast.ImportFrom) else plain)
        return []

    def _inside_magic(self, node: ast.Call) -> Iterator[ast.AST]:
        """Yield the code of ``%time code`` and of the lines below ``%%time``."""
        words = magic_words(node)
        if words is None or words[0] == "":
            return
        magic = line_magic(words[0], words[1]) if len(words) == 2 else cell_magic(words[0], words[1], words[2])  # noqa: PLR2004 - name and line
        for code, _, offset in magic.code:
            tree = parse_hidden(code)
            if tree is not None:
                ast.increment_lineno(tree, node.lineno + offset - 1)
                self.parents[tree] = self.parents[node]
                yield tree


_WANTED = frozenset({ast.Call, ast.Attribute, ast.For, ast.AsyncFor, ast.comprehension, ast.Starred, ast.Import, ast.ImportFrom})


def magic_words(node: ast.Call) -> tuple[str, ...] | None:
    """Return the parts of a magic, name first, as IPython writes it: ``get_ipython().run_line_magic("time", "x")``."""
    if not (isinstance(node.func, ast.Attribute) and node.func.attr in {"run_line_magic", "run_cell_magic"} and len(node.args) > 1):
        return None
    return tuple(item.value if isinstance(item, ast.Constant) and isinstance(item.value, str) else "" for item in node.args)


def shown(node: ast.AST) -> str:
    """Write code for a message: not more of it than helps to find the place."""
    text = ast.unparse(node)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def find_sites(cells: Sequence[RoledCell], pieces: Sequence[Piece]) -> tuple[Sites, ...]:
    """Look through the code of a document, once.

    Parameters
    ----------
    cells : sequence of RoledCell
    pieces : sequence of Piece

    Returns
    -------
    tuple of Sites
        In document order; pieces in which no check can find anything are left out.
    """
    imports: dict[str, str] = {}
    bound: set[str] = set()
    telling: dict[int, bool] = {}
    found = []
    for position, piece in enumerate(pieces):
        for name in piece.flow.binds:
            imports.pop(name, None)
            if name in _BUILTINS:
                bound.add(name)
        imports.update(piece.flow.imports)
        roled = cells[piece.cell]
        if piece.cell not in telling:
            telling[piece.cell] = tells(roled.body)
        tree = piece.statement.tree if piece.statement is not None else roled.tree
        # a path may stand in a constant of another cell
        if tree is not None and (telling[piece.cell] or piece.flow.files_read or piece.flow.files_written):
            sites = Sites(position=position, cell=piece.cell, role=piece.role, stage=piece.stage, imports=imports.copy(), bound=bound.copy())
            sites.walk(tree)
            found.append(sites)
    return tuple(found)


@functools.lru_cache(maxsize=1024)
def tells(source: str) -> bool:
    """Tell whether a cell may hold anything that a check asks for; a false alarm only costs the walk."""
    return not WORDS.isdisjoint(_WORD.findall(source)) or _TELLING.search(source) is not None
