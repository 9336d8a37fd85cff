"""How a state looks: a glyph for a terminal, a mark and a hue for a drawing. The word itself is always shown beside them."""

from __future__ import annotations

from nbmlops.dataclass import dataclass

__all__ = ["HUES", "Look", "look_of", "words_of"]

# Light and dark, each legible as small text on its card: at least 4.5 to 1 on white and on #1c2128.
HUES = {
    "green": ("#1a7f37", "#3fb950"),
    "violet": ("#7a40cc", "#b083f0"),
    "blue": ("#0969da", "#539bf5"),
    "amber": ("#8a6100", "#d4a72c"),
    "orange": ("#b54708", "#f0883e"),
    "red": ("#c9222e", "#ff7b72"),
    "grey": ("#59636e", "#9aa4af"),
}


@dataclass(frozen=True, slots=True)
class Look:
    """How one state looks.

    Parameters
    ----------
    glyph : str
        One column of a terminal.
    hue : str
        A key of `HUES`.
    mark : str
        SVG elements in a square of 16 by 16, in the current colour; no two states share a shape.
    dashed : bool
        Whether its box has a dashed outline: nothing is there yet.
    """

    glyph: str
    hue: str
    mark: str
    dashed: bool = False


_ROUND = 'fill="none" stroke-linecap="round" stroke-linejoin="round"'


def _stroke(path: str) -> str:
    return f'<path d="{path}" {_ROUND} stroke="currentColor" stroke-width="1.75"/>'


def _ink(path: str) -> str:
    """Draw on a filled shape, in the colour of the card."""
    return f'<path class="ink" d="{path}" {_ROUND} stroke="#fff" stroke-width="1.9"/>'


def _filled(path: str) -> str:
    return f'<path d="{path}" fill="currentColor"/>'


_DISC = '<circle cx="8" cy="8" r="7.5" fill="currentColor"/>'
_RING = '<circle cx="8" cy="8" r="6.75" fill="none" stroke="currentColor" stroke-width="1.5"/>'
_CHECK = "M4.8 8.3l2.2 2.2 4.2-4.6"
_DOTTED_RING = _RING.replace("/>", ' stroke-dasharray="2.2 2.04"/>')

_LOOKS = {
    "ran": Look("✓", "green", _DISC + _ink(_CHECK)),
    "fresh": Look("✓", "green", _RING + _stroke(_CHECK)),
    "reused": Look("↺", "violet", _stroke("M3.2 4.2A6.2 6.2 0 1 1 1.8 8.6M3 1.2v3.4h3.4")),
    "stale": Look("◐", "amber", _RING + _filled("M8 1.25a6.75 6.75 0 0 1 0 13.5z"), dashed=True),
    "unknown": Look("?", "grey", _RING + _stroke("M6.1 6.4a1.95 1.95 0 1 1 2.6 1.9c-.5.2-.7.5-.7 1M8 11.6v.1"), dashed=True),
    "skipped": Look("»", "grey", _stroke("M3 3.5L7.5 8 3 12.5M8.5 3.5L13 8l-4.5 4.5")),
    "failed": Look("✗", "red", _filled("M5 .6h6l4.4 4.4v6L11 15.4H5L.6 11V5z") + _ink("M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2")),
    "refused": Look("!", "orange", _filled("M8 0L16 8 8 16 0 8z") + _ink("M8 4.5v4.2M8 11.3v.1")),
    "timed-out": Look("◷", "orange", _RING + _stroke("M8 4v4.2l2.8 1.7")),
    "cancelled": Look("■", "grey", '<rect x="2" y="2" width="12" height="12" rx="2.5" fill="currentColor"/>'),
    "not-run": Look("○", "grey", _DOTTED_RING, dashed=True),
    "complete": Look("✓", "green", '<rect x="1" y="1" width="14" height="14" rx="3.5" fill="currentColor"/>' + _ink(_CHECK)),
    "pruned": Look(
        "✂",
        "amber",
        _stroke("M3 2.5l7 9M13 2.5l-7 9")
        + "".join(f'<circle cx="{x}" cy="12.7" r="1.9" {_ROUND} stroke="currentColor" stroke-width="1.5"/>' for x in (4.6, 11.4)),
    ),
    "running": Look("▶", "blue", _filled("M4 1.9v12.2a.6.6 0 0 0 .9.5l9.7-6.1a.6.6 0 0 0 0-1L4.9 1.4a.6.6 0 0 0-.9.5z")),
    "pending": Look("·", "grey", "".join(f'<circle cx="{x}" cy="8" r="1.6" fill="currentColor"/>' for x in (3, 8, 13)), dashed=True),
}
_OTHER = Look("?", "grey", _RING, dashed=True)
_WORDS = {"timed-out": "timed out", "not-run": "not run"}


def look_of(state: str) -> Look:
    """Return how a state looks; one that is not known here is drawn like nothing that is done."""
    return _LOOKS.get(state, _OTHER)


def words_of(state: str) -> str:
    """Return a state as people read it."""
    return _WORDS.get(state, state)
