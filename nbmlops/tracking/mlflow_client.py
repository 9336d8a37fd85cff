"""MLflow's client: opened, its experiments found or made, its errors told in one line."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from nbmlops.errors import MissingDependency, NbmlopsError, TrackerUnavailable
from nbmlops.tracking.mlflow_store import artifact_location, database_file, make_database
from nbmlops.tracking.pages import text_of

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow import MlflowClient
    from mlflow.entities import Experiment

__all__ = ["experiment_named", "line_of", "open_client", "refused", "told"]

_REFUSALS = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "PERMISSION_DENIED"})


def open_client(uri: str, project_root: Path, purpose: str) -> MlflowClient:
    """Return a client of the server or database at `uri`; an embedded database is made where there is none.

    Raises
    ------
    MissingDependency
        If MLflow is not installed; `purpose` says what for.
    """
    try:
        from mlflow import MlflowClient  # seconds
    except ModuleNotFoundError as error:
        raise MissingDependency("mlflow", "", purpose) from error
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    if (path := database_file(uri)) is not None:
        make_database(path, project_root.absolute() / "mlartifacts")
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def experiment_named(client: MlflowClient, name: str, project_root: Path) -> Experiment:
    """Return the experiment of this name, made if it is not there.

    Raises
    ------
    NbmlopsError
        NB903, if it is deleted.
    """
    from mlflow.exceptions import MlflowException

    name = text_of(name)[:500] or "Default"
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            client.create_experiment(name, artifact_location=artifact_location(project_root, name))
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


def line_of(error: Exception) -> str:
    """Return what an error says in one short line, without the password that an address may hold."""
    return re.sub(r"//[^/@\s]+@", "//***@", " ".join(str(error).split()))[:300]


def refused(error: Exception) -> bool:
    """Tell whether the server has answered that it will not do it, now or later."""
    return getattr(error, "error_code", "") in _REFUSALS


def told(error: Exception) -> NbmlopsError:
    """Return the error of a tracker: what it sends stays in the outbox."""
    line = line_of(error)
    if isinstance(error, (AttributeError, KeyError, TypeError)):
        return NbmlopsError(
            f"MLflow gets no run of these events: {type(error).__name__}: {line}", code="NB903", fix="please report it; they stay in the outbox"
        )
    if refused(error):
        return NbmlopsError(f"MLflow refuses the run: {line}", code="NB903", fix="its events stay in the outbox")
    return TrackerUnavailable(
        f"MLflow cannot be used now: {line or type(error).__name__}",
        code="NB902",
        fix="its events stay in the outbox; `nbmlops track sync` sends them",
    )
