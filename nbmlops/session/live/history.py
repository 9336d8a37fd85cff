"""What has run in a live kernel: every cell in order, and what each stage ran with."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from nbmlops.dataflow.flow import Flow
from nbmlops.dataflow.scopes import analyse
from nbmlops.notebook.code import parse_code
from nbmlops.notebook.directive import split_magic
from nbmlops.pipeline.effects import NO_EFFECTS, Effects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmlops.runner.stagekey import Components
    from nbmlops.session.live.cells import SeenCell
    from nbmlops.session.live.finding import Finding
    from nbmlops.store.records import Artifact

__all__ = ["History", "StageRun", "names_bound"]

_KEPT = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """How a stage last ran here, or was reused.

    Parameters
    ----------
    cell : SeenCell
        Its cell; of a stage of several cells, the last that ran.
    parts : dict
        The components of its key: what its result depends on.
    effects : Effects
    outputs : mapping of str to Artifact
    findings : tuple of Finding
        Why its result is not reproducible.
    failed : bool
        Whether it raised, or was interrupted.
    written : mapping of str to str
        The files that it wrote, with what it wrote.
    order : tuple of int
        Of a stage of several cells, those that have run since its first one, by position.
    """

    cell: SeenCell
    parts: Components = field(default_factory=dict)
    effects: Effects = NO_EFFECTS
    outputs: Mapping[str, Artifact] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    failed: bool = False
    written: Mapping[str, str] = field(default_factory=dict)
    order: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Ran:
    cell: SeenCell
    tracked: bool


class History:
    """The executions of cells, and the last one of each stage."""

    def __init__(self) -> None:
        self._ran: deque[_Ran] = deque(maxlen=_KEPT)
        self.stages: dict[str, StageRun] = {}
        # whose cell came last to nothing that a later stage may use, and why
        self.idle: dict[str, tuple[SeenCell, str]] = {}

    def add(self, cell: SeenCell, *, tracked: bool) -> None:
        """Take note of a cell that ran; `tracked` if what it changes is known."""
        self._ran.append(_Ran(cell, tracked))

    def culprits(self, name: str, since: int) -> str:
        """Say which cell may have changed a name after an execution, in words that end a sentence."""
        ran = [item.cell for item in self._ran if item.cell.order > since and not item.tracked]
        sure = [cell.label for cell in ran if name in (flow := _flow(cell.source)).binds or name in flow.mutates or name in flow.deleted]
        perhaps = [cell.label for cell in ran if name in _flow(cell.source).reads]
        if sure:
            return f", in {sure[-1]}"
        if perhaps:
            return f", perhaps in {' or '.join(dict.fromkeys(perhaps[-3:]))}"
        return ", by no cell that names it: by an alias, a function, a callback or a thread"


@lru_cache(maxsize=512)
def _flow(source: str) -> Flow:
    magic = split_magic(source)
    try:
        return analyse(parse_code(magic[1] if magic else source))
    except (SyntaxError, ValueError):
        return Flow()


def names_bound(source: str) -> frozenset[str]:
    """Return the names that a cell binds."""
    return frozenset(_flow(source).binds)
