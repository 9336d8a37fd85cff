"""The executed notebook: where it is written, and what its cells hold."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from tests.acceptance.project import Outcome, Project, cell, notebook_json, text_of

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def read(path: Path | str) -> Any:
    """Read and validate a notebook."""
    found = nbformat.read(path, as_version=4)
    nbformat.validate(found)
    return found


def test_output_is_written_and_valid(pipeline: Project) -> None:
    """OUTPUT is a valid notebook with the report cells' outputs; the input is untouched."""
    before = (pipeline.folder / "nb.ipynb").read_bytes()
    done = pipeline.run("out.ipynb")
    assert done.code == 0, done.err
    book = read(pipeline.folder / "out.ipynb")
    assert Path(done.data["output"]).name == "out.ipynb"
    assert (pipeline.folder / "nb.ipynb").read_bytes() == before
    report = book.cells[-1].outputs
    assert [text_of(item).strip() for item in report] == ["report {'total': 3.5}", "[0.0, 0.5, 2.0]"]
    assert [item.output_type for item in report] == ["stream", "execute_result"]


def test_default_output_is_under_the_store(pipeline: Project) -> None:
    """Without OUTPUT the notebook goes to `runs/` under the store."""
    done = pipeline.run()
    path = pipeline.folder / done.data["output"]
    assert path.is_file()
    assert path.parent == pipeline.folder / ".nbmlops" / "runs"
    assert done.data["run_id"] in path.name


def test_output_of_a_reused_run_is_written(pipeline: Project) -> None:
    """With nothing stale, an OUTPUT that was asked for is still written, with every recorded output."""
    pipeline.run("one.ipynb")
    done = pipeline.run("two.ipynb")
    assert set(done.statuses.values()) == {"reused"}
    one, two = read(pipeline.folder / "one.ipynb"), read(pipeline.folder / "two.ipynb")
    assert [item.get("outputs") for item in one.cells] == [item.get("outputs") for item in two.cells]


def test_parameters_stand_in_the_notebook(pipeline: Project) -> None:
    """What `-p` gave is seen by who reads the executed notebook."""
    pipeline.run("out.ipynb", "-p", "C", "2.5")
    cells = read(pipeline.folder / "out.ipynb").cells
    injected = [item for item in cells if "injected-parameters" in item.metadata.get("tags", [])]
    assert len(injected) == 1
    assert "C = 2.5" in injected[0].source


def test_executed_notebook_can_be_run_again(pipeline: Project) -> None:
    """The executed notebook is a notebook: running it with its injected parameters reuses every stage."""
    pipeline.run("out.ipynb", "-p", "C", "2.5")
    done = pipeline.run(notebook="out.ipynb")
    assert done.code == 0, done.err
    assert (set(done.statuses.values()), done.data["parameters"]["C"]) == ({"reused"}, 2.5)


@pytest.mark.parametrize("spelling", ["nb.ipynb", "./nb.ipynb", "link.ipynb", "hard.ipynb"])
def test_output_equal_to_input_is_refused(pipeline: Project, spelling: str) -> None:
    """The notebook is never written over, under whatever name."""
    source = pipeline.folder / "nb.ipynb"
    (pipeline.folder / "link.ipynb").symlink_to("nb.ipynb")
    (pipeline.folder / "hard.ipynb").hardlink_to(source)
    before = source.read_bytes()
    done = pipeline.run(spelling)
    assert (done.code, source.read_bytes()) == (2, before)
    assert done.data["error"]["fix"]
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.parametrize("target", ["missing/out.ipynb", ".", "nb.ipynb/out.ipynb"])
def test_output_that_cannot_be_written(pipeline: Project, target: str) -> None:
    """A missing folder is made, or the place is refused in one line; never a traceback."""
    done = pipeline.run(target)
    assert "Traceback" not in done.err
    assert (done.code == 0 and (pipeline.folder / target).is_file()) or (done.code in {1, 2} and done.data)


CAPTURED = [
    "print('to stdout')",
    "import sys\nprint('to stderr', file=sys.stderr)",
    "from IPython.display import HTML, display\ndisplay(HTML('<b>bold</b>'))\nHTML('<i>result</i>')",
    "for i in range(3):\n    print(i, end='', flush=True)\n'value'",
    "1 + 1;",
    "h = display('one', display_id='d1')\nh.update('two')",
    "from IPython.display import clear_output\nprint('gone')\nclear_output()\nprint('stays')",
    "!echo from a shell",
    "lines = !echo one; echo two\nlines",
    "import os\nn = os.write(1, b'by descriptor\\n')",
    "class Rich:\n    def _repr_mimebundle_(self, **kw):\n        return {'text/plain': 'rich', 'application/json': {'a': [1]}}\n\nRich()",
    "print('a', end='')\nprint('c')\n{'k': 'v'}",
    "display({'text/markdown': '*m*', 'text/plain': 'm'}, raw=True)\nNone",
    "from IPython.display import Image\nImage(data=bytes.fromhex('89504e470d0a1a0a0000000d4948445200000001000000010806000000'), format='png')",
]


def plain(outputs: Any) -> list[dict[str, Any]]:
    """Drop what depends on the kernel's counter, and join streams of one name as nbformat's own readers do."""
    made: list[dict[str, Any]] = []
    for item in json.loads(json.dumps(outputs)):
        item.pop("execution_count", None)
        item.pop("transient", None)
        if made and item["output_type"] == "stream" == made[-1]["output_type"] and item["name"] == made[-1]["name"]:
            made[-1]["text"] += item["text"]
        else:
            made.append(item)
    return made


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Run the same cells in one kernel, and as one stage of as many cells."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}  # ipykernel captures less with it
    project = Project(tmp_path_factory.mktemp("captured") / "project")
    project.write([cell(source, "stage:all") for source in CAPTURED])
    done = project.run("out.ipynb")
    assert done.code == 0, done.err + done.out
    book = nbformat.from_dict(notebook_json(CAPTURED))
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute(env=environment)
    return book.cells, read(project.folder / "out.ipynb").cells


@pytest.mark.parametrize("index", range(len(CAPTURED)))
def test_stage_outputs_are_those_of_a_notebook(both_ways: tuple[Any, Any], index: int) -> None:
    """A stage cell's outputs equal what the same cell leaves in a notebook that a kernel ran."""
    kernel, stage = both_ways
    assert plain(stage[index].outputs) == plain(kernel[index].outputs)


FAILING = [
    "%%mlstage a\nx = 1\nprint('before')",
    "%%mlstage b\nprint('so far')\ny = x / 0",
    "%%mlstage c\nz = y",
    "%%mlstage d\nw = 1",
    "print('report', w)",
    "print('never', z)",
]


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Any]:
    """Run a notebook whose second stage raises."""
    project = Project(tmp_path_factory.mktemp("failing") / "project")
    project.write(FAILING)
    done = project.run("out.ipynb")
    return done, read(project.folder / "out.ipynb")


def test_failed_stage_in_the_answer(failing: tuple[Outcome, Any]) -> None:
    """The answer names the failed stage with its error, cell and traceback; what hangs on it did not run, the rest did."""
    done, _ = failing
    assert (done.code, done.data["status"]) == (1, "failed")
    assert done.statuses == {"a": "ran", "b": "failed", "c": "not-run", "d": "ran"}
    error = done.stage("b")["error"]
    assert {key: error[key] for key in ("type", "message", "cell", "exit_code", "signal")} == {
        "type": "ZeroDivisionError",
        "message": "division by zero",
        "cell": 1,
        "exit_code": None,
        "signal": None,
    }
    assert "y = x / 0" in COLOUR.sub("", "\n".join(error["traceback"]))


def test_failed_stage_in_the_notebook(failing: tuple[Outcome, Any]) -> None:
    """The failed cell shows what it printed and its error once."""
    _, book = failing
    outputs = book.cells[1].outputs
    assert [item.output_type for item in outputs] == ["stream", "error"]
    assert (outputs[1].ename, outputs[1].evalue) == ("ZeroDivisionError", "division by zero")
    assert text_of(outputs[0]) == "so far\n"


def test_traceback_shows_the_users_code_only(failing: tuple[Outcome, Any]) -> None:
    """No frame of ours stands between the user and the line that raised."""
    _, book = failing
    text = "\n".join(book.cells[1].outputs[1].traceback)
    assert text.count("Traceback (most recent call last)") == 1
    assert "nbmlops" not in text


@pytest.mark.parametrize(("index", "status"), [(0, "ran"), (1, "failed"), (2, "not-run"), (3, "ran")])
def test_status_in_cell_metadata(failing: tuple[Outcome, Any], index: int, status: str) -> None:
    """Every stage cell says what became of its stage."""
    _, book = failing
    assert book.cells[index].metadata["nbmlops"]["run"]["status"] == status


def test_nothing_that_did_not_run_is_shown_as_done(failing: tuple[Outcome, Any]) -> None:
    """A cell that needs a stage that did not run has no output, and papermill's stamp does not say completed."""
    _, book = failing
    for index in (2, 5):
        assert book.cells[index].outputs == []
        assert book.cells[index].metadata.get("papermill", {}).get("status") != "completed"


def test_failing_report_cell_fails_the_run(project: Project) -> None:
    """An error in a report cell is an error of the run: exit 1, shown in the notebook, stages kept."""
    project.write(["%%mlstage a\nx = 1", "print(x)\nraise ValueError('shown')", "print('later')"])
    done = project.run("out.ipynb")
    assert (done.code, done.data["status"], done.statuses) == (1, "failed", {"a": "ran"})
    assert "Traceback (most recent call last)" not in done.out
    outputs = read(project.folder / "out.ipynb").cells[1].outputs
    assert [item.output_type for item in outputs] == ["stream", "error"]


def test_notebook_without_stages_runs_and_says_so(project: Project) -> None:
    """A notebook without stages runs as papermill would."""
    project.write(["x = 1", "print('x is', x)"])
    done = project.run("out.ipynb")
    assert done.code == 0, done.err
    assert "stage" in done.err
    assert text_of(read(project.folder / "out.ipynb").cells[1].outputs[0]) == "x is 1\n"
