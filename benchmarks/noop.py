"""A run with nothing stale, of ten trivial stages, against ``dvc repro`` with nothing to do on the same ten."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.extension import heavy_of
from benchmarks.measure import command, expect, race, run
from benchmarks.notebooks import trivial_stages, write_notebook
from benchmarks.table import Row, count_row, race_rows

if TYPE_CHECKING:
    from benchmarks.peers import Peers

__all__ = ["rows"]

_STAGES = 10
_MOST = 1 / 6
_NOTEBOOK = "ten.ipynb"


def rows(folder: Path, peers: Peers) -> list[Row]:
    """Run both once so that nothing is stale, then measure that nothing."""
    ours, theirs = folder / "nbmlops", folder / "dvc"
    _prepare_ours(ours)
    variables = _prepare_dvc(theirs, peers)
    nbmlops, dvc = str(Path(sys.executable).with_name("nbmlops")), peers.command("dvc")
    result = race(lambda: command([nbmlops, "run", _NOTEBOOK], ours), lambda: command([dvc, "repro"], theirs, **variables))
    return [
        *race_rows(f"run of {_STAGES} stages, nothing stale", "dvc repro", result, most=_MOST),
        count_row("heavy modules that it imports", heavy_of(_imported(ours)), most=0, named=True),
    ]


def _prepare_ours(folder: Path) -> None:
    folder.mkdir()
    write_notebook(folder / _NOTEBOOK, trivial_stages(_STAGES))
    words = [sys.executable, "-m", "nbmlops", "run", _NOTEBOOK, "--json"]
    run([*words, "--no-track"], folder)
    again = json.loads(run(words, folder).stdout)
    expect([stage["status"] for stage in again["stages"]] == ["reused"] * _STAGES, "nbmlops did not reuse every stage")


def _prepare_dvc(folder: Path, peers: Peers) -> dict[str, str]:
    """Make the same chain for dvc and return the variables that keep its own state, and its calls home, out of the figures."""
    folder.mkdir()
    names = ["start.txt", *(f"s{number}.txt" for number in range(_STAGES))]
    (folder / names[0]).write_text("1\n", encoding="utf-8")
    stages = {
        Path(out).stem: {"cmd": f"echo $(($(cat {source}) + 1)) > {out}", "deps": [source], "outs": [out]}
        for source, out in itertools.pairwise(names)
    }
    (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}), encoding="utf-8")  # JSON is YAML
    state = ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR")
    variables = {"DVC_NO_ANALYTICS": "1", **{name: str(folder / ".dvc" / "tmp" / name.lower()) for name in state}}
    dvc = peers.command("dvc")
    run([dvc, "init", "--no-scm", "--quiet"], folder, variables)
    run([dvc, "config", "core.check_update", "false"], folder, variables)
    run([dvc, "repro", "--quiet"], folder, variables)
    expect("up to date" in run([dvc, "repro"], folder, variables).stdout, "dvc did not find its stages up to date")
    return variables


def _imported(folder: Path) -> list[str]:
    """Return every module that the no-op imports, also one that it drops again."""
    told = run([sys.executable, "-X", "importtime", "-m", "nbmlops", "run", _NOTEBOOK], folder).stderr
    return [line.rpartition("|")[2].strip() for line in told.splitlines() if line.startswith("import time:")]
