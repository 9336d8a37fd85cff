"""How long a run will still take if each stage takes what it took the last time."""

from __future__ import annotations

from collections import defaultdict, deque
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

__all__ = ["is_overdue", "seconds_until_done"]

_TOLERANCE = 1.25
_GRACE_S = 5.0  # the first stage also waits for the imports of the workers


def is_overdue(elapsed_s: float, usual_s: float) -> bool:
    """Tell whether a stage runs so much longer than the last time that this says no more when it will end."""
    return elapsed_s > _TOLERANCE * usual_s + _GRACE_S


def seconds_until_done(left_s: Mapping[str, float], running: Collection[str], upstream: Callable[[str], Iterable[str]], workers: int) -> float:
    """Return when the last stage ends if stages start in their order, each after those that it waits for, so many at once.

    Parameters
    ----------
    left_s : mapping of str to float
        Of each stage that is not done, in the pipeline's order, the seconds that it will still run.
    running : collection of str
        Those that run now.
    upstream : callable
        Gives the stages that one waits for.
    workers : int
        How many run at once.

    Examples
    --------
    >>> seconds_until_done({"load": 10, "train": 60, "plot": 5}, ["load", "plot"], lambda name: ["load"] if name == "train" else [], 2)
    70.0
    """
    waits: dict[str, int] = {}
    followers: defaultdict[str, list[str]] = defaultdict(list)
    for name in left_s:
        if name not in running:
            before = [other for other in upstream(name) if other in left_s]
            waits[name] = len(before)
            for other in before:
                followers[other].append(name)
    ready = deque(name for name, number in waits.items() if not number)
    ends = [(left_s[name], name) for name in running if name in left_s]
    heapify(ends)
    now_s = 0.0
    while ends or ready:
        while ready and len(ends) < max(workers, 1):
            name = ready.popleft()
            heappush(ends, (now_s + left_s[name], name))
        now_s, ended = heappop(ends)
        for name in followers[ended]:
            waits[name] -= 1
            if not waits[name]:
                ready.append(name)
    return float(now_s)
