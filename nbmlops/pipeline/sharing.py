"""Which stages may change a value on its way to a reader: only running them tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbmlops.pipeline.model import Pipeline, Read, SetupStatement

__all__ = ["may_change"]

_IMMUTABLE = (int, float, complex, bool, str, bytes, type(None))


def may_change(pipeline: Pipeline, reads: Iterable[Read], before: int) -> list[str]:
    """Return the stages that read a value which a later cell reads in the same version: they may change it in place.

    Parameters
    ----------
    pipeline : Pipeline
    reads : iterable of Read
        What the later cell reads.
    before : int
        Where that cell stands.
    """
    shared = {(read.kind, read.provider, read.name) for read in reads if read.kind == "stage" or _holds_state(pipeline, read)}
    return [
        stage.name
        for stage in pipeline.stages.values()
        if stage.cells[0] < before and shared.intersection((read.kind, read.provider, read.name) for read in stage.reads)
    ]


def _holds_state(pipeline: Pipeline, read: Read) -> bool:
    """Tell whether a setup object can be changed in place: neither imported, nor code, nor a plain constant."""
    makers = [statement for statement in pipeline.setup if read.name in statement.names]
    return read.kind == "setup" and any(_makes_state(statement, read.name) for statement in makers)


def _makes_state(statement: SetupStatement, name: str) -> bool:
    if statement.defines_code or statement.modules:
        return False
    return name not in statement.literals or not isinstance(statement.literals[name], _IMMUTABLE)
