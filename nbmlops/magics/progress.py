"""How a run of `%mlrun` stands, below its cell: one output that is drawn anew, and that the result takes the place of."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from nbmlops.views.progress import Clock, Standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmlops.executors.progress import Moment

__all__ = ["CellProgress"]

_REDRAW_S = 1.0
_SOONEST_S = 0.2  # between two drawings: a thousand stages are no two thousand messages


class CellProgress:
    """An output of a cell that a run tells how it stands.

    Parameters
    ----------
    publish : callable
        The shell's `display_pub.publish`.
    usual_s, workers
        As `Standing` takes them.
    """

    def __init__(self, publish: Callable[..., Any], usual_s: Callable[[str], float | None], workers: int) -> None:
        self._publish = publish
        self._standing = Standing(usual_s, workers)
        self._transient = {"display_id": uuid.uuid4().hex}
        self._drawn_s: float | None = None
        self._clock = Clock(self._draw, _REDRAW_S)

    def __call__(self, moment: Moment) -> None:
        """Tell what has happened."""
        with self._clock.lock:
            self._standing.take(moment)
            if self._drawn_s is None or time.monotonic() - self._drawn_s > _SOONEST_S:
                self._draw()
        self._clock.begin()

    def end(self, data: dict[str, str]) -> None:
        """Show the result instead."""
        self._clock.end()
        self._show(data)

    def _draw(self) -> None:
        self._show({"text/plain": self._standing.line()})

    def _show(self, data: dict[str, str]) -> None:
        self._publish(data, transient=self._transient, update=self._drawn_s is not None)
        self._drawn_s = time.monotonic()
