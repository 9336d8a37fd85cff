"""What each cell is for."""

from __future__ import annotations

from typing import Any

import pytest

from nbmlops.notebook.document import Document, parse_document
from nbmlops.notebook.roles import Role, RoledCell, assign_roles

Spec = str | tuple[Any, ...]


def document(*cells: Spec) -> Document:
    """Make a document of sources, or of (source, tags, options)."""
    made = []
    for cell in cells:
        given = cell if isinstance(cell, tuple) else (cell,)
        source, tags, options = (*given, *([], {})[len(given) - 1 :])
        made.append({"cell_type": "code", "source": source, "metadata": {"tags": tags, "nbmlops": options}})
    return parse_document({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": made})


def roles(*cells: Spec) -> list[str]:
    """Give the roles of these cells."""
    return [roled.role.value for roled in assign_roles(document(*cells))]


def only(*cells: Spec) -> RoledCell:
    """Give the last cell with its role."""
    return assign_roles(document(*cells))[-1]


@pytest.mark.parametrize(
    ("cell", "role"),
    [
        ("%%mlstage a\nx = 1", "stage"),
        (("%%mlstage a\nx = 1", ["skip"]), "stage"),
        (("x = 1", ["stage:a"]), "stage"),
        (("x = 1", ["stage:a", "parameters"]), "stage"),
        (("x = 1", ["parameters"]), "parameters"),
        (("x = 1", ["injected-parameters"]), "injected"),
        (("x = f()", ["setup"]), "setup"),
        (("x = f()", ["setup", "skip"]), "setup"),
        ("import os", "setup"),
        (("import os", ["skip"]), "skip"),
        (("import os", ["hide-input"]), "setup"),
        ("print(1)", "report"),
        ("", "skip"),
        ("  \n", "skip"),
        ("# only words", "skip"),
        ("%mlrun", "skip"),
        ("%load_ext nbmlops\n%mlpipeline use n.ipynb", "skip"),
        ("%load_ext nbmlops", "setup"),
        ("%mlgraph\n%mlstatus --json", "skip"),
        ("r = %mlrun --wait", "skip"),
        ("%mlmodels flight-delay", "skip"),
        ("%mlpromote flight-delay", "skip"),
        ("x = 1\n%mlrun", "report"),
        ("%mlflow_thing", "report"),
        ("%%bash\nls", "report"),
        ("x = (", "report"),
    ],
)
def test_first_rule_that_matches_decides(cell: Spec, role: str) -> None:
    """The rules hold in their order."""
    assert roles(cell) == [role]


def test_markdown_and_raw_cells_are_markdown() -> None:
    """What is no code runs nowhere."""
    cells = [{"cell_type": kind, "source": "%%mlstage a", "metadata": {}} for kind in ("markdown", "raw")]
    found = assign_roles(parse_document({"nbformat": 4, "metadata": {}, "cells": cells}))
    assert [(item.role, item.tree) for item in found] == [(Role.MARKDOWN, None)] * 2


def test_magic_stage_has_directive_body_and_tree() -> None:
    """The body leaves the magic line out and keeps the line numbers."""
    roled = only("%%mlstage train --out m\nm = 1")
    assert roled.stage == "train"
    assert roled.magic
    assert roled.directive
    assert roled.directive.outs == ("m",)
    assert roled.body == "\nm = 1"
    assert roled.tree
    assert roled.tree.body[0].lineno == 2


def test_tagged_stage_has_its_options_from_metadata() -> None:
    """A tag and metadata say what the magic line says."""
    roled = only(("m = 1", ["stage:train"], {"out": ["m"]}))
    assert roled.directive == only("%%mlstage train --out m\n").directive
    assert (roled.magic, roled.body) == (False, "m = 1")


def test_cells_of_one_tag_share_the_options_of_the_first_that_has_them() -> None:
    """One cell of a stage carries the options for all."""
    found = assign_roles(document(("a = 1", ["stage:s"]), ("b = 1", ["stage:s"], {"seed": 3}), ("c = 1", ["stage:s"], {"seed": 3})))
    assert [roled.directive.seed for roled in found if roled.directive] == [3, 3, 3]
    assert not any(roled.error for roled in found)


def test_conflicting_options_of_one_tag_are_an_error_of_the_later_cell() -> None:
    """Two cells of a stage that disagree are told, with the cell of the first."""
    first, second = assign_roles(document(("a = 1", ["stage:s"], {"seed": 3}), ("b = 1", ["stage:s"], {"seed": 4})))
    assert first.error is None
    assert str(second.error) == "notebook, cell 1: the options of stage 's' differ from those in cell 0; keep the options in one of its cells"


def test_cell_with_two_stage_tags_is_an_error() -> None:
    """A cell belongs to one stage."""
    assert "2 stages: a, b" in str(only(("x = 1", ["stage:a", "stage:b"])).error)


@pytest.mark.parametrize(
    ("cell", "part"),
    [
        ("%%mlstage a --ouput x\n1", "did you mean --out?"),
        ("%%mlstage\n1", "has no stage name"),
        (("1", ["stage:"]), "stage name ''"),
        (("1", ["stage:a b"]), "stage name 'a b'"),
        (("1", ["stage:a"], {"sed": 1}), "did you mean --seed?"),
        (("1", ["stage:a"], [1]), "not an object"),
        ("%%mlstage a\nx = (", "does not parse (line 2)"),
        ("x = 1\n%%mlstage a\ny", "%%mlstage stands in line 2; make it the cell's first line"),
        ("%%capture\n%%mlstage a\ny", "%%mlstage stands in line 2"),
        ("%%mlstag a\ny", "did you mean %%mlstage?"),
        ("%%mlStage a\ny", "did you mean %%mlstage?"),
    ],
)
def test_wrong_stage_keeps_its_error(cell: Spec, part: str) -> None:
    """A stage whose directive or code is wrong stays a stage, with the error in it."""
    roled = only(cell)
    assert roled.role is Role.STAGE
    assert roled.error
    assert roled.error.cell == 0
    assert part in str(roled.error)
    assert roled.error_line


@pytest.mark.parametrize("source", ['help = """\n%%mlstage a\n"""', "%%writefile n.txt\n%%mlstage a"])
def test_magic_line_inside_text_is_no_stage(source: str) -> None:
    """A string or a file's text may show how a stage is written."""
    assert only(source).error is None


def test_syntax_error_names_cell_and_line() -> None:
    """A cell that does not parse has no tree and says where it breaks."""
    roled = only("x = 1\ny = = 2")
    assert (roled.tree, roled.error_line) == (None, 2)
    assert str(roled.error).startswith("notebook, cell 0: the code does not parse (line 2)")


def test_skipped_cells_are_not_read() -> None:
    """What is skipped may hold anything."""
    roled = only(("x = (", ["skip"]))
    assert (roled.tree, roled.error) == (None, None)


def test_every_magic_of_ours_is_no_part_of_a_run() -> None:
    """A cell that only asks how a model stands, which the run is about to register, must not fail that run."""
    from IPython.core.interactiveshell import InteractiveShell

    from nbmlops import load_ipython_extension
    from nbmlops.notebook.purity import FRONT_MAGIC

    shell = InteractiveShell()
    load_ipython_extension(shell)
    ours = {name for name in shell.magics_manager.magics["line"] if name.startswith("ml")}
    assert {"mlrun", "mlmodels"} <= ours
    assert {name for name in ours if not FRONT_MAGIC.fullmatch(name)} == set()
