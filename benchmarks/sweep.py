"""Trials of a trivial stage, tracked in MLflow: against the loops that people write by hand, and against its own first hundred."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import nbmlops
from benchmarks.extension import heavy_of
from benchmarks.measure import Cost, Race, clean_environment, command, expect, race, run
from benchmarks.notebooks import write_notebook
from benchmarks.papermill import own_jupyter
from benchmarks.table import Row, count_row, race_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.peers import Peers
    from nbmlops.sweeps.state import SweepState

__all__ = ["rows"]

_NBMLOPS = str(Path(sys.executable).with_name("nbmlops"))
_DRIVER = Path(__file__).with_name("sweep_driver.py")
_PARAMETERS, _LOSS = ("parameters", "x = 0.5"), "metrics = {'loss': (x - 0.3) ** 2}"
_SWEEP = ("sweep", "trivial.ipynb", "--minimize", "loss", "--space", "x=float(0, 1)", "--workers", "1", "--quiet")
_LONG, _SHORT = 260, 60  # trials: the difference is what one costs, without the start
_LOOPS = {"papermill": 4, "optuna": 50}  # trials in each round
_PEERS = {"papermill": "papermill and MLflow's fluent logging", "optuna": "Optuna and MLflow's fluent logging"}
_MOST = {"papermill": 1 / 20, "optuna": 2}
_ROUNDS = 3
_MANY, _BLOCK, _WARM_UP = 1000, 100, 20
_ALLOWED = {"numpy", "optuna"}  # whoever asks Optuna has both; the others are a tracker's, or the user's


def rows(folder: Path, peers: Peers) -> list[Row]:
    """Measure a trial against the two loops, a thousand trials against their beginning, and what the command imports."""
    ours, theirs, many = folder / "nbmlops", folder / "loops", folder / "many"
    for path in (ours, theirs, many):
        path.mkdir()
        (path / "pyproject.toml").touch()
        write_notebook(path / "trivial.ipynb", [_PARAMETERS, ("", f"%%mlstage score --metrics metrics\n{_LOSS}")])
    write_notebook(theirs / "papermill.ipynb", [_PARAMETERS, ("", f"{_LOSS}\nprint(metrics['loss'])")])
    with _loops(peers, theirs) as by_loop:
        _prepare(ours)
        races = _races(ours, by_loop)
    found = [
        row for loop, result in races.items() for row in race_rows("trial of a sweep, tracked in MLflow", _PEERS[loop], result, most=_MOST[loop])
    ]
    last, first = _blocks(many)
    return [
        *found,
        *race_rows(f"trial of a sweep, the last {_BLOCK} of {_MANY:,}", f"its first {_BLOCK}", Race((last,), (first,)), most=1.5),
        count_row("heavy modules that it imports, Optuna's own aside", sorted(set(heavy_of(_imported(ours))) - _ALLOWED), most=0, named=True),
    ]


def _prepare(folder: Path) -> None:
    """Make MLflow's database, which takes seconds, and see that trials arrive there."""
    _sweep(folder, 3)
    with sqlite3.connect(folder / "mlflow.db") as database:
        (count,) = database.execute("SELECT COUNT(*) FROM runs WHERE status = 'FINISHED'").fetchone()
    expect(count == 3 + 2, f"MLflow has {count} finished runs of 3 trials, their sweep and the best one")


def _races(folder: Path, by_loop: Callable[[str], Cost]) -> dict[str, Race]:
    """Race against both loops at once: ours takes the longest, and serves for both."""
    theirs: dict[str, list[Cost]] = {loop: [] for loop in _LOOPS}

    def both() -> Cost:
        for loop, costs in theirs.items():
            costs.append(by_loop(loop))
        return theirs["optuna"][-1]

    ours = race(lambda: _trial(folder), both, _ROUNDS).ours
    return {loop: Race(ours, tuple(costs[1:])) for loop, costs in theirs.items()}  # the first round is the one thrown away


def _trial(folder: Path) -> Cost:
    """Return what a trial costs, its tracking included: the process that sends is waited for."""
    shutil.rmtree(folder / ".nbmlops")
    short = _sweep(folder, _SHORT)
    shutil.rmtree(folder / ".nbmlops")
    long = _sweep(folder, _LONG)
    more = _LONG - _SHORT
    return Cost((long.cpu_s - short.cpu_s) / more, (long.wall_s - short.wall_s) / more)


def _sweep(folder: Path, trials: int) -> Cost:
    return command([_NBMLOPS, *_SWEEP, "--trials", str(trials)], folder, NBMLOPS_TRACK_WAIT_S="300")


@contextmanager
def _loops(peers: Peers, folder: Path) -> Iterator[Callable[[str], Cost]]:
    """Give what runs some trials by a loop, and returns what one costs."""
    words = [peers.command("python"), "-P", str(_DRIVER)]  # its folder has modules with the names of libraries
    environment = {**clean_environment(), **own_jupyter(folder)}
    with subprocess.Popen(words, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdin is not None  # noqa: S101 - both are piped
        assert process.stdout is not None  # noqa: S101
        lines, answers = process.stdin, process.stdout

        def cost(loop: str) -> Cost:
            lines.write(json.dumps([loop, _LOOPS[loop]]) + "\n")
            lines.flush()
            return Cost(*json.loads(answers.readline()))

        expect(answers.readline() == "ready\n", "the loops failed; what they said stands above")
        yield cost
        lines.close()


def _blocks(folder: Path) -> tuple[Cost, Cost]:
    """Return what a trial costs this process in the last and the first block of many, and by the clock; the first few do not count."""
    ends: list[Cost] = []

    def watch(state: SweepState) -> None:
        if len(state.finished) > len(ends):
            ends.append(Cost(time.process_time(), time.perf_counter()))

    sweep = nbmlops.sweep(folder / "trivial.ipynb", trials=_MANY, minimize="loss", space={"x": "float(0, 1)"}, workers=1, watcher=watch)
    complete = len(sweep.state.complete)
    expect(complete == len(ends) == _MANY, f"{complete} of {_MANY} trials are complete, {len(ends)} were seen to end")

    def between(begin: int, end: int) -> Cost:
        trials = end - begin
        return Cost((ends[end].cpu_s - ends[begin].cpu_s) / trials, (ends[end].wall_s - ends[begin].wall_s) / trials)

    return between(_MANY - 1 - _BLOCK, _MANY - 1), between(_WARM_UP, _WARM_UP + _BLOCK)


def _imported(folder: Path) -> list[str]:
    """Return every module that a sweep imports from its start to its end; the process that sends is another one."""
    shutil.rmtree(folder / ".nbmlops")
    told = run([sys.executable, "-X", "importtime", "-m", "nbmlops", *_SWEEP, "--trials", "3"], folder).stderr
    return [line.rpartition("|")[2].strip() for line in told.splitlines() if line.startswith("import time:")]
