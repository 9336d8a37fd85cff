"""The name that somebody may have meant, for the fix of an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["close_matches"]


def close_matches(word: str, names: Iterable[str], *, cutoff: float = 0.6) -> list[str]:
    """Return the name that is most like a word, if one is like it, as `difflib.get_close_matches` finds it.

    Examples
    --------
    >>> close_matches("tain", ["clean", "train"])
    ['train']
    """
    from difflib import get_close_matches  # noqa: PLC0415 - nothing needs it where nothing is wrong

    return get_close_matches(word, list(names), 1, cutoff)
