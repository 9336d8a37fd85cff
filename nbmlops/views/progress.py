"""A run while it goes on: one line that is drawn anew on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TextIO

from nbmlops.views.amounts import human_seconds
from nbmlops.views.escape import cut, listed
from nbmlops.views.stageline import stage_line
from nbmlops.views.states import look_of
from nbmlops.views.tables import REPORT_ROW, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmlops.executors.progress import Moment
    from nbmlops.runner.results import StageResult

__all__ = ["Lines", "Live", "progress_on"]

_NAME = 48
_REDRAW_S = 0.5
_SHOWN = 4
_CLEAR = "\r\x1b[2K"
# what did not run in this run is in the table at its end
_WITHOUT_LINE = frozenset({"reused", "skipped", "not-run"})


def progress_on(stream: TextIO, usual_s: Callable[[str], float | None]) -> Lines | Live:
    """Return what shows a run's progress on a stream: `Live` on a terminal that can clear a line, else `Lines`.

    Parameters
    ----------
    stream : text stream
    usual_s : callable
        Gives the seconds that a stage took the last time, or None.
    """
    return Live(stream, usual_s) if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" else Lines(stream)


class Lines:
    """A line for each stage that starts, and for each that ends otherwise than well: for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, moment: Moment) -> None:
        """Tell what has happened."""
        if moment.doing:
            print(f"  {_name(moment.stage)}: {reason_of(moment.doing)}", file=self._stream, flush=True)
        elif moment.result is None:
            print(f"  {_name(moment.stage)} ... {reason_of(moment.reason)}", file=self._stream, flush=True)
        elif moment.result.status not in {*_WITHOUT_LINE, "ran"}:
            print(f"  {_ended(moment.result)}", file=self._stream, flush=True)

    def close(self) -> None:
        """Do nothing: each line stands."""


class Live:
    """One line that says how the run stands, drawn anew twice a second, below a line for each stage that has ended.

    Parameters
    ----------
    stream : text stream
        A terminal.
    usual_s : callable
        Gives the seconds that a stage took the last time, or None: what the time that is left is estimated from.
    """

    def __init__(self, stream: TextIO, usual_s: Callable[[str], float | None]) -> None:
        self._stream = stream
        self._usual_s = usual_s
        self._usual: dict[str, float | None] = {}
        self._moment: Moment | None = None
        self._since: dict[str, float] = {}
        self._most_at_once = 1
        import threading  # noqa: PLC0415 - logs do without

        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._clock = threading.Thread(target=self._tick, daemon=True)

    def __call__(self, moment: Moment) -> None:
        """Tell what has happened."""
        with self._lock:
            self._moment = moment
            now = time.monotonic()
            self._since = {name: self._since.get(name, now) for name in moment.running}
            self._most_at_once = max(self._most_at_once, len(moment.running))
            if moment.result is not None and moment.result.status not in _WITHOUT_LINE:
                self._stream.write(f"{_CLEAR}  {_ended(moment.result)}\n")
            self._draw()
        if not self._clock.is_alive() and not self._closed.is_set():
            self._clock.start()

    def close(self) -> None:
        """Take the line away."""
        self._closed.set()
        if self._clock.is_alive():
            self._clock.join()
        if self._moment is not None:
            self._stream.write(_CLEAR)
            self._stream.flush()

    def _tick(self) -> None:
        while not self._closed.wait(_REDRAW_S):
            with self._lock:
                self._draw()

    def _draw(self) -> None:
        if self._moment is not None:
            self._stream.write(_CLEAR + self._line(self._moment)[: _columns(self._stream) - 1])
            self._stream.flush()

    def _line(self, moment: Moment) -> str:
        now = time.monotonic()
        total = moment.done + len(moment.running) + len(moment.waiting)
        parts = [f"  {moment.done} of {total} done"]
        if moment.running:
            parts.append("running " + listed([f"{_name(name)} {human_seconds(now - self._since[name])}" for name in moment.running], _SHOWN))
        if moment.doing:
            parts.append(f"{_name(moment.stage)}: {reason_of(moment.doing)}")
        left = self._left_s(moment, now)
        if left is not None:
            parts.append(f"about {human_seconds(left)} left")
        return " · ".join(parts)

    def _left_s(self, moment: Moment, now: float) -> float | None:
        """Return the seconds that are left if each stage takes what it took the last time; None where that is known of none."""
        rest = [max(0.0, usual - (now - self._since[name])) for name in moment.running if (usual := self._known(name)) is not None]
        rest += [usual for name in moment.waiting if (usual := self._known(name)) is not None]
        return max(sum(rest) / self._most_at_once, *rest, 1.0) if rest else None

    def _known(self, name: str) -> float | None:
        if name not in self._usual:
            self._usual[name] = self._usual_s(name)
        return self._usual[name]


def _name(stage: str) -> str:
    return REPORT_ROW if stage.startswith("@") else cut(stage, _NAME)


def _ended(result: StageResult) -> str:
    line = stage_line(result).splitlines()[0]
    return f"{look_of(result.status).glyph} {line.replace(result.name, _name(result.name), 1)}"


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
