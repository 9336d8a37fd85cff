"""Put back the files that an attempt has changed, if it turns out to have worked on values that were out of date.

A stage may start before it is known that a stage above it changes its input. If it appends to a file, its second attempt must find the file
as the first one did.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

from nbmlops.store.replacing import make_folder

__all__ = ["Undo", "undo"]

_INDEX = "index.jsonl"


class Undo:
    """Keeps what files held before an attempt changed them.

    Parameters
    ----------
    folder : Path
        The attempt's own; made when there is something to keep.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: set[str] = set()

    def keep(self, path: str) -> None:
        """Take note of a path that is about to be written, removed or made, with what is there now."""
        full = os.path.abspath(path)  # noqa: PTH100 - resolving links would lose the name that the code used
        if full in self._kept:
            return
        self._kept.add(full)
        make_folder(self._folder.parent)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        copy = str(len(self._kept)) if os.path.isfile(full) else None  # noqa: PTH113
        if copy is not None:
            shutil.copy2(full, self._folder / copy)
        with (self._folder / _INDEX).open("a", encoding="utf-8") as index:
            index.write(json.dumps({"path": full, "copy": copy, "folder": os.path.isdir(full)}) + "\n")  # noqa: PTH112


def undo(folder: Path) -> None:
    """Bring every path that an attempt kept back to what it was, the last one first, and forget them."""
    with suppress(FileNotFoundError):
        lines = (folder / _INDEX).read_text(encoding="utf-8").splitlines()
        for line in reversed(lines):
            entry = json.loads(line)
            _bring_back(Path(entry["path"]), folder / entry["copy"] if entry["copy"] else None, was_folder=entry["folder"])
        shutil.rmtree(folder, ignore_errors=True)


def _bring_back(path: Path, copy: Path | None, *, was_folder: bool) -> None:
    if was_folder:
        path.mkdir(parents=True, exist_ok=True)
    elif copy is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(copy, path)
    elif path.is_dir() and not path.is_symlink():
        with suppress(OSError):
            path.rmdir()  # something else put files into it
    else:
        path.unlink(missing_ok=True)
