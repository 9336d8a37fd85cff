"""The nouns of a pipeline as frozen data: what `graph` shows, what a target compiles, what a plan is made from."""

from __future__ import annotations

import heapq
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from nbmlops.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmlops.notebook.directive import Directive

__all__ = [
    "Diagnostic",
    "FileUse",
    "Parameter",
    "Pipeline",
    "Read",
    "Report",
    "SetupStatement",
    "Stage",
    "Step",
]

Severity = Literal["error", "warning", "info"]
ReadKind = Literal["stage", "parameter", "setup"]
StepKind = Literal["setup", "parameters", "stage", "report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """Something that `check` has to say about one place of the notebook."""

    code: str
    severity: Severity
    message: str
    fix: str
    cell: int | None = None
    line: int | None = None
    stage: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the diagnostic as the CLI contract gives it."""
        return {
            "code": self.code,
            "severity": self.severity,
            "cell": self.cell,
            "line": self.line,
            "stage": self.stage,
            "message": self.message,
            "fix": self.fix,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A name assigned in the `parameters` cell.

    Parameters
    ----------
    name : str
    type : str
        The type of the default, such as ``"float"``; ``"expression"`` where the default is no literal.
    default : object
        The default, or None where it is no literal (see `literal`).
    literal : bool
        Whether `default` is known without running anything.
    help : str
        The comment at the end of its line.
    cell, line : int
        Where it is assigned; the cell from 0, the line from 1.
    """

    name: str
    type: str
    default: Any
    literal: bool
    help: str
    cell: int
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupStatement:
    """One top-level statement of a setup or parameters cell, the grain in which stages use setup.

    Parameters
    ----------
    cell, line : int
    names : tuple of str
        What it binds or changes.
    fingerprint : str
        Digest of its normalised source.
    literals : mapping of str to object
        The names whose value is a literal, with that value: they enter a key by value and type, not by source.
    uses : tuple of int
        Positions, in `Pipeline.setup`, of the statements whose names it reads.
    configures : bool
        Whether it is run for what it does to the process rather than for a name.
    modules : tuple of str
        Dotted names of the modules that it imports.
    environment : tuple of str
        Variables of the environment that it reads.
    defines_code : bool
        Whether it is a function or a class: then artifacts refer to it by name.
    free : tuple of str
        Global names that the code it defines reads when it runs, wherever that is.
    early : bool
        Whether it runs before every other cell, wherever it stands, as Kale's blocks do.
    """

    cell: int
    line: int
    names: tuple[str, ...]
    fingerprint: str
    literals: Mapping[str, Any]
    uses: tuple[int, ...]
    configures: bool
    modules: tuple[str, ...]
    environment: tuple[str, ...] = ()
    defines_code: bool = False
    free: tuple[str, ...] = ()
    early: bool = False

    @property
    def place(self) -> int:
        """Where in the document it runs."""
        return -1 if self.early else self.cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One name that a stage reads, and who provides it.

    Parameters
    ----------
    name : str
    kind : {"stage", "parameter", "setup"}
    provider : str
        The stage's name, or ``"parameters"``, or ``"setup"``.
    cell : int
        The providing cell.
    how : str
        How it was inferred: ``"name"``, ``"free name of clean"``, ``"--in"``, ``"learnt, seen in run 1a2b3c4d"``; then, where the provider
        hands on what it did not make, ``"; changed in place by clean, seen in run 1a2b3c4d"``.
    """

    name: str
    kind: ReadKind
    provider: str
    cell: int
    how: str

    @property
    def told(self) -> str:
        """How it was inferred, in words."""
        return f"named in its code{self.how.removeprefix('name')}" if self.how == "name" or self.how.startswith("name;") else self.how

    def to_json(self) -> dict[str, Any]:
        """Return the read as the CLI contract gives it."""
        return {"name": self.name, "from": self.provider, "cell": self.cell, "how": self.how}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUse:
    """One file that a stage reads or writes.

    Parameters
    ----------
    path : str
        Relative to the notebook's folder.
    kind : {"read", "write"}
    provider : str or None
        Of a file that is read, the stage that writes it.
    how : str
        How it is known: ``"named in its code"``, ``"--file"``, ``"seen in run 1a2b3c4d"``.
    """

    path: str
    kind: Literal["read", "write"]
    provider: str | None
    how: str

    def to_json(self) -> dict[str, Any]:
        """Return the use as `graph` gives it."""
        return {"path": self.path, "from": self.provider, "how": self.how} if self.kind == "read" else {"path": self.path, "how": self.how}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One cell that a process runs, in document order.

    Parameters
    ----------
    kind : {"setup", "parameters", "stage", "report"}
    cell : int
    source : str
    guards : tuple of str
        What the cell must leave as it is. Of a report cell: the artifacts that it reads and that a stage after it reads too. Of a cell of
        a stage: what a cell above it that is no part of the stage reads of the stage's earlier cells.
    elsewhere : tuple of str
        Of a setup cell that is to run: the names that stages above it have made, whose values it has not.
    spoiled : tuple of str
        Of a report cell that is to run: the files that stages below it have written, which it would find as they are now.
    early : bool
        As of a `SetupStatement`.
    """

    kind: StepKind
    cell: int
    source: str
    guards: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    spoiled: tuple[str, ...] = ()
    early: bool = False

    @property
    def place(self) -> int:
        """Where in the document it runs."""
        return -1 if self.early else self.cell


@dataclass(frozen=True, kw_only=True)  # without slots: what is derived is asked for after every stage that runs, and kept
class Stage:
    """One unit of work.

    Parameters
    ----------
    name : str
    cells : tuple of int
        Its cells, in document order.
    directive : Directive
        Its options.
    code : str
        Digest of the normalised source of its cells and of the options that change the result.
    fingerprints : tuple of str
        Digest of the normalised source of each of its cells.
    reads : tuple of Read
        Inputs of every kind.
    wants : tuple of str
        The bound names that a later cell reads, or that ``--out``, ``--metrics`` and gates on ``rows.NAME`` name: what a record must hold.
    binds : tuple of str
        Every name that it binds.
    later : tuple of str
        Names read by any later cell outside this stage: an input changed in place is handed on only if it is among them.
    unprovided : tuple of str
        Names that it reads and that no setup cell and no stage provides: errors in batch, unknown values in a kernel.
    setup : tuple of int
        Positions in `Pipeline.setup` of the statements that it uses, transitively, and of those that configure the process before it.
    steps : tuple of Step
        The cells that its process runs: setup and parameters before it, and its own.
    modules, environment : tuple of str
        Imported modules and variables of the environment that its own code names.
    files_read : tuple of str
        Paths that its code names or its options declare, relative to the notebook's folder.
    files_written : tuple of str
        Likewise, and those that it was seen to write.
    files_from : mapping of str to str
        Of the files that it reads or was seen to read, those that an earlier stage writes, with that stage.
    order : mapping of str to tuple of str
        Stages that must run first, other than for what they hand on, with the reasons.
    files : tuple of FileUse
        Every file that it reads or writes, as far as is known, and how that is known.
    """

    name: str
    cells: tuple[int, ...]
    directive: Directive
    code: str
    fingerprints: tuple[str, ...]
    reads: tuple[Read, ...]
    wants: tuple[str, ...]
    binds: tuple[str, ...]
    later: tuple[str, ...]
    setup: tuple[int, ...]
    steps: tuple[Step, ...]
    modules: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    files_read: tuple[str, ...] = ()
    files_written: tuple[str, ...] = ()
    files_from: Mapping[str, str] = field(default_factory=dict)
    unprovided: tuple[str, ...] = ()
    order: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: tuple[FileUse, ...] = ()

    @property
    def after(self) -> tuple[str, ...]:
        """Stages that must run first without handing anything on."""
        return tuple(self.order)

    @cached_property
    def inputs(self) -> Mapping[str, str]:
        """Name of each input artifact, to the stage that provides it."""
        return {read.name: read.provider for read in self.reads if read.kind == "stage"}

    @cached_property
    def upstream(self) -> tuple[str, ...]:
        """The stages that this one waits for, each once."""
        return tuple(dict.fromkeys((*self.inputs.values(), *self.files_from.values(), *self.after)))

    def to_json(self) -> dict[str, Any]:
        """Return the stage as the CLI contract's `graph` gives it."""
        return {
            "name": self.name,
            "cells": list(self.cells),
            "reads": [read.to_json() for read in self.reads],
            "writes": list(self.wants),
            "after": list(self.after),
            "files": {
                "read": [use.to_json() for use in self.files if use.kind == "read"],
                "written": [use.to_json() for use in self.files if use.kind == "write"],
            },
            "options": self.directive.given_options(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report cell: it shows things and feeds no stage.

    Parameters
    ----------
    cell : int
    source : str
    code : str
        Digest of its normalised source.
    reads : tuple of Read
        What it reads from stages, setup and parameters.
    follows : tuple of int
        The report cells whose names it reads.
    setup : tuple of int
        As of a `Stage`.
    modules : tuple of str
    guards : tuple of str
        As of a `Step`.
    """

    cell: int
    source: str
    code: str
    reads: tuple[Read, ...]
    setup: tuple[int, ...]
    modules: tuple[str, ...] = ()
    follows: tuple[int, ...] = ()
    guards: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)  # without slots, as a stage
class Pipeline:
    """The DAG of stages that a notebook describes.

    Parameters
    ----------
    stages : mapping of str to Stage
        In document order.
    parameters : mapping of str to Parameter
    setup : tuple of SetupStatement
        In document order, the parameters' included.
    setup_steps : tuple of Step
        Every setup and parameters cell.
    reports : tuple of Report
    diagnostics : tuple of Diagnostic
    """

    stages: Mapping[str, Stage]
    parameters: Mapping[str, Parameter]
    setup: tuple[SetupStatement, ...]
    setup_steps: tuple[Step, ...] = ()
    reports: tuple[Report, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Every pair (upstream, downstream), in document order of the downstream stage."""
        return tuple((upstream, stage.name) for stage in self.stages.values() for upstream in stage.upstream)

    def reasons(self, upstream: str, stage: str) -> tuple[str, ...]:
        """Say why a stage waits for another: what it gets from it and how that is known, and what else orders them."""
        waiting = self.stages[stage]
        why = [f"{read.name}: {read.told}" for read in waiting.reads if read.kind == "stage" and read.provider == upstream]
        why += [f"{use.path}: file, {use.how}" for use in waiting.files if use.provider == upstream]
        return (*why, *waiting.order.get(upstream, ()))

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that stop a run before anything runs."""
        return tuple(item for item in self.diagnostics if item.severity == "error")

    @cached_property
    def written_files(self) -> frozenset[str]:
        """The paths that any stage writes, as far as is known."""
        return frozenset(path for stage in self.stages.values() for path in stage.files_written)

    @cached_property
    def by_reference(self) -> tuple[str, ...]:
        """The functions and classes that every process gets from setup: not those that a stage binds anew or changes."""
        defined = {name for statement in self.setup if statement.defines_code for name in statement.names}
        return tuple(sorted(defined - {name for stage in self.stages.values() for name in stage.binds}))

    @cached_property
    def importing(self) -> tuple[int, ...]:
        """Positions, in `setup`, of the statements that import a module."""
        return tuple(position for position, item in enumerate(self.setup) if item.modules)

    def imports_of(self, part: Stage | Report) -> set[str]:
        """Return the dotted names of the modules that a stage or report cell imports, and the setup that it uses."""
        return {*part.modules, *(module for position in part.setup for module in self.setup[position].modules)}

    @cached_property
    def lacking(self) -> Mapping[int, tuple[str, ...]]:
        """For each setup cell, the names whose value, at its place, is one that a stage has made: a process that runs it has not got them."""
        makers = [(cell, name, True) for stage in self.stages.values() for cell in stage.cells for name in stage.binds]
        makers += [(item.place, name, False) for item in self.setup for name in item.names]
        makers.sort()
        made: set[str] = set()
        found: dict[int, tuple[str, ...]] = {}
        position = 0
        for step in sorted(self.setup_steps, key=lambda step: step.place):
            while position < len(makers) and makers[position][0] < step.place:
                _, name, by_stage = makers[position]
                (made.add if by_stage else made.discard)(name)
                position += 1
            found[step.cell] = tuple(sorted(made))
        return found

    def written_below(self, cell: int) -> tuple[str, ...]:
        """Return the files and folders that stages below a cell write, as far as is known."""
        return tuple(sorted({path for stage in self.stages.values() if stage.cells[0] > cell for path in stage.files_written}))

    @cached_property
    def topological(self) -> tuple[Stage, ...]:
        """The stages so that each stands after those it waits for; document order among equals.

        Stages on a cycle are left out: a diagnostic of severity error names them.
        """
        names = list(self.stages)
        waits = {stage.name: len(stage.upstream) for stage in self.stages.values()}
        followers: dict[str, list[int]] = {name: [] for name in names}
        for position, stage in enumerate(self.stages.values()):
            for upstream in stage.upstream:
                followers[upstream].append(position)
        ready = [position for position, name in enumerate(names) if not waits[name]]
        order: list[Stage] = []
        while ready:
            name = names[heapq.heappop(ready)]
            order.append(self.stages[name])
            for position in followers[name]:
                waits[names[position]] -= 1
                if not waits[names[position]]:
                    heapq.heappush(ready, position)
        return tuple(order)

    def downstream(self, name: str) -> set[str]:
        """Names of the stages that hang on `name`, directly or not."""
        found: set[str] = set()
        for stage in self.topological:
            if any(upstream == name or upstream in found for upstream in stage.upstream):
                found.add(stage.name)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the pipeline as the CLI contract's `graph` gives it."""
        return {
            "parameters": [{"name": item.name, "type": item.type, "default": item.default, "help": item.help} for item in self.parameters.values()],
            "stages": [stage.to_json() for stage in self.stages.values()],
            "edges": [list(edge) for edge in self.edges],
            "reasons": [{"from": upstream, "to": name, "why": list(self.reasons(upstream, name))} for upstream, name in self.edges],
            "diagnostics": [item.to_json() for item in self.diagnostics],
        }
