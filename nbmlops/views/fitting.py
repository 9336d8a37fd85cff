"""A table in the columns that a terminal has: long cells go on below themselves instead of breaking the lines."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TextIO

from nbmlops.views.escape import clean, columns, padded
from nbmlops.views.tables import said_state, text_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nbmlops.views.tables import Table

__all__ = ["columns_of", "fitted_table", "width_of"]

_USUAL = 80
_GAP = 2
_NARROWEST = 16
_INDENT = 4


def columns_of(stream: TextIO) -> int:
    """Return how wide a terminal is."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL
    except (OSError, ValueError):
        return _USUAL


def width_of(stream: TextIO) -> int | None:
    """Return how wide a terminal is; None for a stream that is none, which any width suits."""
    return columns_of(stream) if stream.isatty() else None


def fitted_table(table: Table, width: int | None) -> list[str]:
    """Return a table as lines of at most `width` columns, where its cells of text leave room for that; None is as wide as it needs.

    What does not fit into 16 columns each goes to lines of its own below its row.
    """
    lines = text_table(table)
    if width is None or all(columns(line) <= width for line in lines):
        return lines
    shown = [tuple(said_state(cell) if number == table.state else cell for number, cell in enumerate(row)) for row in table.rows]
    rows = [[clean(cell) for cell in row] for row in (table.header, *shown)]
    kept = [number for number in range(len(table.header)) if any(row[number] for row in rows[1:])]
    widths = {number: max(columns(row[number]) for row in rows) for number in kept}
    flexible = [number for number in kept if number in table.wraps]
    fixed = [number for number in kept if number not in table.wraps]
    room = width - sum(widths[number] for number in fixed) - _GAP * (len(kept) - 1)
    if room < _NARROWEST * len(flexible):
        return [line for position, row in enumerate(rows) for line in _stacked(row, table, fixed, flexible if position else [], widths, width)]
    widths |= _shared({number: widths[number] for number in flexible}, room)
    return [line for row in rows for line in _beside(row, table, kept, widths)]


def _beside(row: Sequence[str], table: Table, kept: Sequence[int], widths: Mapping[int, int]) -> Iterator[str]:
    cells = {number: _wrapped(row[number], widths[number]) for number in kept}
    for level in range(max(map(len, cells.values()))):
        parts = [padded(lines[level] if level < len(lines) else "", widths[number], right=number in table.numbers) for number, lines in cells.items()]
        yield (" " * _GAP).join(parts).rstrip()


def _stacked(row: Sequence[str], table: Table, fixed: Sequence[int], below: Sequence[int], widths: Mapping[int, int], width: int) -> Iterator[str]:
    yield from _beside(row, table, fixed, widths)
    for number in below:
        yield from (" " * _INDENT + line for line in _wrapped(row[number], max(width - _INDENT, 1)) if line)


def _shared(wanted: dict[int, int], room: int) -> dict[int, int]:
    """Share room out: who wants less than its part gets that, and the others share what it leaves."""
    given: dict[int, int] = {}
    for number, want in sorted(wanted.items(), key=lambda item: item[1]):
        given[number] = min(want, (room - sum(given.values())) // (len(wanted) - len(given)))
    return given


def _wrapped(text: str, width: int) -> list[str]:
    """Break a text between its words, a word that is too long anywhere."""
    lines = [""]
    for word in text.split():
        if lines[-1] and columns(lines[-1]) + 1 + columns(word) <= width:
            lines[-1] += f" {word}"
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if columns(lines[-1] + character) > width and lines[-1]:
                lines.append("")
            lines[-1] += character
    return lines
