"""Stages that run for the first time and may use files: nobody knows yet which, so they keep the document's order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.pipeline.effects import NO_EFFECTS
from nbmlops.pipeline.fileuse import may_use_unnamed_files

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator, Mapping

    from nbmlops.runner.plan import PlannedStage, Planner
    from nbmlops.runner.results import StageResult

__all__ = ["FirstRuns"]

_DONE = frozenset({"ran", "reused", "skipped"})


class FirstRuns:
    """Says which stage must wait for an earlier one because of files that are not known yet.

    Parameters
    ----------
    planner : Planner
    """

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._unknown: dict[str, bool] = {}

    def must_wait(self, item: PlannedStage, results: Mapping[str, StageResult]) -> bool:
        """Tell whether a stage that could start waits for one above it that has no status yet."""
        name, stages = item.stage.name, self._planner.pipeline.stages
        if name not in stages or not self._uses_files(name, item):
            return False
        wanted = self._planner.wanted()
        for other in stages:
            if other == name:
                return False
            if other in results or other not in wanted or not (self._is_unknown(name, item) or self._is_unknown(other)):
                continue
            if self._uses_files(other) and not self._is_stuck(other, results) and other not in self._planner.pipeline.downstream(name):
                return True
        return False

    def _uses_files(self, name: str, item: PlannedStage | None = None) -> bool:
        stage, effects = self._planner.pipeline.stages[name], self._planner.effects.get(name, NO_EFFECTS)
        return bool(stage.files_read or stage.files_written or effects.files_read or effects.files_absent) or self._is_unknown(name, item)

    def _is_unknown(self, name: str, item: PlannedStage | None = None) -> bool:
        """Tell whether a stage's code has never run and may use files that it does not name."""
        if name not in self._unknown:
            if self._planner.has_run(name):
                self._unknown[name] = False
            elif item is not None and item.parts.get("modules"):
                self._unknown[name] = True  # modules of the project may do anything
            else:
                self._unknown[name] = may_use_unnamed_files(self._code_of(name))
        return self._unknown[name]

    def _code_of(self, name: str) -> Iterator[ast.AST]:
        source, pipeline = self._planner.source, self._planner.pipeline
        yield from (member.tree for member in source.stages[name] if member.tree is not None)
        used = {pipeline.setup[position].fingerprint for position in pipeline.stages[name].setup}
        yield from (piece.statement.tree for piece in source.pieces if piece.statement is not None and piece.statement.fingerprint in used)

    def _is_stuck(self, name: str, results: Mapping[str, StageResult]) -> bool:
        """Tell whether a stage will not run: something that it hangs on has failed."""
        queue, seen = [name], {name}
        while queue:
            for upstream in self._planner.pipeline.stages[queue.pop()].upstream:
                if upstream in results:
                    if results[upstream].status not in _DONE:
                        return True
                elif upstream not in seen:
                    seen.add(upstream)
                    queue.append(upstream)
        return False
