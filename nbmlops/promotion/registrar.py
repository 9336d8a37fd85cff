"""Registers what a run's stages have left: a consumer of the outbox, as trackers are, so that no model waits for a run's process.

It takes whole runs only: what speaks for a model is known when the run has ended.
"""

from __future__ import annotations

import getpass
import hashlib
import importlib
import json
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NbmlopsError
from nbmlops.executors.events import Event, RunFinished, RunStarted, StageFinished
from nbmlops.promotion.base import REGISTRIES, Evidence, ModelRequest, Registry
from nbmlops.promotion.card import card_of
from nbmlops.settings import load_settings
from nbmlops.store.store import Store
from nbmlops.tracking.outbox import Outbox
from nbmlops.tracking.pages import numbers, stages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Registrar", "evidence_of", "offered"]

_OFFERING = frozenset({"ran", "reused", "refused"})
_CARD = "nbmlops/card.md"
# a trial is one of many that are compared; the sweep itself has no stages
_SILENT = frozenset({"trial", "sweep"})


class Registrar:
    """Registers models in the project's registry; see `nbmlops.tracking.base.Tracker`.

    Parameters
    ----------
    project_root : Path
    """

    def __init__(self, project_root: Path) -> None:
        self.project_root = project_root
        self._registry: Registry | None = None
        self._names: frozenset[str] | None = None

    def deliver(self, history: Sequence[Event], *, new: int, reference: Mapping[str, str]) -> dict[str, str] | None:  # noqa: ARG002 - a tracker's
        """Register the models of a run that has ended; empty for one that has none."""
        started, finished = history[0], next((event for event in history if isinstance(event, RunFinished)), None)
        if not isinstance(started, RunStarted):
            raise NbmlopsError("a run's events begin without its start", code="NB906", fix="run `nbmlops store verify`")
        if finished is None:
            with suppress(Exception):
                importlib.import_module("mlflow")  # seconds, while the run goes on
            return None
        wanted = offered(history)
        if not wanted or started.sweep.get("role") in _SILENT:
            return {}
        store = self._store(started)
        shown = Outbox(store.local_path("outbox")).reference(started.run_id).get("mlflow", {})
        made = []
        for stage, request in wanted:
            evidence = evidence_of(history, started, finished, stage, request, shown)
            version = self._register(store, request, evidence)
            made.append(f"{request.name}/{version}")
        found = {"run_id": shown.get("run_id", started.run_id), "experiment": started.experiment, "models": ", ".join(dict.fromkeys(made))}
        place = getattr(self._opened(), "place", "")
        return {**found, "place": place} if place else found

    def lacks(self, history: Sequence[Event], reference: Mapping[str, str]) -> bool:
        """Tell whether the registry has no model of a name that this run has registered, and the store still has what it takes.

        Of a model that is there, a version that is not was deleted by somebody, who does not want it back for an old run's sake.
        """
        started = history[0]
        if not reference.get("models") or not isinstance(started, RunStarted):
            return False
        if self._names is None:
            self._names = frozenset(self._opened().names())
        store = self._store(started)
        lost = [request for _, request in offered(history) if request.name not in self._names]
        return any(all(store.objects.exists(digest) for digest in request.files.values()) for request in lost)

    def close(self) -> None:
        """Let go of the registry."""
        if self._registry is not None:
            self._registry.close()
            self._registry = None

    def _register(self, store: Store, request: ModelRequest, evidence: dict[str, Any]) -> int:
        card = card_of(request, Evidence.from_json(evidence))
        with _unpacked(store, request) as folder:
            path = folder / _CARD
            path.parent.mkdir(exist_ok=True)
            path.write_text(card, encoding="utf-8")
            files = {item.relative_to(folder).as_posix(): _blake3(item) for item in sorted(folder.rglob("*")) if item.is_file()}
            return self._opened().register(request, Evidence.from_json({**evidence, "files": files}), folder).version

    def _opened(self) -> Registry:
        if self._registry is None:
            self._registry = REGISTRIES.get(load_settings(self.project_root).registry)(self.project_root)
        return self._registry

    def _store(self, started: RunStarted) -> Store:
        settings = load_settings(self.project_root, store=started.tags.get("store") or None)
        return Store(settings.store, settings=settings)


def offered(history: Sequence[Event]) -> list[tuple[StageFinished, ModelRequest]]:
    """Return what the stages of a run want registered, each with its stage."""
    return [(stage, ModelRequest.from_json(item)) for stage in stages(history) if stage.status in _OFFERING for item in stage.models]


def evidence_of(
    history: Sequence[Event],
    started: RunStarted,
    finished: RunFinished,
    stage: StageFinished,
    request: ModelRequest,
    shown: Mapping[str, str],
) -> dict[str, Any]:
    """Return what a whole run says of a model, as `Evidence.to_json` has it, but for the digests of its files.

    Of a metric that several stages log, the one that registers the model has the last word, but for the request itself. What a stage has
    logged and another has the last word about stands under ``stage/name``: its gates are judged by it.
    """
    metrics = {item.name: item.value for item in numbers(history)} | _numbers_of(stage) | dict(request.metrics)
    for other in stages(history):
        metrics |= {f"{other.stage}/{name}": value for name, value in _numbers_of(other).items() if repr(metrics.get(name)) != repr(value)}
    gates = tuple({**gate, "stage": other.stage} for other in stages(history) for gate in other.gates)
    commit = started.tags.get("git_commit", "")
    environment = json.dumps(sorted(started.environment.items()))
    return Evidence(
        run_id=started.run_id,
        stage=stage.stage,
        status=finished.status,
        time_s=finished.time_s,
        notebook=started.notebook,
        notebook_digest=finished.output_digest or "",
        output=finished.output or "",
        metrics=metrics,
        gates=gates,
        parameters=started.parameters,
        data={path: digest for other in stages(history) for path, digest in other.files.items()},
        environment=started.environment,
        environment_digest=hashlib.blake2b(environment.encode(), digest_size=16).hexdigest(),
        commit=f"{commit}-dirty" if commit and started.tags.get("git_dirty") == "true" else commit,
        user=started.tags.get("user") or _user(),
        tracking=dict(shown),
    ).to_json()


def _numbers_of(stage: StageFinished) -> dict[str, float]:
    return {name: float(value) for name, value in stage.metrics.items() if isinstance(value, (int, float)) and not isinstance(value, bool)}


@contextmanager
def _unpacked(store: Store, request: ModelRequest) -> Iterator[Path]:
    """Give a folder with the model's files, each verified by its digest."""
    with tempfile.TemporaryDirectory(prefix="nbmlops-model-") as temporary:
        root = Path(temporary).resolve()
        for name, digest in request.files.items():
            path = (root / name).resolve()
            if not path.is_relative_to(root) or path == root:
                raise NbmlopsError(f"the model {request.name!r} has a file {name!r} outside its folder", code="NB649", fix="run its stage again")
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.write_bytes(store.objects.view(digest))
            except KeyError as error:
                raise NbmlopsError(
                    f"the model {request.name!r} cannot be registered: its file {name!r} is no longer in the store",
                    code="NB649",
                    fix="run the notebook again: the stage that makes it is computed",
                ) from error
        yield root


def _blake3(path: Path) -> str:
    from blake3 import blake3  # noqa: PLC0415 - a compiled module, for senders only

    return blake3(path.read_bytes()).hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
