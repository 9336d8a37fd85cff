"""Whether models are still where they were registered, asked without MLflow, whose import takes seconds: by a run with nothing to do.

The embedded database is asked for the models themselves. Of a server only its address is compared: asking it would cost every such run a
request, and a wait where it does not answer; `nbmlops track sync` asks it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.tracking.mlflow_store import database_file

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DELETED", "DIGEST_TAG", "are_gone", "place_of"]

DIGEST_TAG = "nbmlops.digest"
DELETED = "Deleted_Internal"  # MLflow keeps the rows of versions that it has deleted
_TABLE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'model_versions'"
_VERSION = """SELECT 1 FROM model_versions AS v JOIN model_version_tags AS t ON t.name = v.name AND t.version = v.version
WHERE v.name = ? AND t.key = ? AND t.value = ? AND v.current_stage <> ? LIMIT 1"""
_BUSY_S = 0.2


def place_of(uri: str) -> str:
    """Return the address of a registry as it is kept: without a password, the file of a database in full."""
    path = database_file(uri)
    return re.sub(r"//[^/@]+@", "//", uri).rstrip("/") if path is None else f"sqlite:///{path.resolve()}"


def are_gone(models: Iterable[tuple[str, str]], uri: str, place: str) -> bool:
    """Tell whether the registry at `uri` lacks one of `models`.

    Parameters
    ----------
    models : iterable of (str, str)
        Name and digest of each.
    uri : str
        Where the registry is now.
    place : str
        Where they were registered, by `place_of`; "" where that is not known.

    Returns
    -------
    bool
        False too where that cannot be told now.
    """
    path = database_file(uri)
    if path is None:
        return place not in {"", place_of(uri)}
    return not path.exists() or _lacks(path, models)


def _lacks(path: Path, models: Iterable[tuple[str, str]]) -> bool:
    import sqlite3  # noqa: PLC0415 - for runs that register models

    try:
        database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
        try:
            if database.execute(_TABLE).fetchone() is None:
                return True
            return any(database.execute(_VERSION, (name, DIGEST_TAG, digest, DELETED)).fetchone() is None for name, digest in models)
        finally:
            database.close()
    except sqlite3.Error:
        return False  # somebody writes to it just now, or it is of a kind that is not known here
