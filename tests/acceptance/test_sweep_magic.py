"""`%mlsweep` in a live kernel, and metrics that a stage cell logs there."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.acceptance.kernel import Kernel
from tests.acceptance.project import Project, cell

CELLS = [
    cell("x = 0.5  # sweep: float(0, 1)", "parameters"),
    "import nbmlops",
    "%%mlstage train --out model\nfor step in range(3):\n    nbmlops.log_metric('loss', x / (step + 1), step)\nmodel = x * 2",
]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """Give one kernel of a saved notebook to every test here: a sweep changes nothing in it."""
    project = Project(tmp_path_factory.mktemp("swept") / "project", mark="swept")
    project.write(CELLS)
    made = Kernel(project, project.folder / "nb.ipynb")
    assert made.run("%load_ext nbmlops").ok
    yield made
    made.close()


def test_waiting_shows_a_table_and_gives_the_sweep(kernel: Kernel) -> None:
    """`--wait` blocks; what comes back can be asked for its best trial and that one's model."""
    done = kernel.run("sweep = %mlsweep --trials 3 --minimize loss --no-track --wait")
    assert done.ok, done.text
    assert "done, 3 of 3 trials (3 complete)" in done.text
    best, values = ast.literal_eval(kernel.value("(sweep.best.parameters, [trial.values[0] for trial in sweep.trials])"))
    assert best["x"] / 3 == min(values)
    assert ast.literal_eval(kernel.value("sweep.best_run['model']")) == best["x"] * 2


@pytest.mark.parametrize(
    ("line", "code", "part"),
    [
        ("--trials 3 --minimize lost", "NB021", "did you mean 'loss'"),
        ("--trials 3 --minimize loss --space xx=int(1,2)", "NB001", "did you mean 'x'"),
        ("--trials 3 --minimize loss --space x=int(2,1)", "NB020", "empty"),
        ("--trials many --minimize loss", "NB004", "--trials"),
    ],
)
def test_what_cannot_be_meant_is_one_line_in_the_cell(kernel: Kernel, line: str, code: str, part: str) -> None:
    """It comes at once, as from the command."""
    done = kernel.run(f"%mlsweep {line}")
    assert not done.ok
    assert len(done.text.strip().splitlines()) == 1, done.text
    assert code in done.text
    assert part in done.text


def test_metrics_that_a_stage_cell_logs_are_kept(kernel: Kernel) -> None:
    """In the kernel as in batch: the last value is the metric, the course is in the record, and batch reuses the stage."""
    assert kernel.run_cells(CELLS)[-1].ok
    found = kernel.value("nbmlops.open('nb.ipynb').run(track=False).stages['train'].to_json()['metrics']")
    assert ast.literal_eval(found) == {"loss": 0.5 / 3}
    reused = kernel.value("(lambda s: (s.status, s.series))(nbmlops.open('nb.ipynb').run(force=False, track=False).stages['train'])")
    assert ast.literal_eval(reused) == ("reused", {"loss": [[0, 0.5], [1, 0.25], [2, 0.5 / 3]]})
