"""Find the run that somebody means: by its id, by the beginning of it, or as a trial of a sweep."""

from __future__ import annotations

import datetime as dt
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING

from nbmlops.errors import UsageError
from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from nbmlops.store.records import RunRecord
    from nbmlops.store.store import Store

__all__ = ["RunFinder"]

_NUMBER = pattern(r"[0-9]{1,9}")
_SHOWN = 4


class RunFinder:
    """Finds the runs that are meant.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, ref: str) -> RunRecord:
        """Return the run whose id is `ref` or begins so, or the trial SWEEP/NUMBER.

        Raises
        ------
        UsageError
            If there is none, or more than one.
        """
        sweep, slash, number = ref.rpartition("/")
        if slash and sweep and _NUMBER.fullmatch(number):
            return self._trial(sweep, int(number))
        run = self._store.run(ref)
        if run is None:
            raise UsageError(f"the store holds no run {ref!r}", code="NB004", fix="name an id (nbmlops store ls) or SWEEP/NUMBER")
        return run

    @cached_property
    def _trials(self) -> list[RunRecord]:
        return [run for run_id in self._store.trial_ids() if (run := self._store.run(run_id)) is not None]

    def _trial(self, sweep: str, number: int) -> RunRecord:
        same = [run for run in self._trials if run.sweep == sweep]
        found = sorted((run for run in same if run.trial == number), key=lambda run: run.started_s, reverse=True)
        if len(found) == 1:
            return found[0]
        if found:
            told = ", ".join(f"{run.run_id} of {_time(run.started_s)}" for run in found[:_SHOWN])
            raise UsageError(f"{len(found)} runs are trial {number} of a sweep {sweep!r}: {told}", code="NB806", fix="give the run's id")
        if same:
            numbers = sorted(run.trial for run in same)
            told = f"it holds {len(numbers)}, from {numbers[0]} to {numbers[-1]}"
            raise UsageError(f"the store holds no trial {number} of the sweep {sweep!r}", code="NB004", fix=told)
        names = sorted({run.sweep for run in self._trials})
        near = get_close_matches(sweep, names, 1)
        fix = f"did you mean {near[0]!r}?" if near else f"its sweeps are: {', '.join(names[:_SHOWN])}" if names else "no sweep has run here"
        raise UsageError(f"the store holds no trial of a sweep {sweep!r}", code="NB004", fix=fix)


def _time(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
