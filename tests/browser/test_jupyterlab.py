"""nbmlops in JupyterLab: what its user sees below the cells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.acceptance.project import Project, cell

if TYPE_CHECKING:
    from tests.browser.lab import LabServer, NotebookPage

pytestmark = pytest.mark.browser

STAGES = (
    "%load_ext nbmlops",
    cell("rows = 4", "parameters"),
    "def square(x):\n    return x * x",
    "%%mlstage train\nmodel = [square(x) for x in range(rows)]\nprint('trained')",
    cell("total = sum(model)\ntotal", "stage:score"),
    "print('report', len(model), total)",
)


def test_stages_run_and_are_reused_after_a_restart_and_in_batch(server: LabServer, notebook: NotebookPage, project: Project) -> None:
    """A magic stage and a stage by its tag alone end with their line; a new kernel and a batch run reuse both."""
    path = project.write(STAGES)
    notebook.open(server.url(path))
    notebook.run_all()
    expect(notebook.output("%%mlstage train")).to_have_text(re.compile(r"^trained\ntrain  ran \d.* → model \("))
    expect(notebook.output("total = sum").first).to_have_text("14")
    expect(notebook.output("total = sum").last).to_have_text(re.compile(r"^score  ran \d.* → total \("))

    notebook.restart()
    notebook.run_all()
    expect(notebook.output("%%mlstage train")).to_have_text(re.compile(r"^trained\ntrain  reused from run \w{8}"))
    expect(notebook.output("total = sum").first).to_contain_text("14")
    expect(notebook.output("total = sum").last).to_contain_text(re.compile(r"score  reused from run \w{8}"))
    expect(notebook.output("print('report'")).to_have_text("report 4 14")

    notebook.save(path)
    done = project.run()
    assert (done.code, done.statuses) == (0, {"train": "reused", "score": "reused"}), done.err


@pytest.mark.thorough
def test_changed_parameter_is_named(server: LabServer, notebook: NotebookPage, project: Project) -> None:
    """A parameter edited in its cell makes its stage run, and the stage's line says which values it had and has."""
    notebook.open(server.url(project.write(STAGES)))
    notebook.run_all()
    notebook.type_into(notebook.cell("rows = 4"), "0")
    notebook.run_all()
    expect(notebook.output("%%mlstage train")).to_contain_text("parameter rows 4 → 40")


@pytest.mark.thorough
def test_graph_is_a_picture_and_status_a_table(server: LabServer, notebook: NotebookPage, project: Project) -> None:
    """`%mlgraph` draws a picture that needs nothing but itself, and `%mlstatus` tells each stage's state."""
    notebook.open(server.url(project.write([*STAGES[:-1], "%mlgraph", "%mlstatus"])))
    notebook.run_all()
    picture = notebook.output("%mlgraph").locator("img[src^='data:image/svg+xml']")
    expect(picture).to_have_attribute("alt", re.compile("Pipeline of 2 stages: 2 fresh.*score after train"))
    assert picture.evaluate("image => image.complete && image.naturalWidth > 200")
    expect(notebook.output("%mlgraph").locator("tbody tr")).to_have_text([re.compile(r"train.*fresh.*rows.*model"), re.compile("score.*fresh")])
    expect(notebook.output("%mlstatus")).to_have_text(re.compile(r"train +✓ fresh.*\nscore +✓ fresh.*\n\nnothing to run"))


@pytest.mark.parametrize(
    ("magic", "tags", "places"),
    [
        pytest.param("%%mlstage train\n", (), ["Cell In[2], line 6", "Cell In[2], line 3"], id="magic"),
        pytest.param("", ("stage:train",), ["Cell In[2], line 5", "Cell In[2], line 2"], id="tag", marks=pytest.mark.thorough),
    ],
)
def test_stage_that_raises_shows_its_own_traceback_once(
    server: LabServer, notebook: NotebookPage, project: Project, magic: str, tags: tuple[str, ...], places: list[str]
) -> None:
    """The traceback is the one that the cell alone would have: the user's frames and no other, with the prompt's number and the editor's lines."""
    broken = cell(f"{magic}def pick(values):\n    return values[5]\n\n\npick([1, 2])", *tags)
    notebook.open(server.url(project.write(["%load_ext nbmlops", broken])))
    notebook.run_all()
    shown = notebook.output("pick([1, 2])")
    expect(shown).to_have_count(1)
    text = shown.inner_text()
    assert text.count("Traceback (most recent call last)") == 1
    assert re.findall(r"^-+> \d+ +(.*)$", text, re.MULTILINE) == ["pick([1, 2])", "return values[5]"]
    assert re.findall(r"^Cell In\[\d+\], line \d+", text, re.MULTILINE) == places
    assert text.rstrip().endswith("IndexError: list index out of range")
    assert "nbmlops" not in text


@pytest.mark.thorough
def test_stage_edited_and_not_run_again_is_told_below_its_reader(server: LabServer, notebook: NotebookPage, project: Project) -> None:
    """Once the edit is saved, the next stage names the cell and the way back, `%mlcheck` shows a table, and following it clears both."""
    path = project.write([*STAGES[:4], "%%mlstage total\ntotal = sum(model)", "%mlcheck"])
    notebook.open(server.url(path))
    notebook.run_all()
    notebook.type_into(notebook.cell("%%mlstage train"), "\nmodel.append(100)")
    notebook.save(path)
    notebook.type_into(notebook.cell("%%mlstage total"), " + 0")
    notebook.run_from(notebook.cell("%%mlstage total"))
    line = notebook.output("%%mlstage total")
    expect(line).to_contain_text(
        "! not reproducible, NB404: stage train [4] was edited after it ran: the stage's code changed; run [4] again, then this cell"
    )
    expect(notebook.output("%mlcheck").locator("tbody tr")).to_have_text([re.compile("NB404.*train.*stage train.*run \\[4\\]")])
    notebook.run_all()
    expect(line).not_to_contain_text("not reproducible")
    expect(notebook.output("%mlcheck")).to_contain_text("nothing to report")


def test_tab_completes_options_and_stages(server: LabServer, notebook: NotebookPage, project: Project) -> None:
    """Tab offers the options of `%%mlstage` and nothing else, and the notebook's stages where one is wanted."""
    notebook.open(server.url(project.write([*STAGES[:-1], "%%mlstage last\n1"])))
    notebook.run_all()
    last = notebook.cell("%%mlstage last")
    notebook.complete(last, " --re")
    expect(notebook.offered).to_have_text(["--require", "--retries"])
    notebook.complete(last, "quire 1 --after t")
    expect(notebook.offered).to_have_text(["train"])
