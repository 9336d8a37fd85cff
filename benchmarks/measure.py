"""Race two ways of doing the same: interleaved, by processor time and by the clock, medians."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["ROUNDS", "Cost", "Race", "clean_environment", "command", "expect", "race", "run", "within"]

ROUNDS = 9


@dataclass(frozen=True, slots=True)
class Cost:
    """What doing something once took.

    Parameters
    ----------
    cpu_s, wall_s : float
        Processor time, of all threads and of ended children, and time by the clock, in seconds.
    """

    cpu_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class Race:
    """The costs of ours and theirs, round by round.

    Parameters
    ----------
    ours, theirs : tuple of Cost
        As many of one as of the other; those at the same place were measured one right after the other.
    """

    ours: tuple[Cost, ...]
    theirs: tuple[Cost, ...]

    def medians(self, of: Callable[[Cost], float]) -> tuple[float, float]:
        """Return the median cost of ours and of theirs."""
        return median(map(of, self.ours)), median(map(of, self.theirs))

    def ratio(self, of: Callable[[Cost], float]) -> float:
        """Return the median of the rounds' ratios: a load that comes and goes falls on both sides of a round."""
        return median(of(ours) / of(theirs) for ours, theirs in zip(self.ours, self.theirs, strict=True))


def race(ours: Callable[[], Cost], theirs: Callable[[], Cost], rounds: int = ROUNDS, *, warm_up: bool = True) -> Race:
    """Measure both `rounds` times in turn, the one that begins changing each round, after one round that does not count if `warm_up`."""
    if warm_up:
        ours()
        theirs()
    mine: list[Cost] = []
    peers: list[Cost] = []
    for number in range(rounds):
        pairs = [(ours, mine), (theirs, peers)]
        for measure, costs in pairs if number % 2 == 0 else reversed(pairs):
            costs.append(measure())
    return Race(tuple(mine), tuple(peers))


def within(action: Callable[[], object]) -> Cost:
    """Return what `action` costs in this process; garbage of earlier rounds is collected before, not in it."""
    gc.collect()
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    kept = action()
    cost = Cost(time.process_time() - cpu_s, time.perf_counter() - wall_s)
    del kept  # freeing the result is not part of making it
    return cost


def command(words: Sequence[str], folder: Path, **variables: str) -> Cost:
    """Return what a command costs as a fresh process, from start to end."""
    before, wall_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run(words, folder, variables)
    after, elapsed_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - wall_s
    return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, elapsed_s)


def run(words: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it printed.

    Raises
    ------
    subprocess.CalledProcessError
        If it exits with another code than 0; what it said on stderr is added.
    """
    done = subprocess.run(  # noqa: S603 - the benchmark's own commands
        words, cwd=folder, env={**clean_environment(), **(variables or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, words, done.stdout, done.stderr)
        error.add_note(done.stderr)
        raise error
    return done


def clean_environment() -> dict[str, str]:
    """Return this process's variables without those that would change what is measured."""
    # Without bytecode on disk a start would compile the sources each time, of whichever side is installed as sources.
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("NBMLOPS_")}


def expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - it reads as a sentence
    """Stop rather than print the figures of something else."""
    if not holds:
        raise RuntimeError(otherwise)
