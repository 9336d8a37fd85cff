"""The sending process: off the critical path, never longer-lived than its starter."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.tracking.conformance import example_run, example_sweep_run, example_trial
from nbmlops.tracking.mlflow import MlflowTracker
from nbmlops.tracking.outbox import Outbox
from nbmlops.tracking.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from nbmlops.executors.events import Event

_STARTER = """
import sys, time
from pathlib import Path
from nbmlops.tracking.outbox import Outbox
from nbmlops.tracking.sender import Sender
sender = Sender(Outbox(Path(sys.argv[1])), ("mlflow",), Path(sys.argv[1]), "r1")
sender.start()
print(sender.pid, flush=True)
time.sleep(60)
"""


def _gone(pid: int, within_s: float) -> bool:
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_a_followed_run_arrives_and_the_process_ends(outbox: Outbox, project: Path, fill: Callable[..., list[Event]]) -> None:
    """Started from a thread that ends at once, the process sends what others left, then the run as it goes on, and ends."""
    fill("r0")
    sender = Sender(outbox, ("mlflow",), project, "r1")
    starter = threading.Thread(target=sender.start)
    starter.start()
    starter.join()
    pid = sender.pid
    fill("r1")
    reference = sender.wait(40)
    assert reference["mlflow"]["experiment"] == "flights/<b>"
    assert _gone(pid, 0.1)
    client = MlflowTracker(project).connect()
    assert client.get_run(reference["mlflow"]["run_id"]).info.status == "FINISHED"
    assert outbox.pending("mlflow") == []
    assert sender.pid is None


def test_a_sweeps_trials_arrive_as_they_end(outbox: Outbox, project: Path) -> None:
    """Who follows a sweep sends its trials while it goes on, those of another process too, and its end after theirs."""
    started, finished = example_sweep_run("w1", start_s=time.time())
    outbox.append(started)
    with Sender(outbox, ("mlflow",), project, "w1") as sender:
        outbox.append(*example_trial("t0", 0, start_s=time.time()))
        Outbox(outbox.folder, ("mlflow",)).append(*example_trial("t1", 1, start_s=time.time()))
        deadline_s = time.monotonic() + 60
        while not (outbox.reference("t0") and outbox.reference("t1")):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        outbox.append(*example_trial("t2", 2, start_s=time.time()))
        outbox.append(finished)
        reference = sender.wait(40)["mlflow"]
    client = MlflowTracker(project).connect()
    children = client.search_runs([reference["experiment_id"]], f"tags.`mlflow.parentRunId` = '{reference['run_id']}'")
    assert sorted((run.data.tags["nbmlops.trial"], run.info.status) for run in children) == [(str(n), "FINISHED") for n in range(3)]
    assert client.get_run(reference["run_id"]).info.status == "FINISHED"
    delivered = outbox.folder / "progress" / "mlflow"
    assert (delivered / "t2.json").stat().st_mtime_ns < (delivered / "w1.json").stat().st_mtime_ns
    assert outbox.undelivered() == []


def test_a_tracker_that_hangs_is_not_waited_for(
    outbox: Outbox, project: Path, fill: Callable[..., list[Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes a request and never answers costs no more than the time that a command waits."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        fill("r1")
        sender = Sender(outbox, ("mlflow",), project, "r1")
        sender.start()
        pid = sender.pid
        server.settimeout(30)
        connection, _ = server.accept()
        started_s = time.monotonic()
        assert sender.wait(0.5) == {}
        connection.close()
    assert time.monotonic() - started_s < 4
    assert _gone(pid, 0.1)
    assert outbox.pending("mlflow") == ["r1"]


def test_it_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    """After SIGKILL of its starter no sender is left."""
    starter = subprocess.Popen([sys.executable, "-c", _STARTER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    time.sleep(0.5)
    assert not _gone(pid, 0.1)
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    assert _gone(pid, 3)


def test_starting_costs_little_and_stopping_leaves_nothing(outbox: Outbox, project: Path) -> None:
    """A run that is given up stops its sender; starting twice is once."""
    with Sender(outbox, ("mlflow",), project, "r1") as sender:
        pid = sender.pid
        sender.start()
        assert sender.pid == pid
    assert _gone(pid, 0.1)


def test_without_trackers_there_is_no_process(outbox: Outbox, project: Path) -> None:
    """`--no-track` and an empty setting start nothing."""
    sender = Sender(outbox, (), project, "r1")
    sender.start()
    assert sender.pid is None
    assert sender.wait() == {}


def test_an_outbox_that_cannot_be_written_raises_nothing(project: Path) -> None:
    """A sender that cannot be started leaves the events for later."""
    (project / "file").write_text("")
    sender = Sender(Outbox(project / "file" / "outbox"), ("mlflow",), project, "r1")
    sender.start()
    assert sender.pid is None


def test_it_loads_no_code_from_the_notebooks_folder(outbox: Outbox, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `argparse.py` beside the notebook is not taken for the real one."""
    (tmp_path / "argparse.py").write_text("raise SystemExit(7)")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(os.path.abspath, filter(None, sys.path))))
    monkeypatch.chdir(tmp_path)
    sender = Sender(outbox, ("mlflow",), project)
    sender.start()
    assert sender.wait(20) == {}
    assert (outbox.folder / "sender.log").read_text() == ""
    assert example_run("r1")
