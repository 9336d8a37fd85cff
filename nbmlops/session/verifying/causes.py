"""Why a stage does not give the same twice: found by running it again with one condition changed at a time."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from nbmlops.session.verifying.conditions import FACTORS, Conditions, can_set_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nbmlops.pipeline.model import Pipeline

__all__ = ["BY_ITSELF", "Difference", "causes_of", "places_of"]

_PLACES = 3

_SAYS = {
    "hash_seed": "depends on the hash seed: the order of a set, or hash()",
    "shift_s": "depends on the date",
    "threads": "depends on the number of threads",
    "zone": "depends on the time zone",
    "locale": "depends on the locale",
    "place": "depends on the folder: an absolute path",
}
_RANDOM = "differs between two runs under equal conditions: randomness without a seed, or threads that overtake each other"
_CLOCK = "differs between two runs under equal conditions, unless the clock stands still: it uses the date and time at which it runs"
_UNKNOWN = "differs between two runs under equal conditions: randomness without a seed, or the date and time at which it runs"
_TOGETHER = "differs only where several of folder, time zone, locale, hash seed, date and number of threads change at once"
BY_ITSELF = frozenset({_RANDOM, _CLOCK, _UNKNOWN})
"""The causes that no condition brings about."""


class Difference(NamedTuple):
    """One thing that two executions of a stage do not have in common."""

    kind: str
    """``artifact``, ``file`` or ``end``: how the execution ended."""
    name: str


def causes_of(
    differing: frozenset[Difference],
    usual: Conditions,
    other: Conditions,
    run: Callable[[Conditions], frozenset[Difference]],
    run_twice: Callable[[Conditions], frozenset[Difference]],
) -> list[tuple[str, frozenset[Difference]]]:
    """Return what each difference comes from.

    Parameters
    ----------
    differing : frozenset of Difference
        Between the first and the second execution.
    usual, other : Conditions
        Those of the first and of the second execution.
    run : callable
        Runs the stage under conditions, and returns what differs from the first execution.
    run_twice : callable
        Runs the stage twice under the same conditions, and returns what differs between the two.

    Returns
    -------
    list of (str, frozenset of Difference)
        The cause in words, and what it explains; together all of `differing`.
    """
    found: list[tuple[str, frozenset[Difference]]] = []
    left = differing
    by_itself = run(usual) & left
    if by_itself:
        found += _by_itself(by_itself, usual, run_twice)
        left -= by_itself
    for factor in FACTORS:
        changed = usual.with_one_of(other, factor)
        if left and changed != usual:
            explained = run(changed) & left
            if explained:
                found.append((_SAYS[factor], explained))
                left -= explained
    return [*found, (_TOGETHER, left)] if left else found


def _by_itself(
    differing: frozenset[Difference], usual: Conditions, run_twice: Callable[[Conditions], frozenset[Difference]]
) -> list[tuple[str, frozenset[Difference]]]:
    if not can_set_clock():
        return [(_UNKNOWN, differing)]
    still = run_twice(replace(usual, clock_s=float(int(time.time()))))
    parts = [(_RANDOM, differing & still), (_CLOCK, differing - still)]
    return [(text, part) for text, part in parts if part]


def places_of(pipeline: Pipeline, stage: str, sources: Iterable[str]) -> str:
    """Return where `check` sees a reason in the stage's own code, in a few words; "" where it sees none.

    Parameters
    ----------
    pipeline : Pipeline
    stage : str
    sources : iterable of str
        The source of every cell.
    """
    lines = [text.splitlines() for text in sources]
    found = []
    for item in pipeline.diagnostics:
        if item.stage == stage and item.code.startswith("NB3") and item.cell is not None and item.line is not None:
            cell = lines[item.cell]
            code = cell[item.line - 1].strip() if item.line <= len(cell) else ""
            found.append(f"cell {item.cell}, line {item.line}: {code} ({item.code})")
    return "; ".join(found[:_PLACES])
