"""Notebooks in Kale's dialect: what each cell is by Kale's tags, and what the untagged cells belong to.

A notebook is in the dialect if a cell names a step with ``step:`` or ``block:``. Then Kale's rules hold for untagged cells: each belongs to
the tagged cell before it, `skip` cells and papermill's injected cell aside; those above the first tagged cell are read by our own rules.
"""

from __future__ import annotations

import ast
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Literal

from nbmlops.dataclass import dataclass
from nbmlops.errors import NotebookError
from nbmlops.nearest import close_matches
from nbmlops.notebook.code import parse_code
from nbmlops.notebook.constants import is_front_only
from nbmlops.notebook.directive import Directive, directive_from_metadata, split_magic
from nbmlops.notebook.kaletags import CellTags, Setting, cell_tags, names_steps, stage_name
from nbmlops.notebook.values import STAGE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbmlops.notebook.document import Cell, Document

__all__ = ["METADATA", "METRICS_STAGE", "KaleCell", "Prelude", "own_stage", "read_kale", "speaks_kale", "stage_of", "tags_written_out"]

METRICS_STAGE = "pipeline-metrics"
"""The stage of the `pipeline-metrics` cells; no step of Kale can have this name."""

Prelude = Literal["pipeline-parameters", "imports", "functions"]

METADATA = "kubeflow_notebook"
"""Where Kale keeps what it knows of a notebook."""

_INJECTED = "injected-parameters"
_OWN_STAGE = "stage:"
# in both dialects the same
_OWN_WORDS = {"parameters": "pipeline-parameters", "setup": "setup"}
_ROLES = {"pipeline-parameters": "parameters", "imports": "setup", "functions": "setup", "setup": "setup"}


@dataclass(frozen=True, slots=True, kw_only=True)
class KaleCell:
    """What a cell is in Kale's dialect.

    Parameters
    ----------
    role : {"stage", "parameters", "injected", "setup", "skip"}
        The value of its `Role`.
    belongs : str
        Kale's word for what it belongs to: a special tag, or "step:" and the step's name.
    stage : str or None
        The stage that it belongs to.
    directive : Directive or None
        That stage's options.
    prelude : str or None
        Which of the blocks that Kale runs before every step it is part of.
    error : NotebookError or None
        What is wrong with its tags.
    error_line : int
        The line of the cell where it is wrong, from 1.
    """

    role: str
    belongs: str = "skip"
    stage: str | None = None
    directive: Directive | None = None
    prelude: Prelude | None = None
    error: NotebookError | None = None
    error_line: int = 1


def speaks_kale(document: Document) -> bool:
    """Tell whether a notebook is in Kale's dialect: it names steps as Kale does, or almost so and has no stages of our own."""
    if document.kale:
        return True
    code = [cell for cell in document.cells if cell.kind == "code"]
    tagged = [cell.tags for cell in code if cell.tags]
    if any(names_steps(tags) for tags in tagged):
        return True
    return any(names_steps(tags, almost=True) for tags in tagged) and not any(
        own_stage(cell.tags) is not None or split_magic(cell.source) for cell in code
    )


def own_stage(tags: Iterable[str]) -> str | None:
    """Return the stage that a tag of our own names."""
    return next((tag.removeprefix(_OWN_STAGE) for tag in tags if tag.startswith(_OWN_STAGE)), None)


def stage_of(tags: Iterable[str]) -> str | None:
    """Return the stage that the tags of a cell in Kale's dialect name; "" if they are wrong."""
    tags = tuple(tags)
    read = cell_tags(tags)
    if read.special is not None:
        return METRICS_STAGE if read.special == METRICS_STAGE else None
    if read.problem is not None or len(read.steps) > 1:
        return ""
    return next((stage_name(name) for name in read.steps if name), None)


def read_kale(document: Document) -> dict[int, KaleCell] | None:
    """Say what each cell of a notebook in Kale's dialect is.

    Parameters
    ----------
    document : Document

    Returns
    -------
    dict of int to KaleCell, or None
        By the cell's index; a cell that is not in it is read by our own rules. None where the notebook is not in the dialect.
    """
    if not speaks_kale(document):
        return None
    reader = _Reader(document)
    for cell in document.cells:
        if cell.kind == "code":
            reader.read(cell)
    return reader.finished()


def tags_written_out(source: str, tags: Iterable[str], belongs: str) -> tuple[str, ...]:
    """Return a cell's tags with that which says what it belongs to, where they do not say it themselves.

    Parameters
    ----------
    source : str
        The cell's text.
    tags : iterable of str
    belongs : str
        What the notebook's order says.
    """
    tags = tuple(tags)
    read = cell_tags(tags)
    says = own_stage(tags) is not None or any(tag in _OWN_WORDS or tag == _INJECTED for tag in tags)
    says = says or bool(read.special or any(read.steps) or read.notebook is not None or read.problem)
    return tags if says or split_magic(source) is not None or _does_nothing(source) else (*tags, belongs)


@dataclass(slots=True)
class _Step:
    """A step while its cells are read."""

    name: str
    first: int
    cells: list[int] = field(default_factory=list)
    previous: list[tuple[str, int]] = field(default_factory=list)
    settings: dict[str, tuple[Setting, int]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


class _Reader:
    """Reads a notebook's cells from top to bottom."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.cells: dict[int, KaleCell] = {}
        self.steps: dict[str, _Step] = {}
        self.metrics: dict[str, None] = {}
        self.latest: str | None = None

    def read(self, cell: Cell) -> None:
        """Say what a cell is, as far as the cells above it tell."""
        tags = cell_tags(cell.tags)
        word = tags.special or next((_OWN_WORDS[tag] for tag in cell.tags if tag in _OWN_WORDS), None)
        if word == "skip":
            self.cells[cell.index] = KaleCell(role="skip")
        elif split_magic(cell.source) is not None or own_stage(cell.tags) is not None:
            self._own_stage(cell)
        elif _INJECTED in cell.tags:
            # papermill's: what it stands between belongs together all the same
            self.cells[cell.index] = KaleCell(role="injected", belongs=_INJECTED, prelude="pipeline-parameters")
        elif tags.problem is not None:
            self._refuse(cell, *tags.problem)
        elif word is not None:
            self.latest = word
            self._join(cell, word)
        elif tags.notebook is not None:
            self._composition(cell, tags.notebook)
        elif len(tags.steps) > 1:
            self._refuse(cell, f"the cell has the tags of {len(tags.steps)} steps: {', '.join(tags.steps)}", "keep one of them")
        elif any(tags.steps):
            self._step(cell, tags.steps[0], tags)
        else:
            self._untagged(cell, tags)

    def _own_stage(self, cell: Cell) -> None:
        self.latest = None
        message = "the cell is a stage of nbmlops in a notebook whose other cells have the tags of Kale's steps"
        self._refuse(cell, message, "give it the tag step:NAME instead; or give those cells the tags stage:NAME", code="NB126")

    def _composition(self, cell: Cell, name: str) -> None:
        self.latest = None
        message = f"the tag 'notebook:{name}' puts another notebook's pipeline here, which nbmlops does not do"
        self._refuse(cell, message, "run that notebook by itself; or copy its cells", code="NB121")

    def _untagged(self, cell: Cell, tags: CellTags) -> None:
        if (tags.previous or tags.settings) and not (self.latest or "").startswith("step:"):
            given = f"prev:{tags.previous[0]}" if tags.previous else tags.settings[0].tag
            self._refuse(cell, f"the tag {given!r} stands on a cell of no step", "add the tag step:NAME")
        elif self.latest is not None and not self.document.kale:
            if _does_nothing(cell.source):
                self.cells[cell.index] = KaleCell(role="skip", belongs=self.latest)
            elif self.latest.startswith("step:"):
                self._step(cell, self.latest.removeprefix("step:"), tags)
            else:
                self._join(cell, self.latest)

    def _join(self, cell: Cell, word: str) -> None:
        """Add a cell to one of the blocks that are no step."""
        if word != METRICS_STAGE:
            prelude: Any = None if word == "setup" else word
            self.cells[cell.index] = KaleCell(role=_ROLES[word], belongs=word, prelude=prelude)
        elif _does_nothing(cell.source):
            self.cells[cell.index] = KaleCell(role="skip", belongs=word)
        else:
            self._metrics(cell)

    def _metrics(self, cell: Cell) -> None:
        problem = None
        try:
            names, line = _printed(parse_code(cell.source))
        except SyntaxError:
            names, line = [], None  # the cell's role says what is wrong
        if line is not None:
            message = "a pipeline-metrics cell holds more than the names of metrics, each printed"
            problem = self._error(cell, message, "write print(NAME) on a line for each metric, and compute them in a step", "NB122")
        self.metrics.update(dict.fromkeys(names))
        self.cells[cell.index] = KaleCell(role="stage", belongs=METRICS_STAGE, stage=METRICS_STAGE, error=problem, error_line=line or 1)

    def _step(self, cell: Cell, name: str, tags: CellTags) -> None:
        self.latest = f"step:{name}"
        stage = stage_name(name)
        if not STAGE_NAME.fullmatch(stage):
            self._refuse(cell, f"the name of step {name!r} has more than 63 characters", "give it a shorter one")
            return
        step = self.steps.setdefault(stage, _Step(name, cell.index))
        step.cells.append(cell.index)
        step.previous += [(other, cell.index) for other in tags.previous]
        self.cells[cell.index] = KaleCell(role="stage", belongs=self.latest, stage=stage)
        if step.name != name:
            self._refuse(cell, f"the steps {step.name!r} and {name!r} are both called {stage!r} here", "rename one of them")
        for setting in tags.settings:
            self._set(cell, step, setting)
        self._take_metadata(cell, step)

    def _set(self, cell: Cell, step: _Step, setting: Setting) -> None:
        earlier, where = step.settings.setdefault(setting.key, (setting, cell.index))
        if earlier.tag != setting.tag:
            place = f" in cell {where}" if where != cell.index else ""
            self._refuse(cell, f"step {step.name!r} has the tags {earlier.tag!r}{place} and {setting.tag!r}", "keep one of them")

    def _take_metadata(self, cell: Cell, step: _Step) -> None:
        """Read the options that stand in the cell's metadata, as those of our own stages do."""
        try:
            given = directive_from_metadata(stage_name(step.name), cell.options, cell=cell.index, notebook=self.document.shown).given_options()
        except NotebookError as error:
            self._put(cell, error)
            return
        for option, value in given.items():
            if step.options.setdefault(option, value) != value:
                message = f"the cells of step {step.name!r} give {option!r} two values in their metadata"
                self._put(cell, self._error(cell, message, "keep one of them", "NB105"))

    # -- what is said once all cells are read

    def finished(self) -> dict[int, KaleCell]:
        """Return the cells, with the options of the stages that they belong to."""
        defaults = self._defaults()
        for stage, step in self.steps.items():
            directive = self._directive(stage, step, defaults)
            for index in step.cells:
                self.cells[index] = replace(self.cells[index], directive=directive)
        for index, found in self.cells.items():
            if found.stage == METRICS_STAGE:
                self.cells[index] = replace(found, directive=Directive(name=METRICS_STAGE, metrics=tuple(self.metrics)))
        return self.cells

    def _directive(self, stage: str, step: _Step, defaults: dict[str, Setting]) -> Directive:
        settings = {**defaults, **{key: setting for key, (setting, _) in step.settings.items()}}
        values: dict[str, Any] = {}
        for setting in settings.values():
            for option, value in setting.values.items():
                values[option] = (*values.get(option, ()), *value) if isinstance(value, tuple) else value
        own, default = directive_from_metadata(stage, step.options), Directive(name=stage)
        # what the metadata say is meant for us, and wins
        values = {option: value for option, value in values.items() if getattr(own, option) == getattr(default, option)}
        values["after"] = tuple(dict.fromkeys((*own.after, *self._previous(step))))
        values["secrets"] = tuple(dict.fromkeys((*own.secrets, *values.get("secrets", ()))))
        return replace(own, kept_tags=tuple(setting.tag for setting in settings.values() if setting.keeps), **values)

    def _previous(self, step: _Step) -> list[str]:
        found = []
        for name, index in step.previous:
            other = self.steps.get(stage_name(name))
            cell = self.document.cells[index]
            if other is None and not self.document.kale:
                near = close_matches(name, [item.name for item in self.steps.values() if item is not step], cutoff=0.5)
                fix = f"did you mean prev:{near[0]}?" if near else f"the steps are: {', '.join(item.name for item in self.steps.values())}"
                self._refuse(cell, f"the tag 'prev:{name}' of step {step.name!r} names no step", fix, code="NB205")
            elif other is step:
                self._refuse(cell, f"the tag 'prev:{name}' of step {step.name!r} names the step itself", "remove it", code="NB205")
            elif other is not None and other.first > step.first:
                message = f"step {step.name!r} has the tag 'prev:{name}', but step {name!r} begins further down, in cell {other.first}"
                self._refuse(cell, message, f"move step {step.name!r} below it; or remove the tag", code="NB125")
            elif other is not None:
                found.append(stage_name(name))
        return found

    def _defaults(self) -> dict[str, Setting]:
        """Read the tags that the notebook's metadata give to every step."""
        about = self.document.raw.get("metadata", {}).get(METADATA)
        tags = about.get("steps_defaults") if isinstance(about, dict) else None
        if not self.steps or not isinstance(tags, list):
            return {}
        read = cell_tags(tag for tag in tags if isinstance(tag, str))
        if read.problem is not None:
            cell = self.document.cells[next(iter(self.steps.values())).first]
            message, fix = read.problem
            self._refuse(cell, f"{message}, which the notebook's metadata give to every step", fix)
        return {setting.key: setting for setting in read.settings}

    # -- errors

    def _error(self, cell: Cell, message: str, fix: str, code: str) -> NotebookError:
        return NotebookError(message, code=code, notebook=self.document.shown, cell=cell.index, fix=fix)

    def _refuse(self, cell: Cell, message: str, fix: str, *, code: str = "NB120") -> None:
        self._put(cell, self._error(cell, message, fix, code))

    def _put(self, cell: Cell, error: NotebookError) -> None:
        found = self.cells.get(cell.index) or KaleCell(role="stage")
        self.cells[cell.index] = replace(found, error=found.error or error)


def _does_nothing(source: str) -> bool:
    """Tell whether a cell is empty, or only calls nbmlops' own magics."""
    try:
        tree = parse_code(source)
    except SyntaxError:
        return False
    return not tree.body or is_front_only(tree)


def _printed(tree: ast.Module) -> tuple[list[str], int | None]:
    """Return the names that a cell prints or shows, and the first line that does something else."""
    names: list[str] = []
    for node in tree.body:
        match node:
            case ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=[ast.Name(id=name)], keywords=[]) | ast.Name(id=name)):
                names.append(name)
            case _:
                return names, node.lineno
    return names, None
