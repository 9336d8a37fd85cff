"""A project with a store, and other processes that use it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import nbmlops
from nbmlops.settings import Settings
from nbmlops.store.records import Artifact, RunRecord, StageRecord
from nbmlops.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PACKAGE = Path(nbmlops.__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make the settings of an empty project, without the team's key."""
    monkeypatch.delenv("NBMLOPS_STORE_KEY", raising=False)
    (tmp_path / "project").mkdir()
    return Settings(project_root=tmp_path / "project", store=str(tmp_path / "project" / ".nbmlops"))


@pytest.fixture
def store(project: Settings) -> Store:
    """Open the project's own store."""
    return Store(project.store, settings=project)


@pytest.fixture
def root(project: Settings) -> Path:
    """Give the folder of the project's store."""
    return Path(project.store)


@pytest.fixture
def put_stage() -> Callable[..., StageRecord]:
    """Store a stage with one artifact, as a runner does: object first, record last."""

    def put(store: Store, key: str, content: bytes = b"model", **fields: object) -> StageRecord:
        digest = store.objects.put([content])
        artifact = Artifact(name="model", digest=digest, format="json", size_bytes=len(content))
        given = {"stage": "train", "notebook": "flights.ipynb", "code": "c0de", "outputs": {"model": artifact}} | fields
        record = StageRecord.from_json(StageRecord(key=key, **given).to_json())  # type: ignore[arg-type]
        store.put_record(record)
        return record

    return put


@pytest.fixture
def put_run() -> Callable[..., RunRecord]:
    """Store a run of some stage keys."""

    def put(store: Store, run_id: str, keys: list[str], *, started_s: float = 1e9, notebook: str = "flights.ipynb") -> RunRecord:
        stages = tuple({"name": f"stage{place}", "key": key} for place, key in enumerate(keys))
        run = RunRecord(run_id=run_id, notebook=notebook, notebook_digest="", status="done", started_s=started_s, stages=stages)
        store.put_run(run)
        return run

    return put


@pytest.fixture
def start(project: Settings) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python processes that begin with `store` at hand; what still runs at the end is killed."""
    began: list[subprocess.Popen[str]] = []
    opening = (
        "import os, sys, time\nfrom pathlib import Path\nfrom nbmlops.settings import Settings\nfrom nbmlops.store.store import Store\n"
        "settings = Settings(project_root=Path(sys.argv[1]), store=sys.argv[2])\nstore = Store(settings.store, settings=settings)\n"
    )

    def run(script: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", opening + script, str(project.project_root), project.store, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(_PACKAGE)})
        began.append(process)
        return process

    yield run
    for process in began:
        process.kill()
        process.communicate()


@pytest.fixture
def age() -> Callable[[Path, float], None]:
    """Make everything below a folder look older, by a number of seconds."""

    def back(folder: Path, seconds: float) -> None:
        for path in folder.rglob("*"):
            times = path.lstat()
            os.utime(path, (times.st_atime - seconds, times.st_mtime - seconds), follow_symlinks=False)

    return back
