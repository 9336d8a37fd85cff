"""Locks exclude other processes and die with their holder."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from nbmlops import failpoints
from nbmlops.errors import StoreError
from nbmlops.store.locks import file_lock

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

HOLD = """
from nbmlops.store.locks import file_lock
with file_lock(Path(sys.argv[3])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_eight_processes_count_without_losing_one(tmp_path: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    """A counter in a file is right after 8 times 50 increments."""
    script = """
from nbmlops.store.locks import file_lock
folder = Path(sys.argv[3])
for _ in range(50):
    with file_lock(folder / "lock"):
        count = int((folder / "count").read_text())
        (folder / "count").write_text(str(count + 1))
"""
    (tmp_path / "count").write_text("0")
    for process in [start(script, str(tmp_path)) for _ in range(8)]:
        process.communicate()
    assert (tmp_path / "count").read_text() == "400"


def test_a_killed_holder_frees_its_lock(tmp_path: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    """The next one gets the lock at once when its holder is killed."""
    holder = start(HOLD, str(tmp_path / "lock"))
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(StoreError, match="held by another"), file_lock(tmp_path / "lock", timeout_s=0.02):
        pass
    holder.kill()
    began = time.monotonic()
    with file_lock(tmp_path / "lock", timeout_s=10):
        assert time.monotonic() - began < 1


def test_a_child_of_a_killed_holder_does_not_keep_it(tmp_path: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    """A forked child that outlives the holder has no share in the lock."""
    script = """
from nbmlops.store.locks import file_lock
with file_lock(Path(sys.argv[3])):
    child = os.fork()
    if not child:
        time.sleep(60)
    print(child, flush=True)
    sys.stdin.readline()
"""
    holder = start(script, str(tmp_path / "lock"))
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    holder.kill()
    try:
        with file_lock(tmp_path / "lock", timeout_s=5):
            pass
    finally:
        os.kill(child, 9)


def test_waiting_is_told_once(tmp_path: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    """`on_wait` is called once where somebody holds the lock, and not where nobody does."""
    told: list[str] = []
    with file_lock(tmp_path / "lock", on_wait=lambda: told.append("free")):
        pass
    holder = start(HOLD, str(tmp_path / "lock"))
    assert holder.stdout is not None
    assert holder.stdin is not None
    holder.stdout.readline()

    def release() -> None:
        told.append("held")
        holder.stdin.write("\n")  # type: ignore[union-attr]
        holder.stdin.flush()  # type: ignore[union-attr]

    with file_lock(tmp_path / "lock", timeout_s=10, on_wait=release):
        assert told == ["held"]


def test_a_lock_whose_file_was_removed_still_excludes(tmp_path: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    """Whoever waited on a removed file takes the lock of the file that is there now."""
    script = "from nbmlops.store.locks import file_lock\nprint('up', flush=True)\nwith file_lock(Path(sys.argv[3])): print('in', flush=True)\n"
    path = tmp_path / "lock"
    with file_lock(path):
        waiter = start(script, str(path))
        assert waiter.stdout is not None
        waiter.stdout.readline()
        time.sleep(0.3)
        path.unlink()
        successor = file_lock(path)
        successor.__enter__()
    try:
        time.sleep(0.2)
        assert waiter.poll() is None
    finally:
        successor.__exit__(None, None, None)
    assert waiter.communicate()[0] == "in\n"


def test_shared_locks_live_together(tmp_path: Path) -> None:
    """Two may share, and nobody may exclude meanwhile."""
    path = tmp_path / "lock"
    with file_lock(path, shared=True), file_lock(path, shared=True, timeout_s=0), pytest.raises(StoreError), file_lock(path, timeout_s=0):
        pass
    with file_lock(path, timeout_s=0):
        pass


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    """An exception passes through and frees the lock."""
    with pytest.raises(ZeroDivisionError), file_lock(tmp_path / "lock"):
        _ = 1 / 0
    with file_lock(tmp_path / "lock", timeout_s=0):
        pass


def test_a_link_in_place_of_a_lock_is_refused(tmp_path: Path) -> None:
    """A planted link makes no file elsewhere."""
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="cannot be opened"), file_lock(tmp_path / "lock"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_lock_that_the_kernel_refuses_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system answers instead of the lock is told with its remedy, and the lock stays free."""
    monkeypatch.setenv("NBMLOPS_FAILPOINT", "lock.take:1:enospc")
    failpoints._armed.cache_clear()
    try:
        with pytest.raises(StoreError, match=r"cannot be taken: No space left"), file_lock(tmp_path / "lock"):
            pass
    finally:
        monkeypatch.undo()
        failpoints._armed.cache_clear()
    with file_lock(tmp_path / "lock", timeout_s=0):
        pass


def test_what_a_lock_file_holds_locks_nothing(tmp_path: Path) -> None:
    """Who is alive under the number of a dead holder is never mistaken for it: no number is looked at."""
    path = tmp_path / "a.lock"
    path.write_text(str(os.getppid()))
    with file_lock(path, timeout_s=0):
        assert path.read_text() == str(os.getppid())
