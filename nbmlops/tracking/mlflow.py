"""MLflow: one MLflow run for each run of a pipeline."""

from __future__ import annotations

import json
import logging
import posixpath
import re
import tempfile
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from nbmlops.errors import MissingDependency, NbmlopsError, TrackerUnavailable
from nbmlops.executors.events import Event, RunFinished, RunStarted, StageFinished
from nbmlops.tracking.executed import executed_notebook
from nbmlops.tracking.mlflow_store import artifact_location, database_file, make_database, tracking_uri
from nbmlops.tracking.pages import (
    name_of_run,
    numbers,
    plain_name,
    requirements,
    stage_line,
    stage_table,
    text_of,
    texts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Experiment, Run

__all__ = ["RUN_ID_TAG", "MlflowTracker"]

RUN_ID_TAG = "nbmlops.run_id"
_STATUSES = {"done": "FINISHED", "cancelled": "KILLED"}
_NAME_LIMIT = 250
_PARAMETER_LIMIT = 6000
_TAG_LIMIT = 5000
_BATCH = 100
_DIGEST_LIMIT = 36


class MlflowTracker:
    """Shows runs in the MLflow of ``MLFLOW_TRACKING_URI``, else in ``mlflow.db`` and ``mlartifacts`` at the project root.

    Parameters
    ----------
    project_root : Path
    """

    def __init__(self, project_root: Path) -> None:
        self.project_root = project_root
        self._connected: MlflowClient | None = None

    def deliver(self, history: Sequence[Event], *, new: int, reference: Mapping[str, str]) -> dict[str, str]:
        """Bring the MLflow run up to date; see `nbmlops.tracking.base.Tracker.deliver`."""
        client = self.connect()
        try:
            return self._deliver(client, history, new, reference)
        except NbmlopsError:
            raise
        except Exception as error:
            raise _told(error) from error

    def connect(self) -> MlflowClient:
        """Return the client, made on first use together with the embedded database.

        Raises
        ------
        TrackerUnavailable
            If the database cannot be made or opened.
        MissingDependency
            If MLflow is not installed.
        """
        if self._connected is None:
            uri = tracking_uri(self.project_root)
            try:
                from mlflow import MlflowClient  # seconds
            except ModuleNotFoundError as error:
                raise MissingDependency("mlflow", "mlflow", "tracking in MLflow") from error
            logging.getLogger("mlflow").setLevel(logging.ERROR)
            logging.getLogger("alembic").setLevel(logging.ERROR)
            try:
                if (path := database_file(uri)) is not None:
                    make_database(path, self.project_root.absolute() / "mlartifacts")
                self._connected = MlflowClient(tracking_uri=uri)
            except Exception as error:
                raise _told(error) from error
        return self._connected

    def close(self) -> None:
        """Drop the client."""
        self._connected = None

    def _deliver(self, client: MlflowClient, history: Sequence[Event], new: int, reference: Mapping[str, str]) -> dict[str, str]:
        started = history[0]
        if not isinstance(started, RunStarted):
            raise NbmlopsError("a run's events begin without its start", code="NB906", fix="run `nbmlops store verify`")
        experiment = self._experiment(client, started.experiment)
        run = _known_run(client, reference) or _find_run(client, experiment, started.run_id)
        if run is None or run.info.run_id != reference.get("run_id"):
            # Another server, or a database made anew: what the old one was told, this one was not.
            new = 0
        run = run or _make_run(client, experiment, started)
        found = {"run_id": run.info.run_id, "experiment": experiment.name, "experiment_id": experiment.experiment_id}
        if run.info.lifecycle_stage != "active":
            # Who deletes a run in MLflow does not want to see it again.
            return found
        finished = next((event for event in history if isinstance(event, RunFinished)), None)
        try:
            _send_values(client, run, _page(history, new, finished))
            if finished is not None:
                self._send_files(client, run.info.run_id, history, started, finished)
        finally:
            # Whatever could not be sent, no run is left RUNNING.
            _send_status(client, run, finished)
        if finished is not None:
            _drop_doubles(client, experiment, run, started.run_id)
        return found

    def _experiment(self, client: MlflowClient, name: str) -> Experiment:
        from mlflow.exceptions import MlflowException

        name = text_of(name)[:500] or "Default"
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                client.create_experiment(name, artifact_location=artifact_location(self.project_root, name))
            except MlflowException as error:
                # Another process was faster.
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage != "active":
            raise NbmlopsError(
                f"the MLflow experiment {name!r} is deleted",
                code="NB903",
                fix="restore it with `mlflow experiments restore`, or set another `experiment`",
            )
        return found

    def _send_files(self, client: MlflowClient, run_id: str, history: Sequence[Event], started: RunStarted, finished: RunFinished) -> None:
        client.log_text(run_id, requirements(started), "requirements.txt")
        client.log_text(run_id, _json(started.parameters), "parameters.json")
        client.log_text(run_id, _json(stage_table(history)), "stages.json")
        notebook = executed_notebook(finished, started.tags.get("store", ""), self.project_root)
        if notebook is not None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, f"{PurePosixPath(started.notebook).stem or 'notebook'}.ipynb")
                path.write_bytes(notebook)
                client.log_artifact(run_id, str(path))


@dataclass(slots=True)
class _Page:
    """What is sent in batches: names are already such as MLflow takes."""

    metrics: dict[str, tuple[float, int]] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    datasets: list[DatasetInput] = field(default_factory=list)


def _page(history: Sequence[Event], new: int, finished: RunFinished | None) -> _Page:
    page = _Page()
    for event in history[new:]:
        if isinstance(event, RunStarted):
            page.parameters = {_name(name): _parameter(value) for name, value in event.parameters.items()}
            page.tags.update(_run_tags(event))
        elif isinstance(event, StageFinished):
            _add_stage(page, event)
    if finished is not None:
        page.tags["nbmlops.status"] = finished.status
        page.tags.update({_name(f"nbmlops.metric.{name}"): text[:_TAG_LIMIT] for name, text in texts(history).items()})
        # Only now: which names two stages share is not known before the last one has ended.
        page.metrics.update({_name(item.name): (item.value, _milliseconds(item.time_s)) for item in numbers(history)})
    return page


def _add_stage(page: _Page, stage: StageFinished) -> None:
    page.tags[_name(f"nbmlops.stage.{stage.stage}")] = stage_line(stage)[:_TAG_LIMIT]
    for position, gate in enumerate(stage.gates):
        verdict = "passed" if gate.get("passed") else "refused"
        line = f"{verdict}: {gate.get('name')} (value {gate.get('value')}, threshold {gate.get('threshold')})"
        page.tags[_name(f"nbmlops.gate.{stage.stage}.{position}")] = text_of(line)[:_TAG_LIMIT]
    if stage.seconds > 0:
        page.metrics[_name(f"stage_seconds/{stage.stage}")] = (stage.seconds, _milliseconds(stage.time_s))
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


def _run_tags(started: RunStarted) -> dict[str, str]:
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
        tags[_name(own)] = text_of(value)[:_TAG_LIMIT]
    return tags


def _send_values(client: MlflowClient, run: Run, page: _Page) -> None:
    from mlflow.entities import Metric, Param, RunTag

    # MLflow keeps every value that it is sent: one that it has already, from before a kill, is not sent again.
    metrics = [Metric(name, value, time_ms, 0) for name, (value, time_ms) in page.metrics.items() if not _same(run.data.metrics.get(name), value)]
    # A parameter never changes: one that the notebook's own code has set to something else stays.
    parameters = [Param(name, value) for name, value in page.parameters.items() if name not in run.data.params]
    tags = [RunTag(name, value) for name, value in page.tags.items()]
    for some_metrics, some_parameters, some_tags in _batches(metrics, parameters, tags):
        client.log_batch(run.info.run_id, metrics=some_metrics, params=some_parameters, tags=some_tags)
    for start in range(0, len(page.datasets), _BATCH):
        client.log_inputs(run.info.run_id, datasets=page.datasets[start : start + _BATCH])


def _batches(*lists: list[Any]) -> Iterator[tuple[list[Any], ...]]:
    parts = [[items[start : start + _BATCH] for start in range(0, len(items), _BATCH)] for items in lists]
    return zip_longest(*parts, fillvalue=[])


def _send_status(client: MlflowClient, run: Run, finished: RunFinished | None) -> None:
    if finished is not None:
        client.set_terminated(run.info.run_id, _STATUSES.get(finished.status, "FAILED"), _milliseconds(finished.time_s))
    elif run.info.status != "RUNNING":
        # A stage's own `mlflow.end_run()` ends what it takes for its run.
        client.update_run(run.info.run_id, status="RUNNING")


def _known_run(client: MlflowClient, reference: Mapping[str, str]) -> Run | None:
    from mlflow.exceptions import MlflowException

    if "run_id" not in reference:
        return None
    try:
        return client.get_run(reference["run_id"])
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _find_run(client: MlflowClient, experiment: Experiment, run_id: str) -> Run | None:
    found = _runs(client, experiment, run_id)
    return found[0] if found else None


def _runs(client: MlflowClient, experiment: Experiment, run_id: str) -> list[Run]:
    query = f"tags.`{RUN_ID_TAG}` = '{run_id}'"
    return list(client.search_runs([experiment.experiment_id], query, order_by=["attributes.start_time ASC"]))


def _make_run(client: MlflowClient, experiment: Experiment, started: RunStarted) -> Run:
    return client.create_run(
        experiment.experiment_id,
        start_time=_milliseconds(started.time_s),
        tags=_run_tags(started),
        run_name=name_of_run(started),
    )


def _drop_doubles(client: MlflowClient, experiment: Experiment, run: Run, run_id: str) -> None:
    # A server that was slow to answer may have made the run twice: once for the request that was given up.
    for other in _runs(client, experiment, run_id):
        if other.info.run_id != run.info.run_id:
            client.delete_run(other.info.run_id)


def _told(error: Exception) -> NbmlopsError:
    # The address may hold a password.
    line = re.sub(r"//[^/@\s]+@", "//***@", " ".join(str(error).split()))[:300]
    kind = getattr(error, "error_code", "")
    if kind in {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "PERMISSION_DENIED"}:
        return NbmlopsError(f"MLflow refuses the run: {line}", code="NB903", fix="its events stay in the outbox")
    return TrackerUnavailable(
        f"MLflow cannot be used now: {line or type(error).__name__}",
        code="NB902",
        fix="its events stay in the outbox; `nbmlops track sync` sends them",
    )


def _name(name: str) -> str:
    return plain_name(name, _NAME_LIMIT, _allowed)


def _allowed(name: str) -> bool:
    plain = posixpath.normpath(name)
    return bool(re.fullmatch(r"[/\w.\- :]+", name)) and plain == name and not plain.startswith(("..", "/")) and plain != "."


def _parameter(value: object) -> str:
    text = text_of(value)
    if len(text) <= _PARAMETER_LIMIT:
        return text
    note = f"… (cut: {len(text)} characters, whole in parameters.json)"
    return text[: _PARAMETER_LIMIT - len(note)] + note


def _same(one: float | None, other: float) -> bool:
    return one is not None and (one == other or (one != one and other != other))  # noqa: PLR0124 - NaN


def _milliseconds(time_s: float) -> int:
    return int(time_s * 1000)


def _json(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"
