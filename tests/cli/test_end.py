"""A command ends at once, and those who wait for its end get what they wait for."""

from __future__ import annotations

import subprocess
import sys

import pytest

_AT_EXIT = "import atexit, sys; atexit.register(print, 'told'); sys.argv = ['nbmlops', '--version']; from nbmlops.cli.main import main; main()"
_THREAD = (
    "import sys, threading, time; threading.Thread(target=lambda: (time.sleep(0.2), print('told'))).start();"
    "sys.argv = ['nbmlops', '--version']; from nbmlops.cli.main import main; main()"
)


@pytest.mark.parametrize(
    ("words", "told"),
    [(["-c", _AT_EXIT], "told"), (["-c", _THREAD], "told"), (["-m", "cProfile", "-m", "nbmlops", "--version"], "function calls")],
    ids=["atexit", "thread", "profiler"],
)
def test_those_who_wait_for_the_end_are_told(words: list[str], told: str) -> None:
    """The process is not cut off where somebody has something to do yet."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True, timeout=60)
    assert "nbmlops" in done.stdout
    assert told in done.stdout


def test_output_and_exit_code_arrive() -> None:
    """What was printed is written before the end, through a pipe too."""
    done = subprocess.run([sys.executable, "-m", "nbmlops", "rnu"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "did you mean 'run'?" in done.stderr) == (2, True)
    assert "usage:" in subprocess.run([sys.executable, "-m", "nbmlops", "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
