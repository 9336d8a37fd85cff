"""What holds for every test.

A property is tried on the same examples each time, or on others with NBMLOPS_TEST_EXAMPLES=N. What is marked ``thorough`` runs in `make chaos`:
another way to the same code, which would cost `make test` more than it tells. `make chaos` runs nothing else but tests/chaos, at its full length.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from nbmlops.tracking.mlflow_store import make_database

if TYPE_CHECKING:
    from pathlib import Path

settings.register_profile("nbmlops", deadline=None, derandomize="NBMLOPS_TEST_EXAMPLES" not in os.environ)
settings.load_profile("nbmlops")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose what `make test` or `make chaos` runs; begin with browsers, whose long tests would keep one worker busy at the end."""
    items.sort(key=lambda item: "browser" not in item.path.parts)
    if "NBMLOPS_TEST_CHAOS" in os.environ:
        asked = {item: item.get_closest_marker("thorough") is not None or "chaos" in item.path.parts for item in items}
        config.hook.pytest_deselected(items=[item for item in items if not asked[item]])
        items[:] = [item for item in items if asked[item]]
        return
    for item in items:
        if item.get_closest_marker("thorough") is not None:
            item.add_marker(pytest.mark.skip(reason="runs in make chaos"))


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give MLflow's database as it is after its making, which takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    make_database(folder / "mlflow.db", folder / "mlartifacts")
    return folder / "mlflow.db"
