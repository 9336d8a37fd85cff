"""A failpoint strikes at its n-th passage, and costs nothing without the variable."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import timeit
from typing import TYPE_CHECKING

import pytest

from nbmlops import failpoints
from nbmlops.errors import UsageError
from nbmlops.failpoints import FAILPOINTS, FailpointError, failpoint

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _read_again() -> None:
    failpoints._armed.cache_clear()


def arm(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Set the variable, as for a process that starts now."""
    monkeypatch.setenv("NBMLOPS_FAILPOINT", text)
    failpoints._armed.cache_clear()


def test_nothing_happens_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A passage is one call: far below the 10 µs of the quickest step that a point stands before."""
    monkeypatch.delenv("NBMLOPS_FAILPOINT", raising=False)
    failpoint("objects.write")
    assert min(timeit.repeat(lambda: failpoint("objects.write"), number=1000, repeat=20)) / 1000 < 5e-6


def test_only_the_nth_passage_of_that_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other points do not count, and it strikes once."""
    arm(monkeypatch, "objects.write:2:raise")
    failpoint("objects.write")
    failpoint("records.write")
    with pytest.raises(FailpointError, match=r"failpoint objects\.write"):
        failpoint("objects.write")
    failpoint("objects.write")


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """`enospc` is the error that the kernel gives."""
    arm(monkeypatch, "runs.fsync:1:enospc")
    with pytest.raises(OSError, match="No space left") as caught:
        failpoint("runs.fsync")
    assert caught.value.errno == errno.ENOSPC


def test_a_kill_of_a_process_and_its_forks() -> None:
    """`kill` is SIGKILL; a forked child goes on counting where its parent was."""
    script = "import os\nfrom nbmlops.failpoints import failpoint\nfailpoint('result.write')\nif os.fork():\n    raise SystemExit(os.wait()[1])\n"
    script += "failpoint('result.write')"
    environment = {**os.environ, "NBMLOPS_FAILPOINT": "result.write:2:kill"}
    assert subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode == 9


def test_processes_that_count_together(tmp_path: Path) -> None:
    """Of two processes that pass a point once each, the second one is killed, and the file tells both passages."""
    script = "import os\nfrom nbmlops.failpoints import failpoint\nchild = os.fork()\nif child:\n    os.waitpid(child, 0)\nfailpoint('result.write')"
    environment = {**os.environ, "NBMLOPS_FAILPOINT": "result.write:2:kill", "NBMLOPS_FAILPOINT_COUNT": str(tmp_path / "count")}
    assert subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode == -signal.SIGKILL
    assert (tmp_path / "count").read_bytes() == b".."


def test_a_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """`delay` holds the process up for two seconds, once, and it goes on."""
    arm(monkeypatch, "lock.held:1:delay")
    begun = time.monotonic()
    failpoint("lock.held")
    held_up = time.monotonic()
    assert held_up - begun > 1.9
    failpoint("lock.held")
    assert time.monotonic() - held_up < 1


@pytest.mark.parametrize("text", ["objects.write", "objects.write:x:kill", "objects.write:1:explode", "nowhere:1:kill"])
def test_a_value_that_means_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The message lists the points."""
    arm(monkeypatch, text)
    with pytest.raises(UsageError, match="NBMLOPS_FAILPOINT is") as caught:
        failpoint("objects.write")
    assert all(name in (caught.value.fix or "") for name in FAILPOINTS)
