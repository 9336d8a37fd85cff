"""Write a stored artifact to a file that other tools read."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

from nbmlops.errors import UpstreamMissing, UsageError
from nbmlops.store.loading import load_artifact
from nbmlops.store.serializers import Context

if TYPE_CHECKING:
    from pathlib import Path

    from nbmlops.settings import Settings
    from nbmlops.store.records import Artifact
    from nbmlops.store.store import Store

__all__ = ["FORMATS", "export_artifact"]

FORMATS = ("json", "csv", "parquet", "npy", "pickle")


def export_artifact(store: Store, settings: Settings, artifact: Artifact, target: Path, format: str | None) -> int:  # noqa: A002 - the option's word
    """Write an artifact and return how many bytes were written.

    Parameters
    ----------
    store : Store
    settings : Settings
    artifact : Artifact
    target : Path
    format : {"json", "csv", "parquet", "npy", "pickle"} or None
        None writes the stored bytes.

    Raises
    ------
    UpstreamMissing
        If its bytes are no longer in the store.
    UsageError
        If the value cannot be written in that format.
    """
    context = Context(local_roots=(settings.project_root,), trusted=store.trusted)
    try:
        if format is None:
            return target.write_bytes(store.objects.view(artifact.digest))
        value = load_artifact(store, artifact, context)
    except KeyError as error:
        raise UpstreamMissing(f"the bytes of {artifact.name!r} are no longer in the store", code="NB602", fix="run the notebook again") from error
    _write(value[artifact.name] if artifact.members else value, artifact, target, format)
    return target.stat().st_size


def _write(value: Any, artifact: Artifact, target: Path, format: str) -> None:  # noqa: A002, ANN401 - any value
    try:
        if format == "json":
            target.write_text(
                value.to_json(orient="records", date_format="iso") if hasattr(value, "to_json") else json.dumps(value), encoding="utf-8"
            )
        elif format == "csv":
            value.to_csv(target)
        elif format == "parquet":
            value.to_parquet(target)
        elif format == "npy":
            import numpy as np

            with target.open("wb") as file:  # to a name it would add .npy
                np.save(file, value, allow_pickle=False)
        else:
            target.write_bytes(pickle.dumps(value, protocol=5))
    except (AttributeError, TypeError, ValueError) as error:
        raise UsageError(
            f"{artifact.name!r} is a {artifact.type or artifact.format} and cannot be written as {format}",
            code="NB004",
            fix="choose another --as, or leave it out for the stored bytes",
        ) from error
