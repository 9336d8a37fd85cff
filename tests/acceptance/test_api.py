"""`nbmlops.open`: the same verbs from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import nbmlops
from nbmlops.errors import NotebookError, UsageError
from tests.acceptance.project import PIPELINE, Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nbmlops.session.batch import Session


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """Open a notebook that has run once."""
    project = Project(tmp_path_factory.mktemp("api") / "project")
    made = nbmlops.open(project.write(PIPELINE), trackers=())
    made.run()
    yield made
    project.kill_left_over()


def test_run_gives_artifacts_and_metrics(session: Session) -> None:
    """A run hands out values by name, all metrics, and each stage's result."""
    run = session.run()
    assert (run["model"], run["X"]) == ([0.0, 0.5, 2.0], [0, 1, 4])
    assert run.metrics == {"total": 3.5}
    assert (run.stages["train"].status, run.status) == ("reused", "done")


def test_run_with_parameters_says_why(session: Session) -> None:
    """`why` of a stage names the parameter."""
    run = session.run({"C": 2.0})
    assert "parameter C" in run.stages["train"].why
    assert run.parameters["C"] == 2.0
    assert run["model"] == [0.0, 2.0, 8.0]


def test_runs_lists_newest_first(session: Session) -> None:
    """Every run that did something is listed once."""
    newest = session.run({"C": 3.5})
    runs = session.runs()
    assert runs[0].id == newest.id
    assert len({run.id for run in runs}) == len(runs)
    assert runs[0]["model"] == [0.0, 3.5, 14.0]


def test_graph_and_status(session: Session) -> None:
    """The graph and the plan can be asked without running."""
    assert list(session.graph().stages) == ["ingest", "features", "train", "evaluate"]
    states = {name: item.state for name, item in session.status({"C": 77.0}).stages.items()}
    assert states == {"ingest": "fresh", "features": "fresh", "train": "stale", "evaluate": "unknown"}


def test_unknown_artifact_and_parameter(session: Session) -> None:
    """A name that is not there is a KeyError or UsageError that names it."""
    with pytest.raises((KeyError, UsageError), match="nothing"):
        session.run()["nothing"]
    with pytest.raises(UsageError, match="CC"):
        session.run({"CC": 1})


def test_open_of_no_notebook(tmp_path: Path) -> None:
    """What is no notebook is refused when it is opened."""
    with pytest.raises(NotebookError, match=r"none\.ipynb"):
        nbmlops.open(f"{tmp_path}/none.ipynb")


def test_failed_run(tmp_path: Path) -> None:
    """A failed stage is in the run; a value that was not made is not handed out."""
    project = Project(tmp_path / "project")
    path = project.write(["%%mlstage a\nx = 1 / 0", "%%mlstage b\ny = x"])
    run = nbmlops.open(path, trackers=()).run()
    assert (run.status, run.stages["a"].status, run.stages["b"].status) == ("failed", "failed", "not-run")
    with pytest.raises((KeyError, UsageError)):
        run["x"]
