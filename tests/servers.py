"""Real servers on the loopback for a test's time: MLflow's, and PostgreSQL from the system's packages."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["free_port", "mlflow_server", "postgres_server"]

_START_TIMEOUT_S = 120.0


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def mlflow_server(folder: Path, backend: str) -> Iterator[str]:
    """Start ``mlflow server``, with artifacts through it, and give its address.

    Parameters
    ----------
    folder : Path
    backend : str
        URL of the database, which may be empty.
    """
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", backend, "--artifacts-destination", str(folder / "artifacts")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environment)
    try:
        end = time.monotonic() + _START_TIMEOUT_S
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
            assert time.monotonic() < end, (folder / "log").read_text(encoding="utf-8")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def postgres_server() -> Iterator[str]:
    """Start a PostgreSQL server, and give its URL; the test is skipped where none is installed.

    Its folder is none of pytest's, which each session that starts closes to other users again.
    """
    pytest.importorskip("psycopg")
    where = os.pathsep.join([os.environ.get("PATH", ""), *(str(item) for item in Path("/usr/lib/postgresql").glob("*/bin"))])
    initdb, server_program = shutil.which("initdb", path=where), shutil.which("postgres", path=where)
    if initdb is None or server_program is None:
        pytest.skip("no PostgreSQL server is installed")
    port = free_port()
    user: dict[str, Any] = {}
    folder = Path(tempfile.mkdtemp(prefix="nbmlops-postgres-"))
    if os.getuid() == 0:  # the server refuses to run as root
        account = pwd.getpwnam("nobody")
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        os.chown(folder, account.pw_uid, account.pw_gid)
    made = [initdb, "-D", folder / "data", "-U", "sweeper", "-A", "trust", "--no-sync", "-E", "UTF8"]
    subprocess.run(made, check=True, capture_output=True, cwd=folder, **user)
    settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "fsync": "off"}
    words = [server_program, "-D", folder / "data", *(f"--{name}={value}" for name, value in settings.items())]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log, **user)
    try:
        end = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < end, (folder / "log").read_text(encoding="utf-8")
                time.sleep(0.05)
        yield f"postgresql://sweeper@127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        shutil.rmtree(folder)
