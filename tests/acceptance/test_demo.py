"""The demo, from its data to its plots, where `make demo` runs it: in this checkout, with a store and a registry of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.acceptance.project import Project

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "flight_delay.ipynb"
GATES = [
    "expectations:flights",
    "roc_auc >= 0.62",
    "brier < brier_of_base_rate",
    "worst_roc_auc_by_carrier >= 0.55",
    "gap_roc_auc_by_origin <= 0.1",
]


def test_demo_runs_registers_and_is_reused(project: Project) -> None:
    """Every stage, every report cell with its pictures, a version that MLflow knows, nothing to warn of, and nothing to do the second time."""
    registry = f"sqlite:///{project.folder / 'mlflow.db'}"
    own = {"NBMLOPS_TRUSTED_STORES": str(project.folder / "store"), "MLFLOW_TRACKING_URI": registry, "NBMLOPS_TRACK_WAIT_S": "120"}
    first = project.call("run", NOTEBOOK, "out.ipynb", "--store", project.folder / "store", "--json", env=own)
    assert first.code == 0, first.err
    assert set(first.statuses.values()) == {"ran"}
    assert [item for item in first.data["diagnostics"] if item["severity"] != "info"] == []
    gates = [gate for stage in first.data["stages"] for gate in stage["gates"]]
    assert [(gate["name"], gate["passed"]) for gate in gates] == [(name, True) for name in GATES]
    cells = json.loads((project.folder / "out.ipynb").read_text(encoding="utf-8"))["cells"]
    kinds = {kind for item in cells if item["cell_type"] == "code" for output in item["outputs"] for kind in output.get("data", {})}
    assert "image/png" in kinds

    again = project.call("run", NOTEBOOK, "out.ipynb", "--store", project.folder / "store", env=own)
    assert again.code == 0, again.err
    assert f"run {first.data['run_id']} " in again.err + again.out
    assert "nothing to do" in again.err + again.out
    facts = [line.strip() for line in (again.err + again.out).strip().splitlines()]
    last = facts[next(place for place, line in enumerate(facts) if line.startswith("gates ")) :]
    assert [name for name in GATES if not any(name in line and line[0] in "g✓!" for line in last[: len(GATES)])] == []
    assert last[len(GATES)].split(None, 1) == ["models", "registered flight-delay version 1: 5 gates hold, 1 with a warning"]
    assert {line.split()[0] for line in last[len(GATES) + 1 :]} <= {"mlflow", "notebook"}

    from mlflow import MlflowClient

    [version] = MlflowClient(tracking_uri=registry).search_model_versions("name='flight-delay'")
    assert (int(version.version), version.tags["nbmlops.status"]) == (1, "done")
    evidence = json.loads(version.tags["nbmlops.evidence"])
    assert [(gate["name"], gate["passed"]) for gate in evidence["gates"]] == [(name, True) for name in GATES]
