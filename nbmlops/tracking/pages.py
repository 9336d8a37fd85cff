"""What a run's page says, whatever tracker shows it: events in, names and values out."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from nbmlops.executors.events import Event, RunStarted, StageFinished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "Number",
    "name_of_run",
    "numbers",
    "plain_name",
    "requirements",
    "series",
    "stage_line",
    "stage_table",
    "stages",
    "text_of",
    "texts",
]

_PRECISE = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One value of a metric with the time at which its stage ended, and its step if it was reported by steps."""

    name: str
    value: float
    time_s: float
    step: int = 0


def stages(events: Iterable[Event]) -> list[StageFinished]:
    """Return the last word on each stage, in the order in which the stages first ended."""
    last = {event.stage: event for event in events if isinstance(event, StageFinished)}
    return list(last.values())


def numbers(events: Sequence[Event]) -> list[Number]:
    """Return the metrics that are numbers, with the last value of each.

    A name that two stages use is prefixed by the stage in both, so that which stage ended first changes nothing.
    An infinite value is no number here, since trackers store it as a huge finite one: `texts` has it.
    The last value of a metric that was also reported by steps is the last step's, or comes after it where it is another one.
    """
    reported = {name: steps[-1] for _, name, steps in _named_series(events) if steps}
    found = []
    for stage, name, value in _named_metrics(events):
        if _is_number(value):
            last_step, last_value = reported.get(name, (-1, None))
            step = int(last_step) if name in reported and last_value == value else int(last_step) + 1
            found.append(Number(name=name, value=float(value), time_s=stage.time_s, step=step))
    return found


def series(events: Sequence[Event]) -> list[Number]:
    """Return what was reported by steps, by name and step; values that are no numbers leave a gap."""
    return [
        Number(name=name, value=float(value), time_s=stage.time_s, step=int(step))
        for stage, name, steps in _named_series(events)
        for step, value in steps
        if _is_number(value)
    ]


def texts(events: Sequence[Event]) -> dict[str, str]:
    """Return the metrics that a tracker cannot keep as numbers, as text."""
    return {name: text_of(value) for _, name, value in _named_metrics(events) if not _is_number(value)}


def _named_metrics(events: Sequence[Event]) -> list[tuple[StageFinished, str, Any]]:
    names = _names(events)
    return [(stage, names[stage.stage, name], value) for stage in stages(events) for name, value in stage.metrics.items()]


def _named_series(events: Sequence[Event]) -> list[tuple[StageFinished, str, list[list[float]]]]:
    names = _names(events)
    return [(stage, names[stage.stage, name], sorted(steps)) for stage in stages(events) for name, steps in stage.series.items()]


def _names(events: Sequence[Event]) -> dict[tuple[str, str], str]:
    used = {stage.stage: {*stage.metrics, *stage.series} for stage in stages(events)}
    uses = Counter(name for names in used.values() for name in names)
    return {(stage, name): name if uses[name] == 1 else f"{stage}/{name}" for stage, names in used.items() for name in names}


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return abs(value) <= _PRECISE
    return isinstance(value, float) and not math.isinf(value)


def text_of(value: object) -> str:
    """Return a parameter's or metric's value as text: strings bare, the other scalars as Python, the rest as JSON."""
    if isinstance(value, str):
        text = value
    elif value is None or isinstance(value, bool | int | float):
        text = str(value)
    else:
        text = json.dumps(value, ensure_ascii=False)
    # A lone surrogate, legal in JSON and in Python, is in no database.
    return text.encode("utf-8", "backslashreplace").decode()


def plain_name(name: str, limit: int, allowed: Callable[[str], bool]) -> str:
    """Return `name` if `allowed`, else a name of letters, digits, ``_-. :/`` that no other name becomes."""
    if len(name) <= limit and allowed(name):
        return name
    digest = hashlib.blake2b(name.encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()
    safe = re.sub(r"[^A-Za-z0-9_\-. :]", "_", name).strip(". ")
    return f"{safe[: limit - 9]}-{digest}"


def stage_line(stage: StageFinished) -> str:
    """Return a stage's status and why, in one line."""
    error = stage.error or {}
    why = f"{error.get('type', 'error')}: {error.get('message', '')}" if error else stage.reason
    return text_of(" ".join(f"{stage.status}: {why}".split()) if why else stage.status)


def requirements(started: RunStarted) -> str:
    """Return the environment as a requirements file."""
    python = {name: version for name, version in started.environment.items() if name.lower() == "python"}
    rest = {name: version for name, version in started.environment.items() if name not in python}
    lines = [f"# python {version}" for version in python.values()]
    lines += [f"{name}=={version}" for name, version in sorted(rest.items(), key=lambda item: item[0].lower())]
    return "".join(f"{line}\n" for line in lines)


def name_of_run(started: RunStarted) -> str:
    """Return the name that people see: the notebook's and the beginning of the run's id."""
    return f"{PurePosixPath(started.notebook).stem or 'run'}-{started.run_id[:8]}"


def stage_table(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Return all that is known of each stage as JSON data."""
    return [asdict(stage) for stage in stages(events)]
