"""Where Kale's order of cells, or its edges, would give another value than the notebook from top to bottom.

Kale runs its blocks (parameters, then imports, then functions) before every step, wherever they stand, and gives a step only what the steps
named by ``prev:`` made. Here the order of the document decides; a block moves to the front only if a cell above it cannot do without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nbmlops.dataclass import dataclass
from nbmlops.dataflow.linking import Unit, UnitLinks, link
from nbmlops.notebook.roles import Role
from nbmlops.pipeline.model import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nbmlops.dataflow.flow import Flow
    from nbmlops.notebook.kale import Prelude
    from nbmlops.pipeline.model import Stage
    from nbmlops.pipeline.setup import Statement

__all__ = ["KaleOrder", "differing_values", "kale_order"]

_BLOCKS: dict[Prelude, int] = {"pipeline-parameters": 0, "imports": 1, "functions": 2}
_REST = 3


class _Piece(Protocol):
    @property
    def cell(self) -> int: ...
    @property
    def role(self) -> Role: ...
    @property
    def stage(self) -> str | None: ...
    @property
    def flow(self) -> Flow: ...
    @property
    def statement(self) -> Statement | None: ...
    @property
    def prelude(self) -> Prelude | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KaleOrder:
    """The order of a document whose blocks have to run first.

    Parameters
    ----------
    positions : tuple of int
        The pieces' positions in the document, as they run.
    conflicts : tuple of Diagnostic
        Names that would have another value in this order than in the document's.
    """

    positions: tuple[int, ...]
    conflicts: tuple[Diagnostic, ...]


def kale_order(pieces: Sequence[_Piece]) -> KaleOrder | None:
    """Return Kale's order where a cell reads what only a block further down defines; else None: the document's order holds.

    Parameters
    ----------
    pieces : sequence of pieces
        In the order of the document.
    """
    blocks = {name for piece in pieces if piece.prelude for name in piece.flow.binds}
    if not blocks:
        return None
    as_written = link([_unit(position, piece) for position, piece in enumerate(pieces)])
    # what only shows things is no part of a pipeline of Kale's
    needing = [links for piece, links in zip(pieces, as_written, strict=True) if piece.role is not Role.REPORT]
    missing = {item.name for links in needing for item in links.undefined} & blocks
    order = tuple(sorted(range(len(pieces)), key=lambda position: _BLOCKS[block] if (block := pieces[position].prelude) else _REST))
    if not missing or order == tuple(range(len(pieces))):
        return None
    as_run = link([_unit(position, pieces[position]) for position in order])
    if not missing - {item.name for links in as_run for item in links.undefined}:
        return None
    return KaleOrder(positions=order, conflicts=tuple(_conflicts(pieces, as_written, order, as_run)))


def _unit(position: int, piece: _Piece) -> Unit:
    return Unit(key=str(position), flow=piece.flow, reports=piece.role is Role.REPORT, shared=piece.statement is not None)


def _conflicts(
    pieces: Sequence[_Piece], as_written: Sequence[UnitLinks], order: tuple[int, ...], as_run: Sequence[UnitLinks]
) -> Iterator[Diagnostic]:
    for place, position in enumerate(order):
        before = {item.name: item.provider for item in as_written[position].links if item.provider is not None}
        for item in as_run[place].links:
            provider = order[item.provider] if item.provider is not None else None
            earlier = before.get(item.name)
            if provider is None or earlier is None or provider == earlier or _same(pieces[earlier], pieces[provider]):
                continue
            piece = pieces[position]
            yield Diagnostic(
                code="NB123",
                severity="error",
                message=f"{_who(piece)} reads {item.name!r}, which cells {pieces[earlier].cell} and {pieces[provider].cell} both define: "
                f"from top to bottom it is that of cell {pieces[earlier].cell}, but other cells need "
                "the blocks below them to run first, as Kale runs them",
                fix=f"give one of them another name; or move cell {pieces[provider].cell} above the steps",
                cell=piece.cell,
                line=item.line or None,
                stage=piece.stage,
            )


def _who(piece: _Piece) -> str:
    return f"step {piece.stage!r}" if piece.stage else f"cell {piece.cell}"


def _same(one: _Piece, other: _Piece) -> bool:
    """Tell whether two statements of blocks are the same, such as an import that stands in two cells."""
    return one.statement is not None and other.statement is not None and one.statement.fingerprint == other.statement.fingerprint


def differing_values(pieces: Sequence[_Piece], links: Sequence[UnitLinks], stages: Mapping[str, Stage]) -> Iterator[Diagnostic]:
    """Say where a step reads a value that Kale would take from elsewhere.

    Parameters
    ----------
    pieces : sequence of pieces
        As they run.
    links : sequence of UnitLinks
        Of the pieces.
    stages : mapping of str to Stage
        The pipeline's, with what ``prev:`` says as their `after`.
    """
    last: dict[str, _Piece] = {}
    for piece in sorted((piece for piece in pieces if piece.prelude), key=lambda piece: _BLOCKS[piece.prelude or "imports"]):
        last.update(dict.fromkeys((*piece.flow.binds, *piece.flow.mutates), piece))
    for position, piece in enumerate(pieces):
        if piece.stage is None or piece.stage not in stages:
            continue
        ancestors = _ancestors(stages, piece.stage)
        for item in links[position].links:
            if item.provider is None or pieces[item.provider].stage == piece.stage:
                continue
            found = pieces[item.provider]
            if item.name in last:
                other = last[item.name]
                if other is not found and not _same(other, found):
                    yield _differs(piece, item.name, item.line, found, f"of cell {other.cell}, which it runs before every step")
            elif found.stage is not None and ancestors and found.stage not in ancestors:
                maker = next((name for name in reversed(list(stages)) if name in ancestors and item.name in stages[name].binds), None)
                if maker is not None:
                    yield _differs(
                        piece, item.name, item.line, found, f"of step {maker!r}, since no prev: leads from {found.stage!r} to {piece.stage!r}"
                    )


def _ancestors(stages: Mapping[str, Stage], name: str) -> set[str]:
    """Return the steps that ``prev:`` puts before a step, directly or not."""
    found: set[str] = set()
    queue = list(stages[name].directive.after)
    while queue:
        other = queue.pop()
        if other in stages and other not in found:
            found.add(other)
            queue += stages[other].directive.after
    return found


def _differs(piece: _Piece, name: str, line: int, found: _Piece, kale: str) -> Diagnostic:
    where = f"step {found.stage!r}" if found.stage else f"cell {found.cell}"
    return Diagnostic(
        code="NB124",
        severity="warning",
        message=f"step {piece.stage!r} reads {name!r} as {where} leaves it, as the notebook does from top to bottom; Kale would take that {kale}",
        fix=f"give one of the two another name, if Kale's is meant; or add the tag prev:{found.stage}"
        if found.stage
        else "give one of the two another name",
        cell=piece.cell,
        line=line or None,
        stage=piece.stage,
    )
