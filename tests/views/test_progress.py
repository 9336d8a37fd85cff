"""A run while it goes on, on a terminal and in a log."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import struct
import termios
from typing import TYPE_CHECKING

import pytest

from nbmlops.executors.progress import Moment
from nbmlops.runner.results import StageResult
from nbmlops.runner.task import StageError
from nbmlops.views.progress import Lines, Live, Standing, progress_on
from nbmlops.views.stageline import raising_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

ERROR = StageError(type="ValueError", message="no rows", cell=3)
FAILED = StageResult(name="b", status="failed", seconds=2.0, error=ERROR)
RAN = StageResult(name="a", status="ran", seconds=2.0, reason="first run")


def moment(stage: str, result: StageResult | None = None, running: tuple[str, ...] = (), waiting: tuple[str, ...] = (), done: int = 0) -> Moment:
    return Moment(stage=stage, reason="first run", result=result, running=running, waiting=waiting, done=done)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TextIO, int]]:
    """Give a terminal to write on, and the descriptor that shows what was written."""
    monkeypatch.setenv("TERM", "xterm")
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as stream:
        yield stream, reader
    os.close(reader)


def shown(reader: int) -> list[str]:
    """Return what a terminal shows in the end: of each line what was written after it was cleared last."""
    data = b""
    while select.select([reader], [], [], 0.2)[0]:
        data += os.read(reader, 1 << 16)
    text = data.decode().replace("\r\n", "\n")
    return [re.split("\r\x1b\\[2K", line)[-1] for line in text.split("\n")]


def test_what_is_done_beside_running_is_told(terminal: tuple[TextIO, int]) -> None:
    """Such as the repetitions that a gate asks for, which may take longer than the stage."""
    repeating = Moment(
        stage="a", reason="first run", result=None, running=("a",), waiting=(), done=0, doing="second time, for --require reproducible"
    )
    stream = io.StringIO()
    Lines(stream)(repeating)
    assert stream.getvalue() == "  a: second time, for --require reproducible\n"
    live = Live(terminal[0], lambda _name: None, 2)
    live(repeating)
    assert "a: second time, for --require reproducible" in shown(terminal[1])[-1]
    live.close()


def test_log_has_a_line_for_each_start_and_each_failure() -> None:
    """What was reused or did well stands in the table at the end."""
    stream = io.StringIO()
    lines = progress_on(stream, lambda _name: None, 2)
    assert isinstance(lines, Lines)
    for item in (moment("a"), moment("a", RAN), moment("@report"), moment("b", FAILED), moment("c", StageResult(name="c", status="not-run"))):
        lines(item)
    assert stream.getvalue().splitlines() == [
        "  a ... first run",
        "  report cells ... first run",
        "  ✗ b  failed after 2.0 s · ValueError: no rows (cell 3)",
    ]


def test_terminal_has_one_line_that_is_drawn_anew(terminal: tuple[TextIO, int]) -> None:
    """What has ended stands above it; the time that is left is that of the last time."""
    stream, reader = terminal
    live = progress_on(stream, {"a": 2.0, "b": 60.0, "c": 30.0}.get, 1)
    assert isinstance(live, Live)
    live(moment("a", None, ("a",), ("b", "c")))
    assert re.fullmatch(r"  0 of 3 done · about 1 min 3[12] s left · running a \d+ ms", shown(reader)[-1])
    live(moment("a", RAN, (), ("b", "c"), 1))
    live(moment("b", None, ("b",), ("c",), 1))
    lines = shown(reader)
    assert lines[0] == "  ✓ a  ran 2.0 s · first run"
    assert re.fullmatch(r"  1 of 3 done · about 1 min \d+ s left · running b \d+ ms", lines[-1])
    live.close()
    assert shown(reader) == [""]


def test_unknown_times_are_not_guessed(terminal: tuple[TextIO, int]) -> None:
    """A first run says what runs, not how long it will take."""
    stream, reader = terminal
    live = Live(stream, lambda _name: None, 2)
    live(moment("a", None, ("a",), ("b",)))
    live.close()
    assert "left" not in "".join(shown(reader))


def test_time_that_is_left_heeds_what_waits_for_what() -> None:
    """Two workers do not halve a chain of stages; the report cells come last."""
    upstream = {"train": ("load",), "judge": ("train",), "@report": ("load", "train", "judge", "plot")}
    waiting = ("plot", "train", "judge", "@report")
    now = Moment(stage="load", reason="", result=None, running=("load",), waiting=waiting, done=0, upstream=lambda name: upstream.get(name, ()))
    times = {"load": 100.0, "plot": 20.0, "train": 100.0, "judge": 100.0, "@report": 10.0}
    standing = Standing(times.get, 2)
    standing.take(now)
    assert " · about 5 min 10 s left · " in standing.line()


def test_stages_without_record_make_the_time_a_least_one() -> None:
    """So does one that runs much longer than the last time, which is told with its time."""
    standing = Standing({"a": 60.0}.get, 2)
    standing.take(moment("a", None, ("a",), ("new",)))
    assert " · at least 1 min left · " in standing.line()
    standing = Standing({"slow": 1e-9, "rest": 300.0}.get, 2)
    standing.take(moment("slow", None, ("slow",), ("rest",)))
    standing._since["slow"] -= 60
    assert re.fullmatch(r"0 of 2 done · at least 5 min left · running slow 1 min \(the last time 0 ms\)", standing.line())


def test_what_was_reused_or_failed_is_counted() -> None:
    """Since only that tells whether a run goes well."""
    standing = Standing(lambda _name: None, 2)
    standing.take(moment("a", StageResult(name="a", status="reused"), done=1, waiting=("b", "c")))
    standing.take(moment("b", FAILED, done=2, waiting=("c",)))
    assert standing.line() == "2 of 3 done (1 reused, 1 failed)"
    standing.take(moment("b", None, ("b",), ("c",), 1))
    assert standing.line().startswith("1 of 3 done (1 reused) · running b ")


def test_line_is_cut_to_the_terminal(terminal: tuple[TextIO, int]) -> None:
    """With an ellipsis; a line that is broken could not be cleared."""
    stream, reader = terminal
    fcntl.ioctl(stream.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 24, 30, 0, 0))
    live = Live(stream, lambda _name: None, 2)
    live(moment("a long name for a stage", None, ("a long name for a stage",), ("b",)))
    assert shown(reader)[-1] == "  0 of 2 done · running a lo…"
    live.close()


def test_dumb_terminal_gets_lines(terminal: tuple[TextIO, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that cannot clear a line is a log."""
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_on(terminal[0], lambda _name: None, 2), Lines)


def test_line_that_raised_is_that_of_the_stage() -> None:
    """Not that of the function of a setup cell, or of a library, which it called."""
    own = ("\x1b[36mCell\x1b[39m 3 (b), line 2", "      1 x = 1", "\x1b[32m----> \x1b[39m2 y = f(x)", "")
    helper = ("Cell 0, line 9, in f(x)", "----> 9     raise", "")
    library = ("File ~/lib.py:7, in g()", "----> 7 raise ValueError")
    error = StageError(type="ValueError", message="", cell=3, traceback=("\n".join((*own, *helper)), *library))
    assert raising_line(error) == "cell 3: y = f(x)"
    assert not raising_line(ERROR)
