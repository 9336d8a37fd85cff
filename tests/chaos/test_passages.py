"""Every passage of every failpoint: killed, failing and out of room there, as SQLite's tests go through every system call.

Only `make chaos` collects this. All processes of a run count their passages together, so each of them is struck alone, whichever process it is in.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbmlops.failpoints import FAILPOINTS
from tests.chaos.scenarios import go_on, scenario, struck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.wreck import Wreck


@pytest.fixture
def count() -> Iterator[Path]:
    """Give a file to count passages in: in a place that is the system's, so that no stage is taken to have opened a file of the user's."""
    with tempfile.NamedTemporaryFile(prefix="nbmlops-", dir="/dev/shm") as file:
        yield Path(file.name)


@pytest.mark.parametrize("act", ["kill", "enospc", "raise"])
@pytest.mark.parametrize("name", [name for name in FAILPOINTS if not name.startswith(("promotion.", "promotions."))])  # tests/promotion/test_kills.py
def test_fault_at_every_passage(short: Wreck, count: Path, name: str, act: str, record_property: Callable[[str, object], None]) -> None:
    """Whichever passage it is: nothing damaged, nothing finished lost, nothing told that is not so, and the next run is done and right."""
    for number in itertools.count(1):
        short.begin()
        count.write_bytes(b"")
        done = scenario(name)(short, {"NBMLOPS_FAILPOINT": f"{name}:{number}:{act}", "NBMLOPS_FAILPOINT_COUNT": str(count)})
        passed = count.stat().st_size
        struck(name, act, done, first=False)
        go_on(short, name)
        if passed < number:
            break
    assert done.code == 0, done.err
    assert number > 1, f"{name} is not passed"
    record_property("passages", number - 1)
