"""Let the notebook's own ``mlflow.log_metric(...)`` land in the run that nbmlops has opened."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nbmlops.tracking.mlflow_store import tracking_uri

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nbmlops.tracking.outbox import Outbox

__all__ = ["mlflow_environment", "wants_mlflow"]

_POLL_S = 0.05
_LONGEST_WAIT_S = 60.0
# a notebook that chooses its own server or experiment has its own runs, and MLflow refuses to mix the two
_OWN = ("set_experiment", "set_tracking_uri", "MLFLOW_RUN_ID")


def wants_mlflow(modules: Iterable[str], sources: Iterable[str]) -> bool:
    """Tell whether a notebook logs to MLflow itself, and leaves it to us where.

    Parameters
    ----------
    modules : iterable of str
        Dotted names of what it imports.
    sources : iterable of str
        The sources of its cells.
    """
    return any(name.partition(".")[0] == "mlflow" for name in modules) and not any(word in source for source in sources for word in _OWN)


def mlflow_environment(outbox: Outbox, run_id: str, project_root: Path, *, timeout_s: float = _LONGEST_WAIT_S) -> dict[str, str]:
    """Wait until the sender has opened the run in MLflow; return the variables that make MLflow's fluent API log into it.

    Empty if MLflow does not answer in time: then the notebook's calls do what they would do without nbmlops.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = outbox.reference(run_id).get("mlflow", {}).get("run_id")
        if found:
            return {"MLFLOW_TRACKING_URI": tracking_uri(project_root), "MLFLOW_RUN_ID": found}
        time.sleep(_POLL_S)
    return {}
