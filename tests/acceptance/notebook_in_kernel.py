"""A notebook that somebody works on in a live kernel: its cells are run, edited, saved and deleted."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from tests.acceptance.kernel import Executed, Kernel
from tests.acceptance.project import Cell, Project, notebook_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["LOAD", "Live"]

LOAD = "%load_ext nbmlops"


class Live:
    """One notebook, its file, and its kernel.

    Parameters
    ----------
    project : Project
    cells : sequence
        As for `Project.write`; `%load_ext nbmlops` is put above them, so that the first is cell 1.
    files : dict of str to str
        Written into the project's folder before the kernel starts.
    known : bool
        Whether the kernel is told its notebook's file, and its cells' ids, as JupyterLab does.
    """

    def __init__(self, project: Project, cells: Sequence[Cell | str], files: dict[str, str] | None = None, *, known: bool = True) -> None:
        self.project = project
        self.known = known
        self._cells = [dict(item) for item in notebook_json([LOAD, *cells])["cells"]]
        for name, text in (files or {}).items():
            self.write(name, text)
        self.save()
        self.kernel = Kernel(project, self.path if known else None)

    @property
    def path(self) -> Path:
        """The notebook's file."""
        return self.project.folder / "nb.ipynb"

    def save(self) -> None:
        """Save the notebook as it is now."""
        made = {**notebook_json([]), "cells": self._cells}
        self.path.write_text(json.dumps(made), encoding="utf-8")
        os.utime(self.path, ns=(time.time_ns(), time.time_ns()))

    def write(self, name: str, text: str) -> None:
        """Write a file beside the notebook; its time is that of now, to the nanosecond."""
        path = self.project.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        os.utime(path, ns=(time.time_ns(), time.time_ns()))

    def edit(self, index: int, source: str, *, save: bool = True) -> None:
        """Change a cell without running it."""
        self._cells[index]["source"] = source
        if save:
            self.save()

    def delete(self, index: int) -> dict[str, object]:
        """Take a cell out and save; return it."""
        cell = self._cells.pop(index)
        self.save()
        return cell

    def insert(self, index: int, cell: dict[str, object]) -> None:
        """Put a cell in and save."""
        self._cells.insert(index, cell)
        self.save()

    def run(self, index: int, source: str | None = None, **told: object) -> Executed:
        """Run a cell, edited to `source` if that is given; `told` goes with the request."""
        if source is not None:
            self.edit(index, source, save=False)
        cell = self._cells[index]
        return self.kernel.run(str(cell["source"]), {**cell["metadata"], **told}, str(cell["id"]) if self.known else "")

    def run_all(self) -> list[Executed]:
        """Run all cells in their order; each must succeed."""
        done = [self.run(index) for index in range(len(self._cells))]
        assert all(item.ok for item in done), [item.text for item in done]
        return done

    def type(self, source: str) -> Executed:
        """Run code that is no cell of the notebook, as from a console."""
        return self.kernel.run(source)

    def value(self, expression: str) -> str:
        """Return the repr of an expression."""
        return self.kernel.value(expression)

    def check(self) -> str:
        """Return what `%mlcheck` says of hidden state: the lines with codes NB4xx, NB612 and NB614."""
        lines = self.kernel.run("%mlcheck").text.splitlines()
        return "\n".join(line for line in lines if any(f" {code}" in line for code in ("NB4", "NB612", "NB614")))

    def close(self) -> None:
        """End the kernel."""
        self.kernel.close()
