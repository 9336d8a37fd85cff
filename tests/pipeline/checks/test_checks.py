"""What `check` finds: each row is one kind of trouble, and where it is shown."""

from __future__ import annotations

import pytest

from nbmlops.pipeline.effects import Effects
from tests.pipeline.written import cell, pipeline_of

TROUBLE = [
    ("unknown option", ["%%mlstage a --sed 1\nx = 1"], ("NB105", "error", 0)),
    ("stage defined twice", ["%%mlstage a\nx = 1", "%%mlstage a\ny = 1"], ("NB106", "error", 1)),
    ("names differ in case only", ["%%mlstage a\nx = 1", "%%mlstage A\ny = 1"], ("NB107", "error", 1)),
    ("undefined name", ["%%mlstage a\nx = 1", "%%mlstage b\ny = nowhere"], ("NB201", "error", 1)),
    ("name defined below", ["%%mlstage a\ny = x", "%%mlstage b\nx = 1"], ("NB201", "error", 0)),
    ("undefined name in a report", ["%%mlstage a\nx = 1", "print(nowhere)"], ("NB201", "warning", 1)),
    ("undefined name after exec", ["%%mlstage a\nexec(input())", "%%mlstage b\ny = q"], ("NB201", "warning", 1)),
    ("cycle by --after", ["%%mlstage a --after b\nx = 1", "%%mlstage b\ny = x"], ("NB202", "error", 0)),
    ("definition in no stage", ["x = open('f')", "%%mlstage a\ny = x"], ("NB203", "error", 0)),
    ("setup reads an artifact", ["%%mlstage a\nx = 1", cell("y = x + 1", "setup")], ("NB204", "error", 1)),
    ("--after nothing", ["%%mlstage a --after b\nx = 1"], ("NB205", "error", 0)),
    ("--after nothing, of dynamic code", ["%%mlstage a --after b\nexec(input())"], ("NB205", "error", 0)),
    ("--after itself", ["%%mlstage a --after a\nx = 1"], ("NB205", "error", 0)),
    ("--metrics of nothing", ["%%mlstage a --metrics m\nx = 1"], ("NB206", "error", 0)),
    ("process state in a stage", ["import os", "%%mlstage a\nos.chdir('/')"], ("NB210", "warning", 1)),
    ("process state in a report", ["import os", "os.chdir('/')\nopen('f').read()"], ("NB210", "warning", 1)),
    ("dynamic code", ["%%mlstage a\nexec(input())"], ("NB211", "info", 0)),
    ("broken stage", ["%%mlstage a\nx = ("], ("NB109", "error", 0)),
]


@pytest.mark.parametrize(("cells", "expected"), [row[1:] for row in TROUBLE], ids=[row[0] for row in TROUBLE])
def test_trouble_is_found(cells: list[str], expected: tuple[str, str, int]) -> None:
    """The diagnostic has its code, its severity, its cell, and a fix."""
    found = pipeline_of(*cells).diagnostics
    assert expected in [(item.code, item.severity, item.cell) for item in found], found
    assert all(item.fix and item.message and "\n" not in item.message for item in found)


CLEAN = [
    ("helpers that call each other", ["def f(n):\n    return g(n)\n\ndef g(n):\n    return n", "%%mlstage a\nx = f(1)"]),
    ("redefinition", ["%%mlstage a\nx = 1", "%%mlstage b\nx = x + 1", "%%mlstage c\ny = x"]),
    ("builtins and IPython's names", ["%%mlstage a\nx = len(str(__name__))\ndisplay(x)\nget_ipython()"]),
    ("process state in setup", [cell("import os\nos.environ['A'] = '1'", "setup"), "%%mlstage a\nx = 1"]),
    ("dynamic code with --in and --out", [cell("text = ' 1'", "parameters"), "%%mlstage a --in '' --out x\nx = eval(text)"]),
    ("one stage of two cells", [cell("x = 1", "stage:a"), cell("y = x", "stage:a")]),
]


@pytest.mark.parametrize("cells", [row[1] for row in CLEAN], ids=[row[0] for row in CLEAN])
def test_clean_notebook_has_no_diagnostic(cells: list[str]) -> None:
    """What is usual in notebooks is not complained about."""
    assert pipeline_of(*cells).diagnostics == ()


@pytest.mark.parametrize("line", ["%%mlstage a --sed 1", "%%mlstag a", "%%mlstage"])
def test_names_of_a_cell_that_is_refused_are_not_missed(line: str) -> None:
    """What is wrong is that cell's first line; its readers are right."""
    found = pipeline_of(f"{line}\nx = 1", "%%mlstage b\ny = x", "print(x)").diagnostics
    assert [(item.code, item.cell) for item in found] == [("NB105", 0)]
    assert [item.code for item in pipeline_of("%%mlstage b\ny = x", f"{line}\nx = 1").diagnostics] == ["NB201", "NB105"]


def test_name_that_only_a_cell_below_defines_says_which() -> None:
    """Of several, the first."""
    (found,) = pipeline_of("%%mlstage a\ny = x", "%%mlstage b\nz = 1", "%%mlstage c\nx = 1", "%%mlstage d\nx = 2").diagnostics
    assert found.message == "stage 'a' reads 'x', which no earlier cell defines, only cell 2 below it"


def test_same_trouble_twice_is_said_once() -> None:
    """A name that a cell reads ten times is one diagnostic."""
    assert len(pipeline_of("%%mlstage a\nx = nowhere + nowhere\ny = nowhere").diagnostics) == 1


def test_diagnostics_come_in_document_order() -> None:
    """A reader goes through the notebook from the top."""
    found = pipeline_of("%%mlstage a\nx = one\ny = two", "%%mlstage b --after c\nz = three").diagnostics
    assert [(item.cell, item.line) for item in found] == sorted((item.cell, item.line) for item in found)


def test_notebook_without_stages_is_told_so() -> None:
    """It runs as papermill would run it, and that is worth a word."""
    assert [(item.code, item.severity, item.cell) for item in pipeline_of("print(1)").diagnostics] == [("NB112", "info", None)]


def test_stages_that_share_a_random_state_are_told() -> None:
    """Two stages that were seen to draw from one global state differ from a run from top to bottom."""
    cells = ("%%mlstage a\nx = 1", "%%mlstage b\ny = 1")
    drawing = Effects(random=("numpy",))
    both = pipeline_of(*cells, effects={"a": drawing, "b": drawing}).diagnostics
    assert [(item.code, item.severity, item.stage) for item in both] == [("NB302", "warning", "b")]
    assert pipeline_of(*cells, effects={"a": drawing, "b": Effects(random=("random",))}).diagnostics == ()


def test_repaired_cell_id_is_a_warning() -> None:
    """A duplicated id is worked around, and said."""
    twins = [{**cell("%%mlstage a\nx = 1"), "id": "same"}, {**cell("y = 1"), "id": "same"}]
    assert [(item.code, item.severity) for item in pipeline_of(*twins).diagnostics] == [("NB108", "warning")]


def test_hidden_definition_names_both_cells() -> None:
    """The fix stands at the defining cell, the message names the reader."""
    found = pipeline_of("x = open('f')", "%%mlstage a\ny = x").diagnostics[0]
    assert (found.stage, found.cell) == ("a", 0)
    assert "stage 'a' reads 'x', which cell 0 defines" in found.message
    assert "tag setup to cell 0" in found.fix
