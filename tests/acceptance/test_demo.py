"""The demo, from its data to its plots, where `make demo` runs it: in this checkout, with a store of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.acceptance.project import Project

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "flight_delay.ipynb"


def test_demo_runs_and_is_reused(project: Project) -> None:
    """Every stage, every report cell with its pictures, nothing to warn of, and nothing to do the second time."""
    store, trusted = ("--store", project.folder / "store", "--json"), {"NBMLOPS_TRUSTED_STORES": str(project.folder / "store")}
    first = project.call("run", NOTEBOOK, "out.ipynb", *store, env=trusted)
    assert first.code == 0, first.err
    assert set(first.statuses.values()) == {"ran"}
    assert [item for item in first.data["diagnostics"] if item["severity"] != "info"] == []
    cells = json.loads((project.folder / "out.ipynb").read_text(encoding="utf-8"))["cells"]
    kinds = {kind for item in cells if item["cell_type"] == "code" for output in item["outputs"] for kind in output.get("data", {})}
    assert "image/png" in kinds
    again = project.call("run", NOTEBOOK, *store, env=trusted)
    assert set(again.statuses.values()) == {"reused"}
    assert again.data["run_id"] == first.data["run_id"]
