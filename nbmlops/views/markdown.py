"""Markdown taken apart into blocks of plain text, for fronts that set text: nothing in it becomes markup of a page, and no link is followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.dataclass import dataclass
from nbmlops.pattern import pattern
from nbmlops.views.escape import cut, verbatim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Block", "blocks_of"]

_LINES, _LINE = 400, 600
_HEADING = pattern(r"(#{1,6})\s+(.*)")
_ITEM = pattern(r"\s*(?:[-*+]|\d{1,9}[.)])\s+(.*)")
_RULE = pattern(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_LINE_ACROSS = pattern(r"\s*(?:(?:-\s*){3,}|(?:\*\s*){3,}|(?:_\s*){3,})$")
_CELLS = pattern(r"(?<!\\)\|")
_FENCE = pattern(r"\s*(`{3,}|~{3,})")
_MARKS = pattern(r"\\([!-/:-@\[-`{-~])|\*\*(?=\S)|(?<=\S)\*\*|`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A part of a text.

    Parameters
    ----------
    kind : {"heading", "text", "list", "table", "code"}
    rows : tuple of tuple of str
        Cleaned text: of a table its cells, the header first; of everything else one cell for each line.
    level : int
        Of a heading, from 1.
    """

    kind: str
    rows: tuple[tuple[str, ...], ...]
    level: int = 0


def blocks_of(text: str) -> tuple[Block, ...]:
    r"""Return headings, paragraphs, lists, tables and code of a markdown text; of a long one its first 400 lines, and a last one that says so.

    Examples
    --------
    >>> [(block.kind, block.rows) for block in blocks_of("# Model\n\n- **AUC** 0.7\n- `x`")]
    [('heading', (('Model',),)), ('list', (('AUC 0.7',), ('x',)))]
    """
    lines = text[: _LINES * _LINE].splitlines()
    more = len(lines) > _LINES or len(text) > _LINES * _LINE
    found = list(_blocks([line[:_LINE].rstrip() for line in lines[:_LINES]]))
    return (*found, Block(kind="text", rows=(("… the text goes on",),))) if more else tuple(found)


def _blocks(lines: Sequence[str]) -> Iterator[Block]:
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip() or _LINE_ACROSS.match(line):
            at += 1
        elif fence := _FENCE.match(line):
            end = next((here for here in range(at + 1, len(lines)) if lines[here].strip().startswith(fence[1])), len(lines))
            yield Block(kind="code", rows=tuple((verbatim(item, _LINE),) for item in lines[at + 1 : end]))
            at = end + 1
        elif heading := _HEADING.match(line):
            yield Block(kind="heading", rows=((_said(heading[2].rstrip("# ")),),), level=len(heading[1]))
            at += 1
        elif "|" in line and at + 1 < len(lines) and "|" in lines[at + 1] and _RULE.match(lines[at + 1]):
            end = _while(lines, at + 2, lambda item: "|" in item)
            yield Block(kind="table", rows=tuple(_cells(item) for item in (line, *lines[at + 2 : end])))
            at = end
        elif _ITEM.match(line):
            end = _while(lines, at, _ITEM.match)
            yield Block(kind="list", rows=tuple((_said(_ITEM.sub(r"\1", item)),) for item in lines[at:end]))
            at = end
        else:
            end = _while(lines, at + 1, _goes_on)
            yield Block(kind="text", rows=((_said(" ".join(lines[at:end])),),))
            at = end


def _goes_on(line: str) -> bool:
    return bool(line.strip()) and not any(pattern.match(line) for pattern in (_HEADING, _ITEM, _FENCE, _LINE_ACROSS))


def _while(lines: Sequence[str], start: int, holds: Callable[[str], object]) -> int:
    return next((at for at in range(start, len(lines)) if not holds(lines[at])), len(lines))


def _cells(line: str) -> tuple[str, ...]:
    return tuple(_said(cell) for cell in _CELLS.split(line.strip().strip("|")))


def _said(text: str) -> str:
    """Return a line without the marks of emphasis and code, and with what backslashes protect."""
    return cut(_MARKS.sub(lambda mark: mark[1] or "", text), _LINE)
