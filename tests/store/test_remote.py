"""A store behind fsspec gives the same answers, untrusted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from nbmlops.errors import StoreError, UsageError
from nbmlops.store.gc import collect
from nbmlops.store.leases import any_lease, hold_lease
from nbmlops.store.records import RunRecord, StageRecord
from nbmlops.store.remote import RemoteBlobs
from nbmlops.store.store import Store
from nbmlops.store.verify import verify_store

if TYPE_CHECKING:
    from pathlib import Path

    from nbmlops.settings import Settings

PutStage = Callable[..., StageRecord]


def _memory() -> Any:
    import fsspec

    return fsspec.filesystem("memory")


@pytest.fixture
def remote(project: Settings) -> Iterator[Store]:
    """Open an empty store in fsspec's memory."""
    yield Store("memory://team/store", settings=project)
    _memory().store.clear()


@pytest.fixture(params=["memory", "file"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RemoteBlobs]:
    """Give an object store, and a file system that needs a rename."""
    yield RemoteBlobs("memory://blobs" if request.param == "memory" else f"file://{tmp_path}/blobs")
    _memory().store.clear()


def test_bytes_come_back(blobs: RemoteBlobs) -> None:
    """What is written is read, listed, told about and removed."""
    assert list(blobs.list("objects")) == []
    blobs.write("objects/ab/x", [memoryview(b"one"), memoryview(b"two")], overwrite=False)
    view = blobs.read("objects/ab/x")
    view[0] = 0
    assert bytes(blobs.read("objects/ab/x")) == b"onetwo"
    assert [(info.path, info.size_bytes, info.regular) for info in blobs.list("objects")] == [("objects/ab/x", 6, True)]
    info = blobs.stat("objects/ab/x")
    assert info is not None
    assert abs(info.modified_s - time.time()) < 60
    assert not blobs.remove("objects/ab/x", when=lambda: False)
    assert blobs.remove("objects/ab/x", when=lambda: True)
    assert blobs.stat("objects/ab/x") is None
    assert not blobs.remove("objects/ab/x", when=lambda: True)
    with pytest.raises(FileNotFoundError):
        blobs.read("objects/ab/x")


def test_only_overwriting_overwrites(blobs: RemoteBlobs) -> None:
    """A file stays unless it is to be replaced, and no temporary file is left."""
    blobs.write("records/k", [memoryview(b"old")], overwrite=True)
    blobs.write("records/k", [memoryview(b"new")], overwrite=False)
    assert bytes(blobs.read("records/k")) == b"old"
    blobs.write("records/k", [memoryview(b"new")], overwrite=True)
    assert bytes(blobs.read("records/k")) == b"new"
    assert [info.path for info in blobs.list("records")] == ["records/k"]


def test_no_path_leads_out(blobs: RemoteBlobs) -> None:
    """A path with `..` is refused."""
    with pytest.raises(StoreError, match="no path in the store"):
        blobs.write("../x", [], overwrite=True)


def test_a_remote_store_is_whole_and_untrusted(remote: Store, put_stage: PutStage, put_run: Callable[..., RunRecord]) -> None:
    """Records, runs, histories and snapshots work as on a disk."""
    record = put_stage(remote, "k1")
    put_run(remote, "r1", ["k1"])
    assert not remote.trusted
    assert remote.record("k1") == record
    assert remote.history("flights.ipynb", "train") == ("k1",)
    assert [run.run_id for run in remote.runs()] == ["r1"]
    assert remote.read_snapshot(remote.snapshot(b"{}")) == b"{}"
    assert verify_store(remote, repair=False).ok


def test_damage_is_a_miss(remote: Store, put_stage: PutStage) -> None:
    """A changed object is a miss and goes to quarantine; putting it again heals."""
    digest = put_stage(remote, "k1").outputs["model"].digest
    _memory().pipe_file(f"/team/store/{remote.objects.path(digest)}", b"changed")
    assert [problem.path for problem in verify_store(remote, repair=False).problems] == [remote.objects.path(digest), "records/k1.json"]
    with pytest.raises(KeyError):
        remote.objects.view(digest)
    assert remote.record("k1") is None
    put_stage(remote, "k1")
    assert bytes(remote.objects.view(digest)) == b"model"
    assert len(list(remote.blobs.list("quarantine"))) == 1


def test_what_is_local_stays_in_the_project(remote: Store, project: Settings) -> None:
    """Locks and outbox of a remote store lie in the project's own folder."""
    assert remote.local_path("outbox/x") == project.project_root / ".nbmlops" / "outbox" / "x"


def test_gc_of_a_remote_store(remote: Store, put_stage: PutStage) -> None:
    """What is young stays; what is old and out of reach goes, unless a run holds a lease."""
    put_stage(remote, "k1")
    assert collect(remote, remote.settings, dry_run=False).deleted == ()
    for path, file in _memory().store.items():
        if path.startswith("/team"):
            file.created = file.created.replace(year=2020)
    with remote.hold():
        assert [path for path in collect(remote, remote.settings, dry_run=True).deleted if path.startswith(("records", "objects"))] == []
    collect(remote, remote.settings, dry_run=False)
    assert remote.record_alone("k1") is None
    assert list(remote.objects.all()) == []


def test_a_lease_excludes_and_is_given_back(blobs: RemoteBlobs) -> None:
    """One holds a lease, the other waits in vain; then it is free."""
    told: list[str] = []
    with hold_lease(blobs, "leases/k.json"):
        assert any_lease(blobs)
        with pytest.raises(StoreError, match="held by another"), hold_lease(blobs, "leases/k.json", timeout_s=0, on_wait=lambda: told.append("wait")):
            pass
    assert told == ["wait"]
    assert not any_lease(blobs)
    with hold_lease(blobs, "leases/k.json", timeout_s=0):
        pass


def test_a_lease_is_renewed_and_runs_out(blobs: RemoteBlobs) -> None:
    """A lease outlives its own length while its holder works, and a dead holder's runs out."""
    with hold_lease(blobs, "leases/k.json", life_s=0.6):
        time.sleep(1.0)
        assert any_lease(blobs)
        left = bytes(blobs.read("leases/k.json"))
    blobs.write("leases/k.json", [memoryview(left)], overwrite=True)
    with hold_lease(blobs, "leases/k.json", timeout_s=10):
        pass


@pytest.mark.parametrize("url", ["nosuchscheme://x", "foo://bar/baz"])
def test_an_unknown_url_is_one_line(project: Settings, url: str) -> None:
    """A URL that nothing can open is a mistake that names it."""
    with pytest.raises(UsageError, match=url) as caught:
        Store(url, settings=project)
    assert "\n" not in str(caught.value)
