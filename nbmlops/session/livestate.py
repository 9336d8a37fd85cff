"""What cells of a live kernel changed outside its variables: batch makes that anew for every stage, a kernel keeps it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from nbmlops.pipeline.leftbehind import DECIDING, named
from nbmlops.runner.seeing import modules_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nbmlops.pipeline.effects import Effects
    from nbmlops.pipeline.model import Stage
    from nbmlops.runner.leftbehind import LeftBehind
    from nbmlops.runner.observe import Observation
    from nbmlops.runner.plan import Planner

__all__ = ["LiveState"]

Entries = tuple[tuple[str, ...], ...]


class LiveState:
    """Remembers who changed the process and the project's modules, for as long as the kernel lives."""

    def __init__(self) -> None:
        self._changed: dict[tuple[str, str], str] = {}
        self._watching: tuple[ExitStack, LeftBehind] | None = None

    def begin(self, made: Callable[[], LeftBehind], observation: Observation) -> None:
        """Watch a cell that is no stage."""
        self.end()
        stack, left = ExitStack(), made()
        stack.enter_context(left.following())
        stack.enter_context(left.around(0, observation))
        self._watching = (stack, left)

    def end(self) -> Entries:
        """Return what that cell changed."""
        watching, self._watching = self._watching, None
        if watching is None:
            return ()
        watching[0].close()
        return watching[1].entries()

    def note(self, who: str, entries: Iterable[tuple[str, ...]]) -> None:
        """Remember what a stage, or a cell that is neither stage nor setup, has changed."""
        self._changed.update({(kind, subject): who for kind, subject, *_ in entries if kind in DECIDING - {"definition"}})

    def remarks(self, stage: Stage, planner: Planner, effects: Effects) -> list[str]:
        """Say what a stage may see here that it does not see in a process of its own."""
        if not self._changed:
            return []
        modules = modules_of(planner, stage, effects, {})
        return [
            f"{named(kind, subject)} was changed by {who}, which only this kernel knows"
            for (kind, subject), who in self._changed.items()
            if kind != "module" or subject.partition(" ")[0] in modules
        ]
