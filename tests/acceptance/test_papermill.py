"""`papermill --engine nbmlops` is the same run as `nbmlops run`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.project import PIPELINE, Outcome, Project, text_of

if TYPE_CHECKING:
    from pathlib import Path


def papermill(project: Project, *words: str) -> Outcome:
    """Run papermill's command with our engine."""
    return project.call(*words, "--engine", "nbmlops", module="papermill")


def statuses(path: Path) -> list[str]:
    """Return the status that each stage cell of an executed notebook carries."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [item["metadata"]["nbmlops"]["run"]["status"] for item in cells if "run" in item["metadata"].get("nbmlops", {})]


def test_papermill_reuses_what_run_computed(finished: Project) -> None:
    """After `nbmlops run -p`, papermill with the same parameters computes nothing."""
    finished.run("-p", "C", "2.0")
    done = papermill(finished, "nb.ipynb", "out.ipynb", "-p", "C", "2.0")
    assert done.code == 0, done.err
    assert statuses(finished.folder / "out.ipynb") == ["reused"] * 4
    cells = json.loads((finished.folder / "out.ipynb").read_text(encoding="utf-8"))["cells"]
    assert "report {'total': 11.0}" in text_of(cells[-1]["outputs"][0])


def test_run_reuses_what_papermill_computed(pipeline: Project) -> None:
    """And the other way round, with an int for a float too."""
    done = papermill(pipeline, "nb.ipynb", "out.ipynb", "-p", "C", "2")
    assert done.code == 0, done.err
    assert statuses(pipeline.folder / "out.ipynb") == ["ran"] * 4
    assert set(pipeline.run("-p", "C", "2").statuses.values()) == {"reused"}


def test_same_notebook_as_run_writes(finished: Project) -> None:
    """Cells' outputs are those of `nbmlops run`."""
    finished.run("one.ipynb")
    papermill(finished, "nb.ipynb", "two.ipynb")
    one, two = (json.loads((finished.folder / name).read_text(encoding="utf-8"))["cells"] for name in ("one.ipynb", "two.ipynb"))
    outputs = [[(item["output_type"], text_of(item)) for cell in cells for item in cell.get("outputs", ())] for cells in (one, two)]
    assert outputs[0] == outputs[1]


def test_failing_stage_fails_papermill(project: Project) -> None:
    """Papermill ends with an exit code, names the error, and the notebook holds what is known."""
    project.write(["%%mlstage a\nx = 1", "%%mlstage b\ny = x / 0", "%%mlstage c\nz = y"])
    done = papermill(project, "nb.ipynb", "out.ipynb")
    assert done.code != 0
    assert "ZeroDivisionError" in done.err
    assert statuses(project.folder / "out.ipynb") == ["ran", "failed", "not-run"]
    assert project.run().statuses == {"a": "reused", "b": "failed", "c": "not-run"}


@pytest.mark.parametrize("words", [("-p", "CC", "1"), ("-p", "n", "many")])
def test_wrong_parameter_fails_papermill(finished: Project, words: tuple[str, ...]) -> None:
    """A parameter that the notebook does not have is refused with the nearest name."""
    done = papermill(finished, "nb.ipynb", "out.ipynb", *words)
    assert done.code != 0
    assert words[1] in done.err


def test_refused_gate_fails_papermill(project: Project) -> None:
    """A gate that does not hold is no success."""
    project.write(["%%mlstage a --metrics m --require 'auc > 0.7'\nm = {'auc': 0.5}"])
    done = papermill(project, "nb.ipynb", "out.ipynb")
    assert done.code != 0
    assert statuses(project.folder / "out.ipynb") == ["refused"]


def test_other_options_of_papermill(project: Project) -> None:
    """`-f`, `-y`, `--cwd` and `-k` mean what they mean to papermill."""
    project.write(PIPELINE)
    (project.folder / "p.yaml").write_text("n: 2\n", encoding="utf-8")
    done = papermill(project, "nb.ipynb", "out.ipynb", "-f", "p.yaml", "-y", "{C: 4.0}", "-k", "python3", "--no-progress-bar")
    assert done.code == 0, done.err
    assert set(project.run("-p", "n", "2", "-p", "C", "4.0").statuses.values()) == {"reused"}
