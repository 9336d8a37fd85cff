"""Whatever a notebook does, however it is edited and run: a pipeline gives what its cells give from top to bottom, or says that it cannot."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import random
import re
import shutil
import warnings
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nbmlops.errors import NbmlopsError
from tests.runner.bench import Bench
from tests.runner.notebooks import Notebook, write_notebook

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from nbmlops.executors.local import LocalExecutor

_EXAMPLES = int(os.environ.get("NBMLOPS_TEST_EXAMPLES", "8"))
_LIMITS = settings(
    max_examples=_EXAMPLES,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
_FILES = ("o.txt",)
_numbers = itertools.count()


def straight(notebook: Notebook, folder: Path) -> str | None:
    """Run the cells from top to bottom in `folder`; return what the last one prints, or None where one raises."""
    names: dict[str, object] = {"__name__": "__main__"}
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for code in notebook.code:
                exec(compile(code, "<cell>", "exec"), names)
        except Exception:  # noqa: BLE001 - any way to end is a case
            return None
    return printed.getvalue()


def piped(notebook: Notebook, bench: Bench, only: frozenset[str] | None = None) -> tuple[str | None, list[str]]:
    """Run the notebook as a pipeline; return what its last stage prints, or None with the reasons where it is refused or fails."""
    planner = bench.planner(*notebook.cells, parameters=notebook.values)
    if planner.pipeline.errors:
        return None, [item.code for item in planner.pipeline.errors]
    try:
        done = bench.run(*notebook.cells, parameters=notebook.values, only=only)
    except NbmlopsError as error:
        return None, [error.code]
    bad = {name: item.error for name, item in done.results.items() if item.status not in {"ran", "reused"}}
    if bad or "last" not in done.results:
        return None, [f"{name}: {error.type} {error.message}" for name, error in bad.items() if error is not None]
    return bench.text(done.results["last"].cell_outputs), []


@_LIMITS
@given(st.integers(0, 2**32))
@example(1029).via("reads in a string what it binds below")
@example(112588).via("a setup cell reads in a string what a stage makes")
@example(2039).via("a result of older values, outdated by one that is taken over last")
def test_pipeline_equals_straight_execution(server: LocalExecutor, cache: Path, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Random notebooks, run, edited and run again in one store: the value is right, or the run is refused with a code."""
    chance = random.Random(seed)
    _check(chance, write_notebook(chance), Bench(tmp_path_factory.getbasetemp() / f"equal-{next(_numbers)}" / "project", cache, server))


@settings(_LIMITS, max_examples=max(6, _EXAMPLES // 2))
@given(st.integers(0, 2**32))
def test_setup_that_changes_setup_is_no_exception(server: LocalExecutor, cache: Path, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Appended lists, registered functions, attributes set: setup cells one after the other, between stages."""
    chance = random.Random(seed)
    _check(chance, write_notebook(chance, acting=True), Bench(tmp_path_factory.getbasetemp() / f"acting-{next(_numbers)}" / "project", cache, server))


def _check(chance: random.Random, notebook: Notebook, bench: Bench) -> None:
    folder = bench.folder.parent
    try:
        for turn in range(3):
            if chance.random() < 0.3 and notebook.parts:
                stages = [part.name for part in notebook.parts if part.name] or ["first"]
                piped(notebook, bench, frozenset({chance.choice(stages)}))
            _compare(notebook, bench, folder / f"straight-{turn}")
            notebook = notebook.edited(chance)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compare(notebook: Notebook, bench: Bench, folder: Path) -> None:
    folder.mkdir()
    for name in _FILES:
        if (bench.folder / name).exists():
            shutil.copy(bench.folder / name, folder / name)
    wanted = straight(notebook, folder)
    found, reasons = piped(notebook, bench)
    told = "\n----\n".join([f"{reasons}\ngot    {found}\nwanted {wanted}", *notebook.code[2:]])
    if found is None and wanted is not None:
        assert any(re.search(r"\bNB\d{3}\b", reason) for reason in reasons), told
    else:
        assert found == wanted, told
