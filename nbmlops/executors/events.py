"""What the scheduler tells whoever watches a run (DESIGN 8).

An event is plain data: it is written to a durable outbox before anybody is told, and read back by another process.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbmlops.runner.results import StageResult
    from nbmlops.store.records import StageRecord

__all__ = ["Event", "RunFinished", "RunStarted", "StageFinished", "event_from_json", "event_to_json", "stage_finished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A run has begun.

    Parameters
    ----------
    run_id : str
        The run's id, unique for ever.
    time_s : float
        Unix time in seconds.
    notebook : str
        The notebook's path, relative to the project root where it lies inside it.
    experiment : str
        The MLflow experiment and W&B project.
    parameters : dict
        Every parameter's value, as JSON.
    tags : dict of str to str
        ``git_commit``, ``git_dirty``, ``notebook_digest``, ``user``, ``store`` and the like; absent where unknown.
    environment : dict of str to str
        Python and the versions of the distributions that the notebook imports.
    seed : int
    sweep : dict
        Empty for a run that is part of no sweep. Else ``role`` (``sweep`` for the sweep itself, ``trial``, or ``best`` for the full run of
        the best trial), ``id``, ``name``, ``space``, ``objectives``, ``sampler``, ``pruner`` and ``seed``, the same in all of its runs, and
        ``number`` of a trial; with ``open`` trackers show a trial at its start, for a notebook that logs into it itself.
    """

    run_id: str
    time_s: float
    notebook: str
    experiment: str
    parameters: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    sweep: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFinished:
    """A stage has its status.

    Parameters
    ----------
    run_id, time_s
        As in `RunStarted`.
    stage : str
    status : str
        ``ran``, ``reused``, ``skipped``, ``failed``, ``refused``, ``timed-out``, ``cancelled`` or ``not-run``.
    key : str or None
        The stage key, where it could be computed.
    seconds : float
        What computing the stage took, 0.0 for one that did not run.
    reason : str
        Why it ran or was reused, one line.
    metrics : dict of str to JSON
        What ``--metrics`` named; numbers are metrics, the rest is kept as text.
    series : dict of str to list of [int, float]
        Step and value of each report, by metric: how it came to its last value.
    gates : list of dict
    models : list of dict
        What the stage wants registered.
    artifacts : list of dict
        ``name``, ``digest``, ``format``, ``size_bytes``, ``type``, ``summary`` of each output.
    files : dict of str to str
        Digest of each input file (a dataset), by path.
    error : dict or None
        As in the CLI contract.
    """

    run_id: str
    time_s: float
    stage: str
    status: str
    key: str | None = None
    seconds: float = 0.0
    reason: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    series: dict[str, list[list[float]]] = field(default_factory=dict)
    gates: list[dict[str, Any]] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """A run has ended.

    Parameters
    ----------
    run_id, time_s
        As in `RunStarted`.
    status : str
        ``done``, ``failed``, ``refused`` or ``cancelled``; ``pruned`` of a trial; ``left`` of a sweep on which other processes still work.
    seconds : float
    output : str or None
        Absolute path of the executed notebook.
    output_digest : str or None
        Digest of that notebook's snapshot in the store, for when the file has moved.
    summary : dict
        Of a trial ``state`` (Optuna's), ``values`` by objective, ``ran`` and ``reused`` stages; of a sweep ``best`` (``number``, ``parameters``
        and ``values``), with several objectives ``front`` (numbers of trials), and ``counts`` by state; else empty.
    """

    run_id: str
    time_s: float
    status: str
    seconds: float
    output: str | None = None
    output_digest: str | None = None
    summary: dict[str, Any] = field(default_factory=dict)


Event = RunStarted | StageFinished | RunFinished
_KINDS: dict[str, type[Event]] = {
    "run-started": RunStarted,
    "stage-finished": StageFinished,
    "run-finished": RunFinished,
}


def event_to_json(event: Event) -> dict[str, Any]:
    """Return the event as JSON data, its kind included."""
    kind = next(name for name, cls in _KINDS.items() if isinstance(event, cls))
    return {"kind": kind, **asdict(event)}


def event_from_json(data: dict[str, Any]) -> Event:
    """Rebuild an event from `event_to_json`; fields of a newer version are ignored."""
    cls = _KINDS[data["kind"]]
    known = {item.name for item in fields(cls)}
    return cls(**{name: value for name, value in data.items() if name in known})


def stage_finished(run_id: str, result: StageResult, record: StageRecord | None) -> StageFinished:
    """Return the event that tells what became of a stage; the record is that of one that is done."""
    files: dict[str, Any] = dict(record.components.get("files", {})) if record else {}
    return StageFinished(
        run_id=run_id,
        time_s=time.time(),
        stage=result.name,
        status=result.status,
        key=result.key,
        seconds=result.seconds if result.status != "reused" else 0.0,
        reason=result.reason,
        metrics=dict(result.metrics),
        series={name: [list(point) for point in points] for name, points in result.series.items()},
        gates=[dict(gate) for gate in result.gates],
        models=[dict(model) for model in result.models],
        artifacts=[
            {
                "name": item.name,
                "digest": item.digest,
                "format": item.format,
                "size_bytes": item.size_bytes,
                "type": item.type,
                "summary": item.summary,
            }
            for item in result.outputs.values()
        ],
        files={path: digest for path, digest in files.items() if digest},
        error=result.error.to_json() if result.error else None,
    )
