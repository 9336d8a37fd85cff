"""How what a tracker was told is opened: at an address, or by a command that opens one."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from nbmlops.pattern import pattern
from nbmlops.tracking.mlflow_store import tracking_uri

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["way_to_mlflow"]

_ACCOUNT = pattern(r"(?<=://)[^/@]*@")


def way_to_mlflow(project_root: Path, reference: Mapping[str, str]) -> dict[str, str]:
    """Return ``url`` where MLflow has a server, else the ``command`` that shows its store; never with a password in it.

    Parameters
    ----------
    project_root : Path
    reference : mapping of str to str
        Where the tracker has put a run; empty before it has.
    """
    uri = tracking_uri(project_root)
    if uri.startswith(("http://", "https://")):
        page = f"/#/experiments/{reference['experiment_id']}/runs/{reference['run_id']}" if {"experiment_id", "run_id"} <= set(reference) else ""
        return {"url": _ACCOUNT.sub("", uri).rstrip("/") + page}
    shown = '"$MLFLOW_TRACKING_URI"' if _ACCOUNT.search(uri) else shlex.quote(uri)
    return {"command": f"mlflow ui --backend-store-uri {shown}"}
