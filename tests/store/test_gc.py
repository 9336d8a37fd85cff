"""`collect` deletes what no kept run can reach, and nothing that a writer may want."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.store.gc import collect
from nbmlops.store.local import LocalBlobs
from nbmlops.store.locks import file_lock
from nbmlops.store.records import RunRecord, StageRecord
from nbmlops.store.store import Store
from nbmlops.store.verify import verify_store

if TYPE_CHECKING:
    import subprocess

    import pytest

    from nbmlops.settings import Settings

PutStage = Callable[..., StageRecord]
PutRun = Callable[..., RunRecord]
Age = Callable[[Path, float], None]
HOUR_S = 3600.0
DAY_S = 86400.0


def _left(root: Path, folder: str) -> set[str]:
    return {path.stem for path in (root / folder).rglob("*") if path.is_file()}


def test_the_last_runs_of_each_notebook_are_kept(store: Store, root: Path, put_stage: PutStage, put_run: PutRun, age: Age) -> None:
    """Old runs go beyond the last ones of their notebook, and with them what only they reach."""
    for number in range(4):
        put_stage(store, f"k{number}", b"model %d" % number, stage=f"s{number}", code=f"c{number}")
        put_run(store, f"r{number}", [f"k{number}", "k0"], started_s=1000.0 + number, notebook="b.ipynb" if number == 1 else "a.ipynb")
    age(root, 2 * HOUR_S)
    report = collect(store, replace(store.settings, retention_runs=1), dry_run=False)
    assert _left(root, "runs") == {"r1", "r3"}
    assert _left(root, "records") == {"k0", "k1", "k3"}
    assert len(list(store.objects.all())) == 3
    assert report.freed_bytes > 0
    assert "records/k2.json" in report.deleted
    assert store.history("a.ipynb", "s2") == ()
    assert verify_store(store, repair=False).ok


def test_recent_runs_are_kept(store: Store, root: Path, put_stage: PutStage, put_run: PutRun, age: Age) -> None:
    """A run within the retention time keeps all it reaches, snapshot, files and logs included."""
    log = store.objects.put([b"all of the log"])
    outputs = store.objects.put([b'[[{"text": "cut, all in %s"}]]' % log.encode()])
    csv = store.objects.put([b"a,b"])
    put_stage(store, "k1", cell_outputs=outputs, files_written={"out.csv": csv})
    run = put_run(store, "r1", ["k1"], started_s=time.time() - 29 * DAY_S)
    store.put_run(replace(run, notebook_digest=store.snapshot(b"{}")))
    age(root, 29 * DAY_S)
    assert collect(store, replace(store.settings, retention_runs=0), dry_run=False).deleted == ()
    report = collect(store, replace(store.settings, retention_runs=0, retention_days=28), dry_run=False)
    assert len(report.deleted) == 9
    assert list(store.objects.all()) == []


def test_what_is_young_is_kept(store: Store, root: Path, put_stage: PutStage, age: Age) -> None:
    """Nothing that is younger than an hour goes, although no run reaches it."""
    put_stage(store, "k1")
    store.objects.put([b"not recorded yet"])
    age(root, 0.9 * HOUR_S)
    assert collect(store, store.settings, dry_run=False).deleted == ()
    age(root, 0.2 * HOUR_S)
    assert len(collect(store, store.settings, dry_run=False).deleted) == 5


def test_what_is_put_again_is_young_again(store: Store, root: Path, age: Age) -> None:
    """A writer whose bytes were there already keeps them alive until its record is written."""
    digest = store.objects.put([b"wanted again"])
    age(root, 2 * HOUR_S)
    store.objects.put([b"wanted again"])
    assert store.objects.path(digest) not in collect(store, store.settings, dry_run=False).deleted
    assert bytes(store.objects.view(digest)) == b"wanted again"


def test_what_is_put_again_in_the_last_moment_is_kept(store: Store, root: Path, age: Age) -> None:
    """An object that a writer wants between `gc` listing it and deleting it stays."""

    class Beaten(LocalBlobs):
        """Blobs where a writer is always just before the deletion."""

        def remove(self, path: str, *, when: Callable[[], bool], to: str | None = None) -> bool:
            """Put the object again, then remove."""
            Store(str(root), settings=store.settings).objects.put([b"wanted again"])
            return super().remove(path, when=when, to=to)

    digest = store.objects.put([b"wanted again"])
    age(root, 2 * HOUR_S)
    store.blobs = Beaten(root)
    assert collect(store, store.settings, dry_run=False).deleted == ()
    assert bytes(store.objects.view(digest)) == b"wanted again"


def test_a_dry_run_tells_and_does_nothing(store: Store, root: Path, put_stage: PutStage, age: Age) -> None:
    """A dry run names what a real one deletes."""
    put_stage(store, "k1")
    age(root, 2 * HOUR_S)
    told = collect(store, store.settings, dry_run=True)
    assert store.record("k1") is not None
    done = collect(store, store.settings, dry_run=False)
    assert told.deleted == done.deleted != ()
    assert told.freed_bytes == done.freed_bytes


def test_left_over_temporary_files_and_locks_go(store: Store, root: Path, age: Age, put_stage: PutStage) -> None:
    """What killed writers left is cleared away; a lock in use stays."""
    put_stage(store, "k1")
    (root / "records" / ".tmp-1").write_bytes(b"half")
    with store.claim("idle"):
        pass
    age(root, 2 * HOUR_S)
    with store.claim("busy"):
        assert "records/.tmp-1" in collect(store, store.settings, dry_run=False).deleted
        assert {path.name for path in (root / "locks").glob("stage-*")} == {"stage-busy.lock"}


def test_a_run_on_its_way_keeps_every_record(
    store: Store, root: Path, put_stage: PutStage, age: Age, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """A record that a running run has reused stays, however old; it goes once that run was killed without a trace."""
    put_stage(store, "k1")
    age(root, 2 * DAY_S)
    runner = start("with store.hold():\n    print('on', flush=True)\n    sys.stdin.readline()\n")
    assert runner.stdout is not None
    runner.stdout.readline()
    collect(store, store.settings, dry_run=False)
    assert store.record("k1") is not None
    runner.kill()
    runner.wait()
    collect(store, store.settings, dry_run=False)
    assert store.record("k1") is None


def test_a_run_waits_for_a_collection(store: Store, start: Callable[..., subprocess.Popen[str]]) -> None:
    """A run that begins meanwhile waits until the collection has ended."""
    with file_lock(store.local_path("locks/run.lock")):
        runner = start("print('up', flush=True)\nwith store.hold():\n    print('on', flush=True)\n")
        assert runner.stdout is not None
        runner.stdout.readline()
        time.sleep(0.2)
        assert runner.poll() is None
    assert runner.communicate()[0] == "on\n"


def test_collecting_beside_writers_loses_nothing(store: Store, root: Path, age: Age, start: Callable[..., subprocess.Popen[str]]) -> None:
    """Records of writers that put old, unreachable bytes again while `gc` deletes them are whole."""
    script = """
from nbmlops.store.records import Artifact, StageRecord
print("up", flush=True)
for n in range(60):
    digest = store.objects.put([b"%d" % n * 1000])
    artifact = Artifact(name="x", digest=digest, format="json", size_bytes=1)
    store.put_record(StageRecord(key=f"{sys.argv[3]}{n}", stage="s", notebook="n.ipynb", code="c", outputs={"x": artifact}))
"""
    for number in range(60):
        store.objects.put([b"%d" % number * 1000])
    age(root, 2 * HOUR_S)
    writers = [start(script, name) for name in "ab"]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    while any(writer.poll() is None for writer in writers):
        collect(store, store.settings, dry_run=False)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert verify_store(store, repair=False).ok
    assert all(store.record(f"{name}{n}") is not None for name in "ab" for n in range(60))


def test_executed_notebooks_go_with_their_runs(store: Store, root: Path, put_run: PutRun, age: Age) -> None:
    """The notebook that a kept run wrote stays; one of a forgotten run goes after the retention time."""
    for run_id in ("r1", "r2"):
        put_run(store, run_id, [], started_s=float(run_id[1]))
        (root / "runs" / f"flights-{run_id}.ipynb").write_text("{}")
    age(root, 40 * DAY_S)
    collect(store, replace(store.settings, retention_runs=1), dry_run=False)
    assert {path.name for path in (root / "runs").iterdir()} == {"r2.json", "flights-r2.ipynb"}


def test_a_stranger_to_the_key_is_not_robbed(
    project: Settings, store: Store, root: Path, put_stage: PutStage, put_run: PutRun, age: Age, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sealed without the key is kept like anything else, although it is not trusted."""
    put_stage(store, "k1")
    put_run(store, "r1", ["k1"])
    age(root, 2 * HOUR_S)
    monkeypatch.setenv("NBMLOPS_STORE_KEY", "key")
    assert collect(Store(project.store, settings=project), project, dry_run=False).deleted == ()


def test_an_empty_store_is_collected(store: Store) -> None:
    """Nothing to delete is no error."""
    assert collect(store, store.settings, dry_run=False).deleted == ()


def test_attempts_of_killed_runs_go(store: Store, root: Path, age: Age, start: Callable[..., subprocess.Popen[str]]) -> None:
    """What a run told its stages goes an hour after it was killed, and never while a run is on."""
    for name in ("r1-old", "r1-old.before"):
        (root / "attempts" / name).mkdir(parents=True)
        (root / "attempts" / name / "task.json").write_text("{}")
    age(root, 2 * HOUR_S)
    (root / "attempts" / "r2-young").mkdir()
    runner = start("with store.hold():\n    print('on', flush=True)\n    sys.stdin.readline()\n")
    assert runner.stdout is not None
    runner.stdout.readline()
    collect(store, store.settings, dry_run=False)
    assert len(list((root / "attempts").iterdir())) == 3
    runner.kill()
    runner.wait()
    collect(store, store.settings, dry_run=False)
    assert [path.name for path in (root / "attempts").iterdir()] == ["r2-young"]
