"""Threads that are in the midst of the user's code while the stage is looked at: what they change meanwhile is half old and half new."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

__all__ = ["busy_threads"]

# what batch, a kernel and plain IPython call the code of cells
_CELLS = ("<cell", "<ipython-input")
_KERNEL = "ipykernel_"
_LIBRARIES = frozenset({"site-packages", "dist-packages"})
_OWN = str(Path(__file__).parents[2])


def busy_threads(local_roots: Iterable[Path]) -> tuple[str, ...]:
    """Return the functions of the user's that other threads than this one are running now.

    Parameters
    ----------
    local_roots : iterable of Path
        Where modules of the user's own lie.
    """
    if threading.active_count() == 1:
        return ()
    roots = tuple(f"{root}/" for root in local_roots)
    own = threading.get_ident()
    found = {_outermost(frame, roots) for ident, frame in sys._current_frames().items() if ident != own}  # noqa: SLF001 - nothing public tells
    return tuple(sorted(found - {""}))


def _outermost(frame: FrameType | None, roots: tuple[str, ...]) -> str:
    """Return the function of the user's that a thread has called first; empty for one of libraries only."""
    name = ""
    while frame is not None:
        if _is_the_users(frame.f_code.co_filename, roots):
            name = frame.f_code.co_name
        frame = frame.f_back
    return name


def _is_the_users(file: str, roots: tuple[str, ...]) -> bool:
    if file.startswith(_CELLS) or Path(file).parent.name.startswith(_KERNEL):
        return True
    return file.startswith(roots) and not file.startswith(_OWN) and _LIBRARIES.isdisjoint(Path(file).parts)
