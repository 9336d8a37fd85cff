"""MLflow's model registry: versions with their evidence, and the aliases that mean them.

MLflow's retired stages are never used. A version's evidence stands in its tag `nbmlops.evidence`, as JSON: files of a model cannot be
exchanged, and a later run that makes the same model again speaks for the same version. Evidence that is too long for one tag stands in
several, which the tag names once they are all there: whoever reads gets the old evidence or the new, never a mixture.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nbmlops.errors import NbmlopsError, TrackerUnavailable, UsageError
from nbmlops.promotion.base import Evidence, ModelRequest, ModelVersion
from nbmlops.promotion.presence import DIGEST_TAG, place_of
from nbmlops.tracking.mlflow_client import experiment_named, line_of, open_client, refused
from nbmlops.tracking.mlflow_store import registry_uri
from nbmlops.tracking.pages import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion as Registered

__all__ = ["CARD_FILE", "EVIDENCE_FILE", "MlflowRegistry"]

EVIDENCE_FILE = "nbmlops/evidence.json"
CARD_FILE = "nbmlops/card.md"
_EVIDENCE_TAG = "nbmlops.evidence"
_PART = 90_000  # MLflow's own limit of a tag is 100,000
_TAG = 5000
_TOLD = 100
_PAGE = 1000
_NOTE = "registered_model_meta"  # whoever loads a version from a folder on disk leaves it there: MLflow notes the name that was asked for
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


class MlflowRegistry:
    """The registry of `registry_uri`; see `nbmlops.promotion.base.Registry`.

    A model's files are kept by the same server or database that keeps its versions.

    Parameters
    ----------
    project_root : Path
    """

    def __init__(self, project_root: Path) -> None:
        self.project_root = project_root
        self.uri = registry_uri(project_root)
        self.place = place_of(self.uri)
        self._connected: MlflowClient | None = None

    def connect(self) -> MlflowClient:
        """Return the client, made on first use together with an embedded database."""
        if self._connected is None:
            for name, value in _QUIET.items():
                os.environ.setdefault(name, value)
            with _one_line():
                self._connected = open_client(self.uri, self.project_root, "a registry in MLflow")
        return self._connected

    def names(self) -> tuple[str, ...]:
        """Return the names of all registered models, sorted."""
        client = self.connect()
        found: list[str] = []
        with _one_line():
            token: str | None = None
            while token != "":
                page = client.search_registered_models(max_results=_PAGE, page_token=token)
                found += [item.name for item in page]
                token = page.token or ""
        return tuple(sorted(found))

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """Return every version, the newest first; empty if there is no such model."""
        client = self.connect()
        with _one_line():
            aliases = self._aliases(model)
            if aliases is None:
                return ()
            found = sorted(_search(client, model), key=lambda item: int(item.version), reverse=True)
            return tuple(self._told(item, aliases) for item in found)

    def version(self, model: str, number: int) -> ModelVersion:
        """Return one version; `UsageError` if there is none."""
        client = self.connect()
        with _one_line():
            found = _found(client.get_model_version, model, str(number))
            if found is None:
                raise self._no_version(model, number)
            return self._told(found, self._aliases(model) or {})

    def register(self, request: ModelRequest, evidence: Evidence, folder: Path) -> ModelVersion:
        """Make a version of what lies in `folder`, or find the one of the same digest; it has `evidence` then.

        The evidence of a version that was there names the files that it has, which may differ from those in `folder` in what is no
        part of the model, such as the time at which it was packed.
        """
        client = self.connect()
        with _one_line():
            known = _same_model(client, request)
            number = int(known.version) if known is not None else self._create(client, request, evidence, folder)
            if known is not None:
                self._renew(client, known, evidence, folder)
        return self.version(request.name, number)

    @contextmanager
    def files(self, model: str, number: int) -> Iterator[Path]:
        """Give a folder with the files that the registry would serve, but for the evidence, which is read from tags, and a note of MLflow's."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        client = self.connect()
        with tempfile.TemporaryDirectory(prefix="nbmlops-model-") as folder:
            with _one_line(), self._alone():
                if _found(client.get_model_version, model, str(number)) is None:
                    raise self._no_version(model, number)
                place = client.get_model_version_download_uri(model, str(number))
                get_artifact_repository(place, tracking_uri=self.uri, registry_uri=self.uri).download_artifacts("", folder)
            for name in (EVIDENCE_FILE, _NOTE):
                Path(folder, name).unlink(missing_ok=True)
            yield Path(folder)

    def aliases(self, model: str) -> Mapping[str, int]:
        """Return which version each alias means."""
        self.connect()
        with _one_line():
            return self._aliases(model) or {}

    def move(self, model: str, alias: str, number: int | None) -> None:
        """Let an alias mean a version; None takes it away."""
        client = self.connect()
        with _one_line():
            if number is None:
                _found(client.delete_registered_model_alias, model, alias)
            elif _found(client.get_model_version, model, str(number)) is None:
                raise self._no_version(model, number)
            else:
                client.set_registered_model_alias(model, alias, str(number))

    def tags(self, model: str) -> Mapping[str, str]:
        """Return the tags of the registered model itself."""
        client = self.connect()
        with _one_line():
            found = _found(client.get_registered_model, model)
            return dict(found.tags) if found is not None else {}

    def set_tags(self, model: str, tags: Mapping[str, str], *, number: int | None = None) -> None:
        """Set tags of the model, or of one version of it."""
        client = self.connect()
        with _one_line():
            for name, value in tags.items():
                if number is None:
                    client.set_registered_model_tag(model, name, text_of(value))
                else:
                    client.set_model_version_tag(model, str(number), name, text_of(value))

    def delete_tags(self, model: str, names: Sequence[str]) -> None:
        """Take tags of the model away; one that is not there is no error."""
        client = self.connect()
        with _one_line():
            for name in names:
                _found(client.delete_registered_model_tag, model, name)

    def close(self) -> None:
        """Drop the client."""
        self._connected = None

    def _aliases(self, model: str) -> dict[str, int] | None:
        # What a search returns has no aliases.
        found = _found(self.connect().get_registered_model, model)
        return None if found is None else {alias: int(number) for alias, number in sorted(found.aliases.items())}

    def _told(self, found: Registered, aliases: Mapping[str, int]) -> ModelVersion:
        number = int(found.version)
        return ModelVersion(
            model=found.name,
            version=number,
            digest=found.tags.get(DIGEST_TAG, ""),
            created_s=found.creation_timestamp / 1000,
            evidence=_evidence_in(found.tags),
            aliases=tuple(alias for alias, meant in aliases.items() if meant == number),
            url=self._url(found.name, number),
        )

    def _url(self, model: str, number: int) -> str:
        if not self.uri.startswith("http"):
            return ""
        return f"{re.sub(r'//[^/@]+@', '//', self.uri).rstrip('/')}/#/models/{quote(model, safe='')}/versions/{number}"

    def _no_version(self, model: str, number: int) -> UsageError:
        there = [int(item.version) for item in _search(self.connect(), model)] if self._aliases(model) is not None else []
        names = ", ".join(str(item) for item in sorted(there))
        return UsageError(
            f"the model {model!r} has no version {number}",
            code="NB645",
            fix=f"it has {names}" if there else "nothing is registered under that name; `nbmlops.register_model` in a stage does that",
        )

    def _create(self, client: MlflowClient, request: ModelRequest, evidence: Evidence, folder: Path) -> int:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(request.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        run = self._run(client, evidence)
        model = self._logged_model(client, request, evidence, folder, run)
        parts = _parts(evidence)
        with self._alone():
            made = client.create_model_version(
                request.name,
                f"models:/{model.model_id}",
                run_id=run.info.run_id if run is not None else None,
                tags={DIGEST_TAG: request.digest, **_told_tags(request.digest, evidence), **dict(parts)},
                description=_card(folder),
                model_id=model.model_id,
            )
        first = min(_search(client, request.name, request.digest), key=lambda item: int(item.version), default=made)
        if int(first.version) < int(made.version):
            # Somebody on another machine was faster: the same model is the same version, and nobody can have been told of ours.
            client.delete_model_version(request.name, str(made.version))
            client.delete_logged_model(model.model_id)
            self._renew(client, first, evidence, folder)
        return int(first.version)

    def _logged_model(self, client: MlflowClient, request: ModelRequest, evidence: Evidence, folder: Path, run: Run | None) -> LoggedModel:
        """Upload the files as a model of the run; one that a sender which was killed has begun is filled."""
        if run is not None:
            experiment = run.info.experiment_id
        else:
            name = evidence.tracking.get("experiment") or Path(evidence.notebook).stem or request.name
            experiment = experiment_named(client, name, self.project_root).experiment_id
        marks = {DIGEST_TAG: request.digest, "nbmlops.run_id": evidence.run_id, "nbmlops.model": request.name}
        query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in marks.items())
        found = list(client.search_logged_models([experiment], filter_string=query))
        model = found[0] if found else client.create_logged_model(experiment, request.name, run.info.run_id if run else None, marks)
        client.log_model_artifacts(model.model_id, str(folder))
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary, Path(EVIDENCE_FILE).name)
            path.write_text(json.dumps(evidence.to_json(), indent=1) + "\n")
            client.log_model_artifact(model.model_id, str(path), str(Path(EVIDENCE_FILE).parent))
        client.finalize_logged_model(model.model_id, "READY")
        if run is not None:
            _link(client, run, model.model_id)
        return model

    def _renew(self, client: MlflowClient, known: Registered, evidence: Evidence, folder: Path) -> None:
        before = _evidence_in(known.tags)
        evidence = replace(evidence, files=before.files if before is not None else {})
        name, number = known.name, str(known.version)
        wanted = {**_parts(evidence), **_told_tags(known.tags.get(DIGEST_TAG, ""), evidence)}
        for key, value in wanted.items():
            if known.tags.get(key) != value:
                client.set_model_version_tag(name, number, key, value)
        for key in known.tags:
            if key not in wanted and key.startswith((f"{_EVIDENCE_TAG}.", "nbmlops.metric.", "nbmlops.gate.")):
                client.delete_model_version_tag(name, number, key)
        if (card := _card(folder)) is not None and card != known.description:
            client.update_model_version(name, number, card)
        if (run := self._run(client, evidence)) is not None and (place := re.fullmatch(r"models:/(m-[0-9a-f]+)", known.source or "")):
            _link(client, run, place[1])

    def _run(self, client: MlflowClient, evidence: Evidence) -> Run | None:
        """Return the MLflow run of the evidence; None where this server does not have it, or has deleted it."""
        run_id = evidence.tracking.get("run_id")
        found = _found(client.get_run, run_id) if run_id else None
        return found if found is not None and found.info.lifecycle_stage == "active" else None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # In a database of its own MLflow looks up ``models:/m-...`` by the tracking address of the process, not by that of its client.
        before = os.environ.get("MLFLOW_TRACKING_URI")
        os.environ["MLFLOW_TRACKING_URI"] = self.uri
        try:
            yield
        finally:
            if before is None:
                del os.environ["MLFLOW_TRACKING_URI"]
            else:
                os.environ["MLFLOW_TRACKING_URI"] = before


def _same_model(client: MlflowClient, request: ModelRequest) -> Registered | None:
    if _found(client.get_registered_model, request.name) is None:
        return None
    return min(_search(client, request.name, request.digest), key=lambda item: int(item.version), default=None)


def _search(client: MlflowClient, model: str, digest: str | None = None) -> list[Registered]:
    query = f"name = {_quoted(model)}" + ("" if digest is None else f" and tags.`{DIGEST_TAG}` = {_quoted(digest)}")
    found: list[Registered] = []
    token: str | None = None
    while token != "":
        page = client.search_model_versions(query, max_results=_PAGE, page_token=token)
        found += page
        token = page.token or ""
    return found


def _quoted(text: str) -> str:
    quote = '"' if "'" in text else "'"
    if quote in text:
        raise UsageError(f"{text!r} cannot be asked for in MLflow", code="NB645", fix="use letters, digits, '-' and '_'")
    return f"{quote}{text}{quote}"


def _found(call: Any, *arguments: str) -> Any:  # noqa: ANN401 - what MLflow's client gives
    from mlflow.exceptions import MlflowException

    try:
        return call(*arguments)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _link(client: MlflowClient, run: Run, model_id: str) -> None:
    from mlflow.entities import LoggedModelOutput

    there = run.outputs.model_outputs if run.outputs is not None else []
    if all(item.model_id != model_id for item in there):
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model_id=model_id, step=0)])


def _card(folder: Path) -> str | None:
    with suppress(FileNotFoundError):
        return text_of((folder / CARD_FILE).read_text(encoding="utf-8").replace("\0", ""))
    return None


def _parts(evidence: Evidence) -> dict[str, str]:
    """Return the tags that hold the evidence, in the order in which they must be set."""
    text = json.dumps(evidence.to_json(), separators=(",", ":"))
    if len(text) <= _PART:
        return {_EVIDENCE_TAG: text}
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    parts = {f"{_EVIDENCE_TAG}.{digest}.{start // _PART}": text[start : start + _PART] for start in range(0, len(text), _PART)}
    return {**parts, _EVIDENCE_TAG: json.dumps({"digest": digest, "parts": len(parts)})}


def _evidence_in(tags: Mapping[str, str]) -> Evidence | None:
    try:
        body = json.loads(tags[_EVIDENCE_TAG])
        if "parts" in body:
            text = "".join(tags[f"{_EVIDENCE_TAG}.{body['digest']}.{place}"] for place in range(body["parts"]))
            if hashlib.blake2b(text.encode(), digest_size=16).hexdigest() != body["digest"]:
                return None
            body = json.loads(text)
        return Evidence.from_json(body)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _told_tags(digest: str, evidence: Evidence) -> dict[str, str]:
    """Return what MLflow's page shows of a version, one short line each; nothing reads it back."""
    tags = {
        DIGEST_TAG: digest,
        "nbmlops.run_id": evidence.run_id,
        "nbmlops.stage": evidence.stage,
        "nbmlops.status": evidence.status,
        "nbmlops.notebook": evidence.notebook,
        "nbmlops.commit": evidence.commit,
        "nbmlops.environment": evidence.environment_digest,
    }
    for name, value in list(evidence.metrics.items())[:_TOLD]:
        tags[_tag_name(f"nbmlops.metric.{name}")] = repr(value)
    for place, gate in enumerate(evidence.gates[:_TOLD]):
        verdict = "holds" if gate.get("passed") is True else "refuses"
        reason = gate.get("warning") if gate.get("passed") is True else gate.get("reason")
        tags[f"nbmlops.gate.{place + 1}"] = f"{verdict}: {gate.get('name', '')}" + (f" ({reason})" if reason else "")
    return {name: " ".join(text_of(value).replace("\0", " ").split())[:_TAG] for name, value in tags.items()}


def _tag_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.\-/ ]", "_", name)[:250]


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except NbmlopsError:
        raise
    except Exception as error:
        line = line_of(error) or type(error).__name__
        if refused(error) or getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
            raise NbmlopsError(f"the registry refuses this: {line}", code="NB644", fix="nothing was changed by this call") from error
        if isinstance(error, (AttributeError, KeyError, TypeError)):
            raise NbmlopsError(
                f"the registry's answer was not understood: {type(error).__name__}: {line}", code="NB644", fix="please report it"
            ) from error
        raise TrackerUnavailable(
            f"the registry cannot be used now: {line}", code="NB643", fix="see MLFLOW_REGISTRY_URI and MLFLOW_TRACKING_URI, and try again"
        ) from error
