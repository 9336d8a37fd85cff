"""However a stage ends, its end is told truly and nothing of it stays alive."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.runner.bench import Bench, alive

WITHIN_S = 10.0


def left(mark: str) -> dict[int, str]:
    """Return what is still alive after at most a few seconds."""
    end = time.monotonic() + WITHIN_S
    while (found := alive(mark)) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def until_alive(mark: str, text: str) -> None:
    """Wait until a process with `text` in its command line is there."""
    end = time.monotonic() + 60
    while not any(text in line for line in alive(mark).values()):
        assert time.monotonic() < end, "it never started"
        time.sleep(0.02)


DAEMON = """import os, subprocess, time
subprocess.Popen(['setsid', '--fork', 'sleep', '300'])
subprocess.Popen(['sleep', '300'], start_new_session=True)
x = 1
"""
ENDS = [
    ("returns", "", {}, "ran"),
    ("raises", "raise ValueError('no')", {}, "failed"),
    ("is killed", "os.kill(os.getpid(), 9)", {}, "failed"),
    ("leaves", "os._exit(0)", {}, "failed"),
    ("times out", "time.sleep(300)", {"timeout_s": 1.0}, "timed-out"),
]


@pytest.mark.parametrize(("code", "changes", "status"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
def test_no_daemon_outlives_the_stage(bench: Bench, code: str, changes: dict[str, object], status: str) -> None:
    """A daemon in a session of its own is ended however the stage ends."""
    done = bench.outcome(f"%%mlstage a\n{DAEMON}{code}", **changes)
    assert done.status == status
    assert left(bench.mark) == {}


def test_cancelled_stage_leaves_nothing(bench: Bench) -> None:
    """Cancelling ends the stage and its daemon, although it ignores SIGTERM."""
    assert bench.executor is not None
    task = bench.task(f"%%mlstage a\nimport signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{DAEMON}time.sleep(300)")
    bench.executor.start(task)
    until_alive(bench.mark, "sleep 300")
    bench.executor.cancel(task.attempt)
    done = bench.outcome_of(task)
    assert (done.status, done.error.type if done.error else None) == ("cancelled", "Cancelled")
    assert left(bench.mark) == {}


DEATHS = [
    ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL", None),
    ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV", None),
    ("os.abort()", "SIGABRT", None),
    ("os._exit(0)", None, 0),
    ("os._exit(7)", None, 7),
]


@pytest.mark.parametrize(("code", "name", "exit_code"), DEATHS)
def test_true_end_is_told(bench: Bench, code: str, name: str | None, exit_code: int | None) -> None:
    """The signal, or the code that the process left with; 0 without a result is a failure."""
    error = bench.outcome(f"%%mlstage a\nimport os, signal\n{code}").error
    assert error is not None
    assert (error.type, error.signal, error.exit_code, error.cell) == ("StageDied", name, exit_code, 0)


def test_stage_that_can_write_nothing_any_more_is_told(bench: Bench) -> None:
    """A stage that has left itself no descriptor, and so cannot say how it ended, did not just end by itself with exit code 1."""
    done = bench.outcome("%%mlstage a\nimport resource\nx = 1\nresource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))", wants=("x",))
    assert done.status == "failed"
    assert done.error is not None
    assert (done.error.code, "Too many open files" in done.error.message, "RLIMIT_NOFILE" in done.error.message) == ("NB801", True, True)


def test_killed_stage_keeps_what_it_printed(bench: Bench) -> None:
    """What was printed before SIGKILL is in the outcome, C-level writes too."""
    code = "%%mlstage a\nimport os, time\nprint('from python')\nos.write(1, b'from C\\n')\ntime.sleep(0.3)\nos.kill(os.getpid(), 9)"
    assert bench.text(bench.outcome(code).cell_outputs).split("\n")[:2] == ["from python", "from C"]


def test_timed_out_stage_keeps_what_it_printed(bench: Bench) -> None:
    """A stage that hangs can be told where it did."""
    done = bench.outcome("%%mlstage a\nimport time\nprint('step 1')\ntime.sleep(300)", timeout_s=1.0)
    assert bench.text(done.cell_outputs) == "step 1\n"
    assert done.error is not None
    assert "longer than its --timeout of 1 s" in done.error.message


HUNGRY = [
    ("x = bytearray(2 << 30)", "MemoryError"),
    ("x = []\nwhile True:\n    x.append('x' * 1_000_000)", "MemoryError"),
    ("import numpy as np\nx = np.ones(1 << 28)", "MemoryError"),
    # what IPython does after an error may find no memory either
    ("import json\ntry:\n    x = bytearray(2 << 30)\nfinally:\n    json.loads('{')", "MemoryError"),
    ("import os\nos.abort()", "StageDied"),
]


@pytest.mark.parametrize(("code", "kind"), HUNGRY)
def test_memory_limit_is_an_error_of_the_stage(bench: Bench, code: str, kind: str) -> None:
    """Beyond `--memory` the stage fails, and the message names the stage and the limit."""
    done = bench.outcome(f"%%mlstage a\n{code}", memory_bytes=1 << 30)
    assert done.error is not None
    assert (done.status, done.error.type) == ("failed", kind)
    assert "stage 'a'" in done.error.message
    assert "memory" in done.error.message
    assert "its --memory is 1GiB" in done.error.message


def test_memory_limit_is_of_data_not_of_addresses(bench: Bench) -> None:
    """Libraries reserve addresses that they never use: a stage that reserves much and uses little is let be."""
    reserve = "import mmap\nx = len(mmap.mmap(-1, 8 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ))"
    assert bench.outcome(f"%%mlstage a\n{reserve}", memory_bytes=1 << 30).status == "ran"


FORKS = [
    ("if os.fork() == 0:\n    raise SystemExit(3)\nos.wait()\nx = 1", "ran"),
    ("if os.fork() == 0:\n    raise SystemExit(3)\nos.wait()\nos._exit(7)", "failed"),
]


@pytest.mark.parametrize(("code", "status"), FORKS)
def test_fork_that_runs_on_does_not_speak_for_the_stage(bench: Bench, code: str, status: str) -> None:
    """A copy of the stage's process that returns from the cell, or raises, writes no result."""
    done = bench.outcome(f"%%mlstage a\nimport os, time\n{code}")
    assert done.status == status
    assert done.error is None or done.error.exit_code == 7
    assert left(bench.mark) == {}


def test_orphans_of_a_killed_supervisor_end_too(bench: Bench) -> None:
    """When the supervisor itself is killed, the daemons of its stage are ended by the server that forked it."""
    task = bench.task(f"%%mlstage a\n{DAEMON}time.sleep(302)")
    assert bench.executor is not None
    bench.executor.start(task)
    until_alive(bench.mark, "sleep 300")
    time.sleep(0.5)
    # one sleeper's parent is the stage; the other's, a daemon's, the supervisor, which is the stage's parent too
    parents = {parent_of(pid) for pid in alive(bench.mark)}
    (supervisor,) = parents & {parent_of(pid) for pid in parents}
    os.kill(supervisor, signal.SIGKILL)
    done = bench.outcome_of(task)
    assert done.error is not None
    assert (done.status, done.error.type) == ("failed", "StageDied")
    assert "its supervisor was ended by signal 9" in done.error.message
    assert left(bench.mark) == {}


def parent_of(pid: int) -> int:
    """Return the parent's process id."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


ALONE = """
import sys, os, socket
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from nbmlops.runner.supervisor import lead_session, supervise
from nbmlops.runner.task import StageTask, StageOutcome
from nbmlops.pipeline.model import Step
folder = Path(sys.argv[2])
def run(task, journal):
    exec(sys.argv[3])
    return StageOutcome(attempt=task.attempt, status="ran")
task = StageTask(run_id="r", attempt="t", notebook="nb", folder=str(folder), stage="a", steps=(Step(kind="stage", cell=4, source=""),),
                 store=str(folder / ".nbmlops"), project_root=str(folder))
hangup = int(sys.argv[4]) if len(sys.argv) > 4 else None
lead_session()
supervise(task, folder / "result.json", folder / "journal", run, hangup)
"""


def start(folder: Path, code: str, mark: str, hangup: int | None = None) -> subprocess.Popen[bytes]:
    """Start a supervisor whose stage runs `code`."""
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", ALONE, root, str(folder), code, *([str(hangup)] if hangup is not None else [])]
    return subprocess.Popen(command, env={**os.environ, "NBMLOPS_TEST_MARK": mark}, pass_fds=[hangup] if hangup is not None else [])


def result(folder: Path) -> str:
    """Return the outcome that was written."""
    return (folder / "result.json").read_text(encoding="utf-8")


HANG = "import subprocess, time; subprocess.Popen(['setsid', '--fork', 'sleep', '301']); time.sleep(301)"


def test_scheduler_that_is_gone_ends_the_stage(tmp_path: Path) -> None:
    """When the other end of the scheduler's socket closes, stage and daemon end."""
    ours, theirs = socket.socketpair()
    process = start(tmp_path, HANG, str(tmp_path), theirs.fileno())
    theirs.close()
    until_alive(str(tmp_path), "sleep 301")
    ours.close()
    assert process.wait(30) == 0
    assert left(str(tmp_path)) == {}
    assert '"cancelled"' in result(tmp_path)


def test_supervisor_that_is_asked_to_end_ends_the_stage(tmp_path: Path) -> None:
    """SIGTERM to the supervisor ends everything below it, and the outcome says cancelled."""
    process = start(tmp_path, HANG, str(tmp_path))
    until_alive(str(tmp_path), "sleep 301")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert left(str(tmp_path)) == {}
    assert '"cancelled"' in result(tmp_path)


def test_supervisor_that_is_killed_takes_the_stage_along(tmp_path: Path) -> None:
    """Even SIGKILL to the supervisor leaves no stage computing."""
    process = start(tmp_path, "import time; time.sleep(302)", str(tmp_path))
    end = time.monotonic() + 60
    while len(alive(str(tmp_path))) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    process.kill()
    process.wait(30)
    assert left(str(tmp_path)) == {}


def test_bug_of_ours_reaches_the_outcome(tmp_path: Path) -> None:
    """An exception that nobody foresaw is told with its traceback, not swallowed."""
    assert start(tmp_path, "raise RuntimeError('ours')", str(tmp_path)).wait(60) == 0
    assert "RuntimeError" in result(tmp_path)
    assert "ours" in result(tmp_path)


def test_result_is_whole_or_not_there(tmp_path: Path) -> None:
    """A stage that is killed while it runs leaves no half of a result."""
    import json

    assert start(tmp_path, "import os; open('result.json', 'w').write('{'); os._exit(0)", str(tmp_path)).wait(60) == 0
    assert json.loads(result(tmp_path))["error"]["type"] == "StageDied"
