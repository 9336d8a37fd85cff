"""One supervisor watches over stage after stage, and nothing of one stage reaches the next."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.runner.bench import Bench, alive

if TYPE_CHECKING:
    from nbmlops.executors.local import LocalExecutor

PARENT = "%%mlstage a\nimport os\nprint(os.getppid())"


def parent(bench: Bench) -> int:
    """Run a stage and return the process that watched over it."""
    return int(bench.text(bench.outcome(PARENT).cell_outputs))


def gone(pid: int) -> bool:
    """Wait until a process is no longer there."""
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.02)
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.usefixtures("own")
def test_stages_that_end_by_themselves_share_a_supervisor(bench: Bench) -> None:
    """Also one that fails: it has said so itself."""
    first = parent(bench)
    assert bench.outcome("%%mlstage a\nraise ValueError").status == "failed"
    assert parent(bench) == first


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 9)", "os.kill(os.getppid(), 15); import time; time.sleep(60)"])
def test_another_supervisor_after_a_stage_that_could_not_say_how_it_ended(bench: Bench, end: str) -> None:
    """The one that had to say it ends too."""
    first = parent(bench)
    assert bench.outcome(f"%%mlstage a\nimport os\n{end}").status in {"failed", "cancelled"}
    assert parent(bench) != first
    assert gone(first)


@pytest.mark.usefixtures("own")
def test_what_a_stage_leaves_is_gone_though_its_supervisor_stays(bench: Bench) -> None:
    """A daemon with a session of its own does not live on into the next stage."""
    first = parent(bench)
    done = bench.outcome("%%mlstage a\nimport subprocess\nsubprocess.run(['setsid', '--fork', 'sleep', '304'])")
    assert (done.status, alive(bench.mark)) == ("ran", {})
    assert parent(bench) == first


@pytest.mark.usefixtures("own")
def test_supervisor_that_is_killed_between_two_stages_is_replaced(bench: Bench) -> None:
    """The next stage knows nothing of it."""
    first = parent(bench)
    os.kill(first, signal.SIGKILL)
    assert gone(first)
    assert parent(bench) != first


def test_closing_ends_supervisors_that_have_nothing_to_do(bench: Bench, own: LocalExecutor) -> None:
    """They hear that their server has ended, with a second one that was forked after them."""
    first = parent(bench)
    tasks = [bench.task("%%mlstage a\nimport os, time\ntime.sleep(0.5)\nprint(os.getppid())") for _ in range(2)]
    for task in tasks:
        own.start(task)
    found: dict[str, int] = {}
    end = time.monotonic() + 60
    while len(found) < len(tasks) and time.monotonic() < end:
        found |= {done.attempt: int(bench.text(done.cell_outputs)) for done in own.wait(1.0)}
    assert len({*found.values(), first}) == len(tasks)
    server = own._server
    own.close()
    assert server is not None
    assert server.returncode == 0  # it has not waited in vain until it was killed
    assert all(map(gone, found.values()))


def test_cancelling_an_attempt_that_has_ended_spares_the_next_one(bench: Bench, own: LocalExecutor) -> None:
    """It runs under the same supervisor."""
    ended = bench.task(PARENT)
    own.start(ended)
    first = int(bench.text(bench.outcome_of(ended).cell_outputs))
    task = bench.task("%%mlstage a\nimport os, time\ntime.sleep(0.5)\nprint(os.getppid())")
    own.start(task)
    own._send({"cancel": ended.attempt})
    done = bench.outcome_of(task)
    assert (done.status, int(bench.text(done.cell_outputs))) == ("ran", first)
