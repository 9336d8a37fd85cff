"""The live panel of a sweep: how far it is, its best, pictures, a table that sorts, and buttons.

The browser's part is `sweep.js`.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from nbmlops.views.escape import cut
from nbmlops.views.sweep import best_numbers
from nbmlops.widgets.contents import head_of, pictures_of, table_of
from nbmlops.widgets.pacing import Pacer
from nbmlops.widgets.panel import LINE, Panel, error_line, script, style
from nbmlops.widgets.twin import twin_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbmlops.sweeps.state import SweepState

__all__ = ["SweepPanel"]

_INTERVAL_S = 0.5
_TRIALS_PER_S = 200  # pictures and table of many trials are made and sent less often: of 1,000 every 5 s
_TWIN_S = 30.0


class SweepPanel(Panel):
    """The panel of a sweep, below a cell.

    Parameters
    ----------
    state : SweepState
        How the sweep stands before `show` tells more.
    on_stop : callable
        Stops the sweep; is called in the kernel's main thread and should return at once. The panel says "stopping" until it is shown a state
        that is not running.
    on_run : callable
        Runs a trial, given by its number, as a notebook, and returns a line on what became of it. Is called in a thread of its own.
    on_set : callable
        Sets a trial's parameters in the kernel, and returns the line of code that does the same. Is called in the kernel's main thread.

    Notes
    -----
    What the callables raise is shown in one line. `show` may be called from any thread.
    """

    def __init__(self, state: SweepState, *, on_stop: Callable[[], object], on_run: Callable[[int], str], on_set: Callable[[int], str]) -> None:
        self._on_stop, self._on_run, self._on_set = on_stop, on_run, on_set
        best = best_numbers(state)
        super().__init__(_Widget(head=head_of(state, best), pictures=pictures_of(state, best), table=table_of(state, best)))
        self._pacer: Pacer[SweepState] = Pacer(self._deliver, _INTERVAL_S)
        self._state = state
        self._heavy_due_s = 0.0
        self._twin_due_s = 0.0

    def show(self, state: SweepState) -> None:
        """Show how the sweep stands: at once if it has ended, else within half a second and in a thread of the panel."""
        self._state = state
        if state.status == "running":
            self._pacer.offer(state)
        else:
            self._pacer.deliver_now(state)

    def display(self) -> None:
        """Put the panel below the cell that runs, and below it the card that stays in the notebook when the kernel is gone."""
        self._twin_due_s = time.monotonic() + _TWIN_S
        super().display()

    def _twin(self) -> dict[str, str]:
        return twin_bundle(self._state)

    def _deliver(self, state: SweepState) -> None:
        now = time.monotonic()
        ended = state.status != "running"
        heavy = ended or now >= self._heavy_due_s
        best = best_numbers(state)
        with self._lock, self._widget.hold_sync():
            self._widget.head = head_of(state, best)
            self._widget.stopping = self._widget.stopping and not ended
            if heavy:
                self._heavy_due_s = now + len(state.trials) / _TRIALS_PER_S
                self._widget.pictures = pictures_of(state, best)
                self._widget.table = table_of(state, best)
        if ended or now >= self._twin_due_s:
            self._twin_due_s = now + _TWIN_S
            self._update_twins()

    def _do(self, content: Mapping[str, Any]) -> None:
        kind, number = content.get("kind"), content.get("number")
        if kind == "stop":
            self._stop()
        elif kind in {"run", "set"} and isinstance(number, int) and any(trial.number == number for trial in self._state.trials):
            self._answer(number, kind, "wait", "running as a notebook ..." if kind == "run" else "setting ...")
            if kind == "run":
                threading.Thread(target=self._act, args=(number, kind, self._on_run), name=f"nbmlops-trial-{number}", daemon=True).start()
            else:
                self._act(number, kind, self._on_set)

    def _stop(self) -> None:
        with self._lock:
            self._widget.stopping = self._state.status == "running"
        try:
            self._on_stop()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown where it was asked for
            with self._lock:
                self._widget.stopping = False
            self._widget.send({"kind": "stop-failed", "text": error_line(error)})

    def _act(self, number: int, kind: str, action: Callable[[int], str]) -> None:
        try:
            told = action(number)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown where it was asked for
            self._answer(number, kind, "failed", error_line(error))
            return
        if kind == "set":
            self._answer(number, kind, "done", "these variables are set in the kernel:", code=told)
        else:
            self._answer(number, kind, "done", cut(told, LINE))

    def _answer(self, number: int, kind: str, state: str, text: str, *, code: str = "") -> None:
        with self._lock:
            answers = {**self._widget.answers, str(number): {"kind": kind, "state": state, "text": text, "code": code}}
            self._widget.answers = answers


class _Widget(anywidget.AnyWidget):
    """What the browser knows."""

    _esm = script("sweep")
    _css = style("sweep")
    head = traitlets.Dict().tag(sync=True)
    pictures: traitlets.List[Any] = traitlets.List().tag(sync=True)
    table = traitlets.Dict().tag(sync=True)
    answers = traitlets.Dict().tag(sync=True)
    stopping = traitlets.Bool(default_value=False).tag(sync=True)
