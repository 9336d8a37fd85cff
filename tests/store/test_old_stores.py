"""Stores that earlier versions of nbmlops have written: what they hold is read, and counts as far as the environment is the same.

Each file in `stores` is a project of that version, made by running `nb.ipynb` with ``C`` at 0.5 and 2.0, and a sweep of two trials.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

import nbmlops
from nbmlops.store.store import Store
from nbmlops.store.verify import verify_store

STORES = sorted((Path(__file__).parent / "stores").glob("*.tar.gz"))


@pytest.fixture(params=STORES, ids=lambda path: path.name.removesuffix(".tar.gz"))
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Unpack a project."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def test_nothing_in_it_is_damaged_or_unknown(project: Path) -> None:
    """Every seal and digest holds for the version of today."""
    session = nbmlops.open(project / "nb.ipynb")
    found = verify_store(session.store, repair=False)
    assert (list(found.problems), found.checked > 0) == ([], True)


def test_its_runs_tell_what_they_told(project: Path) -> None:
    """Runs, trials, their parameters, metrics, gates and values."""
    session = nbmlops.open(project / "nb.ipynb")
    runs = {run.parameters["C"]: run for run in session.runs() if run.parameters["C"] in {0.5, 2.0}}
    assert [runs[C].metrics["total"] for C in (0.5, 2.0)] == [2.5, 10.0]
    assert {run.status for run in runs.values()} == {"done"}
    assert [gate["passed"] for gate in runs[0.5].stages["train"].gates] == [True]
    assert runs[0.5]["data"] == [0, 1, 4]
    assert runs[0.5]["frame"]["b"].tolist() == ["0", "1", "4"]
    np.testing.assert_array_equal(runs[0.5]["array"], np.arange(6.0).reshape(2, 3))
    model = runs[0.5]["model"]
    assert (model["weights"], model["function"](3)) == ({1, 2, 3}, 9)
    assert len(session.store.trial_ids()) == 2


def test_its_records_serve_or_are_told_to_be_stale_for_a_reason(project: Path) -> None:
    """Where Python and the libraries are the same, nothing runs again; else the environment is the reason, and nothing is lost."""
    session = nbmlops.open(project / "nb.ipynb")
    plan = session.status()
    stale = {name: item.reason for name, item in plan.stages.items() if item.state == "stale"}
    assert all(item.state in {"fresh", "stale", "unknown"} for item in plan.stages.values())
    assert all(
        any(word in reason for word in ("python", "Python", "numpy", "pandas", "version", "machine", "nbmlops")) for reason in stale.values()
    ), stale
    store = Store(session.settings.store, settings=session.settings)
    assert all(store.record(key) is not None for stage in plan.stages for key in store.history("nb.ipynb", stage))
