"""The whole command on an empty store, against ``papermill`` on the same notebook; and two workers against one."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Cost, command, expect, race, run
from benchmarks.notebooks import busy_stages, model_stages, write_notebook
from benchmarks.papermill import own_jupyter, printed
from benchmarks.table import Row, race_rows

if TYPE_CHECKING:
    from benchmarks.peers import Peers

__all__ = ["rows"]

_ROWS = 20_000  # of the frame that the model is trained on
_STEPS = 12_000_000  # of each busy stage: some seconds
_ROUNDS = 3
_NOTEBOOK, _OUTPUT = "pipeline.ipynb", "output.ipynb"
_NBMLOPS = str(Path(sys.executable).with_name("nbmlops"))


def rows(folder: Path, peers: Peers) -> list[Row]:
    """Measure both."""
    return [*_against_papermill(folder / "model", peers), *_two_workers(folder / "busy")]


def _against_papermill(folder: Path, peers: Peers) -> list[Row]:
    folder.mkdir()
    write_notebook(folder / _NOTEBOOK, model_stages(_ROWS))
    variables, output = own_jupyter(folder), folder / _OUTPUT
    theirs = [peers.command("papermill"), _NOTEBOOK, _OUTPUT, "--kernel", "python3", "--no-progress-bar"]
    run(theirs, folder, variables)
    shown = printed(output)
    expect(re.search(r"^0\.\d{6}$", shown, re.MULTILINE) is not None, f"papermill's notebook shows no score: {shown}")
    _ours(folder)
    expect(printed(output) == shown, f"the notebooks show {printed(output)!r} and {shown!r}")
    result = race(lambda: _ours(folder), lambda: command(theirs, folder, **variables), _ROUNDS)
    return race_rows("cold run of 6 stages, pandas and scikit-learn", "papermill CLI", result, most=1.0)


def _two_workers(folder: Path) -> list[Row]:
    folder.mkdir()
    write_notebook(folder / _NOTEBOOK, busy_stages(_STEPS))
    result = race(lambda: _ours(folder, "--workers", "2"), lambda: _ours(folder, "--workers", "1"), _ROUNDS)
    return race_rows("2 independent busy stages, --workers 2", "--workers 1", result, most=1 / 1.7)[1:]  # both compute as much


def _ours(folder: Path, *options: str) -> Cost:
    """Run the notebook with nothing in the store."""
    shutil.rmtree(folder / ".nbmlops", ignore_errors=True)
    return command([_NBMLOPS, "run", _NOTEBOOK, _OUTPUT, "--no-track", *options], folder)
