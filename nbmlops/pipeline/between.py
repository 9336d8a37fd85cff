"""What stands between the cells of one stage, which run as one: others must not see what only its last cell makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nbmlops.pipeline.model import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nbmlops.dataflow.linking import UnitLinks

__all__ = ["changed_between", "held_names"]


class _Piece(Protocol):
    @property
    def cell(self) -> int: ...
    @property
    def stage(self) -> str | None: ...


def held_names(pieces: Sequence[_Piece], links: Sequence[UnitLinks]) -> dict[int, frozenset[str]]:
    """Return, for each position, the names that its cell must leave as they are.

    They are those that a cell of another stage, or of none, reads as an earlier cell of this stage left them, although this cell runs first.
    """
    found: dict[int, set[str]] = {}
    for _, name, _, later in _readers(pieces, links):
        found.setdefault(later, set()).add(name)
    return {position: frozenset(names) for position, names in found.items()}


def changed_between(pieces: Sequence[_Piece], links: Sequence[UnitLinks]) -> Iterator[Diagnostic]:
    """Say where such a name is visibly bound anew or changed."""
    for reader, name, provider, later in _readers(pieces, links):
        if name in links[later].writes:
            piece, stage = pieces[reader], pieces[provider].stage
            who = f"stage {piece.stage!r}" if piece.stage else f"cell {piece.cell}"
            yield Diagnostic(
                code="NB202",
                severity="error",
                message=f"{who} must run between two cells of stage {stage!r}: it reads {name!r} of cell {pieces[provider].cell}, "
                f"which cell {pieces[later].cell} changes",
                fix=f"make cell {pieces[later].cell} a stage of its own, or give {name!r} another name there",
                cell=piece.cell,
                line=1,
                stage=piece.stage,
            )


def _readers(pieces: Sequence[_Piece], links: Sequence[UnitLinks]) -> Iterator[tuple[int, str, int, int]]:
    """Yield reader, name, provider, and a cell of the provider's stage that stands below the reader."""
    members: dict[str, list[int]] = {}
    for position, piece in enumerate(pieces):
        if piece.stage is not None:
            members.setdefault(piece.stage, []).append(position)
    for reader, unit in enumerate(links):
        for item in unit.links:
            stage = pieces[item.provider].stage if item.provider is not None else None
            if item.provider is None or stage is None or stage == pieces[reader].stage:
                continue
            for later in members[stage]:
                if later > reader:
                    yield reader, item.name, item.provider, later
