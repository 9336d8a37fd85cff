"""Which modules a process has loaded itself: a stage does not look at the thousands that its server had.

Looking at an object counts a reference to it, which writes to its page; in a process that was just forked the page is copied for that.
"""

from __future__ import annotations

import itertools
import sys

__all__ = ["mark_loaded", "names_since"]

_marks: list[str] = []


def mark_loaded() -> None:
    """Take all modules that are loaded now for those of libraries, which need not be looked at again."""
    _marks[:] = [next(reversed(sys.modules))]


def names_since() -> list[str]:
    """Return the names of the modules that were loaded since `mark_loaded`, the last one first; without a mark, of all."""
    if not _marks:
        return list(sys.modules)
    # what is imported stands at the end; if the mark was deleted, everything is new. In C, so that no other thread imports meanwhile
    return list(itertools.takewhile(_marks[0].__ne__, reversed(sys.modules)))
