"""What a stage changed that is neither a variable nor a file: its process takes it along, and a later cell would not see it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from nbmlops.dataclass import dataclass
from nbmlops.pipeline.effects import NO_EFFECTS, Effects
from nbmlops.pipeline.model import Diagnostic, Pipeline, Report, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DECIDING", "ModulesOf", "left_behind", "left_behind_warnings", "named"]

ModulesOf = Callable[["Stage | Report", Effects], set[str]]
_REPORT = "@report"

DECIDING = frozenset({"accessor", "module", "definition", "object", "process", "variable"})
"""The kinds that may change values; the others are told as warnings."""


@dataclass(frozen=True, slots=True)
class _Unit:
    """A stage or a report cell, which may see what another one left behind."""

    part: Stage | Report
    name: str
    cell: int
    label: str
    effects: Effects
    reports: bool


def left_behind(doer: Stage, seen: Effects, pipeline: Pipeline, effects: Mapping[str, Effects], modules_of: ModulesOf) -> dict[str, Diagnostic]:
    """Return the stages, and ``"@report"`` for the report cells, whose values may hang on what an earlier one left behind; each with what it is.

    Parameters
    ----------
    doer : Stage
        The stage that left it behind, or the report cells.
    seen : Effects
        What it was seen to do.
    pipeline : Pipeline
    effects : mapping of str to Effects
        What is known of every stage, and of the report cells under ``"@report"``.
    modules_of : callable
        Takes a stage or report cell and its effects, gives the paths of the project-local modules that it imports.
    """
    found: dict[str, Diagnostic] = {}
    for kind, subject, unless, cell, later in _changes(doer, seen, pipeline, effects):
        for unit in later:
            if unit.name not in found and _decides(kind, subject, unless, unit, pipeline, modules_of):
                found[unit.name] = _error(kind, subject, doer, cell, unit.label)
    return found


def left_behind_warnings(pipeline: Pipeline, effects: Mapping[str, Effects]) -> Iterator[Diagnostic]:
    """Yield what stages left behind that changes what a later cell shows, or that may do more and cannot be told."""
    for stage in pipeline.stages.values():
        for kind, subject, unless, cell, later in _changes(stage, effects.get(stage.name, NO_EFFECTS), pipeline, effects):
            seeing = [unit for unit in later if kind not in _NAMED or _may_meet(subject.partition(" ")[0], unit, pipeline)]
            if seeing and kind in _WARNINGS and not unless:
                code, message, fix = _WARNINGS[kind]
                message = message.format(stage=stage.name, subject=named(kind, subject), later=seeing[0].label)
                yield Diagnostic(code=code, severity="warning", message=message, fix=fix, cell=cell, stage=stage.name)


def _changes(
    doer: Stage, seen: Effects, pipeline: Pipeline, effects: Mapping[str, Effects]
) -> Iterator[tuple[str, str, Sequence[str], int, list[_Unit]]]:
    own = [step.cell for step in doer.steps if step.kind in {"stage", "report"}]
    reporting = doer.name == _REPORT
    for kind, subject, ordinal, *unless in seen.left_behind:
        cell = own[min(int(ordinal), len(own) - 1)]
        units = _units(pipeline, effects)
        # all report cells run in one process
        later = [unit for unit in units if unit.cell > cell and unit.name != doer.name and not (reporting and unit.reports)]
        yield kind, subject, unless, cell, later


def _units(pipeline: Pipeline, effects: Mapping[str, Effects]) -> Iterator[_Unit]:
    for name, stage in pipeline.stages.items():
        yield _Unit(stage, name, stage.cells[-1], f"stage {name!r}", effects.get(name, NO_EFFECTS), reports=False)
    for report in pipeline.reports:
        yield _Unit(report, _REPORT, report.cell, f"cell {report.cell}", effects.get(_REPORT, NO_EFFECTS), reports=True)


def _decides(kind: str, subject: str, unless: Sequence[str], unit: _Unit, pipeline: Pipeline, modules_of: ModulesOf) -> bool:
    """Tell whether a later cell's values may hang on a change."""
    if kind == "module":
        imported = modules_of(unit.part, unit.effects)
        return subject.partition(" ")[0] in imported and not imported.intersection(unless)
    if kind in {"accessor", "submodule"}:
        path, _, name = subject.rpartition(" ")
        if not _asks_for(name, unit.part):
            return False
        imported = modules_of(unit.part, unit.effects)
        return (not path or path in imported) and not imported.intersection(unless)
    if kind in {"definition", "object"}:
        return _uses_name(subject, unit, pipeline)
    if kind == "variable":
        static = {*getattr(unit.part, "environment", ()), *(name for position in unit.part.setup for name in pipeline.setup[position].environment)}
        return subject in static or subject in unit.effects.environment
    return kind == "process" and not unit.reports and not (unless and modules_of(unit.part, unit.effects).intersection(unless))


def _uses_name(name: str, unit: _Unit, pipeline: Pipeline) -> bool:
    return any(name == read.name for read in unit.part.reads) or any(name in pipeline.setup[position].names for position in unit.part.setup)


def _may_meet(name: str, unit: _Unit, pipeline: Pipeline) -> bool:
    """Tell whether a cell may use what has a name; what has one with a dot is a method, which is called on what other stages hand on, too."""
    owner, _, method = name.partition(".")
    if not method:
        return _uses_name(name, unit, pipeline)
    return _asks_for(method, unit.part) and (_uses_name(owner, unit, pipeline) or any(read.kind == "stage" for read in unit.part.reads))


def _asks_for(name: str, part: Stage | Report) -> bool:
    """Tell whether code names an attribute."""
    sources = [part.source] if isinstance(part, Report) else [step.source for step in part.steps]
    return any(re.search(rf"""\.\s*{name}\b|(["']){name}\1""", source) for source in sources)


def _error(kind: str, subject: str, doer: Stage, cell: int, reader: str) -> Diagnostic:
    who = f"cell {cell}" if doer.name == _REPORT else f"stage {doer.name!r}"
    code, why, fix = _ERRORS[kind]
    message = f"{who} changes {named(kind, subject)}, and {reader} {why}"
    return Diagnostic(code=code, severity="error", message=message, fix=fix, cell=cell, stage=None if doer.name == _REPORT else doer.name)


def named(kind: str, subject: str) -> str:
    """Return what was changed, in words."""
    if kind in {"module", "opaque", "submodule"}:
        path, _, name = subject.partition(" ")
        return f"{name!r} in {path}"
    if kind == "definition":
        return f"what {subject!r} holds (an attribute, a default argument or a closure)"
    if kind == "accessor":
        return f"the accessor {subject!r} of pandas"
    if kind == "object":
        return f"how far {subject!r} has been read, or what is in it"
    if kind == "lossy":
        name, _, what = subject.partition(" ")
        return f"{name!r}, of which {what}"
    return f"the environment variable {subject}" if kind == "variable" else subject


_ANEW = "uses it: every stage makes it anew, so that the change would be lost"
_MOVE = "move it to a cell with the tag setup"
_ERRORS = {
    "module": ("NB614", "uses that module: every stage imports it anew, so that the change would be lost",
               "hand the state on in a variable that the stage binds; for a cache, use functools.cache"),
    "submodule": ("NB614", "names it: every stage imports that package anew, and only what it imports itself is there",
                  "import that module where it is used"),
    "definition": ("NB614", _ANEW, "keep that state in a variable that the stage binds, or define it in a stage"),
    "object": ("NB614", _ANEW, "make it in the stage that uses it, or hand on what was read from it in a variable"),
    "variable": ("NB618", "reads it: every stage has a process of its own, so that the change would be lost", _MOVE),
    "accessor": ("NB618", "names it: every stage has a process of its own, where it is not registered", _MOVE),
    "process": ("NB618", "comes after it: every stage has a process of its own, so that the change would be lost", _MOVE),
}  # fmt: skip
_NAMED = frozenset({"cache", "iterator", "lossy"})
_SHOWN = ("NB210", "stage {stage!r} was seen to change {subject}, which no other stage and no report cell sees", _MOVE)
_WARNINGS = {
    "process": _SHOWN,
    "shown": _SHOWN,
    "variable": _SHOWN,
    "cache": (
        "NB323",
        "stage {stage!r} calls {subject}, which keeps what it returns; {later} gets a value of its own, without what was changed in this one",
        "leave what it returns as it is, or copy it: each stage has a cache of its own",
    ),
    "iterator": (
        "NB321",
        "stage {stage!r} uses {subject!r}, which does not tell how far it has been read; {later} begins where setup leaves it",
        "make it in the stage that uses it, or hand on what was read from it in a variable",
    ),
    "lossy": (
        "NB325",
        "stage {stage!r} hands on {subject} is another one once it is loaded: {later} gets what the class's __getstate__ or __reduce__ makes of it",
        "let it keep all that can be stored",
    ),
    "thread": (
        "NB672",
        "a thread of stage {stage!r}, in {subject}(), still runs when the stage ends and is ended there; {later} does not see what it would do",
        "wait for it at the end of the stage: thread.join()",
    ),
    "opaque": (
        "NB321",
        "stage {stage!r} uses {subject}, whose state cannot be compared; if the stage changes it, {later} does not see that",
        "hand on what a later cell needs in a variable",
    ),
}
