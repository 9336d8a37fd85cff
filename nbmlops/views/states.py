"""How a state looks: a glyph for a terminal, a mark and a hue for a drawing. The word itself is always shown beside them."""

from __future__ import annotations

from dataclasses import dataclass

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


def _stroke(path: str, *, width: float = 1.75) -> str:
    return f'<path d="{path}" fill="none" stroke="currentColor" stroke-width="{width}" stroke-linecap="round" stroke-linejoin="round"/>'


def _on_disc(path: str) -> str:
    return f'<circle cx="8" cy="8" r="7.5" fill="currentColor"/><path class="ink" d="{path}" fill="none" stroke="#fff" stroke-width="1.9" stroke-linecap="round" stroke-linejoin="round"/>'


_RING = '<circle cx="8" cy="8" r="6.75" fill="none" stroke="currentColor" stroke-width="1.5"/>'
_CHECK = "M4.8 8.3l2.2 2.2 4.2-4.6"
_CROSS = "M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2"

_LOOKS = {
    "ran": Look("✓", "green", _on_disc(_CHECK)),
    "fresh": Look("✓", "green", _RING + _stroke(_CHECK)),
    "reused": Look("↺", "violet", _stroke("M3.2 4.2A6.2 6.2 0 1 1 1.8 8.6") + _stroke("M3 1.2v3.4h3.4")),
    "stale": Look("◐", "amber", _RING + '<path d="M8 1.25a6.75 6.75 0 0 1 0 13.5z" fill="currentColor"/>', dashed=True),
    "unknown": Look("?", "grey", _RING + _stroke("M6.1 6.4a1.95 1.95 0 1 1 2.6 1.9c-.5.2-.7.5-.7 1M8 11.6v.1"), dashed=True),
    "skipped": Look("»", "grey", _stroke("M3 3.5L7.5 8 3 12.5M8.5 3.5L13 8l-4.5 4.5")),
    "failed": Look(
        "✗",
        "red",
        '<path d="M5 .6h6l4.4 4.4v6L11 15.4H5L.6 11V5z" fill="currentColor"/>'
        f'<path class="ink" d="{_CROSS}" fill="none" stroke="#fff" stroke-width="1.9" stroke-linecap="round"/>',
    ),
    "refused": Look(
        "!",
        "orange",
        '<path d="M8 .4L15.6 8 8 15.6.4 8z" fill="currentColor" stroke="currentColor" stroke-width=".8" stroke-linejoin="round"/>'
        '<path class="ink" d="M8 4.5v4.200M8 11.300v.1" fill="none" stroke="#fff" stroke-width="1.9" stroke-linecap="round"/>',
    ),
    "timed-out": Look("◷", "orange", _RING + _stroke("M8 4v4.200l2.8 1.7")),
    "cancelled": Look("■", "grey", '<rect x="2" y="2" width="12" height="12" rx="2.5" fill="currentColor"/>'),
    "not-run": Look(
        "○", "grey", '<circle cx="8" cy="8" r="6.75" fill="none" stroke="currentColor" stroke-width="1.5" stroke-dasharray="2.2 2.04"/>', dashed=True
    ),
    "running": Look("▶", "blue", '<path d="M4 1.9v12.200a.6.6 0 0 0 .9.5l9.7-6.1a.6.6 0 0 0 0-1L4.9 1.4a.6.6 0 0 0-.9.5z" fill="currentColor"/>'),
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
