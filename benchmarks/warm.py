"""One stage where the workers are warm, against papermill where it is imported: the same cells, with the same outputs."""

from __future__ import annotations

import itertools
import json
import os
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import nbmlops
from benchmarks.measure import Cost, expect, race
from benchmarks.notebooks import ml_imports, ten_cells, write_notebook
from benchmarks.papermill import papermill, printed
from benchmarks.table import Row, race_rows
from nbmlops.executors.local import LocalExecutor
from nbmlops.executors.tasks import attempts_folder, make_task
from nbmlops.session.execution import preloads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.peers import Peers
    from nbmlops.runner.task import StageOutcome, StageTask
    from nbmlops.session.batch import Session

__all__ = ["Worker", "rows", "warm_worker"]

_REPEATS = 10  # stages in each round: the server's processor time is counted in steps of 10 ms
_ROUNDS = 5
_OUTCOME_S = 60.0


def rows(folder: Path, peers: Peers) -> list[Row]:
    """Measure a stage of ten trivial cells, and one that imports what a model needs."""
    return [
        *_rows(folder / "ten", peers, ten_cells(), "stage of 10 trivial cells, workers warm", most=1 / 20),
        *_rows(folder / "imports", peers, ml_imports(), "stage that imports pandas, scikit-learn, mlflow, workers warm", most=1 / 40),
    ]


def _rows(folder: Path, peers: Peers, cells: list[tuple[str, str]], measured: str, *, most: float) -> list[Row]:
    folder.mkdir()
    ours, theirs, output = folder / "ours.ipynb", folder / "theirs.ipynb", folder / "output.ipynb"
    write_notebook(ours, [*cells, ("", "total")])  # a report cell reads it, so that the stage hands it on
    write_notebook(theirs, cells)
    numbers = itertools.count(1)
    with papermill(peers, folder) as peer, warm_worker(ours) as worker:
        peer.execute(theirs, output, {"start": 0})
        expect(worker.printed({"start": 0}) == printed(output), "the stage and papermill print different things")
        result = race(
            lambda: worker.cost([{"start": next(numbers)} for _ in range(_REPEATS)]),
            lambda: peer.execute(theirs, output, {"start": next(numbers)}),
            _ROUNDS,
        )
    return race_rows(measured, "papermill in-process", result, most=most)


class Worker:
    """A local executor whose server has done its imports, and the task of a notebook's only stage.

    Parameters
    ----------
    session : Session
    executor : LocalExecutor
    task : StageTask
    """

    def __init__(self, session: Session, executor: LocalExecutor, task: StageTask) -> None:
        self._session = session
        self._executor = executor
        self._task = task
        self._numbers = itertools.count()

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._executor._server is not None  # noqa: S101, SLF001 - it has run a stage; nobody else asks for its costs
        return self._executor._server.pid  # noqa: SLF001

    def start(self, parameters: dict[str, int]) -> None:
        """Hand the task over, as another attempt."""
        attempt = f"attempt-{next(self._numbers)}"
        self._executor.start(replace(self._task, attempt=attempt, parameters=parameters))

    def outcomes(self, count: int = 1) -> list[StageOutcome]:
        """Wait for the outcomes of so many started tasks."""
        found: list[StageOutcome] = []
        end = time.monotonic() + _OUTCOME_S
        while len(found) < count and time.monotonic() < end:
            found += self._executor.wait(_OUTCOME_S)
        expect(len(found) == count and all(item.status == "ran" for item in found), f"a stage did not run: {found}")
        return found

    def printed(self, parameters: dict[str, int]) -> str:
        """Run the stage and return what it printed."""
        self.start(parameters)
        (outcome,) = self.outcomes()
        expect("total" in outcome.outputs, "the stage did not hand on what it computed")
        cells = json.loads(bytes(self._session.store.objects.view(outcome.cell_outputs or "")))
        return "".join(output["text"] for outputs in cells for output in outputs if output.get("name") == "stdout")

    def cost(self, parameters: list[dict[str, int]]) -> Cost:
        """Return what running the stage costs, on average over the given parameters: from the task's start to its outcome in hand."""
        cpu_s, wall_s = time.process_time() + _cpu_with_children(self.pid), time.perf_counter()
        for given in parameters:
            self.start(given)
            self.outcomes()
        wall_s = time.perf_counter() - wall_s
        cpu_s = time.process_time() + _cpu_with_children(self.pid) - cpu_s
        return Cost(cpu_s / len(parameters), wall_s / len(parameters))


@contextmanager
def warm_worker(notebook: Path, workers: int = 1) -> Iterator[Worker]:
    """Give a worker that has run the notebook's only stage once."""
    session = nbmlops.open(notebook)
    planner = session.planner()
    session.refuse_errors(planner.pipeline)
    plan = planner.plan(report=False)
    (item,) = plan.stages.values()
    task = make_task(item, plan, {}, planner=planner, settings=session.settings, store=session.store, run_id="0" * 16, token="first")  # noqa: S106 - an attempt's
    executor = LocalExecutor(attempts_folder(session.store), workers, preloads(plan.pipeline, session.surroundings))
    try:
        worker = Worker(session, executor, task)
        worker.start({"start": -1})
        worker.outcomes()
        yield worker
    finally:
        executor.close()


def _cpu_with_children(pid: int) -> float:
    """Return the processor time of a process, of its children that have ended, and likewise of those that have not, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    living = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + sum(_cpu_with_children(int(child)) for child in living)
