"""The embedded MLflow database survives being made by many, and being killed while made."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
import traceback
from pathlib import Path

import pytest

from nbmlops.tracking.mlflow_store import artifact_location, database_file, make_database, tracking_uri


def _fork_make(path: Path) -> int:
    child = os.fork()
    if child == 0:
        try:
            make_database(path, path.parent / "mlartifacts")
        except BaseException:  # noqa: BLE001 - the child ends here, whatever happens
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def _tables(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        names = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    connection.close()
    return names


def test_a_kill_in_the_middle_and_a_race_leave_a_whole_database(tmp_path: Path, empty_database: Path) -> None:
    """After SIGKILL of the first maker, three at once make the database, whole, and leave nothing else."""
    path = tmp_path / "mlflow.db"
    child = _fork_make(path)
    temporary = tmp_path / ".mlflow.db.new"
    while not (temporary.exists() and temporary.stat().st_size > 100_000):
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not path.exists()
    children = [_fork_make(path) for _ in range(3)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert _tables(path) == _tables(empty_database)
    assert [item.name for item in tmp_path.iterdir() if item.name.startswith(".")] == []


def test_the_users_tracking_uri_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLFLOW_TRACKING_URI decides, and then MLflow decides where artifacts go."""
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert artifact_location(tmp_path, "a/../b") == (tmp_path / "mlartifacts" / "a_.._b").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri(tmp_path) == "http://127.0.0.1:5000"
    assert artifact_location(tmp_path, "a") is None


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:////data/mlflow.db", Path("/data/mlflow.db")),
        ("sqlite:///mlflow.db", Path("mlflow.db")),
        ("sqlite:///:memory:", None),
        ("http://127.0.0.1:5000", None),
        ("postgresql://db/mlflow", None),
    ],
)
def test_only_sqlite_files_are_made(uri: str, path: Path | None) -> None:
    """A server or another database is not ours to make."""
    assert database_file(uri) == path
