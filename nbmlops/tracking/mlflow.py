"""MLflow: one MLflow run for each run of a pipeline."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from nbmlops.errors import NbmlopsError
from nbmlops.executors.events import Event, RunFinished, RunStarted
from nbmlops.tracking.executed import executed_notebook
from nbmlops.tracking.mlflow_client import experiment_named, open_client, told
from nbmlops.tracking.mlflow_page import RUN_ID_TAG, milliseconds, page_of, part_tags, run_tags
from nbmlops.tracking.mlflow_runs import drop_doubles, first_run, known_run, send_page, send_status
from nbmlops.tracking.mlflow_store import tracking_uri
from nbmlops.tracking.mlflow_sweep import PARENT_TAG, SweepRuns, reference_to, run_of_trial, shows
from nbmlops.tracking.pages import name_of_run, requirements, stage_table
from nbmlops.tracking.reports import reports
from nbmlops.tracking.sweep_page import SweepPart, run_finished, sweep_part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

__all__ = ["RUN_ID_TAG", "MlflowTracker"]

_TRIAL_COMES_S = 120.0  # after which the best trial's full run no longer waits for its trial to be there
_EXPERIMENT_S = 5.0


class MlflowTracker:
    """Shows runs in the MLflow of ``MLFLOW_TRACKING_URI``, else in ``mlflow.db`` and ``mlartifacts`` at the project root.

    Parameters
    ----------
    project_root : Path
    """

    def __init__(self, project_root: Path) -> None:
        self.project_root = project_root
        self._connected: MlflowClient | None = None
        self._sweeps = SweepRuns(remote=tracking_uri(project_root).startswith("http"))
        self._experiments: dict[str, tuple[float, Experiment]] = {}

    def deliver(self, history: Sequence[Event], *, new: int, reference: Mapping[str, str]) -> dict[str, str] | None:
        """Bring the MLflow run up to date; see `nbmlops.tracking.base.Tracker.deliver`."""
        client = self.connect()
        try:
            return self._deliver(client, history, new, reference)
        except NbmlopsError:
            raise
        except Exception as error:
            raise told(error) from error

    def alone_since(self, time_s: float) -> None:
        """See `nbmlops.tracking.base.Watchful.alone_since`."""
        self._sweeps.alone_since_s = time_s

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
            try:
                self._connected = open_client(tracking_uri(self.project_root), self.project_root, "tracking in MLflow")
            except NbmlopsError:
                raise
            except Exception as error:
                raise told(error) from error
        return self._connected

    def close(self) -> None:
        """Drop the client."""
        self._connected = None

    def _deliver(self, client: MlflowClient, history: Sequence[Event], new: int, reference: Mapping[str, str]) -> dict[str, str] | None:
        started = history[0]
        if not isinstance(started, RunStarted):
            raise NbmlopsError("a run's events begin without its start", code="NB906", fix="run `nbmlops store verify`")
        part = sweep_part(started)
        trial = part is not None and part.role == "trial"
        if part is not None and trial and not shows(history, part):
            return None
        experiment = (
            self._experiment_of_trial(client, started.experiment) if trial else experiment_named(client, started.experiment, self.project_root)
        )
        if part is not None and part.role != "best":
            return reference_to(self._sweeps.deliver(client, experiment, history, started, reference, part), experiment)
        found = known_run(client, reference) or first_run(client, experiment, run_id=started.run_id)
        if found is None or found.info.run_id != reference.get("run_id"):
            # Another server, or a database made anew: what the old one was told, this one was not.
            new = 0
        run = found or self._make_run(client, experiment, history, started, part)
        if run is None:
            return None
        self._fill_run(client, experiment, run, history, started, new)
        return reference_to(run, experiment)

    def _make_run(
        self, client: MlflowClient, experiment: Experiment, history: Sequence[Event], started: RunStarted, part: SweepPart | None
    ) -> Run | None:
        tags = run_tags(started)
        if part is not None:
            above = run_of_trial(client, experiment, part)
            finished = run_finished(history)
            if above is None and (finished is None or time.time() - finished.time_s < _TRIAL_COMES_S):
                return None  # its trial is sent first
            tags |= part_tags(part) | {PARENT_TAG: above or self._sweeps.parent(client, experiment, started, part)}
        return client.create_run(experiment.experiment_id, milliseconds(started.time_s), tags, name_of_run(started))

    def _fill_run(self, client: MlflowClient, experiment: Experiment, run: Run, history: Sequence[Event], started: RunStarted, new: int) -> None:
        if run.info.lifecycle_stage != "active":
            return  # who deletes a run in MLflow does not want to see it again
        finished = run_finished(history)
        try:
            send_page(client, run, page_of(history, new, finished))
            if finished is not None:
                self._send_files(client, run.info.run_id, history, started, finished)
        finally:
            # Whatever could not be sent, no run is left RUNNING.
            send_status(client, run, finished)
        if finished is not None:
            drop_doubles(client, experiment, run, started.run_id)

    def _experiment_of_trial(self, client: MlflowClient, name: str) -> Experiment:
        # A thousand trials would ask a thousand times; that somebody has deleted it meanwhile, the run that is made in it says.
        looked_s, found = self._experiments.get(name, (float("-inf"), None))
        if found is None or time.monotonic() - looked_s > _EXPERIMENT_S:
            found = experiment_named(client, name, self.project_root)
            self._experiments[name] = (time.monotonic(), found)
        return found

    def _send_files(self, client: MlflowClient, run_id: str, history: Sequence[Event], started: RunStarted, finished: RunFinished) -> None:
        client.log_text(run_id, requirements(started), "requirements.txt")
        client.log_text(run_id, _json(started.parameters), "parameters.json")
        client.log_text(run_id, _json(stage_table(history)), "stages.json")
        for place, report in reports(history, started.tags.get("store", ""), self.project_root):
            client.log_text(run_id, report.decode("utf-8", "replace"), place)
        notebook = executed_notebook(finished, started.tags.get("store", ""), self.project_root)
        if notebook is not None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, f"{PurePosixPath(started.notebook).stem or 'notebook'}.ipynb")
                path.write_bytes(notebook)
                client.log_artifact(run_id, str(path))


def _json(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"
