"""What the gates of a run may ask beyond its own results: the model in use, and whether a stage gives the same again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmlops.runner.results import StageResult
    from nbmlops.session.champion import Champion

__all__ = ["SessionOutside"]


@dataclass(frozen=True, slots=True)
class SessionOutside:
    """What the gates of one run may ask; each answer holds for the whole run.

    Parameters
    ----------
    repeat : callable
        Tells whether a stage gives the same again under other conditions, or raises why it does not.
    in_use : Champion
        The model in use; its answer holds for all the runs that share it.
    """

    repeat: Callable[[StageResult], bool]
    in_use: Champion

    def champion(self, metric: str) -> Any:  # noqa: ANN401 - what was logged
        """Return a metric of the model in use: see `nbmlops.runner.gate.Outside`."""
        return self.in_use.metric(metric)

    def reproducible(self, result: StageResult) -> bool:
        """Tell whether a stage gives the same again under other conditions."""
        return self.repeat(result)
