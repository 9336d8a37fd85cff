"""What every drawing of ours shares: its font, how wide a text is in it, and short numbers."""

from __future__ import annotations

from nbmlops.views.escape import columns, cut

__all__ = ["FONT", "fitted", "number", "text_width"]

FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"


def text_width(text: str, size: float) -> float:
    """Estimate a text's width in a sans-serif font, rather too wide than too narrow: no font can be asked here."""
    ems = 0.0
    for character in text:
        if not character.isascii():
            ems += 1.05 * columns(character) / 2 if columns(character) != 1 else 0.75
        elif character in "fijlrt.,:;'|!()[] ":
            ems += 0.36
        elif character in "mwMW@%#&":
            ems += 0.9
        else:
            ems += 0.7 if character.isupper() else 0.6
    return ems * size


def fitted(text: object, room: float, size: float) -> str:
    """Cut a text to a width."""
    for limit in range(max(int(room / size * 3), 1), 0, -1):
        shown = cut(text, limit)
        if text_width(shown, size) <= room:
            return shown
    return ""


def number(value: float) -> str:
    """Return a coordinate to a tenth of a pixel, in as few characters as it takes."""
    return f"{value:.1f}".removesuffix(".0")
