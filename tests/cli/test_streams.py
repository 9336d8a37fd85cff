"""A command whose output nobody can get does its work all the same, and says truly how that ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.project import Project

_FULL = "/dev/full"
_COMMAND = [sys.executable, "-m", "nbmlops"]


@pytest.fixture
def failing(tmp_path: Path) -> Project:
    """Write a notebook whose second stage fails and whose third does not."""
    project = Project(tmp_path / "project")
    project.write(["%%mlstage a\nx = 1", "%%mlstage b\ny = x / 0", "%%mlstage c\nz = x\nopen('c.txt', 'w').write('c')"])
    return project


def _gone() -> int:
    """Return a pipe's end to write to, whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def test_a_reader_that_has_gone_breaks_nothing_off(failing: Project) -> None:
    """`nbmlops run nb.ipynb --json 2>&1 | head -n 1` runs all that can run, and is no success if a stage failed."""
    writer = _gone()
    command = [*_COMMAND, "run", "nb.ipynb", "--json"]
    done = subprocess.run(command, cwd=failing.folder, env=failing.environment(), stdout=writer, stderr=writer, check=False, timeout=120)
    os.close(writer)
    assert (done.returncode, (failing.folder / "c.txt").exists()) == (1, True)


@pytest.mark.parametrize("words", [["--version"], ["nosuch", "--json"]], ids=["fine", "wrong"])
def test_stdout_that_takes_nothing_is_told(words: list[str]) -> None:
    """What nobody got was not delivered: that is no success, and one line says so."""
    with Path(_FULL).open("w") as full:
        done = subprocess.run([*_COMMAND, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == (1 if words == ["--version"] else 2)
    assert "NB670" in done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_stderr_that_takes_nothing_changes_nothing() -> None:
    """Messages that cannot be written are nobody's failure."""
    with Path(_FULL).open("w") as full:
        done = subprocess.run([*_COMMAND, "--version"], stdout=subprocess.PIPE, stderr=full, text=True, check=False, timeout=60)
    assert (done.returncode, "nbmlops" in done.stdout) == (0, True)


def test_closed_streams_are_no_files(failing: Project) -> None:
    """A process without stdin, stdout and stderr gives their numbers to no file of the store: a stage's server would print into it."""
    shut = ["sh", "-c", 'exec 0<&- 1>&- 2>&-; exec "$@"', "sh"]
    command = [*shut, *_COMMAND, "run", "nb.ipynb", "-q"]
    done = subprocess.run(command, cwd=failing.folder, env=failing.environment(), check=False, timeout=120)
    assert (done.returncode, (failing.folder / "c.txt").exists()) == (1, True)
    assert failing.call("store", "verify").code == 0


def test_a_terminal_without_the_letters_breaks_nothing_off(failing: Project) -> None:
    """An encoding that knows no check mark shows something else in its place."""
    environment = failing.environment({"PYTHONIOENCODING": "ascii"})
    done = subprocess.run([*_COMMAND, "run", "nb.ipynb"], cwd=failing.folder, env=environment, capture_output=True, check=False, timeout=120)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"notebook " in done.stderr


def test_a_working_folder_that_is_gone_is_told(failing: Project) -> None:
    """By one line, whatever asks for it first."""
    command = ["sh", "-c", 'rm -r "$PWD"; exec "$@"', "sh", *_COMMAND, "store", "ls"]
    done = subprocess.run(command, cwd=failing.folder, env=failing.environment(), capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.count("\n"), "NB674" in done.stderr) == (2, 1, True)
