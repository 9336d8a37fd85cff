"""The cells that a live kernel has run, as a document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nbmlops.session.live.cells import SeenCells

if TYPE_CHECKING:
    from pathlib import Path


def notebook(path: Path, *cells: tuple[str, str]) -> Path:
    data = [{"cell_type": "code", "id": name, "metadata": {}, "source": source, "outputs": [], "execution_count": None} for name, source in cells]
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": data}))
    return path


def sources(cells: SeenCells) -> list[str]:
    return [cell.source for cell in cells.document().cells]


def test_cells_stand_in_the_order_in_which_they_first_ran() -> None:
    """Without a file, the order of execution is the document's."""
    cells = SeenCells()
    cells.add("a = 1", cell_id="one")
    cells.add("b = 2", cell_id="two")
    cells.add("a = 3", cell_id="one")
    assert sources(cells) == ["a = 3", "b = 2"]


def test_a_stage_that_runs_again_without_ids_replaces_itself() -> None:
    """A front end that gives no ids still has one cell for each stage."""
    cells = SeenCells()
    cells.add("%%mlstage train\nx = 1")
    cells.add("%%mlstage train\nx = 2")
    assert sources(cells) == ["%%mlstage train\nx = 2"]


def test_the_file_s_order_wins(tmp_path: Path) -> None:
    """Cells that ran out of order stand where the notebook has them."""
    cells = SeenCells(notebook(tmp_path / "n.ipynb", ("one", "a = 1"), ("two", "b = 2")))
    cells.add("b = 2", cell_id="two")
    cells.add("a = 1", cell_id="one")
    assert sources(cells) == ["a = 1", "b = 2"]


def test_cells_of_the_file_that_have_not_run_stand_in_the_notebook(tmp_path: Path) -> None:
    """They are known not to have run."""
    cells = SeenCells(notebook(tmp_path / "n.ipynb", ("one", "a = 1"), ("two", "b = a")))
    cells.add("a = 1", cell_id="one")
    assert sources(cells) == ["a = 1", "b = a"]
    assert [seen is None for seen in cells.notebook().seen] == [False, True]


def test_a_cell_edited_after_it_ran_is_told(tmp_path: Path) -> None:
    """The file was saved with another source than what was run: the notebook is what was saved."""
    path = notebook(tmp_path / "n.ipynb", ("one", "a = 1"))
    cells = SeenCells(path)
    cells.add("a = 1", cell_id="one")
    assert cells.edited() == []
    notebook(path, ("one", "a = 22"))
    assert [cell.id for cell in cells.edited()] == ["one"]
    assert sources(cells) == ["a = 22"]


def test_what_ran_is_newer_than_a_file_that_was_not_saved_since(tmp_path: Path) -> None:
    """An edit that ran and is not saved is the notebook; it is no edit after the run."""
    cells = SeenCells(notebook(tmp_path / "n.ipynb", ("one", "a = 1")))
    cells.add("a = 2", cell_id="one")
    assert cells.edited() == []
    assert sources(cells) == ["a = 2"]


def test_a_new_cell_that_is_not_saved_stands_where_it_fits(tmp_path: Path) -> None:
    """It ran before the cell below it and after the one above, wherever those stand."""
    cells = SeenCells(notebook(tmp_path / "n.ipynb", ("one", "a = 1"), ("two", "b = 2"), ("three", "c = 3")))
    for number, name in enumerate(("one", "two", "three")):
        cells.add(f"{'abc'[number]} = {number + 1}", cell_id=name)
    cells.add("new = 0", cell_id="new")
    assert sources(cells) == ["a = 1", "b = 2", "c = 3", "new = 0"]
    cells.add("b = 2", cell_id="two")
    assert sources(cells) == ["a = 1", "new = 0", "b = 2", "c = 3"]


def test_a_cell_that_a_save_leaves_out_is_gone(tmp_path: Path) -> None:
    """So is one that the front end says was deleted."""
    path = notebook(tmp_path / "n.ipynb", ("one", "a = 1"), ("two", "b = 2"), ("three", "c = 3"))
    cells = SeenCells(path)
    cells.add("a = 1", cell_id="one")
    cells.add("b = 2", cell_id="two")
    notebook(path, ("two", "b = 2"), ("three", "c = 3"))
    assert [cell.id for cell in cells.notebook().gone] == ["one"]
    cells.add("c = 3", {"deletedCells": ["two"]}, "three")
    assert [cell.id for cell in cells.notebook().gone] == ["one", "two"]


def test_a_cell_of_a_console_is_not_in_the_notebook(tmp_path: Path) -> None:
    """The notebook's own cells come with ids."""
    cells = SeenCells(notebook(tmp_path / "n.ipynb", ("one", "a = 1")))
    cells.add("a = 1", cell_id="one")
    cells.add("a = 5")
    assert sources(cells) == ["a = 1"]
    assert [cell.source for cell in cells.notebook().gone] == ["a = 5"]


def test_without_ids_a_cell_that_binds_the_same_names_is_the_same_edited() -> None:
    """What is typed again in a terminal stands for what it replaces; what reads its own names does not."""
    cells = SeenCells()
    cells.add("k = 1")
    cells.add("print(k)")
    cells.add("k = 2")
    cells.add("k = k + 1")
    assert sources(cells) == ["k = 2", "print(k)", "k = k + 1"]


def test_a_file_that_is_being_saved_is_no_error(tmp_path: Path) -> None:
    """A half-written file leaves the order of execution."""
    path = tmp_path / "n.ipynb"
    path.write_text('{"cells": [')
    cells = SeenCells(path)
    cells.add("a = 1", cell_id="one")
    assert sources(cells) == ["a = 1"]


def test_cells_that_did_not_change_are_the_same_objects() -> None:
    """What was found out of one holds on; of a cell whose options are equal and of another type it does not."""
    cells = SeenCells()
    for name, told in (("one", {}), ("two", {"nbmlops": {"seed": 1}})):
        cells.add("a = 1", {"tags": ["stage:a"], **told}, name)
    before = cells.document()
    cells.add("a = 1", {"tags": ["stage:a"], "nbmlops": {"seed": True}}, "two")
    now = cells.document()
    assert now.cells[0] is before.cells[0]
    assert repr(now.cells[1].options) == "{'seed': True}"
