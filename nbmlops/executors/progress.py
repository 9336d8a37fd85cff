"""How a run stands: what whoever watches it is told whenever a stage starts or ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbmlops.runner.results import StageResult

__all__ = ["Moment", "Watcher"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A stage has started, or has got its status.

    Parameters
    ----------
    stage : str
        ``@report`` for the report cells.
    reason : str
        Why it runs.
    result : StageResult or None
        What became of it; None where it starts.
    running : tuple of str
        The stages that run now.
    waiting : tuple of str
        Those that have no status yet and do not run.
    done : int
        How many have their status.
    doing : str
        What is done with it now beside running it, such as repeating it for a gate; "" for nothing.
    upstream : callable
        Gives the stages that one waits for.
    """

    stage: str
    reason: str
    result: StageResult | None
    running: tuple[str, ...]
    waiting: tuple[str, ...]
    done: int
    doing: str = ""
    upstream: Callable[[str], Iterable[str]] = lambda _stage: ()


Watcher = Callable[[Moment], None]
