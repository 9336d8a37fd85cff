"""A document read: the pieces that linking sees, and all that can be told of them before they are linked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.dataclass import dataclass
from nbmlops.dataflow.flow import Flow
from nbmlops.dataflow.scopes import analyse
from nbmlops.dataflow.stars import Stars
from nbmlops.notebook.roles import Role, RoledCell, assign_roles
from nbmlops.pipeline.checks import Sites, find_sites
from nbmlops.pipeline.code import fingerprint, flow_of, postpones_annotations
from nbmlops.pipeline.kale import KaleOrder, kale_order
from nbmlops.pipeline.setup import Statement, read_parameters, statements, with_acts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmlops.notebook.document import Document
    from nbmlops.notebook.kale import Prelude
    from nbmlops.pipeline.model import Parameter

__all__ = ["Piece", "Source", "read_source"]

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
        own_functions=frozenset(name for piece in pieces for name in piece.flow.binds if name not in piece.flow.imports),
    )


def _with_acts(pieces: list[Piece], cells: tuple[RoledCell, ...]) -> list[Piece]:
    setup = [piece.statement for piece in pieces if piece.statement is not None]
    marked = iter(with_acts(setup, [roled.tree for roled in cells if roled.tree is not None]))
    now = [next(marked) if piece.statement is not None else None for piece in pieces]
    return [piece if statement is piece.statement else replace(piece, statement=statement) for piece, statement in zip(pieces, now, strict=True)]


def _flow(roled: RoledCell, stars: Stars, *, postponed: bool) -> Flow:
    return Flow() if roled.tree is None else flow_of(roled.tree, stars.names, postponed=postponed)


def _code(members: list[RoledCell]) -> tuple[str, tuple[str, ...]]:
    """Return the digest of a stage's cells and result options, and of each cell."""
    prints = tuple(fingerprint(roled.tree) if roled.tree is not None else "" for roled in members)
    options = members[0].directive.result_options() if members[0].directive else {}
    text = json.dumps([prints, options], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), prints
