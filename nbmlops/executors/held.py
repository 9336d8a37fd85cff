"""Failures that are kept back: the stage may have looked for a file that an earlier stage turns out to write."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nbmlops.pipeline.effects import NO_EFFECTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from contextlib import ExitStack

    from nbmlops.pipeline.model import Stage
    from nbmlops.runner.plan import PlannedStage, Planner
    from nbmlops.runner.task import StageOutcome

__all__ = ["Attempt", "HeldFailures"]


@dataclass(slots=True)
class Attempt:
    """A stage that runs, or has run."""

    stage: str
    token: str
    planned: PlannedStage
    reason: str
    lock: ExitStack
    stage_as_planned: Stage


class HeldFailures:
    """The failures of one run that nobody believes yet.

    Parameters
    ----------
    planner : Planner
    """

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._held: dict[str, tuple[Attempt, StageOutcome]] = {}

    def __contains__(self, stage: str) -> bool:
        return stage in self._held

    def __bool__(self) -> bool:
        return bool(self._held)

    def hold(self, attempt: Attempt, outcome: StageOutcome) -> None:
        """Keep a failure back, and let the planner know which files the stage has looked for."""
        known, seen = self._planner.effects.get(attempt.stage, NO_EFFECTS), outcome.effects
        read, absent = {*known.files_read, *seen.files_read}, {*known.files_absent, *seen.files_absent}
        mutated = tuple(sorted({*known.mutated, *seen.mutated}))
        self._planner.learn(attempt.stage, replace(known, files_read=tuple(sorted(read)), files_absent=tuple(sorted(absent)), mutated=mutated))
        self._held[attempt.stage] = (attempt, outcome)

    def drop(self, stage: str) -> None:
        """Forget a failure: the stage has got another status."""
        self._held.pop(stage, None)

    def settle(self, settled: Collection[str], *, idle: bool, again: bool = True) -> Iterator[tuple[Attempt, StageOutcome, str]]:
        """Give back, and forget, what is decided now: with a stage that the failed one must wait for, or "" where the failure is true.

        Parameters
        ----------
        settled : collection of str
            The stages that have their status.
        idle : bool
            Whether nothing else runs or can start.
        again : bool
            Whether stages may still run again.
        """
        for name, (attempt, outcome) in list(self._held.items()):
            waits = set(self._planner.pipeline.stages[name].upstream) - set(attempt.stage_as_planned.upstream)
            if again and waits:
                del self._held[name]
                yield attempt, outcome, min(waits)
            elif idle or not self.earlier_unsettled(name, settled):
                del self._held[name]
                yield attempt, outcome, ""

    def earlier_unsettled(self, name: str, settled: Collection[str]) -> bool:
        """Tell whether a stage above one is still to end: it may turn out to write what the one looks for."""
        wanted = self._planner.wanted()
        earlier = itertools.takewhile(lambda other: other != name, self._planner.pipeline.stages)
        return any(other in wanted and other not in settled and other not in self._held for other in earlier)
