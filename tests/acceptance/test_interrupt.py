"""Interrupted and killed runs: nothing left running, nothing finished lost."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess

    from tests.acceptance.project import Project

# train starts a process of its own and sleeps, unless NAP is off; the name of that process tells the test that train is under way
CELLS = [
    "import os, subprocess, time",
    "%%mlstage ingest\ndata = [1, 2]",
    "%%mlstage train\nif os.environ.get('NAP', '1') == '1':\n    subprocess.Popen(['sleep', '303'])\n    time.sleep(100)\nmodel = sum(data)",
    "%%mlstage evaluate --metrics m\nm = {'value': model + 1}",
]


@pytest.fixture
def sleeping(project: Project) -> subprocess.Popen[str]:
    """Start a run and wait until train sleeps."""
    project.write(CELLS)
    process = project.start("run", "nb.ipynb", "out.ipynb", "--json")
    project.wait_for_process("sleep 303")
    return process


def assert_continues(project: Project) -> None:
    """Check that ingest is kept and that train onward runs, to the right value."""
    done = project.run(env={"NAP": "0"})
    assert done.code == 0, done.err
    assert done.statuses == {"ingest": "reused", "train": "ran", "evaluate": "ran"}
    assert done.stage("evaluate")["metrics"] == {"value": 4}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("whole_group", [False, True], ids=["process", "group"])
def test_interrupted(project: Project, sleeping: subprocess.Popen[str], number: signal.Signals, *, whole_group: bool) -> None:
    """SIGINT, SIGTERM, or a terminal that is closed: exit 130, one JSON object, workers dead within 5 s, finished stages kept."""
    (os.killpg if whole_group else os.kill)(sleeping.pid, number)
    done = project.finish(sleeping, timeout_s=20)
    assert (done.code, "Traceback" in done.err) == (130, False), done.err
    assert project.left_after(5) == {}
    assert done.data["status"] == "cancelled"
    assert done.statuses == {"ingest": "ran", "train": "cancelled", "evaluate": "not-run"}
    assert_continues(project)


def test_interrupted_while_the_server_hears_nothing(project: Project) -> None:
    """A server of the workers that is busy with long imports, here one that is stopped, does not hold the end up."""
    project.write(CELLS)
    process = project.start("run", "nb.ipynb", "--json")
    os.kill(project.wait_for_process("zygote"), signal.SIGSTOP)
    time.sleep(0.5)  # until it has been told of a stage
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    done = project.finish(process, timeout_s=20)
    assert time.monotonic() - begun < 5
    assert (done.code, done.data["status"]) == (130, "cancelled")
    assert project.left_after(5) == {}
    assert project.run(env={"NAP": "0"}).code == 0


def test_interrupted_twice(project: Project, sleeping: subprocess.Popen[str]) -> None:
    """An impatient second Ctrl-C changes nothing: no traceback, nothing left."""
    os.killpg(sleeping.pid, signal.SIGINT)
    os.killpg(sleeping.pid, signal.SIGINT)
    done = project.finish(sleeping, timeout_s=20)
    assert (done.code, "Traceback" in done.err) == (130, False), done.err
    assert project.left_after(5) == {}
    assert_continues(project)


@pytest.mark.parametrize("whole_group", [False, True], ids=["process", "group"])
def test_killed(project: Project, sleeping: subprocess.Popen[str], *, whole_group: bool) -> None:
    """After SIGKILL of the command its workers end by themselves, and the next run goes on from train."""
    (os.killpg if whole_group else os.kill)(sleeping.pid, signal.SIGKILL)
    assert project.finish(sleeping, timeout_s=20).code == -signal.SIGKILL
    assert project.left_after(5) == {}
    assert [path.name for path in (project.folder / ".nbmlops" / "attempts").iterdir() if path.name != "ipython"] == []
    assert_continues(project)
    assert project.call("store", "verify").code == 0


def test_stage_process_killed_from_outside(project: Project, sleeping: subprocess.Popen[str]) -> None:
    """The stage's own process killed, as by the out-of-memory killer: failed with the signal, exit 1."""
    child = project.wait_for_process("sleep 303")
    with open(f"/proc/{child}/stat", encoding="utf-8") as file:  # noqa: PTH123 - not a file of the project
        parent = int(file.read().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    done = project.finish(sleeping, timeout_s=20)
    assert (done.code, done.statuses["train"]) == (1, "failed")
    assert done.stage("train")["error"]["signal"] == "SIGKILL"
    assert project.left_after(5) == {}
    assert_continues(project)


def test_two_commands_at_once_compute_a_stage_once(project: Project) -> None:
    """Two runs of one notebook: every stage is computed by one of them and reused by the other."""
    project.write(["import time", "%%mlstage a\ntime.sleep(2)\nx = 1", "%%mlstage b\ny = x + 1"])
    first, second = project.start("run", "nb.ipynb", "--json"), project.start("run", "nb.ipynb", "--json")
    done = [project.finish(first), project.finish(second)]
    assert [item.code for item in done] == [0, 0], done
    assert sorted(item.statuses["a"] for item in done) == ["ran", "reused"]
