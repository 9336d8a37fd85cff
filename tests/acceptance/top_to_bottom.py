"""The oracle: what the cells of a notebook print when they run once, from top to bottom, in one fresh process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.acceptance.kernel import KERNELS
from tests.acceptance.project import Cell, notebook_json

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["printed", "printed_in"]


def printed(cells: Sequence[Cell | str], folder: Path) -> list[str]:
    """Return what each cell prints; a cell with the tag `skip` is left out, as in a run."""
    folder.mkdir(exist_ok=True)
    sources = ["" if "skip" in item["metadata"].get("tags", ()) else item["source"] for item in notebook_json(cells)["cells"]]
    program = str(Path(__file__).with_name("one_process.py"))
    process = KERNELS.start(program, [json.dumps(sources)], folder, dict(os.environ), piped=True)
    out, err = process.communicate(180)
    assert process.returncode == 0, err
    found: list[str] = json.loads(out)
    return found


def printed_in(notebook: Path) -> list[str]:
    """Return what each cell of an executed notebook printed."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join("".join(output["text"]) for output in item.get("outputs", ()) if output["output_type"] == "stream") for item in cells]
