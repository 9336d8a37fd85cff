"""A run while it goes on: one line that is drawn anew on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TextIO

from nbmlops.views.amounts import human_seconds
from nbmlops.views.escape import cut, listed
from nbmlops.views.fitting import columns_of
from nbmlops.views.stageline import stage_line
from nbmlops.views.states import look_of, words_of
from nbmlops.views.tables import REPORT_ROW, reason_of
from nbmlops.views.timeleft import is_overdue, seconds_until_done

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmlops.executors.progress import Moment
    from nbmlops.runner.results import StageResult

__all__ = ["Clock", "Lines", "Live", "Standing", "progress_on"]

_NAME = 48
_REDRAW_S = 0.5
_SHOWN = 4
_MANY = 50  # stages of which it is not asked with each event how long they will take
_CLEAR = "\r\x1b[2K"
# what did not run in this run is in the table at its end
_COUNTED = ("reused", "failed", "timed-out", "refused")
_WITHOUT_LINE = frozenset({"reused", "skipped", "not-run"})


def progress_on(stream: TextIO, usual_s: Callable[[str], float | None], workers: int) -> Lines | Live:
    """Return what shows a run's progress on a stream: `Live` on a terminal that can clear a line, else `Lines`.

    Parameters
    ----------
    stream : text stream
    usual_s : callable
        Gives the seconds that a stage took the last time, or None.
    workers : int
        How many stages may run at once.
    """
    return Live(stream, usual_s, workers) if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" else Lines(stream)


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


class Standing:
    """How a run stands, in one line: what is done, the time that is left, and what runs.

    Parameters
    ----------
    usual_s : callable
        Gives the seconds that a stage took the last time, or None: what the time that is left is estimated from.
    workers : int
        How many stages may run at once.
    """

    def __init__(self, usual_s: Callable[[str], float | None], workers: int) -> None:
        self._usual_s = usual_s
        self._workers = workers
        self._usual: dict[str, float | None] = {}
        self._since: dict[str, float] = {}
        self._ended: dict[str, str] = {}
        self._moment: Moment | None = None
        self._estimate: tuple[float, str] | None = None

    def take(self, moment: Moment) -> None:
        """Take note of what has happened."""
        self._moment = moment
        now = time.monotonic()
        self._since = {name: self._since.get(name, now) for name in moment.running}
        if moment.result is not None:
            self._ended[moment.stage] = moment.result.status
        else:
            self._ended.pop(moment.stage, None)  # it runs again: what it read was found to be another value

    def line(self) -> str:
        """Return the line; empty before anything has happened."""
        moment = self._moment
        if moment is None:
            return ""
        now = time.monotonic()
        total = moment.done + len(moment.running) + len(moment.waiting)
        counts = [(status, sum(kind == status for kind in self._ended.values())) for status in _COUNTED]
        told = ", ".join(f"{number} {words_of(status)}" for status, number in counts if number)
        parts = [f"{moment.done} of {total} done" + (f" ({told})" if told else ""), self._left(moment, now)]
        if moment.running:
            parts.append("running " + listed([self._runs(name, now) for name in moment.running], _SHOWN, width=_NAME + 40))
        if moment.doing:
            parts.append(f"{_name(moment.stage)}: {reason_of(moment.doing)}")
        if moment.done == total:
            parts.append("finishing: the notebook and the trackers")
        return " · ".join(filter(None, parts))

    def _runs(self, name: str, now: float) -> str:
        elapsed, usual = now - self._since[name], self._known(name)
        late = f" (the last time {human_seconds(usual)})" if usual is not None and is_overdue(elapsed, usual) else ""
        return f"{_name(name)} {human_seconds(elapsed)}{late}"

    def _left(self, moment: Moment, now: float) -> str:
        """Say how long it will still take: at least, where of some stages nobody knows; nothing where that is all."""
        if self._estimate is not None and len(moment.waiting) > _MANY and now - self._estimate[0] < _REDRAW_S:
            return self._estimate[1]
        usual = {name: self._known(name) for name in (*moment.running, *moment.waiting)}
        left = {name: 0.0 if seconds is None else max(0.0, seconds - (now - self._since.get(name, now))) for name, seconds in usual.items()}
        unknown = any(seconds is None or is_overdue(now - self._since.get(name, now), seconds) for name, seconds in usual.items())
        seconds = seconds_until_done(left, moment.running, moment.upstream, self._workers) if any(left.values()) else 0.0
        if unknown:
            text = f"at least {human_seconds(seconds)} left" if seconds >= 1 else ""
        else:
            text = f"about {human_seconds(max(seconds, 1.0))} left" if usual else ""
        self._estimate = (now, text)
        return text

    def _known(self, name: str) -> float | None:
        if name not in self._usual:
            self._usual[name] = self._usual_s(name)
        return self._usual[name]


class Clock:
    """Draws again and again, from a thread of its own, until it is ended; who draws besides holds `lock`.

    Parameters
    ----------
    draw : callable
    every_s : float
    """

    def __init__(self, draw: Callable[[], None], every_s: float) -> None:
        import threading  # noqa: PLC0415 - logs do without

        self.lock = threading.Lock()
        self._draw = draw
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        """Draw from now on, if that has not begun yet."""
        if not self._thread.is_alive() and not self._ended.is_set():
            self._thread.start()

    def end(self) -> None:
        """Draw no more once this returns."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            with self.lock:
                self._draw()


class Live:
    """One line that says how the run stands, drawn anew twice a second, below a line for each stage that has ended.

    Parameters
    ----------
    stream : text stream
        A terminal.
    usual_s, workers
        As `Standing` takes them.
    """

    def __init__(self, stream: TextIO, usual_s: Callable[[str], float | None], workers: int) -> None:
        self._stream = stream
        self._standing = Standing(usual_s, workers)
        self._drawn = False
        self._clock = Clock(self._draw, _REDRAW_S)

    def __call__(self, moment: Moment) -> None:
        """Tell what has happened."""
        with self._clock.lock:
            self._standing.take(moment)
            if moment.result is not None and moment.result.status not in _WITHOUT_LINE:
                self._stream.write(f"{_CLEAR}  {_ended(moment.result)}\n")
            self._draw()
        self._clock.begin()

    def close(self) -> None:
        """Take the line away."""
        self._clock.end()
        if self._drawn:
            self._stream.write(_CLEAR)
            self._stream.flush()

    def _draw(self) -> None:
        self._stream.write(f"{_CLEAR}  {cut(self._standing.line(), columns_of(self._stream) - 3)}")
        self._stream.flush()
        self._drawn = True


def _name(stage: str) -> str:
    return REPORT_ROW if stage.startswith("@") else cut(stage, _NAME)


def _ended(result: StageResult) -> str:
    line = stage_line(result).splitlines()[0]
    return f"{look_of(result.status).glyph} {line.replace(result.name, _name(result.name), 1)}"
