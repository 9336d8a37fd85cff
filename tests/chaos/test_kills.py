"""A run that is killed at any moment, again and again: 100 times in `make test`, 1,000 times in `make chaos`."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.chaos.wreck import CHAOS

if TYPE_CHECKING:
    from tests.acceptance.forked import Fork
    from tests.chaos.wreck import Wreck

KILLS = 50  # of one project: its store grows with each, and is verified after each
PROJECTS = 20 if CHAOS else 2


def victim(wreck: Wreck, process: Fork | subprocess.Popen[str], chance: random.Random) -> int:
    """Choose who is killed: most often the command, else any process of the run."""
    others = list(wreck.project.processes()) if chance.random() < 0.4 else []
    return chance.choice(others) if others else process.pid


@pytest.mark.parametrize("seed", range(PROJECTS))
def test_killed_at_random_moments(wreck: Wreck, seed: int) -> None:
    """No damage, no wrong value, nothing finished runs again, nothing stays alive: after each of the kills."""
    chance = random.Random(seed)
    kills, usual_s = 0, 1.0
    while kills < KILLS:
        wreck.begin()
        done = False
        while not done:
            begun = time.monotonic()
            process = wreck.fork()
            wait_s = chance.uniform(0.1, 1.0) * usual_s
            with suppress(subprocess.TimeoutExpired):
                process.wait(wait_s)
            if process.poll() is None and kills < KILLS:
                with suppress(ProcessLookupError):
                    os.kill(victim(wreck, process, chance), signal.SIGKILL)
                    kills += 1
            ended = wreck.finish(process)
            assert ended.code in {0, 1, -signal.SIGKILL}, ended.err
            assert "Traceback" not in ended.err, ended.err
            done = ended.code == 0
            if done:
                usual_s = time.monotonic() - begun
    wreck.complete()
    assert kills == KILLS
