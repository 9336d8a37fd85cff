"""Cells that begin with ``%%mlexpect``: each is a stage that writes a suite of expectations, and holds a frame to it."""

from __future__ import annotations

import functools
import keyword
import re
import shlex

from nbmlops.errors import NotebookError
from nbmlops.pattern import pattern

__all__ = ["EXPECT_MAGIC", "SUITE_NAME", "read_line", "split_expecting", "suite_path", "suite_stage", "trouble_of"]

EXPECT_MAGIC = "mlexpect"
SUITE_NAME = pattern(r"[A-Za-z][A-Za-z0-9_-]{0,54}")
_MAGIC_LINE = pattern(rf"(?P<above>\s*)%%{EXPECT_MAGIC}(?!\w)(?P<line>[^\n]*)(?P<body>.*)", re.DOTALL)
_WRITE = f"write: %%{EXPECT_MAGIC} NAME [--on FRAME]"


def suite_path(name: str) -> str:
    """Return where a suite's file stands, relative to the notebook's folder."""
    return f"expectations/{name}.json"


def suite_stage(name: str) -> str:
    """Return the name of the stage that a suite's cell is."""
    return f"expect-{name}"


@functools.lru_cache(maxsize=256)  # a kernel reads every cell of its notebook again around each cell that runs
def split_expecting(source: str) -> tuple[str, str] | None:
    """Return the options and the code of the stage that a ``%%mlexpect`` cell is; None for any other cell.

    The suite's file is an output of that stage: stages that read it are run after it, and only if what it holds has changed.

    Parameters
    ----------
    source : str
        A code cell's text.

    Returns
    -------
    tuple of str and str, or None
        What would stand after ``%%mlstage``, "" where the cell has no name; and the code.
    """
    match = _MAGIC_LINE.fullmatch(source)
    if match is None:
        return None
    name, frame, _ = read_line(match["line"])
    above = "\n" * (match["above"].count("\n") + 1)
    given = f", on={frame}" if frame else ""
    text = match["body"].removeprefix("\n").rstrip()  # IPython hands a cell on with a line end that its file does not have
    # not by import, which would bind a name that later cells read
    code = f"__import__('nbmlops').expect({name!r}, {text!r}{given}, first_line={len(above) + 1})"
    return (f"{suite_stage(name)} --writes {suite_path(name)}" if name else ""), above + code


def trouble_of(source: str, *, cell: int | None, notebook: str | None) -> NotebookError | None:
    """Return what is wrong with the first line of a ``%%mlexpect`` cell."""
    match = _MAGIC_LINE.fullmatch(source)
    trouble = read_line(match["line"])[2] if match is not None else ""
    return NotebookError(f"%%{EXPECT_MAGIC} {trouble}", code="NB105", notebook=notebook, cell=cell, fix=_WRITE) if trouble else None


def read_line(line: str) -> tuple[str, str, str]:
    """Return the suite's name, the frame and what is wrong, each "" for none."""
    try:
        words = shlex.split(line.replace("--on=", "--on "))
    except ValueError as error:
        return "", "", f"cannot be read: {str(error).lower()}"
    frame = ""
    if "--on" in words:
        place = words.index("--on")
        frame = words[place + 1] if place + 1 < len(words) else ""
        if not frame.isidentifier() or keyword.iskeyword(frame):
            return "", "", f"is to look at {frame!r}, which is no variable" if frame else "gives --on no value"
        del words[place : place + 2]
    if not words:
        return "", "", "has no suite name"
    if len(words) > 1:
        return "", "", f"has the unexpected word {words[1]!r}"
    if not SUITE_NAME.fullmatch(words[0]):
        return "", "", f"has the suite name {words[0]!r}, where letters, digits, '-' and '_' may stand, a letter first"
    return words[0], frame, ""
