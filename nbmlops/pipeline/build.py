"""From a document to its pipeline: a pure function of the cells and of what earlier runs have taught."""

from __future__ import annotations

import ast
import glob
import hashlib
import json
import posixpath
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.dataflow.flow import Flow, PathUse
from nbmlops.dataflow.linking import Link, Unit, UnitLinks, link
from nbmlops.dataflow.localtime import time_zone_variables
from nbmlops.dataflow.normalise import fingerprint
from nbmlops.dataflow.scopes import analyse
from nbmlops.dataflow.stars import Stars
from nbmlops.notebook.directive import Directive
from nbmlops.notebook.roles import Role, RoledCell, assign_roles
from nbmlops.pipeline.between import held_names
from nbmlops.pipeline.checks import Checked, Sites, diagnose, find_sites
from nbmlops.pipeline.effects import ALL_NAMES, NO_EFFECTS, Effects
from nbmlops.pipeline.files import literal_values, with_file_edges
from nbmlops.pipeline.kale import KaleOrder, kale_order
from nbmlops.pipeline.model import Parameter, Pipeline, Read, Report, SetupStatement, Stage, Step
from nbmlops.pipeline.setup import Statement, postpones_annotations, read_parameters, statements, with_acts, without_annotations

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nbmlops.notebook.document import Document
    from nbmlops.notebook.kale import Prelude

__all__ = ["Piece", "Source", "build", "read_source"]

_SETUP_ROLES = (Role.SETUP, Role.PARAMETERS, Role.INJECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of the document that linking sees as one unit."""

    cell: int
    role: Role
    flow: Flow
    stage: str | None = None
    statement: Statement | None = None
    prelude: Prelude | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A document with everything that reading alone can tell: made once, linked as often as effects are learnt."""

    document: Document
    cells: tuple[RoledCell, ...]
    pieces: tuple[Piece, ...]
    parameters: Mapping[str, Parameter]
    stages: Mapping[str, tuple[RoledCell, ...]]
    sites: tuple[Sites, ...] = ()
    codes: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    order: KaleOrder | None = None


def read_source(document: Document) -> Source:
    """Read every cell of a document: roles, directives, what each defines and reads."""
    cells = assign_roles(document)
    pieces: list[Piece] = []
    stages: dict[str, list[RoledCell]] = {}
    postponed = False
    stars = Stars((document.path.parent if document.path else Path()).resolve(), analyse)
    for roled in cells:
        postponed = postponed or (roled.tree is not None and postpones_annotations(roled.tree))
        if roled.role in _SETUP_ROLES:
            made = statements(roled, postponed=postponed, stars=stars)
            pieces += [Piece(cell=roled.cell.index, role=roled.role, flow=item.flow, statement=item, prelude=roled.prelude) for item in made]
        elif roled.role is Role.STAGE and roled.stage and roled.directive:
            stages.setdefault(roled.stage, []).append(roled)
            pieces.append(Piece(cell=roled.cell.index, role=roled.role, flow=_flow(roled, stars, postponed=postponed), stage=roled.stage))
        elif roled.role is Role.REPORT:
            pieces.append(Piece(cell=roled.cell.index, role=roled.role, flow=_flow(roled, stars, postponed=postponed)))
    pieces = _with_acts(pieces, cells)
    order = kale_order(pieces)
    if order is not None:
        pieces = [pieces[position] for position in order.positions]
    return Source(
        document=document,
        cells=cells,
        pieces=tuple(pieces),
        parameters=read_parameters(cells),
        stages={name: tuple(members) for name, members in stages.items()},
        sites=find_sites(cells, pieces),
        codes={name: _code(members) for name, members in stages.items()},
        order=order,
    )


def _with_acts(pieces: list[Piece], cells: tuple[RoledCell, ...]) -> list[Piece]:
    setup = [piece.statement for piece in pieces if piece.statement is not None]
    marked = iter(with_acts(setup, (roled.tree for roled in cells if roled.tree is not None)))
    return [piece if piece.statement is None else replace(piece, statement=next(marked)) for piece in pieces]


def build(
    source: Source,
    parameters: Mapping[str, Any] | None = None,
    effects: Mapping[str, Effects] | None = None,
    runs: Mapping[str, str] | None = None,
) -> Pipeline:
    """Link a document's cells into a pipeline.

    Parameters
    ----------
    source : Source
    parameters : mapping of str to object, optional
        Values that override the defaults; paths that the code names may be made of them.
    effects : mapping of str to Effects, optional
        What running each stage has taught, by stage name.
    runs : mapping of str to str, optional
        In which run it was seen, where that is known: for telling only.

    Returns
    -------
    Pipeline
        With every diagnostic; one of severity error means that it must not be run.
    """
    linked = _Linked(source, parameters or {}, effects or {}, runs or {})
    setup = tuple(linked.setup_statement(position) for position in linked.setup_positions)
    stages = with_file_edges({name: linked.stage(name) for name in source.stages}, linked.effects, linked.runs)
    reports = tuple(linked.report(position) for position, piece in enumerate(source.pieces) if piece.role is Role.REPORT)
    pipeline = Pipeline(
        stages=stages,
        parameters=source.parameters,
        setup=setup,
        setup_steps=linked.setup_steps(),
        reports=reports,
    )
    checked = Checked(
        document=source.document,
        cells=source.cells,
        pieces=source.pieces,
        links=linked.unit_links,
        pipeline=pipeline,
        effects=linked.effects,
        sites=source.sites,
        constants=linked.literals,
        own_functions=linked.own_functions,
        parameters=parameters or {},
        conflicts=source.order.conflicts if source.order else (),
    )
    return replace(pipeline, diagnostics=diagnose(checked))


class _Linked:
    """The links of a source under given effects, and what is read off them."""

    def __init__(self, source: Source, parameters: Mapping[str, Any], effects: Mapping[str, Effects], runs: Mapping[str, str]) -> None:
        self.source = source
        self.effects = effects
        self.runs = runs
        self.literals = literal_values(source.pieces, parameters)
        self._bound = {(piece.stage, name) for piece in source.pieces if piece.stage for name in piece.flow.binds}
        self.own_functions = frozenset(name for piece in source.pieces for name in piece.flow.binds if name not in piece.flow.imports)
        self.units = [self._unit(position, piece) for position, piece in enumerate(source.pieces)]
        self.unit_links: tuple[UnitLinks, ...] = link(self.units)
        self.held = held_names(source.pieces, self.unit_links)
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
            early=self._is_early(piece.prelude),
            fingerprint=statement.fingerprint,
            literals=statement.literals,
            uses=tuple(sorted(uses)),
            configures=self._configures(position),
            modules=tuple(sorted({*piece.flow.modules, *piece.flow.star_imports})),
            environment=tuple(sorted({*piece.flow.environment, *time_zone_variables(statement.tree)})),
            defines_code=statement.defines_code,
            free=tuple(sorted({name for names in piece.flow.carried.values() for name in names})),
        )

    def _configures(self, position: int) -> bool:
        """Tell whether every later stage depends on a setup statement: it changes what belongs to the process, or nobody uses what its call gives."""
        piece = self.source.pieces[position]
        if piece.statement is None or piece.statement.configures or self.unit_links[position].patches:
            return piece.statement is not None
        return piece.statement.calls and "setup" in self.source.cells[piece.cell].cell.tags and not self._readers.get(position)

    def stage(self, name: str) -> Stage:
        members = self.source.stages[name]
        cells = tuple(roled.cell.index for roled in members)
        positions = [position for position, piece in enumerate(self.source.pieces) if piece.stage == name]
        directive = members[0].directive or Directive(name=name)
        code, fingerprints = self.source.codes[name]
        flows = [self.source.pieces[position].flow for position in positions]
        setup = self._setup_closure(positions)
        opening = [*flows, *self._code_of(setup)]
        learnt = self.effects.get(name, NO_EFFECTS)
        binds = tuple(sorted({bound for position in positions for bound in self.unit_links[position].writes}))
        zone = {name for roled in members if roled.tree is not None for name in time_zone_variables(roled.tree)}
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
            order={
                **dict.fromkeys(self._stars(positions, name), ("its star import may bind what this stage reads",)),
                **{other: ("--after",) for other in directive.after if other in self.source.stages and other != name},
            },
            setup=setup,
            steps=self._steps(members, positions),
            modules=tuple(sorted({module for flow in flows for module in (*flow.modules, *flow.star_imports)})),
            environment=tuple(sorted({*directive.env, *(variable for flow in flows for variable in flow.environment), *zone})),
            files_read=self._paths((use for flow in opening for use in flow.files_read), directive.files, ()),
            files_written=tuple(
                sorted(
                    {
                        *self._paths((use for flow in opening for use in flow.files_written), (), directive.writes),
                        *learnt.files_written,
                        *(path for path, _ in learnt.files_removed),
                    }
                )
            ),
        )

    def _code_of(self, setup: Iterable[int]) -> list[Flow]:
        """Return what reading tells of the functions and classes among setup statements: they run in the stage that uses them."""
        pieces = [self.source.pieces[self.setup_positions[index]] for index in setup]
        return [piece.flow for piece in pieces if piece.statement is not None and piece.statement.defines_code]

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
        """Return every setup and parameters cell, in the order in which they run."""
        found: dict[int, Step] = {}
        for position in self.setup_positions:
            roled = self.source.cells[self.source.pieces[position].cell]
            found.setdefault(roled.cell.index, _step(roled, early=self._is_early(roled.prelude)))
        return tuple(found.values())

    def _is_early(self, prelude: Prelude | None) -> bool:
        return self.source.order is not None and prelude is not None

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
            extra_reads=self._learnt_reads(learnt, position) if first else (),
            extra_writes=tuple(sorted(handed_on)) if last else (),
            reads_override=directive.ins if first else None,
            writes_override=directive.outs,
        )

    def _learnt_reads(self, learnt: Effects, position: int) -> tuple[str, ...]:
        if ALL_NAMES not in learnt.reads:
            return learnt.reads
        earlier = [piece for piece in self.source.pieces[:position] if piece.role is not Role.REPORT]
        return tuple(sorted({*learnt.reads, *(name for piece in earlier for name in piece.flow.binds)} - {ALL_NAMES}))

    def _reads(self, positions: Sequence[int], stage: str | None) -> tuple[Read, ...]:
        """Collect what the units at `positions` take from outside their stage, bundle mates included."""
        found: dict[str, Read] = {}
        for position in positions:
            for item in self.unit_links[position].links:
                read = self._read(item, stage)
                if read is not None and (read.kind != "stage" or read.provider != stage):
                    found.setdefault(read.name, read)
        for read in [read for read in found.values() if read.kind == "stage"]:
            for mates in self.effects.get(read.provider, NO_EFFECTS).aliases:
                if read.name in mates:
                    for mate in mates:
                        if not self._is_current(mate, read.provider, positions[0]):
                            continue  # after `both = [train]` in one stage and `train = 2` in the next, `train` is another object
                        how = f"shares state with {read.name}"
                        found.setdefault(mate, Read(name=mate, kind="stage", provider=read.provider, cell=read.cell, how=how))
        return tuple(found[name] for name in sorted(found))

    def _is_current(self, name: str, stage: str, position: int) -> bool:
        """Tell whether a name means at a position what a stage has left of it: no unit between has bound, changed or deleted it."""
        for piece, links in zip(reversed(self.source.pieces[:position]), reversed(self.unit_links[:position]), strict=True):
            if piece.role is not Role.REPORT and (name in links.writes or name in piece.flow.deleted):
                return piece.stage == stage
        return False

    def _stars(self, positions: Iterable[int], stage: str) -> list[str]:
        """Return the stages whose star imports may bind what the units read: running them tells which names."""
        links = [item for position in positions for item in self.unit_links[position].links if self._is_open(item)]
        found = [self.source.pieces[item.provider].stage for item in links if item.provider is not None]
        return sorted({name for name in found if name is not None and name != stage})

    def _is_open(self, item: Link) -> bool:
        """Tell whether a stage may provide a name, which only running it tells."""
        return item.how == "star import" and item.provider is not None and self.source.pieces[item.provider].stage is not None

    def _read(self, item: Link, reader: str | None) -> Read | None:
        if item.provider is None or self._is_open(item):
            return None
        piece = self.source.pieces[item.provider]
        if piece.stage is not None:
            return Read(name=item.name, kind="stage", provider=piece.stage, cell=piece.cell, how=self._how(item, reader, piece.stage))
        if piece.role is Role.REPORT:
            return None
        if item.name in self.source.parameters and piece.role in {Role.PARAMETERS, Role.INJECTED}:
            return Read(name=item.name, kind="parameter", provider="parameters", cell=piece.cell, how=self._how(item, reader))
        return Read(name=item.name, kind="setup", provider="setup", cell=piece.cell, how=self._how(item, reader))

    def _how(self, item: Link, reader: str | None, provider: str | None = None) -> str:
        """Say how a read was found, and what is known of it from running only."""
        parts = [item.how + self._seen(reader) if item.how == "learnt" else item.how]
        if item.how == "name" and item.name in self._taught(reader, item.name).mutated:
            parts.append(f"changed in place here{self._seen(reader)}")
        taught = self._taught(provider, item.name)
        links = self.unit_links[item.provider] if item.provider is not None else None
        if item.name in taught.mutated:
            parts.append(f"changed in place by {provider}{self._seen(provider)}")
        elif item.name in taught.writes:
            parts.append(f"bound by {provider}{self._seen(provider)}")
        elif links is not None and provider is not None and item.name in links.mutates and item.how != "mutated here":
            mates = next((names for names in taught.aliases if item.name in names), ())
            others = ", ".join(name for name in mates if name != item.name)
            parts.append(f"shares state with {others} of {provider}{self._seen(provider)}" if others else f"changed in place by {provider}")
        return "; ".join(parts)

    def _taught(self, stage: str | None, name: str) -> Effects:
        """Return what running a stage has taught of a name; nothing where its code binds the name anyway."""
        return NO_EFFECTS if stage is None or (stage, name) in self._bound else self.effects.get(stage, NO_EFFECTS)

    def _seen(self, stage: str | None) -> str:
        run = self.runs.get(stage or "")
        return f", seen in run {run[:8]}" if run else ", seen when it ran"

    def _wants(self, positions: list[int], stage: str, directive: Directive) -> tuple[str, ...]:
        wanted = {*(directive.outs or ()), *directive.metrics}
        # a metric that it only reads is kept by the stage that made it
        taken = {item.name for position in positions for item in self.unit_links[position].links if item.provider is not None}
        wanted -= taken - {name for position in positions for name in self.unit_links[position].writes} - set(directive.outs or ())
        for position in positions:
            for reader, item in self._readers.get(position, ()):
                if self.source.pieces[reader].stage != stage and not self._is_open(item):
                    wanted.add(item.name)
        wanted.update(self._read_later.get(positions[-1], frozenset()).intersection(self._changed_setup(positions)))
        aliases = self.effects.get(stage, NO_EFFECTS).aliases
        wanted.update(name for names in aliases if wanted.intersection(names) for name in names)
        return tuple(sorted(wanted))

    def _setup_closure(self, positions: Iterable[int]) -> tuple[int, ...]:
        """Collect the setup statements that the units use, transitively, and those that configure the process before them."""
        positions = list(positions)
        last = positions[-1]
        queue = [item.provider for position in positions for item in self.unit_links[position].links if item.provider in self._setup_index]
        queue += [position for position in self.setup_positions if position < last and self._configures(position)]
        queue += self._setup_above(positions)
        return tuple(sorted(self._setup_index[position] for position in self._setup_below(queue)))

    def _steps(self, members: tuple[RoledCell, ...], positions: list[int]) -> tuple[Step, ...]:
        last = members[-1].cell.index
        steps = [step for step in self.setup_steps() if step.place < last]
        steps += [_step(roled, guards=tuple(sorted(self.held.get(position, ())))) for roled, position in zip(members, positions, strict=True)]
        return tuple(sorted(steps, key=lambda step: step.place))

    def _paths(self, uses: Iterable[PathUse], declared: Iterable[str], seen: Iterable[str]) -> tuple[str, ...]:
        """Resolve the paths that code names, and add those declared and those seen."""
        folder = self.source.document.path.parent if self.source.document.path else Path()
        found: set[str] = set(seen)
        for use in uses:
            if use.function in self.own_functions:
                continue
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
        """For each position, the names that any later unit of another stage takes from outside.

        After ``lst = []; holder = {"l": lst}`` in setup cells, who reads `holder` may see what becomes of `lst`.
        """
        later: dict[int, frozenset[str]] = {}
        names: set[str] = set()
        for position in range(len(self.source.pieces) - 1, -1, -1):
            later[position] = frozenset(names)
            for item in self.unit_links[position].links:
                names.add(item.name)
                names.update(link.name for below in self._setup_below({item.provider}) for link in self.unit_links[below].links)
        return later

    def _setup_below(self, positions: Iterable[int | None]) -> set[int]:
        """Return the setup statements among `positions`, and those that they use."""
        queue = list(positions)
        found: set[int] = set()
        while queue:
            position = queue.pop()
            if position is not None and position in self._setup_index and position not in found:
                found.add(position)
                queue += [item.provider for item in self.unit_links[position].links]
        return found

    def _changed_setup(self, positions: Iterable[int]) -> dict[str, int]:
        """Return the setup names that a stage changes in place or hands on as they are, with the statements that made them."""
        return {
            item.name: item.provider
            for position in positions
            for item in self.unit_links[position].links
            if item.provider in self._setup_index and (item.how == "mutated here" or item.name in self.units[position].extra_writes)
        }

    def _setup_above(self, positions: list[int]) -> list[int]:
        """Return the setup statements whose objects may hold what a stage changes, as far as later cells read them."""
        changed = set(self._changed_setup(positions).values())
        if not changed:
            return []
        later = self._read_later.get(positions[-1], frozenset())
        candidates = [item for item in self.setup_positions if item < positions[-1] and later.intersection(self.unit_links[item].writes)]
        return [position for position in candidates if changed & self._setup_below([position])]


def _flow(roled: RoledCell, stars: Stars, *, postponed: bool) -> Flow:
    if roled.tree is None:
        return Flow()
    return analyse(without_annotations(roled.tree) if postponed else roled.tree, stars.names)


def _step(roled: RoledCell, *, early: bool = False, guards: tuple[str, ...] = ()) -> Step:
    if roled.role is Role.STAGE:
        return Step(kind="stage", cell=roled.cell.index, source=roled.body, guards=guards)
    kind = "setup" if roled.role is Role.SETUP else "parameters"
    return Step(kind=kind, cell=roled.cell.index, source=roled.body, early=early)  # type: ignore[arg-type]


def _code(members: list[RoledCell]) -> tuple[str, tuple[str, ...]]:
    """Return the digest of a stage's cells and result options, and of each cell."""
    prints = tuple(fingerprint(roled.tree) if roled.tree is not None else "" for roled in members)
    options = members[0].directive.result_options() if members[0].directive else {}
    text = json.dumps([prints, options], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), prints
