"""Killed, failing or out of room at each point in turn: the run says so, the store is whole, and the next run is right.

Here at the first passage of each process; `test_passages.py` goes through every passage.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from nbmlops.failpoints import FAILPOINTS
from tests.chaos.scenarios import go_on, scenario, struck
from tests.chaos.wreck import CHAOS

if TYPE_CHECKING:
    from tests.chaos.wreck import Wreck

# what an alias passes that moves is struck in tests/promotion/test_kills.py
KINDS = sorted({name.partition(".")[0] for name in FAILPOINTS} - {"promotion", "promotions"})


def faults(kind: str) -> list[tuple[str, str]]:
    """Return the points of a kind with what happens there: a kill at each, a full disk at its first write, all at all for `make chaos`."""
    names = [name for name in FAILPOINTS if name.partition(".")[0] == kind]
    first = next((name for name in names if "write" in name), "")
    return [(name, act) for name in names for act in ("kill", "enospc", "raise") if CHAOS or act == "kill" or (act == "enospc" and name == first)]


@pytest.mark.parametrize("kind", KINDS)
def test_fault_at_every_point(short: Wreck, kind: str) -> None:
    """Killed, out of room or failing there, and then left in peace: the run is done and every value right."""
    last = faults(kind)[-1]
    for name, act in faults(kind):
        short.begin()
        done = scenario(name)(short, {"NBMLOPS_FAILPOINT": f"{name}:1:{act}"})
        struck(name, act, done, first=True)
        if act == "kill":
            hit = done.code == -signal.SIGKILL or "StageDied" in done.out + done.err or None in short.outbox().values()
            assert hit, f"{name} is not passed\n{done.err}"
        if CHAOS or (name, act) == last:
            go_on(short, kind)
