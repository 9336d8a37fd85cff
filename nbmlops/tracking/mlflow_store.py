"""Where MLflow keeps its runs when nobody said, and how that database is made."""

from __future__ import annotations

import os
import re
from pathlib import Path

from nbmlops.store.locks import file_lock

__all__ = ["artifact_location", "database_file", "make_database", "registry_uri", "tracking_uri"]


def tracking_uri(project_root: Path) -> str:
    """Return ``MLFLOW_TRACKING_URI`` if it is set, else the SQLite database at the project root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project_root.absolute() / 'mlflow.db'}"


def registry_uri(project_root: Path) -> str:
    """Return ``MLFLOW_REGISTRY_URI`` if it is set, else where the project's runs are tracked."""
    return os.environ.get("MLFLOW_REGISTRY_URI") or tracking_uri(project_root)


def database_file(uri: str) -> Path | None:
    """Return the file of a SQLite URI, None for any other."""
    match = re.fullmatch(r"sqlite(?:\+pysqlite)?:///([^?]+)", uri)
    return Path(match[1]) if match and match[1] != ":memory:" else None


def artifact_location(project_root: Path, experiment: str) -> str | None:
    """Return where artifacts of a new experiment go: ``mlartifacts`` at the project root, or None for a tracker of the user's."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return None
    folder = re.sub(r"[^A-Za-z0-9._-]", "_", experiment).strip(".")[:100] or "default"
    return (project_root.absolute() / "mlartifacts" / folder).as_uri()


def make_database(path: Path, artifacts: Path) -> None:
    """Make MLflow's SQLite database at `path`, unless it is there.

    MLflow makes its tables in about seventy steps. Two processes that do so at once break each other, and one that is killed
    in between leaves a database that never opens again. So they are made in another file, which gets its name when it is whole.
    """
    if path.exists() and path.stat().st_size:
        return
    lock = path.with_name(f".{path.name}.lock")
    with file_lock(lock):
        try:
            if not path.exists() or not path.stat().st_size:
                _make_and_rename(path, artifacts)
        finally:
            # Nobody wants a lock beside the notebooks; who waits for it sees that it is gone, and looks again.
            lock.unlink(missing_ok=True)


def _make_and_rename(path: Path, artifacts: Path) -> None:
    temporary = path.with_name(f".{path.name}.new")
    for leftover in (temporary, temporary.with_name(f"{temporary.name}-journal")):
        leftover.unlink(missing_ok=True)
    _make_tables(temporary, artifacts)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def _make_tables(path: Path, artifacts: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # seconds

    SqlAlchemyStore(f"sqlite:///{path}", artifacts.as_uri()).engine.dispose()
