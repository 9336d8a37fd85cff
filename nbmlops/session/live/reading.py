"""A kernel's notebook, read: anew where it has changed, and only there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.pipeline.build import Builder
from nbmlops.pipeline.source import Source, SourceReader

if TYPE_CHECKING:
    from nbmlops.notebook.document import Cell, Document
    from nbmlops.pipeline.model import Pipeline

__all__ = ["LiveReader"]

_Content = tuple[str, str, tuple[str, ...], str]


class LiveReader:
    """Reads one notebook again and again, as its cells run and are edited."""

    def __init__(self) -> None:
        self._reader, self._builder = SourceReader(), Builder()
        self._document: Document | None = None
        self._content: tuple[_Content, ...] = ()
        self._source: Source | None = None
        self._pipeline: Pipeline | None = None

    def source(self, document: Document) -> Source:
        """Return a document read; the same object as long as nothing that counts has changed."""
        if self._source is not None and self._document is document:
            return self._source
        content = self._content_of(document)
        if self._source is None or self._document is None or (self._document.path, self._content) != (document.path, content):
            self._source, self._pipeline = self._reader.read(document), None
        self._document, self._content = document, content
        return self._source

    def pipeline(self, document: Document) -> Pipeline:
        """Return its pipeline, as reading alone tells it."""
        source = self.source(document)
        if self._pipeline is None:
            self._pipeline = self._builder.build(source)
        return self._pipeline

    def _content_of(self, document: Document) -> tuple[_Content, ...]:
        before = self._document.cells if self._document is not None else ()
        return tuple(
            self._content[place] if place < len(before) and before[place] is cell else _content(cell) for place, cell in enumerate(document.cells)
        )


def _content(cell: Cell) -> _Content:
    # options that are equal may be of another type
    return (cell.id, cell.source, cell.tags, repr(cell.options))
