"""What cells of a live kernel changed in modules of the project: batch imports them anew for every stage, a kernel keeps them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from nbmlops.pipeline.leftbehind import named
from nbmlops.runner.seeing import modules_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nbmlops.pipeline.effects import Effects
    from nbmlops.pipeline.model import Stage
    from nbmlops.runner.leaving.leftbehind import LeftBehind
    from nbmlops.runner.plan import Planner
    from nbmlops.runner.watching.observation import Observation

__all__ = ["LiveState"]

Entries = tuple[tuple[str, ...], ...]


class LiveState:
    """Remembers who changed what the project's modules hold, until they are reloaded."""

    def __init__(self) -> None:
        self._changed: dict[str, str] = {}
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
        self._changed.update({subject: who for kind, subject, *_ in entries if kind == "module"})

    def forget(self, paths: Iterable[str]) -> None:
        """Take note of modules that were imported anew."""
        gone = set(paths)
        self._changed = {subject: who for subject, who in self._changed.items() if subject.partition(" ")[0] not in gone}

    def seen_by(self, stage: Stage, planner: Planner, effects: Effects) -> dict[str, str]:
        """Return what a stage may see here that it does not see in a process of its own, with who has changed it."""
        if not self._changed:
            return {}
        modules = modules_of(planner, stage, effects, {})
        return {named("module", subject): who for subject, who in self._changed.items() if subject.partition(" ")[0] in modules}
