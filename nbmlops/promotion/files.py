"""Whether the files of a version, and its evidence, are what was registered."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from nbmlops.errors import NbmlopsError, StoreError, Tampered
from nbmlops.promotion.packing import ABOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from nbmlops.promotion.base import ModelVersion, Registry
    from nbmlops.store.records import RunRecord, StageRecord
    from nbmlops.store.store import Store

__all__ = ["kept_files", "verify_evidence", "verify_files"]

_CHUNK = 1 << 20
_AGAIN = "delete the version in MLflow, and run the notebook again"


def verify_files(registry: Registry, version: ModelVersion, store: Store) -> None:
    """Compare the files that the registry would serve with the digests of the evidence, and of the run's record where this store has it.

    Raises
    ------
    Tampered
        If one differs, is gone or is too many; the message names it.
    """
    evidence = version.evidence
    if evidence is None:
        return  # nothing was written down of them: that is a refusal, which `judge_version` tells
    said = f"version {version.version} of {version.model!r}"
    if not evidence.files:
        raise _tampered(f"the evidence of {said} names no files", _AGAIN)
    with registry.files(version.model, version.version) as folder:
        found = dict(_digests(folder))
    for path, digest in evidence.files.items():
        if path not in found:
            raise _tampered(f"the file {path} of {said} is gone", _AGAIN)
        if found[path] != digest:
            raise _tampered(f"the file {path} of {said} is not what was registered", _AGAIN)
    for path in found:
        if path not in evidence.files:
            raise _tampered(f"the file {path} of {said} was added", f"remove it, or {_AGAIN}")
    if path := _unlike_records(version, found, store):
        raise _tampered(f"the file {path} of {said} is not one that its run made, though its evidence says so", _AGAIN)


def verify_evidence(version: ModelVersion, store: Store) -> None:
    """Compare the evidence with the record of its run, where this store has it.

    Raises
    ------
    Tampered
        If they differ; the message names where.
    """
    evidence = version.evidence
    run = None if evidence is None else store.run(evidence.run_id)
    if evidence is None or run is None or run.run_id != evidence.run_id:
        return
    said = f"the evidence of version {version.version} of {version.model!r}"
    fix = f"register the model again: nbmlops run {run.notebook}"
    if evidence.status != run.status:
        raise _tampered(f"{said} says that run {run.run_id[:8]} ended as {evidence.status}, its record {run.status}", fix, "NB658")
    metrics = _metrics_of(run, version, store) or {}
    for name, value in evidence.metrics.items():
        if name in metrics and not any(_same(value, logged) for logged in metrics[name]):
            raise _tampered(f"{said} says {name} {value}, the record of run {run.run_id[:8]} {metrics[name][-1]}", fix, "NB658")
    recorded = {(str(stage.get("name")), str(gate.get("name"))): gate for stage in run.stages for gate in stage.get("gates", ())}
    told = {(str(gate.get("stage", "")), str(gate.get("name"))): gate for gate in evidence.gates}
    for place, gate in recorded.items():
        if place not in told:
            raise _tampered(f"{said} lacks the gate {place[1]} of stage {place[0]}, which the record of run {run.run_id[:8]} has", fix, "NB658")
        if not all(_same(told[place].get(name), gate.get(name)) for name in ("judge", "passed", "value", "threshold")):
            raise _tampered(f"{said} and the record of run {run.run_id[:8]} differ about the gate {place[1]} of stage {place[0]}", fix, "NB658")


def kept_files(registry: Registry, version: ModelVersion, paths: Sequence[str], store: Store, *, fetch: bool) -> dict[str, bytes]:
    """Return files of a version that are what was registered: from the store, else from the registry if `fetch`; without those that cannot be had."""
    wanted = {path: digest for path in paths if version.evidence is not None and (digest := version.evidence.files.get(path))}
    found: dict[str, bytes] = {}
    for path, digest in wanted.items():
        with suppress(KeyError, StoreError):
            found[path] = bytes(store.objects.view(digest))
    if fetch and len(found) < len(wanted):
        # what cannot be fetched is no reason not to look at the rest; a promotion verifies all files, and says what is wrong
        with suppress(NbmlopsError), registry.files(version.model, version.version) as folder:
            for path, digest in wanted.items():
                content = (folder / path).read_bytes() if (folder / path).is_file() else b""
                if blake3(content).hexdigest() == digest:
                    found[path] = content
    return found


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            hasher = blake3()
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    hasher.update(chunk)
            yield path.relative_to(folder).as_posix(), hasher.hexdigest()


def _unlike_records(version: ModelVersion, found: Mapping[str, str], store: Store) -> str:
    """Return a file of the model that no run in this store has made, although one has registered this model; "" for none.

    A model may be packed again by a later run, in another format or by another library: so the evidence's run is asked first, then all.
    """
    unlike = ""
    first = store.run(version.evidence.run_id) if version.evidence is not None else None
    for run in (*([first] if first is not None else []), *store.runs()):
        for model in _models_of(run, store):
            if model.get("name") == version.model and model.get("digest") == version.digest:
                data = {path: digest for path, digest in model["files"].items() if path not in ABOUT and not path.startswith("nbmlops/")}
                unlike = next((path for path, digest in data.items() if found.get(path) != digest), "")
                if not unlike:
                    return ""
    return unlike


def _models_of(run: RunRecord, store: Store) -> Iterator[Mapping[str, Any]]:
    """Yield what a run's stages packed: as its own record has it, and, where that names none, as the stages' records do."""
    for stage, record in zip(run.stages, _records(run, store), strict=True):
        yield from stage.get("models", ())
        yield from record.models if record is not None else ()


def _metrics_of(run: RunRecord, version: ModelVersion, store: Store) -> dict[str, list[Any]] | None:
    """Return the values that the stages of a run logged for each name, under ``stage/name`` too, and said of the model; None if not all are known."""
    found: dict[str, list[Any]] = {}
    for stage, record in zip(run.stages, _records(run, store), strict=True):
        if record is None and stage.get("key"):
            return None  # what was said of the model when it was registered stands there
        said = [dict(model.get("metrics", {})) for model in record.models if model.get("name") == version.model] if record is not None else []
        for name, value in [item for metrics in (dict(stage.get("metrics", {})), *said) for item in metrics.items()]:
            found.setdefault(name, []).append(value)
            found.setdefault(f"{stage.get('name')}/{name}", []).append(value)
    return found


def _records(run: RunRecord, store: Store) -> Iterator[StageRecord | None]:
    for stage in run.stages:
        yield store.record_alone(str(stage.get("key")))


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401 - what was logged
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other)


def _tampered(what: str, fix: str, code: str = "NB657") -> Tampered:
    return Tampered(what, code=code, fix=fix)
