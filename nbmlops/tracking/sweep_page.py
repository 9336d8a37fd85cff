"""What a page says of a sweep and its trials, whatever tracker shows them: events in, names and values out."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbmlops.executors.events import Event, RunFinished, RunStarted
from nbmlops.runner.redaction import MASK, looks_secret
from nbmlops.tracking.pages import Number, numbers, stages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ROLES", "SweepPart", "TrialPage", "hide_secrets", "run_finished", "sweep_part", "trial_page"]

ROLES = ("sweep", "trial", "best")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPart:
    """What a run is in a sweep.

    Parameters
    ----------
    role : {"sweep", "trial", "best"}
        The sweep itself, one of its trials, or the full run of its best trial.
    id : str
        The sweep's, unique for ever, in letters that a query takes.
    name : str
        As its user named it: another project may have a sweep of that name.
    number : int or None
        The trial's.
    space, objectives : mapping of str to str
    sampler, pruner : str
    seed : int or None
    open : bool
        Whether a trial is shown at its start, whatever it costs.
    """

    role: str
    id: str
    name: str
    number: int | None = None
    space: Mapping[str, str] = field(default_factory=dict)
    objectives: Mapping[str, str] = field(default_factory=dict)
    sampler: str = ""
    pruner: str = ""
    seed: int | None = None
    open: bool = False

    @property
    def group(self) -> str:
        """A name that no other sweep has, which begins with the sweep's."""
        return f"{self.name[:100]}-{hashlib.blake2b(self.id.encode(), digest_size=4).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPage:
    """How a trial ended.

    Parameters
    ----------
    state : str
        ``COMPLETE``, ``PRUNED`` or ``FAIL``, or what a newer version calls it; ``RUNNING`` of one that has not ended.
    numbers : tuple of Number
        Its metrics, the objectives among them.
    ran, reused : tuple of str
        Stages.
    """

    state: str
    numbers: tuple[Number, ...]
    ran: tuple[str, ...]
    reused: tuple[str, ...]


def sweep_part(started: RunStarted) -> SweepPart | None:
    """Return what the run is in a sweep; None for a run that is in none, or in a role that a newer version made up."""
    told = started.sweep
    if told.get("role") not in ROLES or not told.get("id"):
        return None
    return SweepPart(
        role=told["role"],
        id=_safe(str(told["id"])),
        name=str(told.get("name") or "sweep"),
        number=told.get("number"),
        space=hide_secrets(told.get("space") or {}),
        objectives=told.get("objectives") or {},
        sampler=told.get("sampler") or "",
        pruner=told.get("pruner") or "",
        seed=told.get("seed"),
        open=bool(told.get("open")),
    )


def hide_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters, or their ranges, without those that look like credentials: a range names values that no single run has."""
    return {name: MASK if looks_secret(name, value) else value for name, value in values.items()}


def _safe(sweep_id: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9._-]{1,128}", sweep_id):
        return sweep_id
    return hashlib.blake2b(sweep_id.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


def run_finished(history: Sequence[Event]) -> RunFinished | None:
    """Return the run's end, None while it goes on."""
    return next((event for event in history if isinstance(event, RunFinished)), None)


def trial_page(history: Sequence[Event]) -> TrialPage:
    """Return how the trial of these events ended, as far as it has."""
    finished = run_finished(history)
    summary: Mapping[str, Any] = finished.summary if finished is not None else {}
    ended = stages(history)
    found = numbers(history)
    known = {item.name for item in found}
    values: Mapping[str, Any] = summary.get("values") or {}
    end_s = finished.time_s if finished is not None else 0.0
    # The objective's own name is what trials are sorted by, where the stage's metric has another.
    found += [Number(name=name, value=float(value), time_s=end_s) for name, value in values.items() if value is not None and name not in known]
    return TrialPage(
        state=_state(finished),
        numbers=tuple(found),
        ran=tuple(summary.get("ran") or (stage.stage for stage in ended if stage.status == "ran")),
        reused=tuple(summary.get("reused") or (stage.stage for stage in ended if stage.status == "reused")),
    )


def _state(finished: RunFinished | None) -> str:
    if finished is None:
        return "RUNNING"
    # A trial whose process was killed has no summary.
    return str(finished.summary.get("state") or {"done": "COMPLETE", "pruned": "PRUNED"}.get(finished.status, "FAIL"))
