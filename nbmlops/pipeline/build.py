"""From a document to its pipeline: a pure function of the cells and of what earlier runs have taught."""

from __future__ import annotations

import ast
import fnmatch
import glob
import hashlib
import json
import posixpath
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.dataflow.flow import Flow, PathUse
from nbmlops.dataflow.linking import Link, Unit, UnitLinks, link
from nbmlops.dataflow.normalise import fingerprint
from nbmlops.dataflow.scopes import analyse
from nbmlops.notebook.directive import Directive
from nbmlops.notebook.roles import Role, RoledCell, assign_roles
from nbmlops.pipeline.checks import Findings, check_build, check_document
from nbmlops.pipeline.effects import NO_EFFECTS, Effects
from nbmlops.pipeline.model import Parameter, Pipeline, Read, Report, SetupStatement, Stage, Step
from nbmlops.pipeline.setup import Statement, postpones_annotations, read_parameters, statements, without_annotations

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.notebook.document import Document

__all__ = ["Source", "build", "read_source"]

_SETUP_ROLES = (Role.SETUP, Role.PARAMETERS, Role.INJECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of the document that linking sees as one unit."""

    cell: int
    role: Role
    flow: Flow
    stage: str | None = None
    statement: Statement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A document with everything that reading alone can tell: made once, linked as often as effects are learnt."""

    document: Document
    cells: tuple[RoledCell, ...]
    pieces: tuple[Piece, ...]
    parameters: Mapping[str, Parameter]
    stages: Mapping[str, tuple[RoledCell, ...]]
    codes: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)


def read_source(document: Document) -> Source:
    """Read every cell of a document: roles, directives, what each defines and reads."""
    cells = assign_roles(document)
    pieces: list[Piece] = []
    stages: dict[str, list[RoledCell]] = {}
    postponed = False
    for roled in cells:
        postponed = postponed or (roled.tree is not None and postpones_annotations(roled.tree))
        if roled.role in _SETUP_ROLES:
            pieces += [
                Piece(cell=roled.cell.index, role=roled.role, flow=item.flow, statement=item) for item in statements(roled, postponed=postponed)
            ]
        elif roled.role is Role.STAGE and roled.stage and roled.directive:
            stages.setdefault(roled.stage, []).append(roled)
            pieces.append(Piece(cell=roled.cell.index, role=roled.role, flow=_flow(roled, postponed=postponed), stage=roled.stage))
        elif roled.role is Role.REPORT:
            pieces.append(Piece(cell=roled.cell.index, role=roled.role, flow=_flow(roled, postponed=postponed)))
    return Source(
        document=document,
        cells=cells,
        pieces=tuple(pieces),
        parameters=read_parameters(cells),
        stages={name: tuple(members) for name, members in stages.items()},
        codes={name: _code(members) for name, members in stages.items()},
    )


def build(source: Source, parameters: Mapping[str, Any] | None = None, effects: Mapping[str, Effects] | None = None) -> Pipeline:
    """Link a document's cells into a pipeline.

    Parameters
    ----------
    source : Source
    parameters : mapping of str to object, optional
        Values that override the defaults; paths that the code names may be made of them.
    effects : mapping of str to Effects, optional
        What running each stage has taught, by stage name.

    Returns
    -------
    Pipeline
        With every diagnostic; one of severity error means that it must not be run.
    """
    linked = _Linked(source, parameters or {}, effects or {})
    setup = tuple(linked.setup_statement(position) for position in linked.setup_positions)
    stages = _with_file_edges({name: linked.stage(name) for name in source.stages}, linked.effects)
    reports = tuple(linked.report(position) for position, piece in enumerate(source.pieces) if piece.role is Role.REPORT)
    findings = Findings()
    check_document(findings, source.document, source.cells)
    pipeline = Pipeline(
        stages=stages,
        parameters=source.parameters,
        setup=setup,
        setup_steps=linked.setup_steps(),
        reports=reports,
    )
    check_build(findings, pipeline, linked.unit_links, source.pieces, linked.effects)
    return Pipeline(
        stages=stages,
        parameters=source.parameters,
        setup=setup,
        setup_steps=pipeline.setup_steps,
        reports=reports,
        diagnostics=findings.sorted(),
    )


class _Linked:
    """The links of a source under given effects, and what is read off them."""

    def __init__(self, source: Source, parameters: Mapping[str, Any], effects: Mapping[str, Effects]) -> None:
        self.source = source
        self.effects = effects
        self.literals = _literals(source, parameters)
        self.units = [self._unit(position, piece) for position, piece in enumerate(source.pieces)]
        self.unit_links: tuple[UnitLinks, ...] = link(self.units)
        self.setup_positions = [position for position, piece in enumerate(source.pieces) if piece.statement is not None]
        self._setup_index = {position: index for index, position in enumerate(self.setup_positions)}
        self._readers: dict[int | None, list[tuple[int, Link]]] = {}
        for reader, links in enumerate(self.unit_links):
            for item in links.links:
                if item.provider is not None:
                    self._readers.setdefault(item.provider, []).append((reader, item))
        self._read_later = self._names_read_later()

    def setup_statement(self, position: int) -> SetupStatement:
        piece, links = self.source.pieces[position], self.unit_links[position]
        statement = piece.statement
        assert statement is not None  # noqa: S101 - only setup positions come here
        uses = {self._setup_index[item.provider] for item in links.links if item.provider in self._setup_index}
        return SetupStatement(
            cell=piece.cell,
            line=statement.line,
            names=links.writes,
            fingerprint=statement.fingerprint,
            literals=statement.literals,
            uses=tuple(sorted(uses)),
            configures=statement.configures or bool(links.patches),
            modules=tuple(sorted({*piece.flow.modules, *piece.flow.star_imports})),
            environment=tuple(sorted(piece.flow.environment)),
            defines_code=statement.defines_code,
            free=tuple(sorted({name for names in piece.flow.carried.values() for name in names})),
        )

    def stage(self, name: str) -> Stage:
        members = self.source.stages[name]
        cells = tuple(roled.cell.index for roled in members)
        positions = [position for position, piece in enumerate(self.source.pieces) if piece.stage == name]
        directive = members[0].directive or Directive(name=name)
        code, fingerprints = self.source.codes[name]
        flows = [self.source.pieces[position].flow for position in positions]
        learnt = self.effects.get(name, NO_EFFECTS)
        binds = tuple(sorted({bound for position in positions for bound in self.unit_links[position].writes}))
        return Stage(
            name=name,
            cells=cells,
            directive=directive,
            code=code,
            fingerprints=fingerprints,
            reads=self._reads(positions, name),
            wants=self._wants(positions, name, directive),
            binds=binds,
            later=tuple(sorted(self._read_later.get(positions[-1], frozenset()))),
            unprovided=tuple(
                sorted(
                    {
                        item.name
                        for position in positions
                        for item in self.unit_links[position].links
                        if item.provider is None or item.hidden_by is not None
                    }
                )
            ),
            after=tuple(other for other in directive.after if other in self.source.stages and other != name),
            setup=self._setup_closure(positions),
            steps=self._steps(members),
            modules=tuple(sorted({module for flow in flows for module in (*flow.modules, *flow.star_imports)})),
            environment=tuple(sorted({*directive.env, *(variable for flow in flows for variable in flow.environment)})),
            files_read=self._paths((use for flow in flows for use in flow.files_read), directive.files, ()),
            files_written=tuple(
                sorted(
                    {
                        *self._paths((use for flow in flows for use in flow.files_written), (), directive.writes),
                        *learnt.files_written,
                        *(path for path, _ in learnt.files_removed),
                    }
                )
            ),
        )

    def report(self, position: int) -> Report:
        piece = self.source.pieces[position]
        roled = self.source.cells[piece.cell]
        return Report(
            cell=piece.cell,
            source=roled.body,
            code=fingerprint(roled.tree) if roled.tree is not None else "",
            reads=self._reads([position], None),
            setup=self._setup_closure([position]),
            modules=tuple(sorted(piece.flow.modules)),
            follows=self._follows(position),
            guards=self._guards(position),
        )

    def _guards(self, position: int) -> tuple[str, ...]:
        """Return the artifacts that a report cell reads and that a stage after it reads in the same version."""
        return tuple(
            sorted(
                {
                    item.name
                    for item in self.unit_links[position].links
                    for reader, other in self._readers.get(item.provider, ())
                    if other.name == item.name and reader > position and self.source.pieces[reader].stage is not None
                }
            )
        )

    def _follows(self, position: int) -> tuple[int, ...]:
        """Return the report cells whose names a report cell reads."""
        providers = [self.source.pieces[item.provider] for item in self.unit_links[position].links if item.provider not in {None, position}]
        return tuple(sorted({piece.cell for piece in providers if piece.role is Role.REPORT}))

    def setup_steps(self) -> tuple[Step, ...]:
        return tuple(_step(roled) for roled in self.source.cells if roled.role in _SETUP_ROLES)

    def _unit(self, position: int, piece: Piece) -> Unit:
        key = f"{piece.cell}:{position}"
        if piece.stage is None:
            return Unit(key=key, flow=piece.flow, reports=piece.role is Role.REPORT, shared=piece.statement is not None)
        members = self.source.stages[piece.stage]
        directive = members[0].directive or Directive(name=piece.stage)
        learnt = self.effects.get(piece.stage, NO_EFFECTS)
        first, last = piece.cell == members[0].cell.index, piece.cell == members[-1].cell.index
        handed_on = {*learnt.writes, *learnt.mutated, *(name for names in learnt.aliases for name in names)}
        return Unit(
            key=key,
            flow=piece.flow,
            extra_reads=learnt.reads if first else (),
            extra_writes=tuple(sorted(handed_on)) if last else (),
            reads_override=directive.ins if first else None,
            writes_override=directive.outs,
        )

    def _reads(self, positions: Iterable[int], stage: str | None) -> tuple[Read, ...]:
        """Collect what the units at `positions` take from outside their stage, bundle mates included."""
        found: dict[str, Read] = {}
        for position in positions:
            for item in self.unit_links[position].links:
                read = self._read(item)
                if read is not None and (read.kind != "stage" or read.provider != stage):
                    found.setdefault(read.name, read)
        for read in [read for read in found.values() if read.kind == "stage"]:
            for mates in self.effects.get(read.provider, NO_EFFECTS).aliases:
                if read.name in mates:
                    for mate in self._kept_mates(read.provider, mates):
                        how = f"shares state with {read.name}"
                        found.setdefault(mate, Read(name=mate, kind="stage", provider=read.provider, cell=read.cell, how=how))
        return tuple(found[name] for name in sorted(found))

    def _read(self, item: Link) -> Read | None:
        if item.provider is None:
            return None
        piece = self.source.pieces[item.provider]
        if piece.stage is not None:
            return Read(name=item.name, kind="stage", provider=piece.stage, cell=piece.cell, how=item.how)
        if piece.role is Role.REPORT:
            return None
        if item.name in self.source.parameters and piece.role in {Role.PARAMETERS, Role.INJECTED}:
            return Read(name=item.name, kind="parameter", provider="parameters", cell=piece.cell, how=item.how)
        return Read(name=item.name, kind="setup", provider="setup", cell=piece.cell, how=item.how)

    def _wants(self, positions: list[int], stage: str, directive: Directive) -> tuple[str, ...]:
        wanted = {*(directive.outs or ()), *directive.metrics}
        for position in positions:
            for reader, item in self._readers.get(position, ()):
                if self.source.pieces[reader].stage != stage:
                    wanted.add(item.name)
        aliases = self.effects.get(stage, NO_EFFECTS).aliases
        wanted.update(name for names in aliases if wanted.intersection(names) for name in self._kept_mates(stage, names))
        return tuple(sorted(wanted))

    def _kept_mates(self, stage: str, names: tuple[str, ...]) -> list[str]:
        """Return the names of an alias set that a later cell reads: the others need not be kept."""
        last = max(position for position, piece in enumerate(self.source.pieces) if piece.stage == stage)
        return [name for name in names if name in self._read_later.get(last, frozenset())]

    def _setup_closure(self, positions: Iterable[int]) -> tuple[int, ...]:
        """Collect the setup statements that the units use, transitively, and those that configure the process before them."""
        positions = list(positions)
        last = positions[-1]
        queue = [item.provider for position in positions for item in self.unit_links[position].links if item.provider in self._setup_index]
        queue += [
            position
            for position in self.setup_positions
            if position < last
            and ((statement := self.source.pieces[position].statement) and (statement.configures or self.unit_links[position].patches))
        ]
        found: set[int] = set()
        while queue:
            position = queue.pop()
            if position in found:
                continue
            found.add(position)
            queue += [item.provider for item in self.unit_links[position].links if item.provider in self._setup_index]
        return tuple(sorted(self._setup_index[position] for position in found))

    def _steps(self, members: tuple[RoledCell, ...]) -> tuple[Step, ...]:
        own, last = {roled.cell.index for roled in members}, members[-1].cell.index
        return tuple(
            _step(roled) for roled in self.source.cells if roled.cell.index <= last and (roled.role in _SETUP_ROLES or roled.cell.index in own)
        )

    def _paths(self, uses: Iterable[PathUse], declared: Iterable[str], seen: Iterable[str]) -> tuple[str, ...]:
        """Resolve the paths that code names, and add those declared and those seen."""
        folder = self.source.document.path.parent if self.source.document.path else Path()
        found: set[str] = set(seen)
        for use in uses:
            values = [self.literals.get(part.id) if isinstance(part, ast.Name) else part for part in use.parts]
            texts = [value for value in values if isinstance(value, str)]
            if len(texts) == len(values) and "://" not in "".join(texts):
                found.add("".join(texts))
        for pattern in declared:
            # `Path.glob` would give paths below the folder, and files that begin with a dot
            matches = glob.glob(pattern, root_dir=folder, recursive=True) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207
            found.update((pattern, *matches))  # the pattern too: what it is to match may not be written yet
        return tuple(sorted(posixpath.normpath(path) for path in found if path))

    def _names_read_later(self) -> dict[int, frozenset[str]]:
        """For each position, the names that any later unit of another stage takes from outside."""
        later: dict[int, frozenset[str]] = {}
        names: set[str] = set()
        for position in range(len(self.source.pieces) - 1, -1, -1):
            later[position] = frozenset(names)
            names.update(item.name for item in self.unit_links[position].links)
        return later


def _literals(source: Source, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names that setup sets to one literal and to nothing else, with the value that holds in this run."""
    values: dict[str, Any] = {}
    times: dict[str, int] = {}
    for piece in source.pieces:
        if piece.statement is not None:
            for name in piece.flow.binds:
                times[name] = times.get(name, 0) + (piece.role is not Role.INJECTED)
            values.update(piece.statement.literals)
    single = {name: value for name, value in values.items() if times[name] <= 1}
    return {**single, **parameters}


def _with_file_edges(stages: dict[str, Stage], effects: Mapping[str, Effects]) -> dict[str, Stage]:
    """Keep the document's order among the stages that read or write one file.

    A reader takes the file from the last stage before it that writes it; a writer waits for those that read or wrote it before.
    """
    writers: dict[str, str] = {}
    users: dict[str, list[str]] = {}
    found: dict[str, Stage] = {}
    for stage in stages.values():
        learnt = effects.get(stage.name, NO_EFFECTS)
        read = {*stage.files_read, *learnt.files_read, *learnt.files_absent}
        sources = {path: writers[path] for path in sorted(read) if path in writers}
        before = [user for path in stage.files_written for user in users.get(path.rstrip("/"), ())]
        before += [writer for written, writer in writers.items() for item in read if _covers(item, written)]
        after = tuple(dict.fromkeys((*stage.after, *before)))
        found[stage.name] = replace(stage, files_from=sources, after=after)
        writers.update(dict.fromkeys(stage.files_written, stage.name))
        for path in {*read, *stage.files_written}:
            users.setdefault(path.rstrip("/"), []).append(stage.name)
    return found


def _covers(item: str, path: str) -> bool:
    """Tell whether something that is read, a folder or a pattern, holds a path."""
    return item == "." or path.startswith(f"{item}/") or (glob.has_magic(item) and fnmatch.fnmatch(path, item))


def _flow(roled: RoledCell, *, postponed: bool) -> Flow:
    if roled.tree is None:
        return Flow()
    return analyse(without_annotations(roled.tree) if postponed else roled.tree)


def _step(roled: RoledCell) -> Step:
    if roled.role is Role.STAGE:
        return Step(kind="stage", cell=roled.cell.index, source=roled.body)
    kind = "setup" if roled.role is Role.SETUP else "parameters"
    return Step(kind=kind, cell=roled.cell.index, source=roled.body)  # type: ignore[arg-type]


def _code(members: list[RoledCell]) -> tuple[str, tuple[str, ...]]:
    """Return the digest of a stage's cells and result options, and of each cell."""
    prints = tuple(fingerprint(roled.tree) if roled.tree is not None else "" for roled in members)
    options = members[0].directive.result_options() if members[0].directive else {}
    text = json.dumps([prints, options], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), prints
