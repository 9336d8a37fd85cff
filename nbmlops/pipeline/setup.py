"""Setup and parameters cells, read statement by statement: the grain in which stages use them."""

from __future__ import annotations

import ast
import io
import tokenize
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from nbmlops.dataclass import dataclass
from nbmlops.dataflow.acting import acting_decorators, acts, calls_something, changes_what_a_call_gives
from nbmlops.notebook.roles import Role, RoledCell
from nbmlops.pipeline.code import fingerprint, flow_of, imported_names, looks_for_subclasses, statement_trees
from nbmlops.pipeline.model import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nbmlops.dataflow.flow import Flow
    from nbmlops.dataflow.stars import Stars

__all__ = [
    "Statement",
    "ToldOfCalls",
    "line_comments",
    "literal_assignments",
    "read_parameters",
    "statements",
    "told_of_calls",
    "with_acts",
]

_NO_LITERALS: dict[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One top-level statement of a setup or parameters cell, with what reading it tells."""

    cell: int
    tree: ast.Module
    flow: Flow
    literals: dict[str, Any] = field(default_factory=dict)
    acts: bool = False

    @property
    def line(self) -> int:
        """Where it begins, from 1."""
        return int(getattr(self.tree.body[0], "lineno", 1))

    @property
    def fingerprint(self) -> str:
        """Digest of its normalised source."""
        return fingerprint(self.tree)

    @property
    def configures(self) -> bool:
        """Whether it is run for what it does to the process rather than for a name."""
        if self.acts or self.flow.process_state or self.flow.dynamic or self.flow.star_imports:
            return True
        return isinstance(self.tree.body[0], ast.Expr) and not _inert(self.tree.body[0])

    @property
    def calls(self) -> bool:
        """Whether it assigns what a call gives: if nobody reads that, the call is what it is for."""
        node = self.tree.body[0]
        return isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None and calls_something(node.value)

    @property
    def defines_code(self) -> bool:
        """Whether it is a function or a class."""
        return isinstance(self.tree.body[0], (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))


def statements(roled: RoledCell, *, postponed: bool = False, stars: Stars | None = None) -> Iterator[Statement]:
    """Split a setup or parameters cell into statements; an import of several names becomes several.

    Parameters
    ----------
    roled : RoledCell
    postponed : bool
        Whether ``from __future__ import annotations`` holds, so that annotations read nothing.
    stars : Stars or None
        Knows what star imports bind.
    """
    for tree in statement_trees(roled.tree) if roled.tree is not None else ():
        flow = flow_of(tree, stars.names if stars else None, postponed=postponed)
        yield Statement(cell=roled.cell.index, tree=tree, flow=flow, literals=literal_assignments(tree.body[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldOfCalls:
    """What a whole document tells of the calls in its setup.

    Parameters
    ----------
    imported : frozenset of str
        The names that imports bind, wherever.
    searched : bool
        Whether a cell finds classes without their names.
    """

    imported: frozenset[str]
    searched: bool


def told_of_calls(trees: Sequence[ast.Module]) -> ToldOfCalls:
    """Go through every cell's code."""
    return ToldOfCalls(imported=frozenset[str]().union(*map(imported_names, trees)), searched=any(map(looks_for_subclasses, trees)))


def with_acts(found: Sequence[Statement], told: ToldOfCalls) -> tuple[Statement, ...]:
    """Mark the statements that change what is not their own: patches, registrations by a decorator, blocks of calls.

    Parameters
    ----------
    found : sequence of Statement
        Every setup statement of a document.
    told : ToldOfCalls
        Of all of its cells.
    """
    nodes = [statement.tree.body[0] for statement in found]
    acting = {way for node in nodes for way in acting_decorators(node, told.imported)}

    def act(node: ast.stmt) -> bool:
        if isinstance(node, ast.ClassDef) and told.searched and (node.bases or node.keywords):
            return True
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Delete)):
            return changes_what_a_call_gives(node)
        return not isinstance(node, ast.Expr) and acts(node, told.imported, acting=acting)

    return tuple(replace(statement, acts=True) if act(node) else statement for statement, node in zip(found, nodes, strict=True))


def literal_assignments(node: ast.stmt) -> dict[str, Any]:
    """Return the names that a statement sets to a literal, with the value."""
    if isinstance(node, ast.Assign) and all(isinstance(target, ast.Name) for target in node.targets):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        value = node.value
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None and node.simple:
        names, value = [node.target.id], node.value
    else:
        return _NO_LITERALS
    try:
        literal = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _NO_LITERALS
    # one list under two names is one object: only its source tells that
    if len(names) > 1 and isinstance(literal, (list, dict, set)):
        return _NO_LITERALS
    return dict.fromkeys(names, literal)


def read_parameters(cells: tuple[RoledCell, ...]) -> dict[str, Parameter]:
    """Return what the parameters cells declare; a papermill cell's values become the defaults of declared names."""
    found: dict[str, Parameter] = {}
    for roled in cells:
        if roled.role not in {Role.PARAMETERS, Role.INJECTED} or roled.tree is None:
            continue
        comments = line_comments(roled.body)
        for node in roled.tree.body:
            for parameter in _declared(node, roled.cell.index, comments):
                earlier = found.get(parameter.name)
                if earlier is not None and roled.role is Role.INJECTED:
                    parameter = Parameter(  # noqa: PLW2901 - the value is the injected one, the help stays the author's
                        name=earlier.name,
                        type=parameter.type,
                        default=parameter.default,
                        literal=parameter.literal,
                        help=earlier.help,
                        cell=parameter.cell,
                        line=parameter.line,
                    )
                found[parameter.name] = parameter
    return found


def line_comments(source: str) -> dict[int, str]:
    """Return the comment at the end of each line that has one, by line from 1."""
    comments: dict[int, str] = {}
    if "#" not in source:
        return comments  # the tokenizer's patterns take 2 ms to compile
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                comments[token.start[0]] = token.string.lstrip("# ").rstrip()
    except (tokenize.TokenError, IndentationError, SyntaxError):
        return comments
    return comments


def _declared(node: ast.stmt, cell: int, comments: dict[int, str]) -> Iterator[Parameter]:
    literals = literal_assignments(node)
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    for target in targets:
        if isinstance(target, ast.Name):
            literal = target.id in literals
            value = literals.get(target.id)
            yield Parameter(
                name=target.id,
                type=type(value).__name__ if literal else "expression",
                default=value,
                literal=literal,
                help=comments.get(node.end_lineno or node.lineno, ""),
                cell=cell,
                line=node.lineno,
            )


def _inert(node: ast.Expr) -> bool:
    """Tell a docstring, or a line that only loads or calls nbmlops, from an expression that does something."""
    value = node.value
    if isinstance(value, ast.Constant):
        return True
    if not (isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "run_line_magic"):
        return False
    words = [argument.value for argument in value.args if isinstance(argument, ast.Constant) and isinstance(argument.value, str)]
    magic, _, rest = " ".join(words).partition(" ")
    return magic.startswith("ml") or (magic in {"load_ext", "reload_ext"} and rest.strip() == "nbmlops")
