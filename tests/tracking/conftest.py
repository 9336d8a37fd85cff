"""Real trackers on local files: no key, no server, no telemetry, and one empty MLflow database that tests copy."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbmlops.tracking.conformance import example_run
from nbmlops.tracking.delivery import QUIET
from nbmlops.tracking.mlflow_store import make_database
from nbmlops.tracking.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbmlops.executors.events import Event


_OTHERS_WARNINGS = (
    "ignore:.*fork.*:DeprecationWarning",  # we fork to kill; the child only runs what the test is about
    "ignore::DeprecationWarning:(mlflow|sqlalchemy|alembic|wandb|google).*",
    "ignore:.*noload:DeprecationWarning",  # SQLAlchemy 2.1 about MLflow, laid at our door by its stack level
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let through what MLflow and W&B warn of among themselves."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for line in _OTHERS_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(line))


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    for name in ("MLFLOW_TRACKING_URI", "WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb-data"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "wandb-cache"))


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give MLflow's database as it is after its making, which takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    make_database(folder / "mlflow.db", folder / "mlartifacts")
    return folder / "mlflow.db"


@pytest.fixture
def project(tmp_path: Path, empty_database: Path) -> Path:
    """Give a project root, with a name that needs quoting, whose MLflow database is made."""
    root = tmp_path / "my project #1"
    root.mkdir()
    shutil.copy(empty_database, root / "mlflow.db")
    return root


@pytest.fixture
def outbox(project: Path) -> Outbox:
    """Give an empty outbox for MLflow."""
    return Outbox(project / ".nbmlops" / "outbox", ("mlflow",))


@pytest.fixture
def fill(outbox: Outbox) -> Iterator[Callable[..., list[Event]]]:
    """Give a function that appends an example run's first `count` events."""

    def append(run_id: str, count: int | None = None) -> list[Event]:
        events = example_run(run_id)[:count]
        for event in events:
            outbox.append(event)
        return events

    return append
