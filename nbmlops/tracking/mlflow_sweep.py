"""A sweep in MLflow: one parent run however many commands work on it, a child for each trial, the best one's full run below its trial."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from nbmlops.tracking.mlflow_page import milliseconds, sweep_page_of, sweep_tags, trial_page_of, trial_tags
from nbmlops.tracking.mlflow_runs import drop_doubles, find_runs, first_run, known_run, send_page, send_status
from nbmlops.tracking.sweep_page import SweepPart, run_finished, trial_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

    from nbmlops.executors.events import Event, RunStarted

__all__ = ["PARENT_TAG", "SweepRuns", "reference_to", "run_of_trial", "shows"]

PARENT_TAG = "mlflow.parentRunId"
# when the newest word on the sweep was said, of all commands that have worked on it
_SAID_TAG = "nbmlops.sweep.said_ms"
_SHOWN_AFTER_S = 10.0


class SweepRuns:
    """The runs of sweeps, as one sending process knows them.

    Parameters
    ----------
    remote : bool
        Whether answers can be lost, and requests repeated, on the way to MLflow.

    Attributes
    ----------
    alone_since_s : float
        The Unix time from which on nobody else has sent.
    """

    def __init__(self, *, remote: bool) -> None:
        self.alone_since_s = math.inf
        self._remote = remote
        self._parents: dict[tuple[str, str], str] = {}
        self._tried: set[str] = set()

    def deliver(
        self,
        client: MlflowClient,
        experiment: Experiment,
        history: Sequence[Event],
        started: RunStarted,
        reference: Mapping[str, str],
        part: SweepPart,
    ) -> Run:
        """Bring the run of a sweep, or of one of its trials, up to date, and return it."""
        send = self._send_trial if part.role == "trial" else self._send_sweep
        return send(client, experiment, history, started, reference, part)

    def parent(self, client: MlflowClient, experiment: Experiment, started: RunStarted, part: SweepPart) -> str:
        """Return the id of the sweep's own run, which is made if this run of the sweep is the first that is sent."""
        key = (experiment.experiment_id, part.id)
        if key not in self._parents:
            self._parents[key] = self._parent_run(client, experiment, started, part).info.run_id
        return self._parents[key]

    def _parent_run(self, client: MlflowClient, experiment: Experiment, started: RunStarted, part: SweepPart) -> Run:
        return first_run(client, experiment, sweep_id=part.id, role="sweep") or client.create_run(
            experiment.experiment_id, milliseconds(started.time_s), sweep_tags(started, part), part.name
        )

    def _send_sweep(
        self,
        client: MlflowClient,
        experiment: Experiment,
        history: Sequence[Event],
        started: RunStarted,
        reference: Mapping[str, str],
        part: SweepPart,
    ) -> Run:
        run = known_run(client, reference) or self._parent_run(client, experiment, started, part)
        if run.info.lifecycle_stage != "active":
            return run
        self._parents[experiment.experiment_id, part.id] = run.info.run_id
        finished = run_finished(history)
        said_ms = milliseconds(finished.time_s if finished is not None else started.time_s)
        if said_ms < int(run.data.tags.get(_SAID_TAG, "0")):
            return run  # such as the end of a command that was killed, told after another one has gone on and ended
        page = sweep_page_of(started, part, finished)
        goes_on = finished is not None and finished.status == "left"
        if not goes_on:
            page.tags[_SAID_TAG] = str(said_ms)
        send_page(client, run, page)
        if not goes_on:
            send_status(client, run, finished)
        if finished is not None:
            _drop_double_parents(client, experiment, run, part)
        return run

    def _send_trial(
        self,
        client: MlflowClient,
        experiment: Experiment,
        history: Sequence[Event],
        started: RunStarted,
        reference: Mapping[str, str],
        part: SweepPart,
    ) -> Run:
        parent = self.parent(client, experiment, started, part)
        trial = trial_page(history)
        tags = trial_tags(history, started, part, trial) | {PARENT_TAG: parent}
        known = known_run(client, reference) or self._earlier_run(client, experiment, started)
        # All tags at once: a run costs as much as its calls, not as what is in them.
        run = known or client.create_run(experiment.experiment_id, milliseconds(started.time_s), tags, tags["mlflow.runName"])
        if run.info.lifecycle_stage != "active":
            return run
        page = trial_page_of(history, started, trial)
        if known is not None:
            page.tags = tags
        finished = run_finished(history)
        try:
            send_page(client, run, page)
        finally:
            if finished is not None or known is not None:
                send_status(client, run, finished)
        if finished is not None and (known is not None or self._remote):
            drop_doubles(client, experiment, run, started.run_id)
        return run

    def _earlier_run(self, client: MlflowClient, experiment: Experiment, started: RunStarted) -> Run | None:
        # Looking costs a fifth of sending a trial, and most trials have never been tried.
        if started.time_s > self.alone_since_s and started.run_id not in self._tried:
            self._tried.add(started.run_id)
            return None
        return first_run(client, experiment, run_id=started.run_id)


def _drop_double_parents(client: MlflowClient, experiment: Experiment, run: Run, part: SweepPart) -> None:
    # A request whose answer was lost has made the parent once more: no child stays below it, and it does not stay RUNNING.
    for other in find_runs(client, experiment, sweep_id=part.id, role="sweep"):
        if other.info.run_id != run.info.run_id:
            for child in client.search_runs([experiment.experiment_id], f"tags.`{PARENT_TAG}` = '{other.info.run_id}'"):
                client.set_tag(child.info.run_id, PARENT_TAG, run.info.run_id)
            client.delete_run(other.info.run_id)


def run_of_trial(client: MlflowClient, experiment: Experiment, part: SweepPart) -> str | None:
    """Return the id of the trial's run below which the full run of the best trial stands; None if it is not there."""
    run = first_run(client, experiment, sweep_id=part.id, role="trial", trial=str(part.number))
    return run.info.run_id if run is not None else None


def shows(history: Sequence[Event], part: SweepPart) -> bool:
    """Tell whether a trial is shown now: at its end, which is the cheapest, unless it takes long or is asked for at its start."""
    return part.open or run_finished(history) is not None or time.time() - history[0].time_s > _SHOWN_AFTER_S


def reference_to(run: Run, experiment: Experiment) -> dict[str, str]:
    """Return where the run is found."""
    return {"run_id": run.info.run_id, "experiment": experiment.name, "experiment_id": experiment.experiment_id}
