"""The oracle: what the cells of a notebook print when they run once, from top to bottom, in one fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.acceptance.project import Cell, notebook_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["printed", "printed_in"]

_SCRIPT = """
import contextlib, io, json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.colors = "nocolor"
printed = []
for source in json.loads(sys.stdin.read()):
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        ran = shell.run_cell(source)
    printed.append(text.getvalue())
    if not ran.success:
        raise SystemExit(f"{source}: {ran.error_in_exec or ran.error_before_exec}")
sys.__stdout__.write(json.dumps(printed))
"""


def printed(cells: Sequence[Cell | str], folder: Path) -> list[str]:
    """Return what each cell prints; a cell with the tag `skip` is left out, as in a run."""
    folder.mkdir(exist_ok=True)
    sources = ["" if "skip" in item["metadata"].get("tags", ()) else item["source"] for item in notebook_json(cells)["cells"]]
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], input=json.dumps(sources), cwd=folder, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def printed_in(notebook: Path) -> list[str]:
    """Return what each cell of an executed notebook printed."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join("".join(output["text"]) for output in item.get("outputs", ()) if output["output_type"] == "stream") for item in cells]
