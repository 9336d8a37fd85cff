"""Findings that the author accepts: ``# nbmlops: ignore[NB303]`` at the end of the line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbmlops.notebook.roles import RoledCell
    from nbmlops.pipeline.model import Diagnostic

__all__ = ["is_accepted"]

_COMMENT = pattern(r"#\s*nbmlops:\s*ignore\[([\w\s,]+)\]")


def is_accepted(diagnostic: Diagnostic, cells: Sequence[RoledCell]) -> bool:
    """Tell whether a comment accepts a diagnostic: in its line, or where it has none, anywhere in its cell. Errors cannot be accepted."""
    if diagnostic.severity == "error" or diagnostic.cell is None:
        return False
    source = cells[diagnostic.cell].cell.source
    if "nbmlops:" not in source:
        return False
    lines = source.splitlines()
    if diagnostic.line is not None:
        lines = lines[diagnostic.line - 1 : diagnostic.line]
    return any(diagnostic.code in re.split(r"[\s,]+", found[1].strip()) for line in lines for found in _COMMENT.finditer(line))
