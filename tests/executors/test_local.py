"""Local workers: one outcome per task, whatever happens, and nothing left when they close."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from nbmlops.errors import StoreError
from nbmlops.executors.local import LocalExecutor
from nbmlops.runner.task import StageOutcome
from tests.runner.bench import Bench, alive

if TYPE_CHECKING:
    from pathlib import Path

FOREVER = "%%mlstage a\nimport subprocess, time\nsubprocess.Popen(['setsid', '--fork', 'sleep', '303'])\ntime.sleep(303)"


def started(bench: Bench, text: str) -> None:
    """Wait until a process of the stage is there."""
    end = time.monotonic() + 60
    while not any(text in line for line in alive(bench.mark).values()):
        assert time.monotonic() < end, "it never started"
        time.sleep(0.02)


def gone(bench: Bench) -> bool:
    """Wait until no process of the stage is there."""
    end = time.monotonic() + 10
    while alive(bench.mark) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(bench.mark)


def test_closing_ends_everything(bench: Bench, own: LocalExecutor, tmp_path: Path) -> None:
    """No process and no file of an attempt is left."""
    own.start(bench.task(FOREVER))
    started(bench, "sleep 303")
    own.close()
    assert gone(bench)
    assert [item.name for item in (tmp_path / "attempts").iterdir() if item.name != "ipython"] == []


def test_closing_twice_and_unused_is_fine(own: LocalExecutor) -> None:
    """An executor that started nothing has nothing to end."""
    own.close()
    own.close()
    assert own.wait(0.0) == []


def test_killed_server_is_told_and_replaced(bench: Bench, own: LocalExecutor) -> None:
    """Tasks of a server that was killed have failed, their processes are gone, and the next task runs."""
    task = bench.task(FOREVER)
    own.start(task)
    started(bench, "sleep 303")
    assert own._server is not None
    os.kill(own._server.pid, signal.SIGKILL)
    done = bench.outcome_of(task)
    assert (done.status, done.error.type if done.error else None) == ("failed", "StageDied")
    assert gone(bench)
    assert bench.outcome("%%mlstage a\nx = 1").status == "ran"


def test_only_the_result_file_counts(bench: Bench, own: LocalExecutor, tmp_path: Path) -> None:
    """A result that cannot be read is a failure, not a crash."""
    task = bench.task("%%mlstage a\nimport time\ntime.sleep(0.5)")
    own.start(task)
    (tmp_path / "attempts" / task.attempt / "result.json").mkdir()
    done = bench.outcome_of(task)
    assert (done.status, done.error.type if done.error else None) == ("failed", "StageDied")


def test_cancelling_what_has_ended_is_fine(bench: Bench) -> None:
    """Nothing happens to an attempt that is not running."""
    assert bench.executor is not None
    bench.executor.cancel("no-such-attempt")
    assert bench.outcome("%%mlstage a\nx = 1").status == "ran"


def test_two_at_once(bench: Bench) -> None:
    """Tasks run side by side, and each has its own outcome."""
    assert bench.executor is not None
    tasks = [bench.task("%%mlstage a\nimport time\ntime.sleep(1)") for _ in range(2)]
    begun = time.monotonic()
    for task in tasks:
        bench.executor.start(task)
    found: set[str] = set()
    while not {task.attempt for task in tasks} <= found and time.monotonic() < begun + 60:
        found |= {done.attempt for done in bench.executor.wait(1.0)}
    first, second = (bench.task("%%mlstage a\nx = 1").attempt for _ in range(2))
    assert first != second
    assert {task.attempt for task in tasks} <= found


def test_folder_that_cannot_be_written(tmp_path: Path, bench: Bench) -> None:
    """A task that cannot be handed over is an error with its remedy."""
    (tmp_path / "file").touch()
    executor = LocalExecutor(tmp_path / "file" / "attempts", workers=1)
    with pytest.raises(StoreError, match="stage 'a' cannot be started") as caught:
        executor.start(bench.task("%%mlstage a\nx = 1"))
    assert caught.value.code == "NB601"
    executor.close()


def test_preloaded_modules_are_there_after_the_fork(tmp_path: Path, bench: Bench) -> None:
    """The server imports what the pipeline needs, and an import that fails is the stage's to show."""
    executor = LocalExecutor(tmp_path / "attempts", workers=1, preload=["wave", "no_such_module_anywhere"])
    bench.executor = executor
    done = bench.outcome("%%mlstage a\nimport sys\nx = 'wave' in sys.modules", "print(x)")
    assert bench.value(done, "a", "x") is True
    assert done.status == "ran"
    executor.close()


@pytest.mark.parametrize(
    "source",
    ["import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()", "import sys\nsys.modules['polars'] = sys"],
    ids=["starts a thread", "loads polars"],
)
def test_import_that_breaks_after_a_fork_is_left_to_the_stage(tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """The server starts over without it; what it may preload is still there."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "breaks.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "library"))
    executor = LocalExecutor(tmp_path / "attempts", workers=1, preload=["breaks", "wave"])
    bench.executor = executor
    done = bench.outcome("%%mlstage a\nimport sys\nx = [name in sys.modules for name in ('breaks', 'polars', 'wave')]", "print(x)")
    executor.close()
    assert bench.value(done, "a", "x") == [False, False, True]


def test_environment_of_a_stage(bench: Bench) -> None:
    """Threads share the CPUs, the hash seed is fixed, and it is no kernel of Jupyter's."""
    names = ["PYTHONHASHSEED", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "JPY_PARENT_PID"]
    done = bench.outcome(f"%%mlstage a\nimport os\nx = [os.environ.get(name) for name in {names}]", "print(x)")
    seed, threads, policy, parent = bench.value(done, "a", "x")
    assert (seed, policy, parent) == ("0", os.environ.get("OMP_WAIT_POLICY", "PASSIVE"), None)
    assert int(threads) >= 1
    assert (done.environment["threads"], done.environment["OPENBLAS_NUM_THREADS"]) == (threads, os.environ.get("OPENBLAS_NUM_THREADS", threads))


def test_server_that_died_before_a_task_is_told(bench: Bench, own: LocalExecutor) -> None:
    """A task that is handed to a dead server has failed, without a traceback of ours, and the next one runs."""
    assert bench.outcome("%%mlstage a\nx = 1").status == "ran"
    assert own._server is not None
    own._server.kill()
    own._server.wait()
    done = bench.outcome("%%mlstage a\nx = 1")
    assert (done.status, done.error.type if done.error else None) == ("failed", "StageDied")
    assert bench.outcome("%%mlstage a\nx = 1").status == "ran"


def test_result_of_another_attempt_is_refused(bench: Bench, own: LocalExecutor, tmp_path: Path) -> None:
    """The attempt is the fencing token: what another one has left in the folder is no answer."""
    task, other = bench.task("%%mlstage a\nimport os, time\ntime.sleep(1)\nos._exit(0)"), bench.task("%%mlstage a\nx = 1")
    own.start(task)
    foreign = StageOutcome(attempt=other.attempt, status="ran")
    (tmp_path / "attempts" / task.attempt / "result.json").write_text(json.dumps(foreign.to_json()))
    done = bench.outcome_of(task)
    assert (done.status, done.error is not None) == ("failed", True)
