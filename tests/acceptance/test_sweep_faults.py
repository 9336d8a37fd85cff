"""Sweeps that are killed, interrupted, shared by two commands, and what the trackers show of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.project import Project
from tests.acceptance.sweeping import SPACE, Sweeping, score, strict
from tests.servers import postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator

N = 10
SLOW = "time.sleep(0.15)"
WORDS = ("--maximize", "score", *SPACE)


@pytest.fixture
def sweeping(project: Project) -> Sweeping:
    """Give a project whose training takes a moment, not run yet."""
    made = Sweeping(project)
    made.curve(first=SLOW)
    return made


def parameters(data: dict[str, Any], *states: str) -> list[str]:
    """Return the parameters of the trials in these states, as the stages mark them."""
    return [f"{item['parameters']['x']!r} {item['parameters']['n']}" for item in data["trials"] if item["state"] in states]


def assert_whole(data: dict[str, Any], count: int) -> None:
    """Check that `count` trials are complete, with distinct numbers and parameters, and the right values."""
    complete = [item for item in data["trials"] if item["state"] == "COMPLETE"]
    assert len(complete) == count
    assert len(set(parameters(data, "COMPLETE"))) == count
    assert len({item["number"] for item in data["trials"]}) == len(data["trials"])
    assert [item["values"] for item in complete] == [[score(item["parameters"])] for item in complete]
    assert data["best"]["values"] == [max(score(item["parameters"]) for item in complete)]


@pytest.mark.parametrize("whole_group", [False, pytest.param(True, marks=pytest.mark.thorough)], ids=["process", "group"])
def test_killed_sweep_continues(sweeping: Sweeping, *, whole_group: bool) -> None:
    """SIGKILL at trial 7: nothing lives on; the same command ends with N complete trials, and what was cut off is tried again, nothing else."""
    process = sweeping.start("--trials", N, *WORDS, "--workers", 2)
    sweeping.wait_for_marks("train ", 7, process)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
    assert sweeping.project.finish(process, timeout_s=20).code == -signal.SIGKILL
    assert sweeping.project.left_after(5) == {}
    begun = Counter(sweeping.marked("train "))
    data = sweeping.sweep("--trials", N, *WORDS, "--workers", 2)
    assert_whole(data, N)
    assert set(begun) <= set(parameters(data, "COMPLETE"))
    again = Counter(sweeping.marked("train "))
    assert sum(again.values()) <= N + 2
    assert max(again.values()) <= 2
    assert sweeping.marked("load") == [""]


@pytest.mark.thorough
def test_killed_three_times(sweeping: Sweeping) -> None:
    """Each of three kills, the first before any trial has ended: the sweep still ends with N complete trials."""
    for count in (1, 4, 8):
        process = sweeping.start("--trials", N, *WORDS, "--workers", 1)
        sweeping.wait_for_marks("train ", count, process)
        process.kill()
        sweeping.project.finish(process, timeout_s=20)
        assert sweeping.project.left_after(5) == {}
    assert_whole(sweeping.sweep("--trials", N, *WORDS, "--workers", 1), N)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.thorough)], ids=["SIGINT", "SIGTERM"])
def test_interrupted(sweeping: Sweeping, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM: exit 130 within 5 s, one JSON object with what is finished, nothing lives on, the same command continues."""
    process = sweeping.start("--trials", N, *WORDS, "--workers", 2)
    sweeping.wait_for_marks("train ", 5, process)
    start = time.monotonic()
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    done = sweeping.project.finish(process, timeout_s=20)
    assert time.monotonic() - start < 5
    assert (done.code, "Traceback" in done.err) == (130, False), done.err
    assert sweeping.project.left_after(5) == {}
    data = strict(done.out)
    kept = parameters(data, "COMPLETE")
    assert 1 <= len(kept) < N
    assert_whole(data, len(kept))
    assert {item["state"] for item in data["trials"]} <= {"COMPLETE", "FAIL"}
    marks = Counter(sweeping.marked("train "))
    again = sweeping.sweep("--trials", N, *WORDS, "--workers", 2)
    assert_whole(again, N)
    assert set(kept) <= set(parameters(again, "COMPLETE"))
    later = Counter(sweeping.marked("train "))
    assert all(later[item] == marks[item] for item in kept)


@pytest.mark.thorough
def test_two_commands_on_one_sweep(sweeping: Sweeping) -> None:
    """Two processes under one name: N trials in all, shared out, each computed once."""
    processes = [sweeping.start("--trials", N, *WORDS, "--workers", 1) for _ in range(2)]
    done = [sweeping.project.finish(item) for item in processes]
    assert [item.code for item in done] == [0, 0], done
    assert sweeping.project.left_after(5) == {}
    data = sweeping.sweep("--trials", N, *WORDS, "--workers", 1)
    assert_whole(data, N)
    assert len(data["trials"]) == N
    assert Counter(sweeping.marked("train ")) == Counter(parameters(data, "COMPLETE"))
    assert sweeping.marked("load") == [""]
    assert [strict(item.out)["best"]["number"] for item in done] == [data["best"]["number"]] * 2


@pytest.mark.thorough
def test_one_of_two_commands_is_killed(sweeping: Sweeping) -> None:
    """The other one takes over: it ends with N complete trials, and tries again what was cut off."""
    sweeping.curve(first="time.sleep(0.3)")
    victim, other = (sweeping.start("--trials", N, *WORDS, "--workers", 1) for _ in range(2))
    sweeping.wait_for_marks("train ", 4, victim)
    victim.kill()
    sweeping.project.finish(victim, timeout_s=20)
    done = sweeping.project.finish(other)
    assert done.code == 0, done.err
    data = sweeping.sweep("--trials", N, *WORDS, "--workers", 1)
    assert_whole(data, N)
    assert set(sweeping.marked("train ")) == set(parameters(data, "COMPLETE"))


def tracked(sweeping: Sweeping, trackers: str = "mlflow") -> dict[str, str]:
    """Return the environment that turns trackers on, on files of the project."""
    return {
        "NBMLOPS_TRACKERS": trackers,
        "NBMLOPS_TRACK_WAIT_S": "120",
        "MLFLOW_TRACKING_URI": f"sqlite:///{sweeping.project.folder}/tracking.db",
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
    }


def runs(sweeping: Sweeping) -> tuple[list[Any], list[Any]]:
    """Return MLflow's runs at the top, and those directly below one; the full run of the best trial is below its trial."""
    import mlflow

    api = mlflow.MlflowClient(tracking_uri=f"sqlite:///{sweeping.project.folder}/tracking.db")
    found = list(api.search_runs([item.experiment_id for item in api.search_experiments()], max_results=1000))
    top = {item.info.run_id: item for item in found if "mlflow.parentRunId" not in item.data.tags}
    return list(top.values()), [item for item in found if item.data.tags.get("mlflow.parentRunId") in top]


def shape(runs: list[Any]) -> list[tuple[str, str, dict[str, str]]]:
    """Return what a message shows of runs."""
    return [(item.info.run_name, item.info.status, item.data.params) for item in runs]


def same_parameters(trial: dict[str, Any], run: Any) -> bool:
    """Say whether an MLflow run has a trial's parameters."""
    return all(float(run.data.params.get(name, "nan")) == value for name, value in trial["parameters"].items())


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sweeping, dict[str, Any], dict[str, str]]]:
    """Give a sweep that both trackers have, its answer and its environment."""
    sweeping = Sweeping(Project(tmp_path_factory.mktemp("shown") / "project"))
    sweeping.curve(first="import nbmlops\nfor step in range(3):\n    nbmlops.log_metric('course', x * step, step)\nassert x < 0.9")
    env = tracked(sweeping, "mlflow,wandb")
    data = sweeping.sweep("--trials", 8, *WORDS, "--workers", 2, "--seed", 1, "--sampler", "random", env=env)
    assert {item["state"] for item in data["trials"]} == {"COMPLETE", "FAIL"}
    yield sweeping, data, env
    sweeping.project.kill_left_over()


def test_mlflow_shows_one_parent_and_a_child_for_each_trial(shown: tuple[Sweeping, dict[str, Any], dict[str, str]]) -> None:
    """Each trial has one child with its parameters, its value, its metrics by step and its state; the parent is finished."""
    import mlflow

    sweeping, data, env = shown
    assert sweeping.project.call("track", "sync", env=env).code == 0
    parents, children = runs(sweeping)
    assert [item.info.status for item in parents] == ["FINISHED"]
    assert len(children) == 8, shape(children)
    api = mlflow.MlflowClient(tracking_uri=env["MLFLOW_TRACKING_URI"])
    for trial in data["trials"]:
        (child,) = [item for item in children if same_parameters(trial, item)]
        if trial["state"] == "FAIL":
            assert child.info.status == "FAILED"
            continue
        assert child.info.status == "FINISHED"
        assert score(trial["parameters"]) in child.data.metrics.values()
        (course,) = [name for name in child.data.metrics if name.endswith("course")]
        assert [(item.step, item.value) for item in api.get_metric_history(child.info.run_id, course)] == [
            (step, trial["parameters"]["x"] * step) for step in range(3)
        ]
    assert data["tracking"]["mlflow"]["run_id"] == parents[0].info.run_id


def test_wandb_files_hold_one_group(shown: tuple[Sweeping, dict[str, Any], dict[str, str]]) -> None:
    """Offline files: one run for each trial, all in one group, with the trial's parameters and value."""
    from nbmlops.tracking.offline_run import read_records

    sweeping, data, _ = shown
    found = []
    for path in (sweeping.project.folder / ".nbmlops").rglob("offline-run-*/run-*.wandb"):
        config, summary, group = {}, {}, ""
        for record in read_records(path):
            if record.WhichOneof("record_type") == "run":
                group = record.run.run_group
                config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            if record.WhichOneof("record_type") == "summary":
                summary |= {item.key: json.loads(item.value_json) for item in record.summary.update}
        found.append((group, config, summary))
    groups = Counter(group for group, _, _ in found if group)
    assert list(groups.values()) == [8], groups
    (group,) = groups
    for trial in data["trials"]:
        mine = [summary for name, config, summary in found if name == group and {**config, **trial["parameters"]} == config]
        assert len(mine) == 1
        assert trial["state"] == "FAIL" or score(trial["parameters"]) in mine[0].values()


def test_an_end_that_was_noted_and_not_told_is_no_end(sweeping: Sweeping) -> None:
    """Killed between the two, and told as broken off by `track sync`: its parameters are tried again, and what MLflow shows as finished is."""
    env = tracked(sweeping)
    words = ("--trials", 2, *WORDS, "--workers", 1)
    killed = sweeping.project.call("sweep", "nb.ipynb", *words, env={**env, "NBMLOPS_FAILPOINT": "outbox.write:4:kill"})
    assert killed.code == -signal.SIGKILL, killed.err
    assert sweeping.project.call("track", "sync", env=env).code == 0
    data = sweeping.sweep(*words, env=env)
    assert [(item["number"], item["state"]) for item in data["trials"]] == [(1, "COMPLETE"), (2, "COMPLETE")]
    assert sweeping.project.call("track", "sync", env=env).code == 0
    shown = {item.data.tags["nbmlops.trial"]: item.info.status for item in runs(sweeping)[1]}
    assert shown == {"0": "KILLED", "1": "FINISHED", "2": "FINISHED"}


@pytest.mark.thorough
def test_mlflow_after_a_kill(sweeping: Sweeping) -> None:
    """Killed while it is tracked: after `track sync` no run is RUNNING; after the same command there are one parent and N children, finished."""
    env = tracked(sweeping)
    process = sweeping.start("--trials", N, *WORDS, "--workers", 2, env=env)
    sweeping.wait_for_marks("train ", 7, process)
    process.kill()
    sweeping.project.finish(process, timeout_s=20)
    assert sweeping.project.left_after(5) == {}
    assert sweeping.project.call("track", "sync", env=env).code == 0
    parents, children = runs(sweeping)
    assert len(parents) == 1
    assert "RUNNING" not in {item.info.status for item in (*parents, *children)}
    data = sweeping.sweep("--trials", N, *WORDS, "--workers", 2, env=env)
    assert sweeping.project.call("track", "sync", env=env).code == 0
    assert_whole(data, N)
    parents, children = runs(sweeping)
    assert [item.info.status for item in parents] == ["FINISHED"]
    finished = [item for item in children if item.info.status == "FINISHED"]
    assert len(finished) == N
    for trial in data["trials"]:
        assert len([item for item in finished if same_parameters(trial, item)]) == 1
    # what was under way is told as killed: its parameters are those of a finished one
    killed = [item for item in children if item.info.status == "KILLED"]
    assert len(children) == N + len(killed), shape(children)
    assert all(any(same_parameters(trial, item) for trial in data["trials"]) for item in killed)
    assert "RUNNING" not in {item.info.status for item in children}


@pytest.mark.thorough
def test_mlflow_after_an_interrupt(sweeping: Sweeping) -> None:
    """Ctrl-C while it is tracked: MLflow has the finished trials, and nothing is RUNNING."""
    env = tracked(sweeping)
    process = sweeping.start("--trials", 1000, *WORDS, "--workers", 2, env=env)
    sweeping.wait_for_marks("train ", 5, process)
    os.killpg(process.pid, signal.SIGINT)
    done = sweeping.project.finish(process)
    assert done.code == 130, done.err
    assert sweeping.project.call("track", "sync", env=env).code == 0
    parents, children = runs(sweeping)
    assert len(parents) == 1
    assert "RUNNING" not in {item.info.status for item in (*parents, *children)}
    complete = [item for item in strict(done.out)["trials"] if item["state"] == "COMPLETE"]
    assert len(complete) == len([item for item in children if item.info.status == "FINISHED"]) > 0


@pytest.mark.thorough
def test_tracker_that_is_down_holds_no_trial_up(sweeping: Sweeping) -> None:
    """A tracker that nobody answers for fails no trial, and gets the sweep with `track sync`."""
    down = {**tracked(sweeping), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "NBMLOPS_TRACK_WAIT_S": "1"}
    assert_whole(sweeping.sweep("--trials", 3, *WORDS, env=down), 3)
    assert sweeping.project.call("track", "sync", env=tracked(sweeping)).code == 0
    parents, children = runs(sweeping)
    assert [item.info.status for item in (*parents, *children)] == ["FINISHED"] * 4


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Start a PostgreSQL server on the loopback, and give its URL."""
    with postgres_server() as url:
        yield url


@pytest.fixture
def postgres(server: str) -> str:
    """Give the URL of an empty database."""
    import psycopg

    name = f"sweeps_{time.monotonic_ns()}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return f"{server}/{name}"


@pytest.mark.thorough
def test_postgresql_as_storage(sweeping: Sweeping, postgres: str) -> None:
    """Two processes on one sweep in PostgreSQL, one of them killed: N complete trials in all."""
    words = (*WORDS, "--storage", postgres, "--workers", 1)
    victim = sweeping.start("--trials", N, *words)
    sweeping.wait_for_marks("train ", 1, victim)
    other = sweeping.start("--trials", N, *words)
    sweeping.wait_for_marks("train ", 4, victim)
    victim.kill()
    sweeping.project.finish(victim, timeout_s=20)
    done = sweeping.project.finish(other)
    assert done.code == 0, done.err
    assert_whole(sweeping.sweep("--trials", N, *words), N)
    assert set(sweeping.marked("train ")) == set(parameters(sweeping.sweep("--trials", N, *words), "COMPLETE"))


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_redis_as_storage(sweeping: Sweeping, tmp_path: Path) -> None:
    """A sweep in Redis is continued by the next command."""
    pytest.importorskip("redis")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not answers(port):
            assert time.monotonic() < end
            time.sleep(0.05)
        options = (*WORDS, "--storage", f"redis://127.0.0.1:{port}/0", "--workers", 1)
        first = sweeping.sweep("--trials", 2, *options)
        second = sweeping.sweep("--trials", 4, *options)
        assert second["trials"][:2] == first["trials"]
        assert_whole(second, 4)
    finally:
        server.terminate()
        server.wait(60)


def assert_two_at_once(sweeping: Sweeping, url: str) -> None:
    """Check that two commands that find an empty database at the same time share one sweep."""
    processes = [sweeping.start("--trials", 4, *WORDS, "--storage", url, "--workers", 1) for _ in range(2)]
    done = [sweeping.project.finish(item) for item in processes]
    assert [(item.code, "Traceback" in item.err) for item in done] == [(0, False)] * 2, [item.err for item in done]
    assert_whole(sweeping.sweep("--trials", 4, *WORDS, "--storage", url), 4)


@pytest.mark.thorough
def test_two_commands_make_the_tables_of_postgresql(sweeping: Sweeping, postgres: str) -> None:
    """Both may find an empty database: neither fails."""
    assert_two_at_once(sweeping, postgres)


@pytest.mark.thorough
def test_two_commands_make_the_tables_of_sqlite(sweeping: Sweeping) -> None:
    """The same for a file that is not there yet."""
    assert_two_at_once(sweeping, "sqlite:///sweeps.db")
