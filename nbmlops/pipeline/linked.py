"""A source with its links under given effects: which piece takes what from which, and what of setup each hangs on."""

from __future__ import annotations

import itertools
from bisect import bisect_left, insort
from functools import cached_property
from typing import TYPE_CHECKING

from nbmlops.dataflow.linking import Link, Linking, Unit, UnitLinks, relink
from nbmlops.dataflow.localtime import time_zone_variables
from nbmlops.notebook.directive import Directive
from nbmlops.notebook.roles import Role
from nbmlops.pipeline.between import held_names
from nbmlops.pipeline.effects import ALL_NAMES, NO_EFFECTS, Effects
from nbmlops.pipeline.model import SetupStatement, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nbmlops.notebook.kale import Prelude
    from nbmlops.notebook.roles import RoledCell
    from nbmlops.pipeline.source import Piece, Source

__all__ = ["Linked", "link_source", "step_of"]


def link_source(source: Source, effects: Mapping[str, Effects], earlier: Linked | None = None) -> Linked:
    """Link the pieces of a source; what `earlier` tells of the same links is not found out again.

    Parameters
    ----------
    source : Source
    effects : mapping of str to Effects
        What running each stage has taught.
    earlier : Linked or None
        Of an earlier state of the same notebook, or of any.
    """
    units = [
        kept if earlier is not None and (kept := earlier.unit_of(source, effects, position)) is not None else _unit(source, effects, position, piece)
        for position, piece in enumerate(source.pieces)
    ]
    linking = relink(units, earlier.linking if earlier is not None else None)
    if earlier is not None and earlier.source is source and earlier.linking.units == linking.units:
        return earlier
    linked = Linked(source, linking, effects)
    if earlier is not None and linked.has_setup_of(earlier):
        linked.setup = earlier.setup
    return linked


def _unit(source: Source, effects: Mapping[str, Effects], position: int, piece: Piece) -> Unit:
    key = f"{piece.cell}:{position}"
    if piece.stage is None:
        return Unit(key=key, flow=piece.flow, reports=piece.role is Role.REPORT, shared=piece.statement is not None)
    members = source.stages[piece.stage]
    directive = members[0].directive or Directive(name=piece.stage)
    learnt = effects.get(piece.stage, NO_EFFECTS)
    first, last = piece.cell == members[0].cell.index, piece.cell == members[-1].cell.index
    handed_on = {*learnt.writes, *learnt.mutated, *(name for names in learnt.aliases for name in names)}
    return Unit(
        key=key,
        flow=piece.flow,
        extra_reads=_learnt_reads(source, learnt, position) if first else (),
        extra_writes=tuple(sorted(handed_on)) if last else (),
        reads_override=directive.ins if first else None,
        writes_override=directive.outs,
        wanted=directive.metrics,
    )


def _learnt_reads(source: Source, learnt: Effects, position: int) -> tuple[str, ...]:
    if ALL_NAMES not in learnt.reads:
        return learnt.reads
    earlier = [piece for piece in source.pieces[:position] if piece.role is not Role.REPORT]
    return tuple(sorted({*learnt.reads, *(name for piece in earlier for name in piece.flow.binds)} - {ALL_NAMES}))


class Linked:
    """What hangs on what in a source, by the positions of its pieces.

    Parameters
    ----------
    source : Source
    linking : Linking
        Of its pieces.
    effects : mapping of str to Effects
        What was known of each stage when they were linked.

    Attributes
    ----------
    links : tuple of UnitLinks
        One for each piece.
    setup_positions : list of int
        The positions of the setup statements.
    """

    def __init__(self, source: Source, linking: Linking, effects: Mapping[str, Effects]) -> None:
        self.source = source
        self.linking = linking
        self._effects = dict(effects)
        self.links: tuple[UnitLinks, ...] = linking.links
        self.setup_positions = [position for position, piece in enumerate(source.pieces) if piece.statement is not None]
        self._setup_index = {position: index for index, position in enumerate(self.setup_positions)}

    def unit_of(self, source: Source, effects: Mapping[str, Effects], position: int) -> Unit | None:
        """Return what was linked at a position if a later state of the notebook has the same there, else None."""
        pieces = self.source.pieces
        if position >= len(pieces) or pieces[position] is not source.pieces[position]:
            return None
        stage = pieces[position].stage
        if stage is None:
            return self.linking.units[position]
        learnt, before, now = effects.get(stage, NO_EFFECTS), self.source.stages[stage], source.stages[stage]
        same = before[0] is now[0] and before[-1] is now[-1] and self._effects.get(stage, NO_EFFECTS) is learnt
        return self.linking.units[position] if same and ALL_NAMES not in learnt.reads else None

    @cached_property
    def positions(self) -> Mapping[str, tuple[int, ...]]:
        """The positions of each stage's pieces."""
        found: dict[str, list[int]] = {}
        for position, piece in enumerate(self.source.pieces):
            if piece.stage is not None:
                found.setdefault(piece.stage, []).append(position)
        return {name: tuple(positions) for name, positions in found.items()}

    @cached_property
    def bound(self) -> Mapping[str, frozenset[str]]:
        """The names that each stage's code binds."""
        pieces = self.source.pieces
        return {name: frozenset().union(*(pieces[position].flow.binds for position in positions)) for name, positions in self.positions.items()}

    @cached_property
    def providers(self) -> Mapping[str, tuple[str, ...]]:
        """The other stages that each stage takes something from."""
        return {name: self._providers(name, positions) for name, positions in self.positions.items()}

    def _providers(self, stage: str, positions: Sequence[int]) -> tuple[str, ...]:
        taken = {item.provider for position in positions for item in self.links[position].links if item.provider is not None}
        found = {self.source.pieces[position].stage for position in taken}
        return tuple(sorted(name for name in found if name is not None and name != stage))

    @cached_property
    def held(self) -> Mapping[int, frozenset[str]]:
        """For a position, the names that its cell must leave as they are, as `held_names` tells."""
        return held_names(self.source.pieces, self.links)

    @cached_property
    def readers(self) -> Mapping[int, Sequence[tuple[int, Link]]]:
        """For each position, the positions that take something from it, and what."""
        found: dict[int, list[tuple[int, Link]]] = {}
        for reader, links in enumerate(self.links):
            for item in links.links:
                if item.provider is not None:
                    found.setdefault(item.provider, []).append((reader, item))
        return found

    def is_open(self, item: Link) -> bool:
        """Tell whether a stage may provide a name, which only running it tells."""
        return item.how == "star import" and item.provider is not None and self.source.pieces[item.provider].stage is not None

    # -- what is read later

    @cached_property
    def later(self) -> Mapping[int, tuple[str, ...]]:
        """For each position, the names that any later piece takes from outside, sorted.

        After ``lst = []; holder = {"l": lst}`` in setup cells, who reads `holder` may see what becomes of `lst`.
        """
        found: dict[int, tuple[str, ...]] = {}
        names: list[str] = []
        known: set[str] = set()
        told: tuple[str, ...] = ()
        for position in range(len(self.links) - 1, -1, -1):
            found[position] = told
            new = self._names_taken(position) - known
            for name in new:
                insort(names, name)
            if new:
                known |= new
                told = tuple(names)
        return found

    @cached_property
    def _last_taken(self) -> Mapping[str, int]:
        """For each name, the last position that takes it from outside, as `later` counts."""
        return {name: position for position in range(len(self.links)) for name in self._names_taken(position)}

    def is_read_later(self, name: str, position: int) -> bool:
        """Tell whether a name is among those of `later`."""
        return self._last_taken.get(name, -1) > position

    def _names_taken(self, position: int) -> set[str]:
        names = {item.name for item in self.links[position].links}
        for item in self.links[position].links:
            if item.provider in self._setup_index:
                names |= self._names_below[item.provider]
        return names

    # -- setup

    @cached_property
    def _setup_below(self) -> Mapping[int, frozenset[int]]:
        """For the position of each setup statement, it and those that it uses, transitively: they stand above it."""
        found: dict[int, frozenset[int]] = {}
        for position in self.setup_positions:
            used = [found[item.provider] for item in self.links[position].links if item.provider in self._setup_index]
            found[position] = frozenset({position}).union(*used)
        return found

    @cached_property
    def _names_below(self) -> Mapping[int, frozenset[str]]:
        """For the position of each setup statement, the names that it and those that it uses take."""
        return {position: frozenset(item.name for used in below for item in self.links[used].links) for position, below in self._setup_below.items()}

    @cached_property
    def configuring(self) -> tuple[int, ...]:
        """The setup statements on which every later stage depends: they change what belongs to the process, or nobody uses what their call gives."""
        return tuple(position for position in self.setup_positions if self._configures(position))

    def _configures(self, position: int) -> bool:
        piece = self.source.pieces[position]
        if piece.statement is None or piece.statement.configures or self.links[position].patches:
            return piece.statement is not None
        return piece.statement.calls and "setup" in self.source.cells[piece.cell].cell.tags and not self.readers.get(position)

    def has_setup_of(self, earlier: Linked) -> bool:
        """Tell whether the setup statements are the same objects in the same places, linked the same, and run for the same reasons."""
        if self.source.order is not None or earlier.source.order is not None or self.setup_positions != earlier.setup_positions:
            return False
        pieces, before = self.source.pieces, earlier.source.pieces
        same = all(pieces[place] is before[place] and self.links[place] is earlier.links[place] for place in self.setup_positions)
        return same and self.configuring == earlier.configuring

    @cached_property
    def setup(self) -> tuple[SetupStatement, ...]:
        """Every setup statement."""
        configuring = set(self.configuring)
        return tuple(self._setup_statement(position, configures=position in configuring) for position in self.setup_positions)

    def _setup_statement(self, position: int, *, configures: bool) -> SetupStatement:
        piece, links = self.source.pieces[position], self.links[position]
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
            configures=configures,
            modules=tuple(sorted({*piece.flow.modules, *piece.flow.star_imports})),
            environment=tuple(sorted({*piece.flow.environment, *time_zone_variables(statement.tree)})),
            defines_code=statement.defines_code,
            free=tuple(sorted({name for names in piece.flow.carried.values() for name in names})),
        )

    @cached_property
    def setup_steps(self) -> tuple[Step, ...]:
        """Every setup and parameters cell, in the order in which they run."""
        found: dict[int, Step] = {}
        for position in self.setup_positions:
            roled = self.source.cells[self.source.pieces[position].cell]
            if roled.cell.index not in found:
                found[roled.cell.index] = step_of(roled, early=self._is_early(roled.prelude))
        return tuple(found.values())

    @cached_property
    def _steps_by_place(self) -> tuple[tuple[int, ...], tuple[Step, ...]]:
        steps = sorted(self.setup_steps, key=lambda step: step.place)
        return tuple(step.place for step in steps), tuple(steps)

    def setup_steps_before(self, cell: int) -> tuple[Step, ...]:
        """Return the setup and parameters cells that run before a cell, in their order."""
        places, steps = self._steps_by_place
        return steps[: bisect_left(places, cell)]

    def _is_early(self, prelude: Prelude | None) -> bool:
        return self.source.order is not None and prelude is not None

    def setup_used(self, positions: Sequence[int]) -> tuple[int, ...]:
        """Return the setup statements, by their place among them, that pieces use, transitively, and those that configure the process before them."""
        last = positions[-1]
        below = self._setup_below
        found: set[int] = set()
        for position in positions:
            for item in self.links[position].links:
                found.update(below.get(item.provider, ()) if item.provider is not None else ())
        for position in (*itertools.takewhile(lambda position: position < last, self.configuring), *self._setup_above(positions)):
            found.update(below[position])
        return tuple(sorted(self._setup_index[position] for position in found))

    @cached_property
    def _opening(self) -> Mapping[int, Piece]:
        """The functions and classes of setup that name files, by their place among the setup statements."""
        pieces = ((index, self.source.pieces[position]) for index, position in enumerate(self.setup_positions))
        defined = ((index, piece) for index, piece in pieces if piece.statement is not None and piece.statement.defines_code)
        return {index: piece for index, piece in defined if piece.flow.files_read or piece.flow.files_written}

    def opening(self, setup: Iterable[int]) -> list[Piece]:
        """Return those of setup statements whose files a stage that uses them opens: functions and classes run in it."""
        return [self._opening[index] for index in setup if index in self._opening] if self._opening else []

    def changed_setup(self, positions: Iterable[int]) -> dict[str, int]:
        """Return the setup names that a stage changes in place or hands on as they are, with the statements that made them."""
        return {
            item.name: item.provider
            for position in positions
            for item in self.links[position].links
            if item.provider in self._setup_index and (item.how == "mutated here" or item.name in self.linking.units[position].extra_writes)
        }

    def _setup_above(self, positions: Sequence[int]) -> list[int]:
        """Return the setup statements whose objects may hold what a stage changes, as far as later cells read them."""
        changed = set(self.changed_setup(positions).values())
        if not changed:
            return []
        last = positions[-1]
        above = [position for position in self.setup_positions if position < last and changed & self._setup_below[position]]
        return [position for position in above if any(self.is_read_later(name, last) for name in self.links[position].writes)]


def step_of(roled: RoledCell, *, early: bool = False, guards: tuple[str, ...] = ()) -> Step:
    """Return what a process does with a cell of a stage, of setup or of parameters."""
    if roled.role is Role.STAGE:
        return Step(kind="stage", cell=roled.cell.index, source=roled.body, guards=guards)
    kind = "setup" if roled.role is Role.SETUP else "parameters"
    return Step(kind=kind, cell=roled.cell.index, source=roled.body, early=early)  # type: ignore[arg-type]
