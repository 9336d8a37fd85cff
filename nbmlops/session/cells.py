"""The cells that a live kernel has been seen to run, as a document."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nbmlops.errors import NotebookError
from nbmlops.notebook.directive import split_magic
from nbmlops.notebook.document import Document, parse_document, read_document
from nbmlops.notebook.kale import METADATA, own_stage, read_kale, speaks_kale, stage_of, tags_written_out
from nbmlops.notebook.kaletags import names_steps

__all__ = ["SeenCell", "SeenCells"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCell:
    """One cell as it was last run.

    Parameters
    ----------
    id : str
        The front end's id, or one made from the order of execution where it tells none.
    source : str
    metadata : dict
        The cell's metadata, as far as the front end tells it.
    order : int
        When it was last run, counted from 0.
    """

    id: str
    source: str
    metadata: dict[str, Any] = field(default_factory=dict)
    order: int = 0


class SeenCells:
    """What the session knows of its notebook.

    Parameters
    ----------
    path : Path or None
        The notebook's file, where the kernel knows it: then the file's order holds, and its later cells count.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._seen: dict[str, SeenCell] = {}
        self._count = 0

    def __iter__(self) -> Any:  # noqa: ANN401 - an iterator of SeenCell
        """Give the cells in the order in which they were first run."""
        return iter(self._seen.values())

    def add(self, source: str, metadata: dict[str, Any] | None = None, cell_id: str | None = None) -> SeenCell:
        """Take note of a cell that runs; a cell that ran before is replaced where it stands."""
        key = cell_id or self._same(source) or f"seen-{self._count}"
        cell = SeenCell(id=key, source=source, metadata=metadata or {}, order=self._count)
        self._count += 1
        self._seen[key] = cell
        return cell

    def forget(self, cell_id: str) -> None:
        """Drop a cell, since it failed before it did anything."""
        self._seen.pop(cell_id, None)

    def document(self) -> Document:
        """Return the cells that have run, as a document: what the kernel holds, in the order of the notebook.

        Raises
        ------
        NotebookError
            If the cells cannot be made into one.
        """
        cells = self._ordered()
        file = self._file()
        belongs = _belongs(file)
        about = file.raw.get("metadata", {}).get(METADATA) if file is not None else None
        raw = {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {METADATA: about} if about else {},
            "cells": [_cell(cell, place, None if belongs is None else belongs.get(cell.id)) for place, cell in enumerate(cells)],
        }
        document = replace(parse_document(raw, self.path), kale=belongs is not None)
        return document if self.path is not None else replace(document, path=Path.cwd() / "kernel.ipynb")

    def stage_of(self, source: str, tags: tuple[str, ...], cell_id: str | None) -> str | None:
        """Return the stage that a cell belongs to by its tags, or by its place in a notebook of Kale's dialect; "" if its tags are wrong."""
        own = own_stage(tags)
        belongs = _belongs(self._file()) if own is None else None
        if belongs is not None:
            return stage_of(tags_written_out(source, tags, belongs[cell_id]) if cell_id in belongs else tags)
        seen = names_steps(tags, almost=True) or any(names_steps(cell.metadata.get("tags") or ()) for cell in self)
        return stage_of(tags) if own is None and seen else own

    def ids(self) -> list[str]:
        """Return the cells' ids in the order of `document`."""
        return [cell.id for cell in self._ordered()]

    def _ordered(self) -> list[SeenCell]:
        places = {cell_id: place for place, cell_id in enumerate(self._order_in_file())}
        return sorted(self._seen.values(), key=lambda cell: places.get(cell.id, len(places)))

    def later_sources(self) -> list[str]:
        """Return the sources of the file's cells that have not run here: what they read is to be kept."""
        document = self._file()
        if document is None:
            return []
        return [cell.source for cell in document.cells if cell.kind == "code" and cell.id not in self._seen]

    def edited(self) -> list[SeenCell]:
        """Return the cells whose source in the file is not what was run."""
        document = self._file()
        if document is None:
            return []
        now = {cell.id: cell.source for cell in document.cells}
        return [cell for cell in self._seen.values() if cell.id in now and now[cell.id].strip() != cell.source.strip()]

    def _same(self, source: str) -> str | None:
        """Find the cell that this one replaces, for front ends that give no ids: the same stage, or the same text."""
        magic = split_magic(source)
        name = magic[0].split()[0] if magic and magic[0].split() else None
        for cell in self._seen.values():
            other = split_magic(cell.source)
            if name is not None and other is not None and other[0].split()[:1] == [name]:
                return cell.id
            if cell.source == source:
                return cell.id
        return None

    def _order_in_file(self) -> list[str]:
        document = self._file()
        return [cell.id for cell in document.cells] if document is not None else []

    def _file(self) -> Document | None:
        if self.path is None:
            return None
        try:
            return read_document(self.path)
        except NotebookError:
            return None  # being saved, or gone: the order of execution is what is left


def _belongs(file: Document | None) -> dict[str | None, str] | None:
    """Return what the cells of a file in Kale's dialect belong to, by id; None where another one is spoken."""
    if file is None or not speaks_kale(file):
        return None
    return {file.cells[index].id: cell.belongs for index, cell in (read_kale(file) or {}).items()}


def _cell(cell: SeenCell, place: int, belongs: str | None) -> dict[str, Any]:
    kept = {key: cell.metadata[key] for key in ("tags", "nbmlops") if key in cell.metadata}
    if belongs is not None:
        kept["tags"] = list(tags_written_out(cell.source, kept.get("tags") or (), belongs))
    identifier = cell.id if cell.id.replace("-", "").replace("_", "").isalnum() else f"seen-{place}"
    return {"cell_type": "code", "id": identifier[:64], "metadata": kept, "source": cell.source, "outputs": [], "execution_count": None}
