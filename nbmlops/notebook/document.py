"""A notebook file, read and checked: `.ipynb` (or `.py` in jupytext percent format) to a `Document` of cells.

nbformat is not used: importing it costs more than a whole run that has nothing to do.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from nbmlops.dataclass import dataclass
from nbmlops.errors import MissingDependency, NotebookError
from nbmlops.nearest import close_matches
from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Cell", "Document", "parse_document", "read_document"]

CellKind = Literal["code", "markdown", "raw"]

_KINDS: tuple[CellKind, ...] = ("code", "markdown", "raw")
_FORMAT = 4
_FIRST_MINOR_WITH_IDS = 5
_CELL_ID = pattern(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell, as the document has it.

    Parameters
    ----------
    index : int
        The position among all cells, from 0.
    id : str
        The cell's id, unique in the document.
    kind : {"code", "markdown", "raw"}
        The cell's type.
    source : str
        The text, with its lines joined.
    tags : tuple of str
        The tags of the cell's metadata.
    metadata : Mapping
        The cell's whole metadata.
    """

    index: int
    id: str
    kind: CellKind
    source: str
    tags: tuple[str, ...]
    metadata: Mapping[str, Any]

    @property
    def options(self) -> Any:  # noqa: ANN401 - what the user wrote; `directive_from_metadata` checks it
        """What the metadata say under ``nbmlops``; nothing is ``{}``."""
        options = self.metadata.get("nbmlops")
        return {} if options is None else options


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A notebook whose shape is known to be right.

    Parameters
    ----------
    path : Path or None
        The file, as the user named it; None where only its JSON is known.
    cells : tuple of Cell
        All cells, in order.
    raw : dict
        The whole JSON, with the lines of every source joined and cell ids repaired.
    repaired_ids : tuple of int
        The cells whose id was missing, doubled or invalid and was replaced, where the format wants one.
    kale : bool
        Whether the cells are some of a notebook in Kale's dialect, with the tags of its untagged cells written out.
    """

    path: Path | None
    cells: tuple[Cell, ...]
    raw: dict[str, Any]
    repaired_ids: tuple[int, ...] = ()
    kale: bool = False

    @property
    def name(self) -> str:
        """The notebook's name: the file's without its suffix."""
        return "notebook" if self.path is None else self.path.stem

    @property
    def shown(self) -> str:
        """The file for messages, as the user named it."""
        return "notebook" if self.path is None else str(self.path)


def read_document(path: Path | str) -> Document:
    """Read the notebook at `path`.

    Parameters
    ----------
    path : Path or str
        An `.ipynb`, or a `.py` in jupytext percent format.

    Raises
    ------
    NotebookError
        If there is no such file, or it is no Python notebook of format 4.
    MissingDependency
        If it is a `.py` and jupytext is not installed.
    """
    path = Path(path)
    text = _read_text(path)
    raw = _parse_percent(text, path) if path.suffix == ".py" else _parse_json(text, path)
    return parse_document(raw, path)


def parse_document(raw: object, path: Path | None = None, earlier: Document | None = None) -> Document:
    """Check a notebook's parsed JSON and give its `Document`; `raw` itself is left as it is.

    Parameters
    ----------
    raw : object
        The parsed JSON.
    path : Path or None
        The file it came from, for messages.
    earlier : Document or None
        One whose cells are taken where those of `raw` are the very objects of its own `raw`, in the same places.

    Raises
    ------
    NotebookError
        If it is no Python notebook of format 4.
    """
    reader = _Reader("notebook" if path is None else str(path))
    notebook = reader.notebook(raw)
    minor = notebook.get("nbformat_minor", 0)
    # what a repaired id was must not be forgotten
    known = earlier.cells if earlier is not None and not earlier.repaired_ids else ()
    before = earlier.raw["cells"] if earlier is not None and known else ()
    same = [index < len(before) and cell is before[index] for index, cell in enumerate(notebook["cells"])]
    cells = [cell if same[index] else reader.cell(index, cell) for index, cell in enumerate(notebook["cells"])]
    ids, replaced = _unique_ids([cell.get("id") for cell in cells])
    wants_ids = minor >= _FIRST_MINOR_WITH_IDS
    if wants_ids:
        for index in replaced:
            cells[index] = {**cells[index], "id": ids[index]}
    return Document(
        path=path,
        cells=tuple(
            known[index] if same[index] and known[index].id == ids[index] else reader.finished(index, cell, ids[index])
            for index, cell in enumerate(cells)
        ),
        raw={**notebook, "cells": cells},
        repaired_ids=replaced if wants_ids else (),
    )


def _read_text(path: Path) -> str:
    shown = str(path)
    try:
        # a BOM, as some Windows editors write, is not part of the text
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise NotebookError("no such file", code="NB101", notebook=shown, fix=_nearest_file(path)) from None
    except IsADirectoryError:
        raise NotebookError("is a folder", code="NB101", notebook=shown, fix="name a notebook in it") from None
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start})"
        raise NotebookError(message, code="NB102", notebook=shown, fix="name an .ipynb, or save it as UTF-8") from None
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise NotebookError(message, code="NB101", notebook=shown, fix="mend the path or its permissions") from error
    except ValueError as error:
        # a path with a null byte
        raise NotebookError(f"cannot be a path: {error}", code="NB101", notebook=ascii(shown), fix="mend the path") from error


def _nearest_file(path: Path) -> str:
    try:
        names = [item.name for item in path.parent.iterdir() if item.suffix in {".ipynb", ".py"}]
    except OSError:
        return f"there is no folder {str(path.parent)!r} either; check the path"
    near = close_matches(path.name, names)
    return f"did you mean {str(path.parent / near[0])!r}?" if near else "check the path"


def _parse_json(text: str, path: Path) -> object:
    def refuse(message: str, fix: str) -> NoReturn:
        raise NotebookError(message, code="NB102", notebook=str(path), fix=fix) from None

    if not text.strip():
        refuse("the file is empty", "save the notebook again, or restore it")
    if text.startswith("version https://git-lfs"):
        refuse("is a Git LFS pointer, not the notebook", "run: git lfs pull")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = text.splitlines()[error.lineno - 1] if error.lineno <= len(text.splitlines()) else ""
        if line.startswith(("<<<<<<<", "=======", ">>>>>>>")):
            refuse(f"has Git conflict markers (line {error.lineno})", "resolve the merge, for example with nbdime")
        refuse(f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})", "mend that place, or restore the file")
    except RecursionError:
        refuse("is nested too deeply to be a notebook", "restore the file")
    except ValueError as error:
        # a number of more digits than Python converts
        refuse(f"is not JSON that can be read: {error}", "restore the file")


def _parse_percent(text: str, path: Path) -> object:
    try:
        import jupytext
    except ImportError:
        raise MissingDependency("jupytext", "", f"reading {str(path)!r}") from None
    try:
        notebook = jupytext.reads(text, fmt="py:percent")
    except Exception as error:  # jupytext lets the errors of the YAML, TOML and JSON parsers through
        message = f"is not a notebook in jupytext percent format: {error}"
        raise NotebookError(message, code="NB102", notebook=str(path), fix="mend the file's header") from error
    # jupytext draws new ids at each reading; without ids the same text always gives the same document
    cells = [{key: value for key, value in cell.items() if key != "id"} for cell in notebook["cells"]]
    return _plain({**notebook, "cells": cells, "nbformat_minor": _FIRST_MINOR_WITH_IDS - 1})


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON data
    """Turn nbformat's dict subclass, at every level, into plain JSON data."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _unique_ids(found: list[object]) -> tuple[list[str], tuple[int, ...]]:
    valid = [item if isinstance(item, str) and _CELL_ID.fullmatch(item) else None for item in found]
    taken = {item for item in valid if item is not None}
    ids: list[str] = []
    replaced: list[int] = []
    seen: set[str] = set()
    for index, item in enumerate(valid):
        if item is None or item in seen:
            replaced.append(index)
            item = _free_id(f"cell-{index}", taken)  # noqa: PLW2901
            taken.add(item)
        seen.add(item)
        ids.append(item)
    return ids, tuple(replaced)


def _free_id(wanted: str, taken: set[str]) -> str:
    number, free = 1, wanted
    while free in taken:
        number += 1
        free = f"{wanted}-{number}"
    return free


@dataclass(frozen=True, slots=True)
class _Reader:
    """The checks of one notebook's shape; each names the file and the cell."""

    shown: str

    def refuse(self, message: str, fix: str, *, code: str = "NB103", cell: int | None = None) -> NoReturn:
        raise NotebookError(message, code=code, notebook=self.shown, cell=cell, fix=fix)

    def notebook(self, raw: object) -> dict[str, Any]:
        """Check what is said once in a notebook."""
        if not isinstance(raw, dict):
            self.refuse(f"is not a notebook: its JSON is {_kind(raw)}", "name an .ipynb file")
        self._format(raw)
        if not isinstance(raw.get("cells"), list):
            self.refuse(f"'cells' is {_kind(raw.get('cells'))}, not a list", "restore the file, or save it again in Jupyter")
        if not isinstance(raw.get("metadata", {}), dict):
            self.refuse(f"'metadata' is {_kind(raw['metadata'])}, not an object", "restore the file, or save it again in Jupyter")
        self._language(raw.get("metadata", {}))
        return raw

    def _format(self, raw: dict[str, Any]) -> None:
        if "nbformat" not in raw and "cells" not in raw:
            self.refuse("is not a notebook: it has neither 'nbformat' nor 'cells'", "name an .ipynb file")
        major: Any = raw.get("nbformat")
        for name, value in (("nbformat", major), ("nbformat_minor", raw.get("nbformat_minor", 0))):
            if not isinstance(value, int) or isinstance(value, bool):
                self.refuse(f"{name!r} is {_kind(value)}, not a whole number", "save it again in Jupyter")
        if major < _FORMAT:
            fix = f'convert it with: jupyter nbconvert --to notebook --nbformat 4 "{self.shown}"'
            self.refuse(f"has the old notebook format {major}", fix)
        if major > _FORMAT:
            self.refuse(f"has notebook format {major}, which is newer than {_FORMAT}", "save it in format 4, or upgrade nbmlops")

    def _language(self, metadata: dict[str, Any]) -> None:
        for table, key in (("kernelspec", "language"), ("language_info", "name")):
            about = metadata.get(table)
            if about is not None and not isinstance(about, dict):
                self.refuse(f"'metadata.{table}' is {_kind(about)}, not an object", "choose the kernel again in Jupyter")
            language = about.get(key) if about else None
            if language is None:
                continue
            if not isinstance(language, str) or not re.match(r"i?python", language, re.IGNORECASE):
                self.refuse(f"has a kernel for {language!r}, not for Python", "choose a Python kernel", code="NB104")
            return

    def cell(self, index: int, raw: object) -> dict[str, Any]:
        """Check one cell and give a copy with its source joined and its metadata there."""
        if not isinstance(raw, dict):
            self.refuse(f"the cell is {_kind(raw)}, not an object", "delete it, or restore the file", cell=index)
        if "cell_type" not in raw:
            self.refuse("the cell has no 'cell_type'", "add code, markdown or raw", cell=index)
        if raw["cell_type"] not in _KINDS:
            self.refuse(f"the cell has the type {raw['cell_type']!r}", "make it code, markdown or raw", cell=index)
        metadata = raw.get("metadata", {})
        if not isinstance(metadata, dict):
            self.refuse(f"the cell's 'metadata' is {_kind(metadata)}, not an object", "make it {}", cell=index)
        tags = metadata.get("tags", [])
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            self.refuse("the cell's 'tags' are not a list of strings", 'write them like ["setup"]', cell=index)
        return {**raw, "source": self._source(index, raw), "metadata": metadata}

    def _source(self, index: int, raw: dict[str, Any]) -> str:
        if "source" not in raw:
            self.refuse("the cell has no 'source'", 'add "source": ""', cell=index)
        source = raw["source"]
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if not isinstance(source, str):
            self.refuse(f"the cell's 'source' is {_kind(source)}, not text or a list of lines", "restore the file", cell=index)
        try:
            source.encode()
        except UnicodeEncodeError as error:
            # JSON allows half a surrogate pair; neither Python nor UTF-8 does
            message = f"the cell's text has half of a surrogate pair at character {error.start}"
            self.refuse(message, "retype that character", code="NB102", cell=index)
        return source

    def finished(self, index: int, raw: dict[str, Any], cell_id: str) -> Cell:
        """Make the `Cell` of a checked one."""
        metadata = raw["metadata"]
        return Cell(
            index=index,
            id=cell_id,
            kind=raw["cell_type"],
            source=raw["source"],
            tags=tuple(metadata.get("tags", ())),
            metadata=metadata,
        )


def _kind(value: object) -> str:
    if value is None:
        return "null"
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return kinds.get(type(value), type(value).__name__)
