"""MLflow's runs, found and filled: every call can be made again, after a kill or a lost answer, and changes nothing then."""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from nbmlops.tracking.mlflow_page import Page, milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Metric, Run

    from nbmlops.executors.events import RunFinished
    from nbmlops.tracking.pages import Number

__all__ = ["drop_doubles", "find_runs", "first_run", "known_run", "send_page", "send_status"]

# of a trial that was pruned, MLflow has no better word: a tag has the right one
_STATUSES = {"done": "FINISHED", "cancelled": "KILLED", "pruned": "KILLED"}
_BATCH = 100
_METRICS = 500


def send_page(client: MlflowClient, run: Run, page: Page) -> None:
    """Send what the run has not got of the page.

    Parameters
    ----------
    client : MlflowClient
    run : mlflow.entities.Run
        As it is in MLflow: what it has already, from before a kill, is not sent again, since MLflow keeps every value that it is sent.
    page : Page
    """
    from mlflow.entities import Metric, Param, RunTag

    metrics = [Metric(item.name, item.value, milliseconds(item.time_s), item.step) for item in _missing(client, run, page.metrics)]
    # A parameter never changes: one that the notebook's own code has set to something else stays.
    parameters = [Param(name, value) for name, value in page.parameters.items() if name not in run.data.params]
    tags = [RunTag(name, value) for name, value in page.tags.items()]
    for some_metrics, some_parameters, some_tags in _batches(metrics, parameters, tags):
        client.log_batch(run.info.run_id, metrics=some_metrics, params=some_parameters, tags=some_tags)
    for start in range(0, len(page.datasets), _BATCH):
        client.log_inputs(run.info.run_id, datasets=page.datasets[start : start + _BATCH])


def _missing(client: MlflowClient, run: Run, metrics: Sequence[Number]) -> list[Number]:
    values = Counter(item.name for item in metrics)
    begun = {name for name, count in values.items() if count > 1 and name in run.data.metrics}
    # Of one that was sent by steps, the last value does not tell whether those before it have arrived.
    there = {(name, item.step, repr(item.value)) for name in begun for item in client.get_metric_history(run.info.run_id, name)}
    return [
        item
        for item in metrics
        if ((item.name, item.step, repr(item.value)) not in there if item.name in begun else not _same(run.data.metrics.get(item.name), item.value))
    ]


def _batches(metrics: list[Metric], *others: list[Any]) -> Iterator[tuple[list[Any], ...]]:
    parts = [
        [items[start : start + size] for start in range(0, len(items), size)]
        for items, size in ((metrics, _METRICS), *((some, _BATCH) for some in others))
    ]
    return zip_longest(*parts, fillvalue=[])


def send_status(client: MlflowClient, run: Run, finished: RunFinished | None) -> None:
    """Show whether the run goes on or how it ended."""
    if finished is not None:
        client.set_terminated(run.info.run_id, _STATUSES.get(finished.status, "FAILED"), milliseconds(finished.time_s))
    elif run.info.status != "RUNNING":
        # A stage's own `mlflow.end_run()` ends what it takes for its run.
        client.update_run(run.info.run_id, status="RUNNING")


def known_run(client: MlflowClient, reference: Mapping[str, str]) -> Run | None:
    """Return the run that an earlier delivery has named; None if there was none, or if the server does not know it."""
    from mlflow.exceptions import MlflowException

    if "run_id" not in reference:
        return None
    try:
        return client.get_run(reference["run_id"])
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def find_runs(client: MlflowClient, experiment: Experiment, **tags: str) -> list[Run]:
    """Return the runs that have these tags of ours (``run_id="..."`` for ``nbmlops.run_id``), the oldest first."""
    query = " and ".join(f"tags.`nbmlops.{name}` = '{value}'" for name, value in tags.items())
    return list(client.search_runs([experiment.experiment_id], query, order_by=["attributes.start_time ASC"]))


def first_run(client: MlflowClient, experiment: Experiment, **tags: str) -> Run | None:
    """Return the oldest of `find_runs`."""
    found = find_runs(client, experiment, **tags)
    return found[0] if found else None


def drop_doubles(client: MlflowClient, experiment: Experiment, run: Run, run_id: str) -> None:
    """Delete what a server that was slow to answer has made for a request that was given up: the same run once more."""
    for other in find_runs(client, experiment, run_id=run_id):
        if other.info.run_id != run.info.run_id:
            client.delete_run(other.info.run_id)


def _same(one: float | None, other: float) -> bool:
    return one is not None and (one == other or (one != one and other != other))  # noqa: PLR0124 - NaN
