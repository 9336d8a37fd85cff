"""The executed notebook of a run, not of a later one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blake3 import blake3

from nbmlops.executors.events import RunFinished
from nbmlops.settings import Settings
from nbmlops.store.store import Store
from nbmlops.tracking.executed import executed_notebook

if TYPE_CHECKING:
    from pathlib import Path


def _finished(output: Path | None, digest: str | None) -> RunFinished:
    return RunFinished(run_id="r1", time_s=1.0, status="done", seconds=1.0, output=str(output) if output else None, output_digest=digest)


def test_the_file_is_taken_if_it_is_still_the_same(tmp_path: Path) -> None:
    """The output's bytes are checked against the digest."""
    path = tmp_path / "out.ipynb"
    path.write_bytes(b"{}")
    assert executed_notebook(_finished(path, blake3(b"{}").hexdigest()), "", tmp_path) == b"{}"
    assert executed_notebook(_finished(path, None), "", tmp_path) == b"{}"


def test_an_overwritten_file_is_not_taken(tmp_path: Path) -> None:
    """Another run's notebook at the same path is not shown as this run's; the store's snapshot is."""
    store = Store(".nbmlops", settings=Settings(project_root=tmp_path, store=".nbmlops"))
    path = tmp_path / "out.ipynb"
    path.write_bytes(b"another run's")
    finished = _finished(path, blake3(b"mine").hexdigest())
    assert executed_notebook(finished, ".nbmlops", tmp_path) is None
    store.snapshot(b"mine")
    assert executed_notebook(finished, ".nbmlops", tmp_path) == b"mine"


def test_a_run_without_a_notebook_has_none(tmp_path: Path) -> None:
    """A cancelled run may have written nothing."""
    assert executed_notebook(_finished(None, None), "s3://bucket", tmp_path) is None
