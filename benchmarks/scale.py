"""A thousand stages: what one costs, against a step of Metaflow and against one of a hundred."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nbmlops
from benchmarks.measure import Cost, command, expect, race, within
from benchmarks.notebooks import trivial_stages, write_notebook
from benchmarks.table import Row, race_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.peers import Peers

__all__ = ["rows"]

_MANY, _FEW = 1000, 100
_STEPS, _LEAST_STEPS = 22, 2  # of Metaflow's flows: the difference is what a step costs, without the start
_COLD_ROUNDS, _ROUNDS = 1, 3  # a thousand stages are a mean by themselves
_NBMLOPS = str(Path(sys.executable).with_name("nbmlops"))


def rows(folder: Path, peers: Peers) -> list[Row]:
    """Measure a cold run of many stages against Metaflow, then reading and asking of many against few."""
    many, few, flows = folder / "many", folder / "few", folder / "metaflow"
    for path, count in ((many, _MANY), (few, _FEW)):
        path.mkdir()
        write_notebook(path / "chain.ipynb", trivial_stages(count))
    variables = _write_flows(flows)
    python = peers.command("python")
    _run_metaflow(python, flows, variables)
    cold = race(lambda: _run_ours(many, _MANY), lambda: _run_metaflow(python, flows, variables), _COLD_ROUNDS, warm_up=False)
    _run_ours(few, _FEW)
    return [
        *race_rows(f"{_MANY} trivial stages, cold, per stage", "Metaflow per step", cold, most=1 / 20),
        *_per_stage("graph", many, few, lambda path: nbmlops.open(path).graph()),
        *_per_stage("status", many, few, _status),
    ]


def _per_stage(verb: str, many: Path, few: Path, ask: Callable[[Path], object]) -> list[Row]:
    def cost(folder: Path, count: int) -> Cost:
        total = within(lambda: ask(folder / "chain.ipynb"))
        return Cost(total.cpu_s / count, total.wall_s / count)

    result = race(lambda: cost(many, _MANY), lambda: cost(few, _FEW), _ROUNDS)
    return race_rows(f"{verb} at {_MANY} stages, per stage", f"at {_FEW}", result, most=1.5)


def _status(path: Path) -> None:
    states = {item.state for item in nbmlops.open(path).status().stages.values()}
    expect(states == {"fresh"}, f"after a run there are stages that are {states}")


def _run_ours(folder: Path, count: int) -> Cost:
    shutil.rmtree(folder / ".nbmlops", ignore_errors=True)
    total = command([_NBMLOPS, "run", "chain.ipynb", "--no-track"], folder)
    return Cost(total.cpu_s / count, total.wall_s / count)


def _write_flows(folder: Path) -> dict[str, str]:
    """Write a long and a short flow, and return the variables that keep Metaflow's files in the folder."""
    folder.mkdir()
    for count in (_STEPS, _LEAST_STEPS):
        lines = ["from metaflow import FlowSpec, step", "", "", "class Chain(FlowSpec):"]
        names = ["start", *(f"s{number}" for number in range(1, count - 1)), "end"]
        for number, name in enumerate(names):
            value = "self.value + 1" if number else "1"
            after = f"self.next(self.{names[number + 1]})" if number + 1 < count else f"assert self.value == {count}"
            lines += ["    @step", f"    def {name}(self):", f"        self.value = {value}", f"        {after}", ""]
        lines += ["", "if __name__ == '__main__':", "    Chain()"]
        (folder / f"flow{count}.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"METAFLOW_USER": "bench", "METAFLOW_HOME": str(folder / "home"), "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder)}


def _run_metaflow(python: str, folder: Path, variables: dict[str, str]) -> Cost:
    """Return what a step costs."""
    long, short = (command([python, f"flow{count}.py", "--quiet", "--no-pylint", "run"], folder, **variables) for count in (_STEPS, _LEAST_STEPS))
    steps = _STEPS - _LEAST_STEPS
    return Cost((long.cpu_s - short.cpu_s) / steps, (long.wall_s - short.wall_s) / steps)
