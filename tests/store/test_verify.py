"""`verify_store` finds every damage, changes nothing unless asked, and repairs by quarantine."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from nbmlops.store.records import RunRecord, StageRecord
from nbmlops.store.verify import verify_store

if TYPE_CHECKING:
    from pathlib import Path

    from nbmlops.store.store import Store

PutStage = Callable[..., StageRecord]


def _tree(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file() and "locks" not in path.parts}


def test_a_good_store_is_good(store: Store, put_stage: PutStage, put_run: Callable[..., RunRecord]) -> None:
    """Objects, records, runs, indexes and snapshots are all read."""
    put_stage(store, "k1")
    put_run(store, "r1", ["k1"])
    store.snapshot(b"{}")
    report = verify_store(store, repair=False)
    assert report.ok
    assert report.checked == 6


@pytest.mark.parametrize("folder", ["objects", "records", "runs", "index", "notebooks"])
def test_each_kind_of_damage_is_found(store: Store, root: Path, put_stage: PutStage, put_run: Callable[..., RunRecord], folder: str) -> None:
    """A changed byte anywhere is found, first without moving anything, then moved to quarantine."""
    put_stage(store, "k1")
    put_run(store, "r1", ["k1"])
    store.snapshot(b"{}")
    path = next(path for path in sorted((root / folder).rglob("*")) if path.is_file())
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    before = _tree(root)
    report = verify_store(store, repair=False)
    assert str(path.relative_to(root)) in [problem.path for problem in report.problems]
    assert _tree(root) == before
    assert all(problem.repaired for problem in verify_store(store, repair=True).problems)
    assert verify_store(store, repair=False).ok


def test_a_record_that_lost_an_object_is_found(store: Store, root: Path, put_stage: PutStage) -> None:
    """A record is bad without what it names."""
    record = put_stage(store, "k1")
    (root / store.objects.path(record.outputs["model"].digest)).unlink()
    (problem,) = verify_store(store, repair=True).problems
    assert problem.path == "records/k1.json"
    assert "'train' needs 1 objects that are lost" in problem.what
    assert store.record_alone("k1") is None


def test_planted_and_misplaced_files_are_found(store: Store, root: Path, put_stage: PutStage) -> None:
    """Links, files that no digest names and records under another's name are found."""
    put_stage(store, "k1")
    (root / "objects" / "readme").write_text("x")
    (root / "records" / "k2.json").write_bytes((root / "records" / "k1.json").read_bytes())
    (root / "records" / "k3.json").symlink_to(root / "records" / "k1.json")
    os.mkfifo(root / "objects" / "pipe")
    found = {problem.path: problem.what for problem in verify_store(store, repair=True).problems}
    assert found == {
        "objects/pipe": "is no plain file",
        "objects/readme": "is not named by a digest",
        "records/k2.json": "it is the one of records/k1.json",
        "records/k3.json": "is no plain file",
    }
    assert verify_store(store, repair=False).ok


def test_what_a_killed_writer_left_is_no_damage(store: Store, root: Path, put_stage: PutStage) -> None:
    """A temporary file is no damage."""
    put_stage(store, "k1")
    (root / "records" / ".tmp-1").write_bytes(b"half")
    assert verify_store(store, repair=False).ok


def test_an_empty_store_is_good(store: Store) -> None:
    """Nothing is no damage."""
    assert verify_store(store, repair=False).to_json() == {"checked": 0, "ok": True, "problems": []}
