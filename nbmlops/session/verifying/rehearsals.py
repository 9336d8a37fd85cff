"""Executions for `verify`: stages in copies of the project, under conditions that are given, with a store of their own."""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.errors import StoreError
from nbmlops.executors.local import LocalExecutor
from nbmlops.executors.tasks import attempts_folder
from nbmlops.runner.environment import file_digest
from nbmlops.runner.rehearsal import Rehearsal
from nbmlops.session.verifying.replica import Replica
from nbmlops.store.locks import file_lock
from nbmlops.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from nbmlops.runner.task import StageOutcome, StageTask
    from nbmlops.session.verifying.conditions import Conditions
    from nbmlops.settings import Settings
    from nbmlops.store.records import StageRecord

__all__ = ["Rehearsals", "Rehearsed", "RehearsingExecutor", "scratch_folder"]

_POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What one execution gave.

    Parameters
    ----------
    outcome : StageOutcome
    files : mapping of str to (str or None)
        The digest of every file that it changed, or was asked about, relative to the project's root; None where there is none.
    """

    outcome: StageOutcome
    files: Mapping[str, str | None]


class RehearsingExecutor:
    """Runs tasks as another executor does, each as a rehearsal.

    Parameters
    ----------
    inner : LocalExecutor
    rehearsal : Rehearsal
    environment : mapping of str to str
        Variables that every task gets.
    """

    def __init__(self, inner: LocalExecutor, rehearsal: Rehearsal, environment: Mapping[str, str]) -> None:
        self._inner = inner
        self._rehearsal = rehearsal
        self._environment = environment

    @property
    def workers(self) -> int:
        """How many stages may run at once."""
        return self._inner.workers

    def start(self, task: StageTask) -> None:
        """Begin a task and return at once."""
        environment = {**task.environment, **self._environment}
        self._inner.start(replace(task, rehearsal=self._rehearsal, environment=environment))

    def wait(self, timeout_s: float) -> list[StageOutcome]:
        """Return the outcomes of tasks that have ended."""
        return self._inner.wait(timeout_s)

    def cancel(self, attempt: str) -> None:
        """End a task and everything it has started."""
        self._inner.cancel(attempt)

    def close(self) -> None:
        """End every task, and the server."""
        self._inner.close()


class Rehearsals:
    """Two copies of a project, the store of what runs in them, and the processes.

    Parameters
    ----------
    settings : Settings
        Of the project.
    folder : Path
        The notebook's.
    scratch : Path
        An empty folder for all of it.
    preload : iterable of str
        Modules that processes are forked with.
    """

    def __init__(self, settings: Settings, folder: Path, scratch: Path, preload: Iterable[str]) -> None:
        root = settings.project_root
        self.scratch = scratch
        self._preload = tuple(preload)
        self._project = root
        self._executors: dict[tuple[tuple[str, str], ...], LocalExecutor] = {}
        self._folder = folder
        self.replicas = {"first": Replica(root, scratch / "first" / root.name), "second": Replica(root, scratch / "second" / "copy" / root.name)}
        first = self.replicas["first"].root
        self.settings = replace(settings, project_root=first, store=str(first / ".nbmlops"), trackers=())
        self.store = Store(self.settings.store, settings=self.settings)

    def folder(self, place: str) -> Path:
        """Return the notebook's folder in a copy."""
        return self.replicas[place].folder(self._folder)

    def written(self, record: StageRecord | None) -> dict[str, str]:
        """Return the digest of each file that a stage was seen to write, by path relative to the project's root."""
        files = record.files_written if record else {}
        return {place: digest for path, digest in files.items() if (place := self._path_of(path)) is not None}

    def executor(self, conditions: Conditions, workers: int = 1) -> RehearsingExecutor:
        """Return what runs tasks under these conditions; one server of processes serves all that need the same variables."""
        key = (*sorted(conditions.environment.items()), ("workers", str(workers)))
        if key not in self._executors:
            self._executors[key] = LocalExecutor(attempts_folder(self.store), workers, self._preload, conditions.environment)
        rehearsal = Rehearsal(project=str(self._project), scratch=str(self.scratch), shift_s=conditions.shift_s, clock_s=conditions.clock_s)
        # the notebook's own calls of trackers are no part of any run
        trackers = {
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.scratch}/mlflow.db",
            "WANDB_MODE": "offline",
            "WANDB_DIR": str(self.scratch),
        }
        return RehearsingExecutor(self._executors[key], rehearsal, trackers)

    def run(
        self, task: StageTask, conditions: Conditions, settled: Mapping[str, Callable[[Path], None]], files: Iterable[str], *, retries: int = 0
    ) -> Rehearsed:
        """Run a stage once, in a copy that holds what earlier stages wrote and nothing else that is new.

        Parameters
        ----------
        task : StageTask
        conditions : Conditions
        settled : mapping of str to callable
            The files that earlier stages wrote: see `Replica.restore`.
        files : iterable of str
            Files, relative to the project's root, to look at even if they have not changed.
        retries : int
            How often a stage that fails is run again.
        """
        replica = self.replicas[conditions.place]
        outcome = self._attempt(task, conditions, settled)
        while outcome.status != "ran" and retries:
            outcome, retries = self._attempt(task, conditions, settled), retries - 1
        paths = {*replica.changed(), *files}
        return Rehearsed(outcome=outcome, files={path: file_digest(replica.root / path) for path in sorted(paths)})

    def _attempt(self, task: StageTask, conditions: Conditions, settled: Mapping[str, Callable[[Path], None]]) -> StageOutcome:
        replica = self.replicas[conditions.place]
        replica.restore(settled)
        token = uuid.uuid4().hex
        executor = self.executor(conditions)
        executor.start(replace(task, attempt=token, folder=str(self.folder(conditions.place)), project_root=str(replica.root)))
        while True:
            for outcome in executor.wait(_POLL_S):
                if outcome.attempt == token:
                    return outcome

    def _path_of(self, path: str) -> str | None:
        """Return a path relative to the notebook's folder as one relative to the project's root; None for what lies outside."""
        if os.path.isabs(path):  # noqa: PTH117 - text in, text out
            return None
        found = os.path.relpath(self._folder / path, self._project)
        return None if os.pardir in Path(found).parts else found

    def close(self) -> None:
        """End every process."""
        for executor in self._executors.values():
            executor.close()


@contextmanager
def scratch_folder(store: Store) -> Iterator[Path]:
    """Give an empty folder beside the store, gone afterwards; those of verifications that were killed go too."""
    made = store.local_path(f"verify/{uuid.uuid4().hex[:12]}")
    lock = store.local_path("locks/verify.lock")
    with suppress(StoreError), file_lock(lock, timeout_s=0):
        for other in made.parent.iterdir():
            shutil.rmtree(other, ignore_errors=True)
    with file_lock(lock, shared=True):
        made.mkdir(mode=0o700)
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)
