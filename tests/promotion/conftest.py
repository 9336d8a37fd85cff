"""A registry in a database of the project's own, and behind real servers; one with a model of a few versions, made once and copied for each test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbmlops.promotion.mlflow_registry import MlflowRegistry
from nbmlops.tracking.delivery import QUIET
from tests.promotion.office import Office, fill
from tests.servers import mlflow_server, postgres_server
from tests.warnings_of_others import UNRAISABLE, let_through

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let through what MLflow warns of among its own."""
    let_through(items, Path(__file__).parent, UNRAISABLE)


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_RUN_ID", "NBMLOPS_STORE_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def sqlite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a server on SQLite."""
    folder = tmp_path_factory.mktemp("sqlite")
    with mlflow_server(folder, f"sqlite:///{folder}/mlflow.db") as url:
        yield url


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a server on PostgreSQL."""
    with postgres_server() as database:
        backend = database.replace("postgresql://", "postgresql+psycopg://") + "/postgres"
        with mlflow_server(tmp_path_factory.mktemp("server"), backend) as url:
            yield url


@pytest.fixture(params=["database", pytest.param("sqlite", marks=pytest.mark.thorough), "postgresql"])
def registry(request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowRegistry]:
    """Give a registry in a database of the project's own, behind a server on SQLite, and behind one on PostgreSQL."""
    if request.param == "database":
        (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    else:
        fixture = "server" if request.param == "postgresql" else "sqlite_server"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue(fixture))
    made = MlflowRegistry(tmp_path)
    yield made
    made.close()


def in_process(code: str, *words: object, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start Python with a program of its own."""
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], env={**os.environ, **(env or {})}, text=True, stdout=subprocess.PIPE)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """Give a project root whose database has a model of a few versions."""
    root = tmp_path_factory.mktemp("registry")
    shutil.copy(empty_database, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            patch.delenv(name, raising=False)
        registry = MlflowRegistry(root)
        fill(registry, root / "packed")
        registry.close()
    return root


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give an empty project, whose git knows who works here."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").touch()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    for name, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        subprocess.run(["git", "-C", str(root), "config", name, value], check=True)
    return root


@pytest.fixture
def office(project: Path, made: Path) -> Office:
    """Give a project with a copy of the database."""
    shutil.copy(made / "mlflow.db", project / "mlflow.db")
    return Office(project, MlflowRegistry(project))
