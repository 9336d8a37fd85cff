"""What each cell of a notebook is for: the first rule that matches decides."""

from __future__ import annotations

import ast
import operator
import re
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from nbmlops.dataclass import dataclass
from nbmlops.errors import NotebookError
from nbmlops.nearest import close_matches
from nbmlops.notebook.code import parse_code
from nbmlops.notebook.constants import is_front_only, is_setup
from nbmlops.notebook.directive import MAGIC, Directive, directive_from_metadata, parse_directive, split_magic
from nbmlops.notebook.expecting import EXPECT_MAGIC, trouble_of
from nbmlops.notebook.kale import KaleCell, Prelude, read_kale
from nbmlops.notebook.known import Known
from nbmlops.notebook.values import STAGE_NAME
from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbmlops.notebook.document import Cell, Document

__all__ = ["Role", "RoledCell", "Roles", "assign_roles"]

_STAGE_TAG = "stage:"
_STRIDE = 16
_CELL_MAGIC = pattern(r"\s*%%(\w+)")
# the transformer takes a second `%%` line for a line magic whose name begins with `%`
_LATE_MAGIC = pattern(rf"^[ \t]*%%({MAGIC}|{EXPECT_MAGIC})(?!\w)", re.MULTILINE)
_LINE_MAGIC = pattern(rf"\s*%({MAGIC}|{EXPECT_MAGIC})(?!\w)")

# cell magics whose body is Python of this notebook
_WRAPPING_MAGICS = frozenset({"capture", "prun", "time", "timeit"})


class Role(StrEnum):
    """What a cell is for."""

    STAGE = "stage"
    PARAMETERS = "parameters"
    INJECTED = "injected"
    SETUP = "setup"
    SKIP = "skip"
    REPORT = "report"
    MARKDOWN = "markdown"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoledCell:
    """A cell with its role.

    Parameters
    ----------
    cell : Cell
        The cell, as the document has it.
    role : Role
        What it is for.
    stage : str or None
        The name of the stage that it belongs to.
    directive : Directive or None
        That stage's options; the cells of one stage share them.
    body : str
        The source without the ``%%mlstage`` line, with the same line numbers.
    tree : ast.Module or None
        The parsed body; None for markdown and skipped cells, and where `error` says why it does not parse.
    error : NotebookError or None
        What is wrong with the cell's directive or syntax.
    error_line : int or None
        The line of the cell where it is wrong, from 1.
    magic : bool
        Whether the stage is named by ``%%mlstage`` rather than by a tag.
    prelude : str or None
        The block of Kale's that it is part of, of those that run before every step.
    """

    cell: Cell
    role: Role
    stage: str | None = None
    directive: Directive | None = None
    body: str = ""
    tree: ast.Module | None = None
    error: NotebookError | None = None
    error_line: int | None = None
    magic: bool = False
    prelude: Prelude | None = None


def assign_roles(document: Document) -> tuple[RoledCell, ...]:
    """Give every cell its role; what is wrong with a cell is kept in it, never raised.

    Parameters
    ----------
    document : Document
        The notebook.

    Returns
    -------
    tuple of RoledCell
        One for each cell, in order.
    """
    return Roles().assign(document)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """Some cells in a row: what setup had defined before them, what they are, and what setup has defined then."""

    cells: tuple[Cell, ...]
    before: Known
    found: tuple[RoledCell, ...]
    after: Known


class Roles:
    """Gives the cells of one notebook their roles again and again, as it is edited; each time as `assign_roles` does.

    The cells are gone through in stretches. One of the same objects, in the same places, keeps its roles where setup above it has defined the same.
    """

    def __init__(self) -> None:
        self._stretches: list[_Stretch] = []
        self._shown = ""

    def assign(self, document: Document) -> tuple[RoledCell, ...]:
        """Give every cell its role."""
        shown, kale = document.shown, read_kale(document) or {}
        earlier = self._stretches if self._shown == shown and not kale else []
        stretches: list[_Stretch] = []
        known = Known()
        for start in range(0, len(document.cells), _STRIDE):
            cells = document.cells[start : start + _STRIDE]
            before = earlier[len(stretches)] if len(stretches) < len(earlier) else None
            if before is None or not _are_same(before.cells, cells) or not (before.before is known or before.before == known):
                before = _stretch(cells, shown, known, kale, before)
            stretches.append(before)
            known = before.after
        self._stretches, self._shown = stretches if not kale else [], shown
        roled = [found for stretch in stretches for found in stretch.found]
        return tuple(roled) if kale else _share_options(roled, shown)


def _stretch(cells: tuple[Cell, ...], shown: str, before: Known, kale: Mapping[int, KaleCell], earlier: _Stretch | None) -> _Stretch:
    after = before.copy()
    found: list[RoledCell] = []
    for place, cell in enumerate(cells):
        said = kale.get(cell.index)
        roled = _kale(cell, shown, said) if said is not None else _role(cell, shown, after)
        _follow(after, roled, tagged=said is not None or "setup" in cell.tags)
        # the very same objects again, so that who goes on from them knows that they are the same
        if earlier is not None and place < len(earlier.cells) and earlier.cells[place] is cell and earlier.found[place] == roled:
            roled = earlier.found[place]
        found.append(roled)
    if earlier is not None and after == earlier.after:
        after = earlier.after
    return _Stretch(cells=cells, before=before, found=tuple(found), after=after)


def _are_same(some: tuple[Cell, ...], others: tuple[Cell, ...]) -> bool:
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _kale(cell: Cell, notebook: str, said: KaleCell) -> RoledCell:
    """Take what Kale's dialect says of a cell, whatever our own rules would."""
    role, line = Role(said.role), said.error_line if said.error else None
    tree, error, line = (None, said.error, line) if role is Role.SKIP else _read(cell, cell.source, notebook, said.error, line)
    return RoledCell(
        cell=cell,
        role=role,
        stage=said.stage,
        directive=said.directive,
        body=cell.source,
        tree=tree,
        error=error,
        error_line=line,
        prelude=said.prelude,
    )


def _role(cell: Cell, notebook: str, known: Known) -> RoledCell:
    """Apply the rules in their order."""
    if cell.kind != "code":
        return RoledCell(cell=cell, role=Role.MARKDOWN, body=cell.source)
    magic = split_magic(cell.source)
    if magic is not None:
        line, body = magic
        return _stage(cell, notebook, line, body)
    return _tagged(cell, notebook) or _untagged(cell, notebook, known)


def _stage(cell: Cell, notebook: str, line: str, body: str) -> RoledCell:
    name = line.partition(" ")[0]

    def read() -> Directive:
        trouble = trouble_of(cell.source, cell=cell.index, notebook=notebook)
        if trouble is not None:
            raise trouble
        return parse_directive(line, cell=cell.index, notebook=notebook)

    return _of_stage(cell, notebook, name, body, read, magic=True)


def _tagged(cell: Cell, notebook: str) -> RoledCell | None:
    names = list(dict.fromkeys(tag.removeprefix(_STAGE_TAG).strip() for tag in cell.tags if tag.startswith(_STAGE_TAG)))
    if names:
        return _of_stage(cell, notebook, names[0], cell.source, lambda: _directive_of_tags(cell, notebook, names))
    for tag, role in _TAGS:
        if tag in cell.tags:
            tree, error, line = (None, None, None) if role is Role.SKIP else _read(cell, cell.source, notebook)
            return RoledCell(cell=cell, role=role, body=cell.source, tree=tree, error=error, error_line=line)
    return None


def _directive_of_tags(cell: Cell, notebook: str, names: list[str]) -> Directive:
    if len(names) > 1:
        message = f"the cell has the tags of {len(names)} stages: {', '.join(names)}"
        raise NotebookError(message, code="NB105", notebook=notebook, cell=cell.index, fix="keep one of them")
    return directive_from_metadata(names[0], cell.options, cell=cell.index, notebook=notebook)


def _of_stage(cell: Cell, notebook: str, name: str, body: str, read: Callable[[], Directive], *, magic: bool = False) -> RoledCell:
    """Make a cell of a stage; `read` gives the options, or raises what is wrong with them."""
    directive, problem = None, None
    stage = name if STAGE_NAME.fullmatch(name) else None
    try:
        directive = read()
    except NotebookError as error:
        problem = error
    else:
        stage = directive.name
    tree, problem, line = _read(cell, body, notebook, problem, 1 if problem is not None else None)
    return RoledCell(cell=cell, role=Role.STAGE, stage=stage, directive=directive, body=body, tree=tree, error=problem, error_line=line, magic=magic)


# in the order of the rules
_TAGS = (
    ("injected-parameters", Role.INJECTED),
    ("parameters", Role.PARAMETERS),
    ("setup", Role.SETUP),
    ("skip", Role.SKIP),
)


def _untagged(cell: Cell, notebook: str, known: Known) -> RoledCell:
    misplaced = _misplaced_magic(cell, notebook)
    if misplaced is not None:
        return misplaced
    tree, error, line = _read(cell, cell.source, notebook)
    role = Role.REPORT if tree is None else _role_of_code(tree, known)
    return RoledCell(cell=cell, role=role, body=cell.source, tree=None if role is Role.SKIP else tree, error=error, error_line=line)


def _role_of_code(tree: ast.Module, known: Known) -> Role:
    if not tree.body or is_front_only(tree):
        return Role.SKIP
    return Role.SETUP if is_setup(tree, known) else Role.REPORT


def _misplaced_magic(cell: Cell, notebook: str) -> RoledCell | None:
    """Find a stage that its author meant, so that it is not run as a report: a late or misspelt ``%%mlstage``."""
    late = _LATE_MAGIC.search(cell.source)
    first = _CELL_MAGIC.match(cell.source)
    line_magic = _LINE_MAGIC.match(cell.source)
    near = close_matches(first[1].lower(), [MAGIC, EXPECT_MAGIC], cutoff=0.8) if first is not None else []
    wrapped = first is not None and first[1] in _WRAPPING_MAGICS
    if late is not None and (wrapped or (first is None and not _inside_string(cell.source, late.start()))):
        line = cell.source.count("\n", 0, late.start()) + 1
        message, fix = f"%%{late[1]} stands in line {line}", "make it the cell's first line"
    elif line_magic is not None:
        line = len(cell.source) - len(cell.source.lstrip())
        line = cell.source.count("\n", 0, line) + 1
        message, fix = f"%{line_magic[1]} is a magic of the whole cell", f"write it with two signs: %%{line_magic[1]}"
    elif first is not None and near:
        line = cell.source.count("\n", 0, first.end()) + 1
        message, fix = f"%%{first[1]} is no magic of nbmlops", f"did you mean %%{near[0]}?"
    else:
        return None
    error = NotebookError(message, code="NB105", notebook=notebook, cell=cell.index, fix=fix)
    return RoledCell(cell=cell, role=Role.STAGE, body=cell.source, error=error, error_line=line, magic=True)


def _inside_string(source: str, position: int) -> bool:
    """Tell whether a place in a cell lies inside a string: replacing the line must leave the code's shape as it is."""
    end = source.find("\n", position)
    rest = "" if end < 0 else source[end:]
    try:
        with_word = parse_code(f"{source[:position]}pass{rest}")
        with_other = parse_code(f"{source[:position]}x = 1{rest}")
    except SyntaxError:
        return False
    shapes = [[type(node) for node in ast.walk(tree)] for tree in (with_word, with_other)]
    return shapes[0] == shapes[1]


def _read(
    cell: Cell, body: str, notebook: str, error: NotebookError | None = None, error_line: int | None = None
) -> tuple[ast.Module | None, NotebookError | None, int | None]:
    """Parse a cell's code; return the tree, and what is wrong with the cell and in which line: what is known of that already goes first."""
    try:
        return parse_code(body), error, error_line
    except SyntaxError as problem:
        if error is not None:
            return None, error, error_line
        where = f" (line {problem.lineno})" if problem.lineno else ""
        told = NotebookError(
            f"the code does not parse{where}: {problem.msg}",
            code="NB109",
            notebook=notebook,
            cell=cell.index,
            fix="mend it, or give the cell the tag skip",
        )
        return None, told, problem.lineno


def _follow(known: Known, found: RoledCell, *, tagged: bool) -> None:
    if found.tree is None:
        return
    if found.role in {Role.STAGE, Role.REPORT}:
        known.forget(found.tree)
    elif found.role is not Role.SETUP or tagged:
        known.learn(found.tree)


def _share_options(cells: list[RoledCell], notebook: str) -> tuple[RoledCell, ...]:
    """Give all cells of one stage tag the options of the first that has any; others must agree."""
    owners: dict[str, RoledCell] = {}
    for found in cells:
        if found.stage and found.directive and not found.magic and found.directive.given_options():
            owners.setdefault(found.stage, found)
    return tuple(_sharing(found, owners.get(found.stage or ""), notebook) for found in cells)


def _sharing(found: RoledCell, owner: RoledCell | None, notebook: str) -> RoledCell:
    if owner is None or found.magic or found is owner or found.directive is None or owner.directive is None:
        return found
    if found.directive.given_options() and found.directive != owner.directive:
        error = NotebookError(
            f"the options of stage {found.stage!r} differ from those in cell {owner.cell.index}",
            code="NB105",
            notebook=notebook,
            cell=found.cell.index,
            fix="keep the options in one of its cells",
        )
        return replace(found, directive=owner.directive, error=found.error or error, error_line=found.error_line or 1)
    return replace(found, directive=owner.directive)
