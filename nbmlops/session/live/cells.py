"""The notebook as a live kernel knows it: its file, the cells that have run, and how the two differ."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.dataflow.scopes import analyse
from nbmlops.errors import NbmlopsError
from nbmlops.notebook.code import parse_code
from nbmlops.notebook.directive import split_magic
from nbmlops.notebook.document import Document, parse_document, read_document
from nbmlops.notebook.kale import METADATA, own_stage, read_kale, speaks_kale, stage_of, tags_written_out
from nbmlops.notebook.kaletags import names_steps
from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nbmlops.notebook.document import Cell

__all__ = ["Notebook", "SeenCell", "SeenCells", "told_notebook"]

_ID = pattern(r"[A-Za-z0-9_-]{1,64}")
Stamp = tuple[int, int, int]


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
    count : int or None
        The number in its prompt.
    stamp : tuple or None
        What told the file's version when it ran.
    """

    id: str
    source: str
    metadata: dict[str, Any] = field(default_factory=dict)
    order: int = 0
    count: int | None = None
    stamp: Stamp | None = None

    @property
    def label(self) -> str:
        """How users find the cell: by the number in its prompt."""
        return f"[{self.count}]" if self.count is not None else "[ ]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notebook:
    """The notebook as it stands now, and what of it has run here.

    Parameters
    ----------
    document : Document
        With the file's text of a cell that was edited after it ran, else with what ran.
    seen : tuple of (SeenCell or None)
        For each cell of the document, how it last ran; None where it has not.
    edited : frozenset of int
        The cells whose text is no longer what ran.
    gone : tuple of SeenCell
        Cells that ran and are not in the notebook: deleted, or typed elsewhere.
    """

    document: Document
    seen: tuple[SeenCell | None, ...]
    edited: frozenset[int] = frozenset()
    gone: tuple[SeenCell, ...] = ()

    def label(self, index: int) -> str:
        """Return how users find a cell of the document: ``[3]``, as its prompt says, or ``[ ]`` and its place where it has not run."""
        seen = self.seen[index]
        return seen.label if seen is not None else f"[ ] (cell {index})"

    def index_of(self, cell_id: str) -> int | None:
        """Return where a cell that ran stands; None if it is not in the notebook."""
        return next((index for index, seen in enumerate(self.seen) if seen is not None and seen.id == cell_id), None)


class SeenCells:
    """What the session knows of its notebook.

    Parameters
    ----------
    path : Path or None
        The notebook's file, where the kernel knows it: then the file's order holds, and its cells that have not run count.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._seen: dict[str, SeenCell] = {}
        self._count = 0
        self._read: tuple[Stamp, Document] | None = None
        self._deleted: dict[str, Stamp | None] = {}
        self._ids_told = False
        self._made: tuple[object, Notebook] | None = None

    def __iter__(self) -> Iterator[SeenCell]:
        """Give the cells in the order in which they were first run."""
        return iter(self._seen.values())

    def add(self, source: str, metadata: dict[str, Any] | None = None, cell_id: str | None = None, *, count: int | None = None) -> SeenCell:
        """Take note of a cell that runs; a cell that ran before is replaced where it stands."""
        document = self._file()
        told = metadata or {}
        known = cell_id if cell_id and _ID.fullmatch(cell_id) else None
        self._ids_told = self._ids_told or (known is not None and document is not None and any(cell.id == known for cell in document.cells))
        self._deleted.update({item: self._stamp() for item in told.get("deletedCells") or () if isinstance(item, str)})
        key = known or self._same(source, document) or f"seen-{self._count}"
        self._deleted.pop(key, None)
        cell = SeenCell(id=key, source=source, metadata=told, order=self._count, count=count, stamp=self._stamp())
        self._count += 1
        self._seen[key] = cell
        return cell

    def outside(self, source: str, cell_id: str | None, *, count: int | None = None) -> SeenCell:
        """Return a cell that ran and did not get to its end: it counts as an execution, and not as what the notebook's cell has made."""
        self._count += 1
        return SeenCell(id=cell_id or f"seen-{self._count}", source=source, order=self._count - 1, count=count, stamp=self._stamp())

    @property
    def latest(self) -> SeenCell:
        """The cell that ran last."""
        return max(self._seen.values(), key=lambda cell: cell.order, default=SeenCell(id="", source=""))

    def document(self) -> Document:
        """Return the notebook as it stands, in the order of its file; of a front end without a file, the cells that have run.

        Raises
        ------
        NotebookError
            If the cells cannot be made into one.
        """
        return self.notebook().document

    def notebook(self) -> Notebook:
        """Return the notebook as it stands, and what of it has run here."""
        file, stamp = self._file(), self._stamp()
        state = (self.path, stamp, self._count, *self._deleted)
        if self._made is None or self._made[0] != state:
            self._made = (state, self._merged(file, stamp) if file is not None else self._unfiled())
        return self._made[1]

    def stage_of(self, source: str, tags: tuple[str, ...], cell_id: str | None) -> str | None:
        """Return the stage that a cell belongs to by its tags, or by its place in a notebook of Kale's dialect; "" if its tags are wrong."""
        own = own_stage(tags)
        belongs = _belongs(self._file()) if own is None else None
        if belongs is not None:
            return stage_of(tags_written_out(source, tags, belongs[cell_id]) if cell_id in belongs else tags)
        seen = names_steps(tags, almost=True) or any(names_steps(cell.metadata.get("tags") or ()) for cell in self)
        return stage_of(tags) if own is None and seen else own

    def is_tagged(self, source: str, cell_id: str | None) -> bool:
        """Tell whether a cell of the file, found by its id or its text, has tags."""
        file = self._file()
        cells = file.cells if file is not None else ()
        return any(cell.tags and (cell.id == cell_id or cell.source.strip() == source.strip()) for cell in cells)

    def edited(self) -> list[SeenCell]:
        """Return the cells whose text in the notebook is no longer what ran."""
        notebook = self.notebook()
        return [seen for index in sorted(notebook.edited) if (seen := notebook.seen[index]) is not None]

    def _unfiled(self) -> Notebook:
        cells = [cell for cell in self._seen.values() if cell.id not in self._deleted]
        document = self._document([_cell(cell.id, cell.source, cell.metadata, place) for place, cell in enumerate(cells)], None, None)
        gone = tuple(cell for cell in self._seen.values() if cell.id in self._deleted)
        return Notebook(document=replace(document, path=Path.cwd() / "kernel.ipynb"), seen=tuple(cells), gone=gone)

    def _merged(self, file: Document, stamp: Stamp | None) -> Notebook:
        """Put what ran into the file's cells: an edit that was saved after a cell ran counts, one that was not saved is what ran."""
        belongs = _belongs(file)
        rows: list[tuple[dict[str, Any], SeenCell | None, bool]] = []
        places: dict[str, int] = {}
        for cell in file.cells:
            if cell.id in self._deleted and self._deleted[cell.id] == stamp:
                continue  # a later save that has it has brought it back
            seen = self._seen.get(cell.id) if cell.kind == "code" else None
            if cell.kind == "code":
                places[cell.id] = len(rows)
            rows.append(_merge(cell, seen, stamp, belongs))
        new = [cell for cell in self._seen.values() if cell.id not in places and not self._is_gone(cell, stamp)]
        for added in sorted(new, key=lambda item: item.order):
            place = self._fitting(added, places)
            places = {name: position + (position >= place) for name, position in places.items()} | {added.id: place}
            rows.insert(place, (_cell(added.id, added.source, added.metadata, added.order), added, False))
        gone = tuple(cell for cell in self._seen.values() if cell.id not in places)
        return Notebook(
            document=self._document([row for row, _, _ in rows], self.path, file),
            seen=tuple(seen for _, seen, _ in rows),
            edited=frozenset(index for index, (_, _, edited) in enumerate(rows) if edited),
            gone=gone,
        )

    def _document(self, cells: list[dict[str, Any]], path: Path | None, file: Document | None) -> Document:
        """Make the document; the file's own metadata on Kale's steps hold for it too. Cells that are what they were are the same objects."""
        earlier = self._made[1].document if self._made is not None else None
        before = earlier.raw["cells"] if earlier is not None else ()
        cells = [old if old is not None and _is_same(cell, old) else cell for cell, old in zip_longest(cells, before[: len(cells)])]
        about = file.raw.get("metadata", {}).get(METADATA) if file is not None else None
        made = parse_document({"nbformat": 4, "nbformat_minor": 5, "metadata": {METADATA: about} if about else {}, "cells": cells}, path, earlier)
        return replace(made, kale=file is not None and speaks_kale(file))

    def _is_gone(self, cell: SeenCell, stamp: Stamp | None) -> bool:
        """Tell whether a cell that is not in the file was deleted, or typed elsewhere: one that ran after the last save may be new."""
        return cell.id in self._deleted or cell.stamp != stamp or (self._ids_told and cell.id.startswith("seen-"))

    def _fitting(self, cell: SeenCell, places: dict[str, int]) -> int:
        """Return where a cell of which the file does not know yet stands: behind the one that ran before it, and before the one that ran next."""
        ran = sorted((self._seen[name].order, place) for name, place in places.items() if name in self._seen)
        before = [place for order, place in ran if order < cell.order]
        after = [place for order, place in ran if order > cell.order]
        place = before[-1] + 1 if before else len(places)
        return min(place, after[0]) if after else place

    def _same(self, source: str, document: Document | None) -> str | None:
        """Find the cell that this one is, for front ends that give no ids: the same stage, the same text, or what binds the same names."""
        name = _magic_stage(source)
        cells = [(cell.id, cell.source) for cell in (document.cells if document is not None and not self._ids_told else ()) if cell.kind == "code"]
        cells += [(cell.id, cell.source) for cell in self._seen.values() if not self._ids_told or cell.id.startswith("seen-")]
        for cell_id, other in cells:
            if (name is not None and _magic_stage(other) == name) or other.strip() == source.strip():
                return cell_id
        if self.path is not None or name is not None:
            return None
        binds = _replaces(source)
        return next((cell.id for cell in self._seen.values() if cell.id.startswith("seen-") and binds and _replaces(cell.source) == binds), None)

    def _stamp(self) -> Stamp | None:
        if self.path is None:
            return None
        try:
            found = self.path.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def _file(self) -> Document | None:
        """Return the file's document; one that is being saved is what it was before."""
        stamp = self._stamp()
        if self.path is None or stamp is None:
            return None
        if self._read is None or self._read[0] != stamp:
            try:
                self._read = (stamp, read_document(self.path))
            except (NbmlopsError, OSError):
                return self._read[1] if self._read is not None else None
        return self._read[1]


def _belongs(file: Document | None) -> dict[str | None, str] | None:
    """Return what the cells of a file in Kale's dialect belong to, by id; None where another one is spoken."""
    if file is None or not speaks_kale(file):
        return None
    return {file.cells[index].id: cell.belongs for index, cell in (read_kale(file) or {}).items()}


def _merge(
    cell: Cell, seen: SeenCell | None, stamp: Stamp | None, belongs: dict[str | None, str] | None
) -> tuple[dict[str, Any], SeenCell | None, bool]:
    saved_since = seen is None or seen.stamp != stamp
    edited = seen is not None and saved_since and cell.source.strip() != seen.source.strip()
    source = cell.source if seen is None or edited else seen.source
    metadata = dict(cell.metadata if seen is None or saved_since or not seen.metadata else seen.metadata)
    if belongs is not None and cell.id in belongs:
        metadata["tags"] = list(tags_written_out(source, metadata.get("tags") or (), belongs[cell.id]))
    return _cell(cell.id, source, metadata, 0, cell.kind), seen, edited


def _cell(cell_id: str, source: str, metadata: Mapping[str, Any], place: int, kind: str = "code") -> dict[str, Any]:
    kept = {key: metadata[key] for key in ("tags", "nbmlops") if key in metadata}
    made = {"cell_type": kind, "id": cell_id if _ID.fullmatch(cell_id) else f"seen-{place}", "metadata": kept, "source": source}
    return made | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def _is_same(cell: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two cells are the same, with the very same metadata: equal ones may be of another type."""
    told, known = cell["metadata"], other["metadata"]
    if cell["id"] != other["id"] or cell["source"] != other["source"] or cell["cell_type"] != other["cell_type"] or told.keys() != known.keys():
        return False
    return all(told[key] is known[key] for key in told)


def _magic_stage(source: str) -> str | None:
    magic = split_magic(source)
    return magic[0].split()[0] if magic and magic[0].split() else None


def _replaces(source: str) -> frozenset[str]:
    """Return the names that a cell binds without reading them first: typed again in a console, it is the same cell edited."""
    try:
        flow = analyse(parse_code(source))
    except (SyntaxError, ValueError):
        return frozenset()
    binds = frozenset(flow.binds)
    return binds if binds and not binds & set(flow.reads) and not flow.mutates else frozenset()


def told_notebook() -> Path | None:
    """Return the file of the kernel's notebook where the front end tells it."""
    named = os.environ.get("JPY_SESSION_NAME", "")
    if named.endswith((".ipynb", ".py")):
        path = Path(named)
        candidates = [path, Path.cwd() / path.name]
        return next((candidate.resolve() for candidate in candidates if candidate.is_file()), None)
    return None
