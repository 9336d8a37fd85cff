"""Workers that stay warm: kept for the same run again, and for no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbmlops.executors.local import LocalExecutor
from nbmlops.session.pool import WarmWorkers
from tests.runner.bench import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator

KEEP = """
import sys, time
from pathlib import Path
from nbmlops.session.pool import WarmWorkers
from tests.runner.bench import Bench
folder = Path(sys.argv[1])
pool = WarmWorkers()
executor = pool.borrow("local", folder / "attempts", 1, ())
assert Bench(folder / "project", folder / "cache", executor).outcome("%%mlstage a\\nx = 1").status == "ran"
pool.give_back(executor)
print(executor._server.pid, flush=True)
"""


@pytest.fixture
def pool() -> Iterator[WarmWorkers]:
    """Give workers that end with the test."""
    made = WarmWorkers()
    yield made
    made.close()


def run_one(pool: WarmWorkers, folder: Path, preload: tuple[str, ...] = ()) -> LocalExecutor:
    """Run one stage as a run does, and give the workers back."""
    executor = pool.borrow("local", folder / "attempts", 1, preload)
    assert Bench(folder / "project", folder / "cache", executor).outcome("%%mlstage a\nx = 1").status == "ran"
    pool.give_back(executor)
    assert isinstance(executor, LocalExecutor)
    return executor


def server(executor: LocalExecutor) -> int | None:
    """Return the process that stages are forked from."""
    return executor._server.pid if executor._server is not None else None


def gone(pid: int) -> bool:
    """Wait until a process has ended."""
    end = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and ") Z " not in Path(f"/proc/{pid}/stat").read_text():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_same_run_again_has_the_same_server(pool: WarmWorkers, tmp_path: Path) -> None:
    """Nothing is imported a second time."""
    first = run_one(pool, tmp_path)
    pid = server(first)
    assert run_one(pool, tmp_path) is first
    assert server(first) == pid


def test_other_imports_have_another_server(pool: WarmWorkers, tmp_path: Path) -> None:
    """The former one ends: one kernel has one server."""
    first = run_one(pool, tmp_path)
    second = run_one(pool, tmp_path, ("wave",))
    assert (second is first, server(first)) == (False, None)


def test_other_environment_has_another_server(pool: WarmWorkers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages see the variables of now."""
    first = run_one(pool, tmp_path)
    monkeypatch.setenv("SOMETHING_ELSE", "1")
    assert run_one(pool, tmp_path) is not first


def test_upgraded_package_has_another_server(pool: WarmWorkers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one has the old version loaded, under the new one's name."""
    (tmp_path / "site" / "thing-1.0.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    first = run_one(pool, tmp_path)
    (tmp_path / "site" / "thing-1.0.dist-info").rename(tmp_path / "site" / "thing-1.1.dist-info")
    assert run_one(pool, tmp_path) is not first


def test_server_that_was_killed_is_replaced(pool: WarmWorkers, tmp_path: Path) -> None:
    """The next run does not fail for it."""
    first = run_one(pool, tmp_path)
    assert first._server is not None
    os.kill(first._server.pid, signal.SIGKILL)
    first._server.wait()
    assert run_one(pool, tmp_path) is not first


def test_server_with_code_of_the_users_own_is_not_kept(pool: WarmWorkers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a library imports of the project may be edited until the next run."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "edited_often.py").write_text("X = 1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "own"))
    assert server(run_one(pool, tmp_path, ("edited_often",))) is None


def test_workers_with_a_stage_in_them_are_not_kept(pool: WarmWorkers, tmp_path: Path) -> None:
    """An attempt that was given up may still run: it ends with its run."""
    executor = pool.borrow("local", tmp_path / "attempts", 1, ())
    executor.start(Bench(tmp_path / "project", tmp_path / "cache", executor).task("%%mlstage a\nimport time\ntime.sleep(303)"))
    pool.give_back(executor)
    assert isinstance(executor, LocalExecutor)
    assert server(executor) is None


@pytest.mark.parametrize("end", ["", "import os; os.kill(os.getpid(), 9)"])
def test_server_dies_with_its_process(tmp_path: Path, end: str) -> None:
    """A kernel that ends, or is killed, leaves nothing."""
    script = tmp_path / "keep.py"
    script.write_text(KEEP + end)
    root = str(Path(__file__).resolve().parents[2])
    found = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, check=False
    )
    assert gone(int(found.stdout.split()[0])), found.stderr
