"""What each cell of a notebook is for: the first rule that matches decides."""

from __future__ import annotations

import ast
import difflib
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from nbmlops.errors import NotebookError
from nbmlops.notebook.code import parse_code
from nbmlops.notebook.constants import is_front_only, is_setup
from nbmlops.notebook.directive import MAGIC, Directive, directive_from_metadata, parse_directive, split_magic
from nbmlops.notebook.kale import KaleCell, Prelude, read_kale
from nbmlops.notebook.known import Known
from nbmlops.notebook.values import STAGE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmlops.notebook.document import Cell, Document

__all__ = ["Role", "RoledCell", "assign_roles"]

_STAGE_TAG = "stage:"
_CELL_MAGIC = re.compile(r"\s*%%(\w+)")
# the transformer takes a second `%%` line for a line magic whose name begins with `%`
_LATE_MAGIC = re.compile(rf"^[ \t]*%%{MAGIC}(?!\w)", re.MULTILINE)
_LINE_MAGIC = re.compile(rf"\s*%{MAGIC}(?!\w)")

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
    known = Known()
    roled = []
    kale = read_kale(document) or {}
    for cell in document.cells:
        found = _kale(cell, document.shown, kale[cell.index]) if cell.index in kale else _role(cell, document.shown, known)
        roled.append(found)
        _follow(known, found, tagged=cell.index in kale or "setup" in cell.tags)
    return tuple(roled) if kale else _share_options(roled, document.shown)


def _kale(cell: Cell, notebook: str, said: KaleCell) -> RoledCell:
    """Take what Kale's dialect says of a cell, whatever our own rules would."""
    found = RoledCell(
        cell=cell,
        role=Role(said.role),
        stage=said.stage,
        directive=said.directive,
        body=cell.source,
        error=said.error,
        error_line=said.error_line if said.error else None,
        prelude=said.prelude,
    )
    return found if found.role is Role.SKIP else _parsed(found, notebook)


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
    found = RoledCell(
        cell=cell,
        role=Role.STAGE,
        stage=name if STAGE_NAME.fullmatch(name) else None,
        body=body,
        magic=True,
    )
    found = _with_directive(found, lambda: parse_directive(line, cell=cell.index, notebook=notebook))
    return _parsed(found, notebook)


def _tagged(cell: Cell, notebook: str) -> RoledCell | None:
    names = list(dict.fromkeys(tag.removeprefix(_STAGE_TAG).strip() for tag in cell.tags if tag.startswith(_STAGE_TAG)))
    if names:
        name = names[0]
        found = RoledCell(cell=cell, role=Role.STAGE, stage=name if STAGE_NAME.fullmatch(name) else None, body=cell.source)
        if len(names) > 1:
            message = f"the cell has the tags of {len(names)} stages: {', '.join(names)}"
            error = NotebookError(message, code="NB105", notebook=notebook, cell=cell.index, fix="keep one of them")
            found = replace(found, error=error, error_line=1)
        else:
            found = _with_directive(found, lambda: directive_from_metadata(name, cell.options, cell=cell.index, notebook=notebook))
        return _parsed(found, notebook)
    for tag, role in _TAGS:
        if tag in cell.tags:
            found = RoledCell(cell=cell, role=role, body=cell.source)
            return found if role is Role.SKIP else _parsed(found, notebook)
    return None


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
    found = _parsed(RoledCell(cell=cell, role=Role.REPORT, body=cell.source), notebook)
    if found.tree is None:
        return found
    if not found.tree.body or is_front_only(found.tree):
        return replace(found, role=Role.SKIP, tree=None)
    return replace(found, role=Role.SETUP) if is_setup(found.tree, known) else found


def _misplaced_magic(cell: Cell, notebook: str) -> RoledCell | None:
    """Find a stage that its author meant, so that it is not run as a report: a late or misspelt ``%%mlstage``."""
    late = _LATE_MAGIC.search(cell.source)
    first = _CELL_MAGIC.match(cell.source)
    wrapped = first is not None and first[1] in _WRAPPING_MAGICS
    if late is not None and (wrapped or (first is None and not _inside_string(cell.source, late.start()))):
        line = cell.source.count("\n", 0, late.start()) + 1
        message, fix = f"%%{MAGIC} stands in line {line}", "make it the cell's first line"
    elif _LINE_MAGIC.match(cell.source):
        line = len(cell.source) - len(cell.source.lstrip())
        line = cell.source.count("\n", 0, line) + 1
        message, fix = f"%{MAGIC} is a magic of the whole cell", f"write it with two signs: %%{MAGIC}"
    elif first is not None and difflib.get_close_matches(first[1].lower(), [MAGIC], cutoff=0.8):
        line = cell.source.count("\n", 0, first.end()) + 1
        message, fix = f"%%{first[1]} is no magic of nbmlops", f"did you mean %%{MAGIC}?"
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


def _with_directive(found: RoledCell, read: Callable[[], Directive]) -> RoledCell:
    try:
        directive = read()
    except NotebookError as error:
        return replace(found, error=error, error_line=1)
    return replace(found, directive=directive, stage=directive.name)


def _parsed(found: RoledCell, notebook: str) -> RoledCell:
    try:
        return replace(found, tree=parse_code(found.body))
    except SyntaxError as error:
        if found.error is not None:
            return found
        where = f" (line {error.lineno})" if error.lineno else ""
        problem = NotebookError(
            f"the code does not parse{where}: {error.msg}",
            code="NB109",
            notebook=notebook,
            cell=found.cell.index,
            fix="mend it, or give the cell the tag skip",
        )
        return replace(found, error=problem, error_line=error.lineno)


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
