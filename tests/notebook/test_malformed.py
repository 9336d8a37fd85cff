"""A corpus of files that are no notebooks that we can run: each gives one line with file, cell and remedy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbmlops.errors import NotebookError
from nbmlops.notebook.document import parse_document, read_document
from nbmlops.notebook.roles import assign_roles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD = {"cell_type": "code", "source": "x = 1", "metadata": {}, "id": "a"}


def with_cells(*cells: object) -> dict[str, Any]:
    """Make a notebook that is right but for its cells."""
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells)}


# name: (content, code, cell, a part of the line)
FILES: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "NB102", "the file is empty"),
    "blank": (b" \n\t", "NB102", "the file is empty"),
    "bom only": (b"\xef\xbb\xbf", "NB102", "the file is empty"),
    "text": (b"hello", "NB102", "line 1, column 1"),
    "cut off": (b'{"nbformat": 4,\n "cells": [', "NB102", "line 2, column 12"),
    "trailing comma": (b'{"nbformat": 4,\n}', "NB102", "line 2, column 1"),
    "two documents": (b"{}{}", "NB102", "line 1, column 3"),
    "merge conflict": (b'{"cells": [\n<<<<<<< HEAD\n]}', "NB102", "conflict markers (line 2)"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "NB102", "git lfs pull"),
    "latin-1": (b'{"cells": "\xe9"}', "NB102", "byte 11"),
    "utf-16": ("{}".encode("utf-16"), "NB102", "save it as UTF-8"),
    "binary": (bytes(range(256)), "NB102", "UTF-8"),
    "zip": (b"PK\x03\x04\xff\xfe", "NB102", "UTF-8"),
    "nested": (b"[" * 100_000, "NB102", "nested too deeply"),
    "huge number": (b'{"nbformat": ' + b"9" * 5000 + b"}", "NB102", "digits"),
    "null": (b"null", "NB103", "its JSON is null"),
    "number": (b"4", "NB103", "its JSON is a number"),
    "string": (b'"x"', "NB103", "its JSON is a string"),
    "list": (b"[]", "NB103", "its JSON is a list"),
    "nothing in it": (b"{}", "NB103", "neither 'nbformat' nor 'cells'"),
    "package.json": (b'{"name": "x", "version": "1"}', "NB103", "neither 'nbformat' nor 'cells'"),
}

NOTEBOOKS: dict[str, tuple[dict[str, Any], str, int | None, str]] = {
    "no format": ({"cells": []}, "NB103", None, "'nbformat' is null"),
    "format text": ({"nbformat": "4", "cells": []}, "NB103", None, "'nbformat' is a string"),
    "format true": ({"nbformat": True, "cells": []}, "NB103", None, "'nbformat' is true or false"),
    "format float": ({"nbformat": 4.5, "cells": []}, "NB103", None, "'nbformat' is a number"),
    "minor text": ({"nbformat": 4, "nbformat_minor": "5", "cells": []}, "NB103", None, "'nbformat_minor' is a string"),
    "format 3": ({"nbformat": 3, "worksheets": [{"cells": []}]}, "NB103", None, "--nbformat 4"),
    "format 2": ({"nbformat": 2, "worksheets": []}, "NB103", None, "--nbformat 4"),
    "format 5": ({"nbformat": 5, "cells": []}, "NB103", None, "newer than 4"),
    "no cells": ({"nbformat": 4}, "NB103", None, "'cells' is null"),
    "cells object": ({"nbformat": 4, "cells": {}}, "NB103", None, "'cells' is an object"),
    "metadata list": ({"nbformat": 4, "cells": [], "metadata": []}, "NB103", None, "'metadata' is a list"),
    "kernelspec text": ({"nbformat": 4, "cells": [], "metadata": {"kernelspec": "python"}}, "NB103", None, "metadata.kernelspec"),
    "R": ({"nbformat": 4, "cells": [], "metadata": {"kernelspec": {"language": "R"}}}, "NB104", None, "kernel for 'R'"),
    "julia": ({"nbformat": 4, "cells": [], "metadata": {"language_info": {"name": "julia"}}}, "NB104", None, "kernel for 'julia'"),
    "language list": ({"nbformat": 4, "cells": [], "metadata": {"language_info": {"name": []}}}, "NB104", None, "choose a Python kernel"),
    "cell null": (with_cells(GOOD, None), "NB103", 1, "the cell is null"),
    "cell text": (with_cells("x = 1"), "NB103", 0, "the cell is a string"),
    "no type": (with_cells(GOOD, {"source": ""}), "NB103", 1, "no 'cell_type'"),
    "odd type": (with_cells({**GOOD, "cell_type": "heading"}), "NB103", 0, "type 'heading'"),
    "type list": (with_cells({**GOOD, "cell_type": []}), "NB103", 0, "type []"),
    "no source": (with_cells(GOOD, {"cell_type": "code", "metadata": {}}), "NB103", 1, "no 'source'"),
    "source null": (with_cells({**GOOD, "source": None}), "NB103", 0, "'source' is null"),
    "source number": (with_cells({**GOOD, "source": 1}), "NB103", 0, "'source' is a number"),
    "source mixed": (with_cells({**GOOD, "source": ["a", 1]}), "NB103", 0, "'source' is a list"),
    "surrogate": (with_cells({**GOOD, "source": "x = '\ud800'"}), "NB102", 0, "character 5"),
    "metadata null": (with_cells({**GOOD, "metadata": None}), "NB103", 0, "'metadata' is null"),
    "tags text": (with_cells({**GOOD, "metadata": {"tags": "setup"}}), "NB103", 0, "list of strings"),
    "tags mixed": (with_cells({**GOOD, "metadata": {"tags": ["setup", 1]}}), "NB103", 0, "list of strings"),
}


def one_line(error: NotebookError, file: str, part: str) -> None:
    """See that an error is one line with the file, the problem and a remedy."""
    text = str(error)
    assert "\n" not in text
    assert file in text
    assert part in text
    assert error.fix
    assert error.exit_code == 2


@pytest.mark.parametrize("name", FILES)
def test_malformed_file_is_one_line(tmp_path: Path, name: str) -> None:
    """A file that is no notebook says what it is and what to do."""
    content, code, part = FILES[name]
    path = tmp_path / "bad.ipynb"
    path.write_bytes(content)
    with pytest.raises(NotebookError) as caught:
        read_document(path)
    assert caught.value.code == code
    one_line(caught.value, str(path), part)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_malformed_notebook_is_one_line(tmp_path: Path, name: str) -> None:
    """A notebook of the wrong shape names the cell and the remedy."""
    raw, code, cell, part = NOTEBOOKS[name]
    path = tmp_path / "bad.ipynb"
    path.write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(NotebookError) as caught:
        read_document(path)
    assert (caught.value.code, caught.value.cell) == (code, cell)
    one_line(caught.value, str(path), part)


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda folder: folder / "none.ipynb", "no such file"),
        (lambda folder: folder / "no" / "such" / "n.ipynb", "there is no folder"),
        (lambda folder: folder, "is a folder"),
        (lambda folder: folder / ("x" * 300), "cannot be read"),
        (lambda folder: folder / "file" / "n.ipynb", "cannot be read"),
        (lambda folder: folder / "loop.ipynb", "cannot be read"),
        (lambda folder: str(folder) + "/nul\0.ipynb", "cannot be a path"),
    ],
)
def test_unreadable_path_is_one_line(tmp_path: Path, make: Callable[[Path], Path | str], part: str) -> None:
    """A path that leads to no file says so."""
    (tmp_path / "file").write_text("")
    (tmp_path / "loop.ipynb").symlink_to("loop.ipynb")
    with pytest.raises(NotebookError) as caught:
        read_document(make(tmp_path))
    assert caught.value.code == "NB101"
    one_line(caught.value, tmp_path.name, part)


@pytest.mark.parametrize("header", ["# ---\n# jupyter: [\n# ---\n", "# ---\n# a: b: c\n# ---\n# %%\nx = 1\n"])
def test_broken_percent_header_is_one_line(tmp_path: Path, header: str) -> None:
    """A script whose YAML header is broken says so, or is read as a script without one."""
    path = tmp_path / "bad.py"
    path.write_text(header)
    try:
        read_document(path)
    except NotebookError as error:
        one_line(error, str(path), "jupytext")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["tags", "nbmlops", "out", "x"]), inner, max_size=3),
    max_leaves=6,
)
CELLS = st.dictionaries(st.sampled_from(["cell_type", "source", "metadata", "id"]), JSON | st.sampled_from(["code", "raw"]))


@given(
    st.fixed_dictionaries(
        {"nbformat": st.just(4) | JSON, "cells": st.lists(CELLS | JSON, max_size=3) | JSON},
        optional={"metadata": JSON, "nbformat_minor": st.integers(0, 9)},
    )
)
def test_any_json_is_read_or_refused(raw: dict[str, Any]) -> None:
    """Whatever the JSON holds, it is a document with roles or a NotebookError."""
    try:
        document = parse_document(raw)
    except NotebookError as error:
        one_line(error, "notebook", "")
    else:
        assert len(assign_roles(document)) == len(document.cells)


@given(st.text(), st.sampled_from(["", "%%mlstage ", "%%mlstage a\n", "%%"]), st.lists(st.text(max_size=12), max_size=2), JSON)
def test_any_source_has_a_role(text: str, start: str, tags: list[str], options: object) -> None:
    """Whatever a cell holds, it has a role; what is wrong is kept in it as one line."""
    cell = {**GOOD, "source": start + text, "metadata": {"tags": [*tags, "stage:x"][: len(text) % 3], "nbmlops": options}}
    try:
        document = parse_document(with_cells(cell))
    except NotebookError:
        return
    (roled,) = assign_roles(document)
    assert roled.error is None or "\n" not in str(roled.error)
