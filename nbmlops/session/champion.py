"""The metrics of the model in use, which gates compare with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmlops.errors import GateRefused

if TYPE_CHECKING:
    from nbmlops.pipeline.model import Pipeline
    from nbmlops.settings import Settings

__all__ = ["Champion"]


class Champion:
    """The model in use, asked for once."""

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        self._settings = settings
        self._pipeline = pipeline

    def metric(self, name: str) -> Any:  # noqa: ANN401 - what was logged
        """Return one of its metrics."""
        raise GateRefused(f"the champion's {name} cannot be told yet", code="NB630")
