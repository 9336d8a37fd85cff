"""A sweep while it goes on: a bar that is drawn anew on a terminal, below a line for each trial that has ended; lines alone elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TextIO

from nbmlops.views.amounts import human_seconds, human_value
from nbmlops.views.escape import cut
from nbmlops.views.sweep import best_numbers, left_line, trial_state

if TYPE_CHECKING:
    from nbmlops.sweeps.state import SweepState, TrialState

__all__ = ["SweepProgress"]

_BAR = 24
_NAME, _VALUE, _ERROR = 40, 24, 120
_PARAMETERS = 6
_CLEAR = "\r\x1b[2K"


class SweepProgress:
    """Shows the states of a sweep on a stream, as they come.

    Parameters
    ----------
    stream : text stream
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._told: set[int] | None = None
        self._drawn = False

    def __call__(self, state: SweepState) -> None:
        """Tell which trials have ended since the last time, and how far the sweep is."""
        if self._told is None:  # a sweep that is continued: its table tells of the trials before
            self._told = {trial.number for trial in state.finished}
        ended = [trial for trial in state.finished if trial.number not in self._told]
        best = best_numbers(state)
        lines = [f"  {trial_line(state, trial, is_best=trial.number in best)}\n" for trial in ended]
        self._told.update(trial.number for trial in ended)
        bar = self._bar(state) if self._live and state.status == "running" else ""
        if lines or bar or self._drawn:
            self._stream.write((_CLEAR if self._drawn else "") + "".join(lines) + bar)
            self._stream.flush()
        self._drawn = bool(bar)

    def close(self) -> None:
        """Take the bar away."""
        if self._drawn:
            self._stream.write(_CLEAR)
            self._stream.flush()
            self._drawn = False

    def _bar(self, state: SweepState) -> str:
        done = min(1.0, len(state.finished) / state.wanted)
        full = round(done * _BAR)
        running = state.counts.get("RUNNING", 0)
        parts = [f"  [{'#' * full}{'-' * (_BAR - full)}] {len(state.finished)} of {state.wanted} trials"]
        parts += [f"{running} running"] if running else []
        parts += [left] if (left := left_line(state)) else []
        return " · ".join(parts)[: _columns(self._stream) - 1]


def trial_line(state: SweepState, trial: TrialState, *, is_best: bool) -> str:
    """Return how a trial ended, in one line."""
    values = ", ".join(f"{cut(item.metric, _NAME)} {human_value(value)}" for item, value in zip(state.objectives, trial.values, strict=False))
    shown = [f"{cut(name, _NAME)} {cut(human_value(value), _VALUE)}" for name, value in list(trial.parameters.items())[:_PARAMETERS]]
    parts = [f"trial {trial.number} {trial_state(trial.state)}" + (f": {values}" if values else "") + (" (best so far)" if is_best else "")]
    parts += [", ".join(shown)] if shown else []
    parts += [human_seconds(trial.seconds)]
    parts += [cut(trial.error, _ERROR)] if trial.error else []
    return " · ".join(parts)


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
