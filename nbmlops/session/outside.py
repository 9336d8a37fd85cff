"""What the gates of a run may ask beyond its own results: the model in use, and whether a stage gives the same again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmlops.runner.gate import NOTHING_OUTSIDE
from nbmlops.session.champion import Champion

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmlops.pipeline.model import Pipeline
    from nbmlops.runner.results import StageResult
    from nbmlops.settings import Settings

__all__ = ["SessionOutside"]


@dataclass(slots=True)
class SessionOutside:
    """What the gates of one run may ask; each answer holds for the whole run.

    Parameters
    ----------
    settings : Settings
    pipeline : Pipeline
    repeat : callable or None
        Tells whether a stage gives the same again under other conditions; None where stages are not repeated, as in a kernel.
    in_use : Champion or None
        The model in use, where somebody asks for it for several runs.
    """

    settings: Settings
    pipeline: Pipeline
    repeat: Callable[[StageResult], bool] | None = None
    in_use: Champion | None = None

    def champion(self, metric: str) -> Any:  # noqa: ANN401 - what was logged
        """Return a metric of the model in use: see `nbmlops.runner.gate.Outside`."""
        if self.in_use is None:
            self.in_use = Champion(self.settings, self.pipeline)
        return self.in_use.metric(metric)

    def reproducible(self, result: StageResult) -> bool:
        """Tell whether a stage gives the same again under other conditions."""
        return NOTHING_OUTSIDE.reproducible(result) if self.repeat is None else self.repeat(result)
