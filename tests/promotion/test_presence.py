"""Whether models are still where they were registered: asked of a database without MLflow, and of a server by its address alone."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from nbmlops.promotion.mlflow_registry import MlflowRegistry
from nbmlops.promotion.presence import are_gone, place_of
from tests.promotion.office import MODEL

THERE = [(MODEL, f"{1:064x}"), (MODEL, f"{2:064x}")]


@pytest.fixture
def uri(made: Path, tmp_path: Path) -> str:
    """Give a database with a model of a few versions."""
    shutil.copy(made / "mlflow.db", tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.parametrize(("models", "gone"), [([], False), (THERE, False), ([*THERE, (MODEL, "f" * 64)], True), ([("other", f"{1:064x}")], True)])
def test_a_database_is_asked_for_the_models(uri: str, models: list[tuple[str, str]], gone: bool) -> None:  # noqa: FBT001 - a table row
    """By name and digest, wherever they were registered."""
    assert are_gone(models, uri, "") is gone
    assert are_gone(models, uri, "http://elsewhere") is gone


def test_a_version_that_was_deleted_is_gone(uri: str, tmp_path: Path) -> None:
    """MLflow keeps the row of it."""
    MlflowRegistry(tmp_path).connect().delete_model_version(MODEL, "1")
    assert are_gone(THERE[:1], uri, "")
    assert not are_gone(THERE[1:], uri, "")


def test_a_database_that_was_made_anew_has_nothing(uri: str, tmp_path: Path, empty_database: Path) -> None:
    """Be it another one, an empty file, or none; looking makes none."""
    path = tmp_path / "mlflow.db"
    shutil.copy(empty_database, path)
    assert are_gone(THERE, uri, "")
    path.write_bytes(b"")
    assert are_gone(THERE, uri, "")
    path.unlink()
    assert are_gone(THERE, uri, "")
    assert not path.exists()


def test_what_cannot_be_told_is_not_said_to_be_gone(uri: str, tmp_path: Path) -> None:
    """Somebody writes to the database just now; a server is not asked; nobody knows where it was registered."""
    writing = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    writing.execute("BEGIN EXCLUSIVE")
    try:
        assert not are_gone([("other", "0")], uri, "")
    finally:
        writing.close()
    assert not are_gone(THERE, "http://me:secret@host:5000/", "http://host:5000")
    assert not are_gone(THERE, "http://host:5000", "")


def test_another_address_is_another_registry() -> None:
    """The password is no part of it, and is not kept."""
    assert are_gone(THERE, "http://host:5000", "http://other:5000")
    assert are_gone(THERE, "http://host:5000", "sqlite:////tmp/mlflow.db")
    assert place_of("postgresql://me:secret@host/db") == "postgresql://host/db"
    assert place_of("sqlite:///mlflow.db") == f"sqlite:///{Path('mlflow.db').resolve()}"


def test_nothing_heavy_is_imported_to_tell(uri: str) -> None:
    """Not MLflow, nor its database library."""
    code = "import sys; from nbmlops.promotion.presence import are_gone; are_gone([('m', 'd')], sys.argv[1], ''); print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code, uri], check=True, capture_output=True, text=True).stdout.split()
    assert {"mlflow", "sqlalchemy", "requests"}.isdisjoint(told)
