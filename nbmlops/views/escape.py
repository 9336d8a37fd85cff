"""Make any text safe to show: the one function that escapes markup, and what must go before text reaches a terminal."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["clean", "columns", "cut", "escape", "escape_code", "listed", "padded", "verbatim"]

_ANSI = pattern(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
# Control characters (illegal in XML, and orders to a terminal), lone surrogates and non-characters (illegal in XML),
# and the marks that turn the direction of what follows (they can make a line read as something else).
_UNFIT = pattern("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]")
_MARKS = 3
_SPACE = pattern(r"\s+")
_OTHER_SPACE = pattern(r"[^\S ]")


def clean(text: object) -> str:
    """Return `text` as one line without characters that steer a terminal, break XML or reverse the reading direction."""
    bare = _ANSI.sub("", str(text))
    line = _UNFIT.sub("\N{REPLACEMENT CHARACTER}", _SPACE.sub(" ", bare)).strip()
    return line if line.isascii() else "".join(_unstacked(line))


def verbatim(line: str, limit: int) -> str:
    r"""Return a line of code as it stands, its blanks kept, without what `clean` takes away; in at most `limit` characters.

    Examples
    --------
    >>> verbatim("    if x:  \x1b[31mred", 40)
    '    if x:  red'
    """
    kept = line if len(line) <= limit else line[: limit - 1] + "…"
    bare = _UNFIT.sub("\N{REPLACEMENT CHARACTER}", _OTHER_SPACE.sub(" ", _ANSI.sub("", kept.expandtabs(4))))
    return bare if bare.isascii() else "".join(_unstacked(bare))


def _unstacked(line: str) -> Iterator[str]:
    """Drop combining marks that are piled up: a letter of any script needs three at most, a thousand cover the page."""
    height = 0
    for character in line:
        height = height + 1 if unicodedata.combining(character) or unicodedata.category(character) == "Me" else 0
        if height <= _MARKS:
            yield character


def escape(text: object) -> str:
    """Return `text` for HTML and SVG, between tags or inside quotes."""
    import html  # noqa: PLC0415 - its table of 2,231 entities is for the fronts that show HTML

    return html.escape(clean(text), quote=True)


def escape_code(line: str, limit: int) -> str:
    """Return a line of code for HTML, its blanks kept."""
    import html  # noqa: PLC0415 - as in `escape`

    return html.escape(verbatim(line, limit), quote=True)


def columns(text: str) -> int:
    """Return how many columns of a terminal `text` takes: two for East Asian characters and emoji, none for combining marks."""
    if text.isascii():
        return len(text)
    return sum(_columns_of(character) for character in text)


def _columns_of(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def cut(text: object, limit: int) -> str:
    """Return `text`, cleaned, in at most `limit` columns; what is cut off leaves an ellipsis."""
    whole = str(text)
    most = 20 * limit + 200  # a hostile name may be megabytes long
    line = clean(whole[:most])
    if len(whole) <= most and columns(line) <= limit:
        return line
    kept: list[str] = []
    used = 0
    for character in line:
        used += _columns_of(character)
        if used > limit - 1 or len(kept) >= 4 * limit:  # marks take no column but may be thousands
            break
        kept.append(character)
    return "".join(kept).rstrip() + "…"


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return `text` filled with blanks to `width` columns; `right` puts them before it."""
    blanks = " " * (width - columns(text))
    return blanks + text if right else text + blanks


def listed(items: Iterable[str], limit: int, *, width: int = 40) -> str:
    """Join names by commas: at most `limit` of them, each in at most `width` columns, and how many more there are."""
    names = [cut(item, width) for item in items]
    more = f" +{len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
