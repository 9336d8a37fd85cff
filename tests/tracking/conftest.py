"""Real trackers on local files: no key, no server, no telemetry, and one empty MLflow database that tests copy."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbmlops.tracking.conformance import example_run
from nbmlops.tracking.delivery import QUIET
from nbmlops.tracking.outbox import Outbox
from tests.warnings_of_others import let_through

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbmlops.executors.events import Event


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let through what MLflow and W&B warn of among themselves."""
    let_through(items, Path(__file__).parent)


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    for name in ("MLFLOW_TRACKING_URI", "WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb-data"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "wandb-cache"))


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
