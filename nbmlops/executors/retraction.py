"""Attempts that may turn out to have worked on values that were out of date: what they did to files can be undone."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from nbmlops.runner.watching.undo import undo

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Retraction"]


class Retraction:
    """The attempts of a run that have kept what files held before them.

    Parameters
    ----------
    folder : Path
        Where attempts keep their files while they run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._attempts: dict[str, list[str]] = {}
        self._ending: dict[str, str] = {}

    def begin(self, stage: str, token: str) -> str:
        """Return where an attempt is to keep what files held before it."""
        self._attempts.setdefault(stage, []).append(token)
        return str(self._of(token))

    def end(self, stage: str, token: str) -> None:
        """Take note that an attempt is being ended: the stage must not start again while its process may still write."""
        self._ending[token] = stage

    def ended(self, token: str) -> None:
        """Clear away behind an attempt whose process is gone."""
        stage = self._ending.pop(token, None)
        if stage is not None:
            self.undo(stage)

    def is_ending(self, stage: str | None = None) -> bool:
        """Tell whether an attempt, of this stage if one is given, is being ended."""
        return bool(self._ending) if stage is None else stage in self._ending.values()

    def undo(self, stage: str) -> None:
        """Bring back the files that a stage's attempts have changed, the last one first; later if one of them is still being ended."""
        if not self.is_ending(stage):
            for token in reversed(self._attempts.pop(stage, [])):
                undo(self._of(token))

    def close(self) -> None:
        """Forget what was kept: the run is over, and every result stands."""
        for tokens in self._attempts.values():
            for token in tokens:
                shutil.rmtree(self._of(token), ignore_errors=True)
        self._attempts.clear()

    def _of(self, token: str) -> Path:
        return self._folder / f"{token}.before"
