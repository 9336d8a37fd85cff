"""What a run's page in MLflow says: events in, names and values out that MLflow takes."""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nbmlops.executors.events import Event, RunFinished, RunStarted, StageFinished
from nbmlops.tracking.pages import Number, name_of_run, numbers, plain_name, series, stage_line, stages, text_of, texts
from nbmlops.tracking.sweep_page import SweepPart, TrialPage, hide_secrets, run_finished

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlflow.entities import DatasetInput

__all__ = [
    "ROLE_TAG",
    "RUN_ID_TAG",
    "SWEEP_ID_TAG",
    "TRIAL_TAG",
    "Page",
    "milliseconds",
    "page_of",
    "part_tags",
    "run_tags",
    "sweep_page_of",
    "sweep_tags",
    "trial_page_of",
    "trial_tags",
]

RUN_ID_TAG = "nbmlops.run_id"
SWEEP_ID_TAG = "nbmlops.sweep_id"
ROLE_TAG = "nbmlops.role"
TRIAL_TAG = "nbmlops.trial"
TAG_LIMIT = 5000
_NAME_LIMIT = 250
_PARAMETER_LIMIT = 6000
_DIGEST_LIMIT = 36


@dataclass(slots=True)
class Page:
    """What is sent in batches: names are already such as MLflow takes."""

    metrics: list[Number] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    datasets: list[DatasetInput] = field(default_factory=list)


def page_of(history: Sequence[Event], new: int, finished: RunFinished | None) -> Page:
    """Return what the events from `new` on add to a run's page, and at its end what only the whole run tells."""
    page = Page()
    for event in history[new:]:
        if isinstance(event, RunStarted):
            page.parameters = {mlflow_name(name): parameter_text(value) for name, value in event.parameters.items()}
            page.tags.update(run_tags(event))
        elif isinstance(event, StageFinished):
            _add_stage(page, event)
    if finished is not None:
        page.tags["nbmlops.status"] = finished.status
        page.tags.update({mlflow_name(f"nbmlops.metric.{name}"): text[:TAG_LIMIT] for name, text in texts(history).items()})
        # Only now: which names two stages share is not known before the last one has ended.
        page.metrics += as_metrics([*series(history), *numbers(history)])
    return page


def trial_page_of(history: Sequence[Event], started: RunStarted, trial: TrialPage) -> Page:
    """Return a trial's parameters and metrics; its tags are `trial_tags`."""
    page = Page(parameters={mlflow_name(name): parameter_text(value) for name, value in started.parameters.items()})
    if (finished := run_finished(history)) is not None:
        seconds = [
            Number(name=f"stage_seconds/{stage.stage}", value=stage.seconds, time_s=stage.time_s) for stage in stages(history) if stage.seconds > 0
        ]
        seconds.append(Number(name="trial_seconds", value=finished.seconds, time_s=finished.time_s))
        page.metrics += as_metrics([*seconds, *series(history), *trial.numbers])
    return page


def as_metrics(found: Sequence[Number]) -> list[Number]:
    """Return metrics under names that MLflow takes, each value of a step once."""
    return list({(item.name, item.step, repr(item.value)): item for item in (replace(item, name=mlflow_name(item.name)) for item in found)}.values())


def trial_tags(history: Sequence[Event], started: RunStarted, part: SweepPart, trial: TrialPage) -> dict[str, str]:
    """Return the tags of a trial, but for that of its parent."""
    finished = run_finished(history)
    tags = {
        **run_tags(started),
        **part_tags(part),
        "mlflow.runName": f"trial {part.number}",
        "nbmlops.state": trial.state,
        "nbmlops.status": finished.status if finished is not None else "running",
        "nbmlops.ran": " ".join(trial.ran)[:TAG_LIMIT],
        "nbmlops.reused": " ".join(trial.reused)[:TAG_LIMIT],
    }
    for stage in stages(history):
        if stage.error:
            tags[mlflow_name(f"nbmlops.stage.{stage.stage}")] = stage_line(stage)[:TAG_LIMIT]
    tags.update({mlflow_name(f"nbmlops.metric.{name}"): text[:TAG_LIMIT] for name, text in texts(history).items()})
    return tags


def part_tags(part: SweepPart) -> dict[str, str]:
    """Return the tags by which the runs of a sweep are found."""
    tags = {SWEEP_ID_TAG: part.id, "nbmlops.sweep": text_of(part.name)[:TAG_LIMIT], ROLE_TAG: part.role}
    return tags if part.number is None else {**tags, TRIAL_TAG: str(part.number)}


def sweep_page_of(started: RunStarted, part: SweepPart, finished: RunFinished | None) -> Page:
    """Return what the sweep's own run says: what was looked for and how, and at its end what was found."""
    kinds = {"space": part.space, "objectives": part.objectives, "sampler": part.sampler, "pruner": part.pruner, "seed": part.seed}
    page = Page(parameters={mlflow_name(f"space.{name}"): parameter_text(text) for name, text in part.space.items()})
    page.parameters |= {name: parameter_text(kinds[name]) for name in ("sampler", "pruner", "objectives")}
    page.tags = {**sweep_tags(started, part), **{f"nbmlops.sweep.{name}": text_of(value)[:TAG_LIMIT] for name, value in kinds.items()}}
    if finished is None:
        return page
    page.tags["nbmlops.status"] = finished.status
    page.tags["nbmlops.counts"] = text_of(finished.summary.get("counts") or {})[:TAG_LIMIT]
    if front := finished.summary.get("front"):
        page.tags["nbmlops.front"] = text_of(front)[:TAG_LIMIT]
    best: Mapping[str, Any] = finished.summary.get("best") or {}
    if best:
        page.tags["nbmlops.best"] = text_of(best.get("number"))
        page.tags |= {
            mlflow_name(f"nbmlops.best.{name}"): text_of(value)[:TAG_LIMIT] for name, value in hide_secrets(best.get("parameters") or {}).items()
        }
        values = {name: value for name, value in (best.get("values") or {}).items() if value is not None}
        page.metrics = as_metrics([Number(name=f"best.{name}", value=float(value), time_s=finished.time_s) for name, value in values.items()])
    return page


def sweep_tags(started: RunStarted, part: SweepPart) -> dict[str, str]:
    """Return the tags that a sweep's run is made with, whether it or one of its trials comes first."""
    own = {name: value for name, value in run_tags(started).items() if name not in {RUN_ID_TAG, "nbmlops.seed"}}
    return {**own, **part_tags(replace(part, role="sweep", number=None)), "mlflow.runName": text_of(part.name)[:TAG_LIMIT]}


def _add_stage(page: Page, stage: StageFinished) -> None:
    page.tags[mlflow_name(f"nbmlops.stage.{stage.stage}")] = stage_line(stage)[:TAG_LIMIT]
    for position, gate in enumerate(stage.gates):
        verdict = "passed" if gate.get("passed") else "refused"
        line = f"{verdict}: {gate.get('name')} (value {gate.get('value')}, threshold {gate.get('threshold')})" + (
            f": {gate['reason']}" if gate.get("reason") else ""
        )
        page.tags[mlflow_name(f"nbmlops.gate.{stage.stage}.{position}")] = text_of(line)[:TAG_LIMIT]
    if stage.seconds > 0:
        page.metrics += as_metrics([Number(name=f"stage_seconds/{stage.stage}", value=stage.seconds, time_s=stage.time_s)])
    for path, digest in stage.files.items():
        page.datasets.append(_dataset(path, digest, "local", {"uri": path, "digest": digest}, f"{stage.stage} input"))
    for artifact in stage.artifacts:
        name = f"{stage.stage}.{artifact.get('name')}"
        page.datasets.append(_dataset(name, str(artifact.get("digest")), "nbmlops", artifact, f"{stage.stage} output"))


def _dataset(name: str, digest: str, kind: str, source: Mapping[str, Any], context: str) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = json.dumps({key: source[key] for key in ("type", "summary", "size_bytes") if key in source})
    return DatasetInput(
        Dataset(
            name=text_of(name)[-500:],
            digest=digest[:_DIGEST_LIMIT] or "absent",
            source_type=kind,
            source=json.dumps(source)[:65535],
            profile=profile if profile != "{}" else None,
        ),
        [InputTag("mlflow.data.context", context)],
    )


def run_tags(started: RunStarted) -> dict[str, str]:
    """Return the tags of any run, its own id among them."""
    tags = {
        RUN_ID_TAG: started.run_id,
        "mlflow.runName": name_of_run(started),
        "mlflow.source.name": started.notebook,
        "mlflow.source.type": "NOTEBOOK",
        "nbmlops.seed": str(started.seed),
    }
    known = {"git_commit": "mlflow.source.git.commit", "user": "mlflow.user"}
    for name, value in started.tags.items():
        own = name if name.startswith("mlflow.") else known.get(name, f"nbmlops.{name}")
        tags[mlflow_name(own)] = text_of(value)[:TAG_LIMIT]
    return tags


def mlflow_name(name: str) -> str:
    """Return `name` as MLflow takes it for a parameter, a metric or a tag."""
    return plain_name(name, _NAME_LIMIT, _allowed)


def _allowed(name: str) -> bool:
    plain = posixpath.normpath(name)
    return bool(re.fullmatch(r"[/\w.\- :]+", name)) and plain == name and not plain.startswith(("..", "/")) and plain != "."


def parameter_text(value: object) -> str:
    """Return a parameter's value as text that MLflow has room for."""
    text = text_of(value)
    if len(text) <= _PARAMETER_LIMIT:
        return text
    note = f"… (cut: {len(text)} characters, whole in parameters.json)"
    return text[: _PARAMETER_LIMIT - len(note)] + note


def milliseconds(time_s: float) -> int:
    """Return a time as MLflow counts it."""
    return int(time_s * 1000)
