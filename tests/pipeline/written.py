"""Pipelines from cells that stand in a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmlops.notebook.document import parse_document
from nbmlops.pipeline.build import build
from nbmlops.pipeline.source import read_source
from tests.acceptance.project import Cell, cell, notebook_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nbmlops.pipeline.effects import Effects
    from nbmlops.pipeline.model import Pipeline
    from nbmlops.pipeline.source import Source

__all__ = ["Cell", "cell", "pipeline_of", "source_of"]


def source_of(*cells: Cell | str, path: Path | None = None) -> Source:
    """Read cells as a notebook; a string is an untagged code cell."""
    return read_source(parse_document(notebook_json(cells), path))


def pipeline_of(
    *cells: Cell | str,
    path: Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    effects: Mapping[str, Effects] | None = None,
    runs: Mapping[str, str] | None = None,
) -> Pipeline:
    """Build the pipeline of cells."""
    return build(source_of(*cells, path=path), parameters, effects, runs)
