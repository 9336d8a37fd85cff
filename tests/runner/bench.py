"""A notebook in a project of its own, planned here and run by real stage processes."""

from __future__ import annotations

import json
import os
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.executors.scheduler import Scheduler
from nbmlops.executors.tasks import make_task
from nbmlops.notebook.document import parse_document
from nbmlops.pipeline.source import read_source
from nbmlops.runner.plan import Planner, Trial
from nbmlops.runner.stagekey import Surroundings, stage_key
from nbmlops.settings import Settings
from nbmlops.store.loading import load_artifact
from nbmlops.store.serializers import Context
from nbmlops.store.store import Store
from tests.acceptance.project import Cell, cell, notebook_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmlops.executors.base import Executor
    from nbmlops.pipeline.effects import Effects
    from nbmlops.runner.plan import PlannedStage
    from nbmlops.runner.task import StageOutcome, StageTask

__all__ = ["Bench", "alive", "cell"]

WAIT_S = 60.0


@dataclass
class Bench:
    """One project folder with its store; `executor` runs what is to be run, `cache` is shared between tests: it says what is installed."""

    folder: Path
    cache: Path
    executor: Executor | None = None
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "pyproject.toml").touch()
        self.settings = Settings(project_root=self.folder, store=str(self.folder / ".nbmlops"))
        self.store = Store(self.settings.store, settings=self.settings)

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def planner(self, *cells: Cell | str, parameters: Mapping[str, Any] | None = None, **trial: Any) -> Planner:
        """Return a planner for a notebook of these cells, which has seen nothing of the surroundings yet."""
        source = read_source(parse_document(notebook_json(cells), self.folder / "nb.ipynb"))
        surroundings = Surroundings(self.folder, self.folder, self.cache)
        return Planner(source, Trial(parameters=parameters or {}, **trial), self.store, surroundings)

    def plan(self, *cells: Cell | str, **trial: Any) -> Mapping[str, PlannedStage]:
        """Return what a plan says of each stage."""
        return self.planner(*cells, **trial).plan().stages

    def states(self, *cells: Cell | str, **trial: Any) -> dict[str, str]:
        """Return each stage's state."""
        return {name: item.state for name, item in self.plan(*cells, **trial).items()}

    def key(self, *cells: Cell | str, stage: str = "a", effects: Effects | None = None, **trial: Any) -> str:
        """Return the key of a stage whose inputs are known by name only."""
        planner = self.planner(*cells, **trial)
        found = planner.pipeline.stages[stage]
        inputs = {name: f"identity of {name}" for name in found.inputs}
        return stage_key(planner.parts(found, inputs, effects or planner.effects[stage], {}))

    def run(self, *cells: Cell | str, report: bool = False, fail_fast: bool = False, **trial: Any) -> Scheduler:
        """Run what is stale."""
        assert self.executor is not None
        scheduler = Scheduler(
            self.planner(*cells, **trial), self.executor, self.store, self.settings, run_id=uuid.uuid4().hex[:16], fail_fast=fail_fast
        )
        scheduler.run(report=report)
        return scheduler

    def statuses(self, *cells: Cell | str, **options: Any) -> dict[str, str]:
        """Run what is stale and return each stage's status."""
        return {name: item.status for name, item in self.run(*cells, **options).results.items()}

    def effects(self, *cells: Cell | str, stage: str) -> Effects:
        """Run a notebook and return what a stage was seen to do."""
        done = self.run(*cells)
        assert stage in done.finished, done.results
        return done.finished[stage].effects

    def task(self, *cells: Cell | str, stage: str = "a", parameters: Mapping[str, Any] | None = None, **changes: Any) -> StageTask:
        """Return the task of a stage without upstream, with `changes` made to it."""
        planner = self.planner(*cells, parameters=parameters)
        plan = planner.plan(report=False)
        token = f"attempt-{uuid.uuid4().hex[:12]}"
        made = make_task(plan.stages[stage], plan, {}, planner=planner, settings=self.settings, store=self.store, run_id="0" * 16, token=token)
        data = made.to_json() | {"environment": {"NBMLOPS_TEST_MARK": self.mark}} | changes
        return type(made).from_json(json.loads(json.dumps(data)))

    def outcome(self, *cells: Cell | str, **options: Any) -> StageOutcome:
        """Run one stage without upstream as a task of its own."""
        assert self.executor is not None
        task = self.task(*cells, **options)
        self.executor.start(task)
        return self.outcome_of(task)

    def outcome_of(self, task: StageTask) -> StageOutcome:
        """Wait for the outcome of a task; late ones of attempts that an earlier test's run gave up are passed over."""
        assert self.executor is not None
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            for found in self.executor.wait(1.0):
                if found.attempt == task.attempt:
                    return found
        raise AssertionError(f"no outcome after {WAIT_S} s")

    def value(self, done: Scheduler | StageOutcome, stage: str, name: str) -> Any:
        """Return an artifact's value."""
        outputs = done.finished[stage].outputs if isinstance(done, Scheduler) else done.outputs
        artifact = outputs[name]
        value = load_artifact(self.store, artifact, Context(namespace={}, by_reference=frozenset(), local_roots=(), trusted=True))
        return value[name] if artifact.members else value

    def shown(self, digest: str | None) -> list[list[dict[str, Any]]]:
        """Return stored cell outputs, cell by cell."""
        assert digest is not None
        found = json.loads(bytes(self.store.objects.view(digest)))
        assert isinstance(found, list)
        return found

    def text(self, digest: str | None, stream: str = "stdout") -> str:
        """Return what the cells printed."""
        return "".join(output["text"] for outputs in self.shown(digest) for output in outputs if output.get("name") == stream)


def alive(mark: str) -> dict[int, str]:
    """Return the command lines of the live processes that have `mark` in their environment."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            if mark.encode() in (entry / "environ").read_bytes() and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found
