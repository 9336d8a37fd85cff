"""The cells that a live kernel has run, as a document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nbmlops.session.cells import SeenCells

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


def test_cells_of_the_file_that_have_not_run_are_later_ones(tmp_path: Path) -> None:
    """What they read is worth keeping."""
    cells = SeenCells(notebook(tmp_path / "n.ipynb", ("one", "a = 1"), ("two", "b = a")))
    cells.add("a = 1", cell_id="one")
    assert cells.later_sources() == ["b = a"]


def test_a_cell_edited_after_it_ran_is_told(tmp_path: Path) -> None:
    """The file holds another source than what was run."""
    path = notebook(tmp_path / "n.ipynb", ("one", "a = 1"))
    cells = SeenCells(path)
    cells.add("a = 1", cell_id="one")
    assert cells.edited() == []
    notebook(path, ("one", "a = 2"))
    assert [cell.id for cell in cells.edited()] == ["one"]


def test_a_file_that_is_being_saved_is_no_error(tmp_path: Path) -> None:
    """A half-written file leaves the order of execution."""
    path = tmp_path / "n.ipynb"
    path.write_text('{"cells": [')
    cells = SeenCells(path)
    cells.add("a = 1", cell_id="one")
    assert sources(cells) == ["a = 1"]
