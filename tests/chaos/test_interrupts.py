"""A run that is interrupted or told to end at any moment, again and again: 3 times in each way in `make test`, 100 times in `make chaos`."""

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
    from tests.chaos.wreck import Wreck

ROUNDS = 100 if CHAOS else 3
OVER_S = 5


@pytest.mark.parametrize("whole_group", [False, True], ids=["process", "group"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_interrupted_at_random_moments(wreck: Wreck, number: signal.Signals, *, whole_group: bool) -> None:
    """Over within 5 s, exit 130, `cancelled`, one JSON object, no traceback, nothing left alive, and the same command goes on."""
    chance = random.Random(number + 100 * whole_group)
    rounds, usual_s = 0, 1.0
    while rounds < ROUNDS:
        wreck.begin()
        done = False
        while not done:
            begun = time.monotonic()
            process = wreck.start()
            with suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.1, 1.0) * usual_s)
            told_s = time.monotonic()
            if process.poll() is None and rounds < ROUNDS:
                (os.killpg if whole_group else os.kill)(process.pid, number)
                rounds += 1
                process.wait(OVER_S)
            ended = wreck.finish(process)
            done = ended.code == 0
            if done:
                usual_s = time.monotonic() - begun
            elif ended.code == -number:
                assert not ended.out, "it had begun, and did not say how it ended"
                assert told_s - begun < usual_s / 2, "no run takes so long to hear of it"
            else:
                assert ended.out, (ended.code, ended.err)
                assert (ended.code, ended.data.get("status", "cancelled"), "Traceback" in ended.err) == (130, "cancelled", False), ended.err
    wreck.complete()
