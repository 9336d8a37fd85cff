"""A real MLflow server that is down, hangs, comes back and is killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from nbmlops.tracking.conformance import example_run, example_sweep_run, example_trial
from nbmlops.tracking.delivery import sync
from nbmlops.tracking.mlflow import RUN_ID_TAG, MlflowTracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nbmlops.executors.events import Event
    from nbmlops.tracking.outbox import Outbox

_START_TIMEOUT_S = 120.0


@dataclass
class _Server:
    uri: str
    group: int

    def send(self, number: signal.Signals) -> None:
        os.killpg(self.group, number)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[_Server]:
    """Give a real server on the loopback, with artifacts through it."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder / "mlflow.db")
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environment)
    running = _Server(f"http://127.0.0.1:{port}", process.pid)
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while not running.answers() and time.monotonic() < deadline_s:
        assert process.poll() is None, (folder / "log").read_text()
        time.sleep(0.2)
    yield running
    running.send(signal.SIGKILL)
    process.wait()


def _runs(project: Path, run_id: str) -> list[str]:
    client = MlflowTracker(project).connect()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return [run.info.status for run in client.search_runs(experiments, f"tags.`{RUN_ID_TAG}` = '{run_id}'")]


def test_down_hanging_and_back_is_one_run(
    server: _Server, outbox: Outbox, project: Path, fill: Callable[..., list[Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that met no server, then one that hangs with the request in hand, are in one run when it is back."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{_free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    fill("r1", 2)
    down = sync(outbox, ("mlflow",), project)
    assert "MLflow cannot be used now" in down.left["mlflow"]["r1"]
    assert "secret" not in down.left["mlflow"]["r1"]

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    server.send(signal.SIGSTOP)
    started_s = time.monotonic()
    hanging = sync(outbox, ("mlflow",), project)
    server.send(signal.SIGCONT)
    assert time.monotonic() - started_s < 10
    assert list(hanging.left["mlflow"]) == ["r1"]

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    for event in example_run("r1")[2:]:
        outbox.append(event)
    fill("r2", 1)
    assert sync(outbox, ("mlflow",), project).delivered == {"mlflow": ["r1", "r2"]}
    assert (_runs(project, "r1"), _runs(project, "r2")) == (["FINISHED"], ["RUNNING"])


def test_artifacts_go_through_the_server(
    server: _Server, outbox: Outbox, project: Path, fill: Callable[..., list[Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a server of the user's nothing is written at the project root."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    fill("r4")
    sync(outbox, ("mlflow",), project)
    reference = outbox.reference("r4")["mlflow"]
    names = [item.path for item in MlflowTracker(project).connect().list_artifacts(reference["run_id"])]
    assert names == ["parameters.json", "requirements.txt", "stages.json"]
    assert not (project / "mlartifacts").exists()


def test_a_sweep_through_a_server_has_each_run_once(server: _Server, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep and a trial that were made twice, for requests whose answers were lost, are there once in the end."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    tracker = MlflowTracker(project)
    tracker.alone_since(0.0)
    parent = tracker.deliver(example_sweep_run("w1")[:1], new=0, reference={})
    client, made = tracker.connect(), parent["experiment_id"]
    double = client.create_run(made, tags={"nbmlops.sweep_id": "s1", "nbmlops.role": "sweep"}).info.run_id
    client.create_run(made, tags={RUN_ID_TAG: "t1", "mlflow.parentRunId": parent["run_id"]})
    client.create_run(made, tags={RUN_ID_TAG: "t0", "mlflow.parentRunId": double})
    trials = [tracker.deliver(example_trial(f"t{number}", number), new=0, reference={}) for number in (0, 1)]
    tracker.deliver(example_sweep_run("w1"), new=1, reference=parent)
    children = client.search_runs([made], f"tags.`mlflow.parentRunId` = '{parent['run_id']}'", order_by=["params.C ASC"])
    expected = [(trial["run_id"], "FINISHED", 0.5 + number / 100) for number, trial in enumerate(trials)]
    assert [(run.info.run_id, run.info.status, run.data.metrics["auc"]) for run in children] == expected
    assert [run.info.run_id for run in client.search_runs([made], "tags.`nbmlops.role` = 'sweep'")] == [parent["run_id"]]


def test_a_server_killed_in_the_middle_keeps_the_rest_waiting(
    server: _Server, outbox: Outbox, project: Path, fill: Callable[..., list[Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last test of the server: what it had not got is still in the outbox."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    fill("r5", 1)
    assert sync(outbox, ("mlflow",), project).delivered == {"mlflow": ["r5"]}
    server.send(signal.SIGKILL)
    outbox.append(example_run("r5")[1])
    assert list(sync(outbox, ("mlflow",), project).left["mlflow"]) == ["r5"]
    assert outbox.pending("mlflow") == ["r5"]
