"""The executed notebook: what every cell showed, how every stage ended, written whole or not at all."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from nbmlops.errors import StoreError
from nbmlops.notebook.document import parse_document
from nbmlops.pipeline.build import build
from nbmlops.pipeline.source import read_source
from nbmlops.runner.executed import executed_notebook, write_notebook
from nbmlops.runner.results import RunResult, StageResult
from nbmlops.runner.task import StageError
from tests.acceptance.project import cell, notebook_json

STREAM = {"output_type": "stream", "name": "stdout", "text": "hello\n"}
VALUE = {"output_type": "execute_result", "execution_count": 9, "data": {"text/plain": "1"}, "metadata": {}}
CELLS = [cell("n = 1", "parameters"), "import os", "%%mlstage a\nx = n", "%%mlstage b\ny = x", "print(y)"]
STORED = {"shown a": [[STREAM, VALUE]], "shown report": [[], [], [STREAM]]}


def executed(*stages: StageResult, report: StageResult | None = None, overrides: dict[str, Any] | None = None, cells: list[Any] | None = None) -> Any:
    """Return the executed notebook of a run with these results."""
    source = read_source(parse_document(notebook_json(cells or CELLS), Path("nb.ipynb")))
    result = RunResult(
        run_id="r1",
        status="done",
        notebook="nb.ipynb",
        output=None,
        parameters={"n": 1},
        seconds=1.0,
        stages={item.name: item for item in stages},
        report=report,
    )
    return executed_notebook(
        source.document,
        source.cells,
        build(source),
        result,
        outputs=lambda digest: copy.deepcopy(STORED[digest]),
        overrides=overrides or {},
        report_cells=(0, 1, 4),
        started_s=0.0,
    )


RAN = StageResult(name="a", status="ran", key="k", seconds=1.23456, reason="why", cell_outputs="shown a", run_id="r1")


def test_stage_cell_gets_its_recorded_outputs() -> None:
    """Outputs, counts in document order, and the stage's status in the cell's metadata."""
    found = executed(RAN)["cells"][2]
    assert found["outputs"] == [STREAM, VALUE | {"execution_count": 1}]
    assert found["metadata"]["nbmlops"]["run"] == {"stage": "a", "status": "ran", "key": "k", "seconds": 1.235, "reason": "why", "run_id": "r1"}


def test_report_cells_get_theirs() -> None:
    """Cells of the report process are filled in document order."""
    report = StageResult(name="@report", status="ran", cell_outputs="shown report")
    cells = executed(RAN, report=report)["cells"]
    assert cells[4]["outputs"] == [STREAM]
    assert [item["execution_count"] for item in cells] == [1, 2, 3, None, 4]


STAMPS = [
    ("ran", "completed", False),
    ("reused", "completed", False),
    ("failed", "failed", True),
    ("refused", "failed", True),
    ("timed-out", "failed", True),
]


@pytest.mark.parametrize(("status", "word", "exception"), [*STAMPS, ("not-run", "pending", False), ("skipped", "pending", False)])
def test_papermills_stamp_does_not_lie(status: str, word: str, exception: bool) -> None:  # noqa: FBT001 - a table row
    """A cell that never ran is not completed."""
    stamp = executed(StageResult(name="a", status=status))["cells"][2]["metadata"]["papermill"]
    assert (stamp["status"], stamp["exception"]) == (word, exception)


def test_error_of_a_killed_stage_is_shown() -> None:
    """A process that was killed could not show its error: the notebook does."""
    error = StageError(type="StageDied", message="ended by SIGKILL", cell=2)
    shown = executed(StageResult(name="a", status="failed", error=error, cell_outputs="shown a"))["cells"][2]["outputs"]
    assert [item["output_type"] for item in shown] == ["stream", "execute_result", "error"]
    assert (shown[-1]["ename"], shown[-1]["evalue"]) == ("StageDied", "ended by SIGKILL")


def test_stage_that_did_not_run_shows_nothing() -> None:
    """No output and no count of an earlier run is left."""
    cells = [*CELLS[:2], {**cell("%%mlstage a\nx = n"), "outputs": [STREAM], "execution_count": 7}, *CELLS[3:]]
    found = executed(StageResult(name="a", status="not-run"), cells=cells)["cells"][2]
    assert (found["outputs"], found["execution_count"]) == ([], None)


def test_given_parameters_are_shown_in_papermills_cell() -> None:
    """They stand in a cell of their own below the parameters cell; without any there is none."""
    cells = executed(RAN, overrides={"n": 5})["cells"]
    assert (cells[1]["metadata"]["tags"], cells[1]["source"]) == (["injected-parameters"], "# Parameters\nn = 5")
    assert cells[3]["outputs"][0] == STREAM
    assert len(executed(RAN)["cells"]) == len(CELLS)


def test_document_is_left_as_it_was() -> None:
    """The input's JSON is not changed, and live widgets are not carried over."""
    raw = notebook_json(CELLS)
    raw["metadata"]["widgets"] = {"state": {}}
    document = parse_document(copy.deepcopy(raw), Path("nb.ipynb"))
    before = copy.deepcopy(document.raw)
    source = read_source(document)
    result = RunResult(run_id="r", status="done", notebook="nb", output=None, parameters={}, seconds=0, stages={})
    found = executed_notebook(document, source.cells, build(source), result, outputs=STORED.__getitem__, overrides={}, report_cells=(), started_s=0.0)
    assert document.raw == before
    assert "widgets" not in found["metadata"]


def test_executed_notebook_is_a_notebook() -> None:
    """It conforms to the format that every reader expects."""
    import nbformat

    nbformat.validate(executed(RAN, overrides={"n": 5}))


def test_notebook_is_written_whole(tmp_path: Path) -> None:
    """The bytes that are returned are those on disk, folders are made, nothing else is left."""
    data = write_notebook(tmp_path / "new" / "out.ipynb", {"cells": ["ä"]})
    assert (tmp_path / "new" / "out.ipynb").read_bytes() == data
    assert json.loads(data) == {"cells": ["ä"]}
    assert [item.name for item in (tmp_path / "new").iterdir()] == ["out.ipynb"]


def test_notebook_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    """A write that fails half-way is an error with its remedy; the earlier file stands."""
    target = tmp_path / "out.ipynb"
    target.mkdir()
    (target / "kept").touch()
    with pytest.raises(StoreError, match="cannot be written") as caught:
        write_notebook(target, {"cells": []})
    assert caught.value.code == "NB603"
    assert [item.name for item in tmp_path.iterdir()] == ["out.ipynb"]
    assert (target / "kept").exists()
