"""A document read: the pieces that linking sees, and all that can be told of them before they are linked."""

from __future__ import annotations

import hashlib
import json
import operator
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.dataclass import dataclass
from nbmlops.dataflow.flow import Flow
from nbmlops.dataflow.scopes import analyse
from nbmlops.dataflow.stars import Stars
from nbmlops.notebook.roles import Role, RoledCell, Roles
from nbmlops.pipeline.checks import Sites, find_sites
from nbmlops.pipeline.code import fingerprint, flow_of, postpones_annotations
from nbmlops.pipeline.kale import KaleOrder, kale_order
from nbmlops.pipeline.setup import Statement, ToldOfCalls, read_parameters, statements, told_of_calls, with_acts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nbmlops.notebook.document import Document
    from nbmlops.notebook.kale import Prelude
    from nbmlops.pipeline.model import Parameter

__all__ = ["Piece", "Source", "SourceReader", "read_source"]

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
    own_functions: frozenset[str] = frozenset()


def read_source(document: Document) -> Source:
    """Read every cell of a document: roles, directives, what each defines and reads."""
    return SourceReader().read(document)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReadCell:
    """The pieces of one cell, and whether its code alone tells them."""

    roled: RoledCell
    postponed: bool
    pieces: tuple[Piece, ...]
    alone: bool


class SourceReader:
    """Reads the documents of one notebook again and again, as it is edited; each time as `read_source` does.

    Of a cell that has the same role as before, in the same place, the pieces are the same objects, by which who links them knows it.
    """

    def __init__(self) -> None:
        self._roles = Roles()
        self._read: list[_ReadCell] = []
        self._setup: list[Piece] = []
        self._told: ToldOfCalls | None = None
        self._acting: dict[int, tuple[Piece, Piece]] = {}
        self._codes: dict[str, tuple[tuple[RoledCell, ...], tuple[str, tuple[str, ...]]]] = {}

    def read(self, document: Document) -> Source:
        """Read every cell of a document."""
        cells = self._roles.assign(document)
        self._read = self._read_cells(cells, Stars((document.path.parent if document.path else Path()).resolve(), analyse))
        found = [piece for item in self._read for piece in item.pieces]
        pieces = self._marked(found, cells)
        order = kale_order(pieces)
        if order is not None:
            pieces = [pieces[position] for position in order.positions]
        stages: dict[str, list[RoledCell]] = {}
        for roled in cells:
            if roled.role is Role.STAGE and roled.stage and roled.directive:
                stages.setdefault(roled.stage, []).append(roled)
        members = {name: tuple(found) for name, found in stages.items()}
        self._codes = {name: self._code(name, found) for name, found in members.items()}
        return Source(
            document=document,
            cells=cells,
            pieces=tuple(pieces),
            parameters=read_parameters(cells),
            stages=members,
            sites=find_sites(cells, pieces),
            codes={name: code for name, (_, code) in self._codes.items()},
            order=order,
            own_functions=frozenset(name for piece in pieces for name in piece.flow.binds if name not in piece.flow.imports),
        )

    def _read_cells(self, cells: Sequence[RoledCell], stars: Stars) -> list[_ReadCell]:
        made: list[_ReadCell] = []
        postponed = False
        for place, roled in enumerate(cells):
            postponed = postponed or (roled.tree is not None and postpones_annotations(roled.tree))
            known = self._read[place] if place < len(self._read) else None
            if known is None or not known.alone or known.roled is not roled or known.postponed != postponed:
                asked = stars.asked
                pieces = tuple(_pieces(roled, stars, postponed=postponed))
                known = _ReadCell(roled=roled, postponed=postponed, pieces=pieces, alone=stars.asked == asked)
            made.append(known)
        return made

    def _marked(self, found: list[Piece], cells: tuple[RoledCell, ...]) -> list[Piece]:
        """Mark the setup statements that change what is not their own; one that was marked before is the same object again."""
        setup = [piece for piece in found if piece.statement is not None]
        trees = [roled.tree for roled in cells if roled.tree is not None]
        told = told_of_calls(trees)
        if told != self._told or not _are_same(setup, self._setup):
            acting = {id(piece): (piece, now) for piece, now in zip(setup, _with_acts(setup, told), strict=True) if now is not piece}
            self._acting = {key: self._acting.get(key, pair) for key, pair in acting.items()}
            self._setup, self._told = setup, told
        return [self._acting[id(piece)][1] if id(piece) in self._acting else piece for piece in found] if self._acting else found

    def _code(self, name: str, members: tuple[RoledCell, ...]) -> tuple[tuple[RoledCell, ...], tuple[str, tuple[str, ...]]]:
        known = self._codes.get(name)
        return known if known is not None and _are_same(known[0], members) else (members, _code(members))


def _pieces(roled: RoledCell, stars: Stars, *, postponed: bool) -> Iterator[Piece]:
    index, role = roled.cell.index, roled.role
    if role in _SETUP_ROLES:
        for item in statements(roled, postponed=postponed, stars=stars):
            yield Piece(cell=index, role=role, flow=item.flow, statement=item, prelude=roled.prelude)
    elif role is Role.STAGE and roled.stage and roled.directive:
        yield Piece(cell=index, role=role, flow=_flow(roled, stars, postponed=postponed), stage=roled.stage)
    elif role is Role.REPORT:
        yield Piece(cell=index, role=role, flow=_flow(roled, stars, postponed=postponed))


def _with_acts(setup: list[Piece], told: ToldOfCalls) -> list[Piece]:
    marked = with_acts([piece.statement for piece in setup if piece.statement is not None], told)
    return [piece if now is piece.statement else replace(piece, statement=now) for piece, now in zip(setup, marked, strict=True)]


def _are_same(some: Sequence[object], others: Sequence[object]) -> bool:
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _flow(roled: RoledCell, stars: Stars, *, postponed: bool) -> Flow:
    return Flow() if roled.tree is None else flow_of(roled.tree, stars.names, postponed=postponed)


def _code(members: Sequence[RoledCell]) -> tuple[str, tuple[str, ...]]:
    """Return the digest of a stage's cells and result options, and of each cell."""
    prints = tuple(fingerprint(roled.tree) if roled.tree is not None else "" for roled in members)
    options = members[0].directive.result_options() if members[0].directive else {}
    text = json.dumps([prints, options], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), prints
