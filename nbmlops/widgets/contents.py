"""What the script of a sweep's panel is told: cleaned text and numbers, for it to set as text and never as markup."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nbmlops.views.amounts import human_value
from nbmlops.views.escape import cut
from nbmlops.views.plots import plots_of, swept
from nbmlops.views.states import look_of, words_of
from nbmlops.views.sweep import about_rows, best_line, place_rows, trial_header, trial_row, trial_state

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from nbmlops.sweeps.state import SweepState, TrialState

__all__ = ["head_of", "pictures_of", "table_of"]

_NAME, _VALUE, _SENTENCE = 40, 24, 400
_RUNNING, _PARAMETERS = 8, 16
_LOOKS = {"running": "running", "done": "complete", "stopped": "cancelled", "failed": "failed"}
_TRACKERS = {"mlflow": "MLflow", "wandb": "W&B"}


def head_of(state: SweepState, best: Collection[int]) -> dict[str, Any]:
    """Return what stands above the table: how far the sweep has come, its best, what runs, and where trackers show it."""
    counts = [(trial_state(word), number) for word, number in state.counts.items()]
    said = ", ".join(f"{number} {words_of(word)}" for word, number in counts if word != "running")
    left = state.seconds_left
    running = [trial for trial in state.trials if trial.state == "RUNNING"]
    return {
        "name": cut(state.name, _NAME),
        "status": state.status,
        "looks": f"{look_of(_LOOKS.get(state.status, '')).glyph} {cut(state.status, 20)}",
        "progress": f"{len(state.finished)} of {state.wanted} trials finished" + (f" ({said})" if said else ""),
        "finished": len(state.finished),
        "wanted": state.wanted,
        "best": best_line(state, best),
        "bestTrial": state.best.number if state.best is not None else None,
        "running": [_running(trial) for trial in running[:_RUNNING]],
        "runningMore": max(len(running) - _RUNNING, 0),
        "left": left if left is not None and 0 <= left < math.inf else None,
        "error": cut(state.error, _SENTENCE),
        "links": _links(state),
        "places": [list(fact) for fact in place_rows(state, without={"url", "command"})],
        "about": [list(fact) for fact in about_rows(state)],
    }


def pictures_of(state: SweepState, best: Collection[int]) -> list[dict[str, str]]:
    """Return the plots as images."""
    return [{"kind": plot.kind, "alt": plot.alt, "src": plot.address} for plot in plots_of(state, best)]


def table_of(state: SweepState, best: Collection[int]) -> dict[str, Any]:
    """Return all trials: the headings, which columns stand to the right, and of each trial its number, cells and what they are sorted by."""
    names = swept(state)
    header = trial_header(state, names)
    rows = [_row(state, trial, names, best) for trial in state.trials]
    return {"header": list(header), "numbers": [0, *range(2, len(header) - 2)], "rows": rows}


def _row(state: SweepState, trial: TrialState, names: Sequence[str], best: Collection[int]) -> dict[str, Any]:
    cells, keys = trial_row(state, trial, names, best)
    shown = [cells[0], f"{look_of(cells[1]).glyph} {words_of(cells[1])}", *cells[2:]]
    return {"number": trial.number, "ended": trial.state != "RUNNING", "best": trial.number in best, "cells": shown, "keys": list(keys)}


def _running(trial: TrialState) -> dict[str, Any]:
    told = ", ".join(f"{cut(name, _NAME)} {human_value(value, _VALUE)}" for name, value in list(trial.parameters.items())[:_PARAMETERS])
    return {"number": trial.number, "seconds": round(max(trial.seconds, 0.0), 1), "parameters": told}


def _links(state: SweepState) -> list[dict[str, str]]:
    """Return where trackers show the sweep: an address, or the command that opens one."""
    links = []
    for tracker, fields in state.tracking.items():
        label = f"Open in {_TRACKERS.get(tracker, cut(tracker, 20))}"
        url, command = fields.get("url", ""), fields.get("command", "")
        if url.startswith(("http://", "https://")):  # never javascript: or the like
            links.append({"label": label, "href": url})
        elif command:
            links.append({"label": label, "command": command})
    return links
