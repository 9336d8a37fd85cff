"""The demo, from its data to its plots, as `make demo` runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.acceptance.project import Project

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def test_demo_runs_and_is_reused(project: Project) -> None:
    """Every stage, every report cell with its pictures, and nothing to do the second time."""
    shutil.copy(NOTEBOOKS / "flight_delay.ipynb", project.folder / "nb.ipynb")
    first = project.run("out.ipynb")
    assert first.code == 0, first.err
    assert set(first.statuses.values()) == {"ran"}
    cells = json.loads((project.folder / "out.ipynb").read_text(encoding="utf-8"))["cells"]
    kinds = {kind for item in cells if item["cell_type"] == "code" for output in item["outputs"] for kind in output.get("data", {})}
    assert "image/png" in kinds
    again = project.run()
    assert set(again.statuses.values()) == {"reused"}
    assert again.data["run_id"] == first.data["run_id"]
