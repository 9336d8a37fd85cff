"""Reading notebook files."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from nbmlops.errors import NotebookError
from nbmlops.notebook.document import parse_document, read_document

if TYPE_CHECKING:
    from pathlib import Path


def code(source: str | list[str], **parts: object) -> dict[str, Any]:
    """Make a code cell."""
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None, **parts}


def notebook(*cells: dict[str, Any], **parts: object) -> dict[str, Any]:
    """Make a notebook."""
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells), **parts}


def write(path: Path, data: object) -> Path:
    """Write JSON and give the path."""
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_cells_come_in_order_with_joined_sources_and_tags(tmp_path: Path) -> None:
    """A cell has its lines joined, its tags, its metadata and its position."""
    cells = (
        {"cell_type": "markdown", "source": "# Title", "metadata": {}, "id": "a"},
        code(["x = 1\n", "y = 2"], id="b", metadata={"tags": ["setup"], "nbmlops": {"seed": 1}}),
    )
    document = read_document(write(tmp_path / "n.ipynb", notebook(*cells)))
    assert [(cell.index, cell.id, cell.kind, cell.source) for cell in document.cells] == [
        (0, "a", "markdown", "# Title"),
        (1, "b", "code", "x = 1\ny = 2"),
    ]
    assert document.cells[1].tags == ("setup",)
    assert document.cells[1].options == {"seed": 1}
    assert document.raw["cells"][1]["source"] == "x = 1\ny = 2"


def test_path_is_shown_as_the_user_named_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages name a relative path as it was given."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "flights.ipynb", notebook())
    document = read_document("flights.ipynb")
    assert (document.shown, document.name) == ("flights.ipynb", "flights")


def test_parsing_leaves_the_given_json_alone() -> None:
    """An engine's own notebook is not changed by reading it."""
    raw = notebook(code(["x = 1\n", "x"]), code("y", id="bad id"))
    before = copy.deepcopy(raw)
    parse_document(raw)
    assert raw == before


def test_bom_is_accepted(tmp_path: Path) -> None:
    """A byte order mark, as Windows editors write it, is no part of the notebook."""
    path = tmp_path / "n.ipynb"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(notebook(code("x = 1"))).encode())
    assert read_document(path).cells[0].source == "x = 1"


def test_other_suffixes_are_read_as_json(tmp_path: Path) -> None:
    """A snapshot in the store has no suffix of a notebook."""
    assert len(read_document(write(tmp_path / "0a1b", notebook(code("x")))).cells) == 1


def test_bad_ids_are_replaced_and_told() -> None:
    """Missing, doubled and invalid ids give way to ones made from the position, free of collisions."""
    document = parse_document(notebook(code("a", id="cell-1"), code("b"), code("c", id="cell-1"), code("d", id="no blanks")))
    assert [cell.id for cell in document.cells] == ["cell-1", "cell-1-2", "cell-2", "cell-3"]
    assert [cell["id"] for cell in document.raw["cells"]] == ["cell-1", "cell-1-2", "cell-2", "cell-3"]
    assert document.repaired_ids == (1, 2, 3)


def test_old_minor_formats_need_no_ids() -> None:
    """Before 4.5 cells have no id: nothing to tell, and none is written into the notebook."""
    document = parse_document(notebook(code("a"), nbformat_minor=4))
    assert document.cells[0].id == "cell-0"
    assert document.repaired_ids == ()
    assert "id" not in document.raw["cells"][0]


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"kernelspec": {"name": "python3"}},
        {"kernelspec": {"language": "python"}, "language_info": {"name": "python"}},
        {"language_info": {"name": "ipython"}},
        {"kernelspec": None},
    ],
)
def test_python_kernels_are_accepted(metadata: dict[str, Any]) -> None:
    """No kernel at all is Python too."""
    assert parse_document(notebook(code("x"), metadata=metadata)).cells


def test_percent_script_is_a_notebook(tmp_path: Path) -> None:
    """A jupytext script gives the cells, tags and magics of the notebook that it stands for."""
    path = tmp_path / "flights.py"
    path.write_text('# %% [markdown]\n# Hi\n\n# %% tags=["parameters"]\nC = 1\n\n# %%\n# %%mlstage train --out m\nm = C\n')
    document = read_document(path)
    assert [cell.kind for cell in document.cells] == ["markdown", "code", "code"]
    assert document.cells[1].tags == ("parameters",)
    assert document.cells[2].source == "%%mlstage train --out m\nm = C"
    assert type(document.raw["cells"][0]["metadata"]) is dict


def test_percent_script_gives_the_same_document_each_time(tmp_path: Path) -> None:
    """The random ids that jupytext draws do not reach the document."""
    path = tmp_path / "n.py"
    path.write_text("# %%\nx = 1\n")
    assert read_document(path) == read_document(path)


def test_missing_file_suggests_a_neighbour(tmp_path: Path) -> None:
    """A misspelt name is answered with the nearest notebook of the folder."""
    write(tmp_path / "flights.ipynb", notebook())
    with pytest.raises(NotebookError, match=r"no such file; did you mean '.*flights\.ipynb'\?"):
        read_document(tmp_path / "flihgts.ipynb")


def test_reading_needs_only_the_standard_library(tmp_path: Path) -> None:
    """Neither nbformat nor IPython is imported to read a notebook without IPython syntax."""
    path = write(tmp_path / "n.ipynb", notebook(code("%%mlstage a\nx = 1", id="a"), code("import os", id="b")))
    script = (
        "import sys\nfrom nbmlops.notebook.document import read_document\nfrom nbmlops.notebook.roles import assign_roles\n"
        f"assign_roles(read_document({str(path)!r}))\n"
        "print([name for name in ('nbformat', 'IPython', 'jupytext', 'numpy', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_document_that_goes_on_from_an_earlier_one_is_as_if_read_anew() -> None:
    """The cells of the earlier one are taken where they stand as they stood; ids that had to be repaired are told again."""

    def cell(name: str, source: str) -> dict[str, Any]:
        return {"cell_type": "code", "id": name, "metadata": {}, "source": source, "outputs": [], "execution_count": None}

    first = parse_document({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell("a", "x"), cell("b", "y"), cell("c", "z")]})
    old = first.raw["cells"]
    for cells in (
        old,
        [old[0], cell("b", "other"), old[2]],
        [*old, old[0]],
        [old[1], old[0], old[2]],
        [cell("c", "n"), *old[1:]],
        [cell("bad id", "n"), *old],
    ):
        raw = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
        going_on, anew = parse_document(raw, None, first), parse_document(copy.deepcopy(raw))
        assert going_on == anew
        assert parse_document({**raw, "cells": going_on.raw["cells"]}, None, going_on).cells == going_on.cells
    assert first == parse_document({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell("a", "x"), cell("b", "y"), cell("c", "z")]})
