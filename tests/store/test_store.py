"""What one process stores every other finds, and what is damaged is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import nbmlops
from nbmlops.errors import StoreError, UsageError
from nbmlops.store.records import RunRecord, StageRecord, seal
from nbmlops.store.store import Store, index_path, record_path

if TYPE_CHECKING:
    from nbmlops.settings import Settings

PutStage = Callable[..., StageRecord]
PutRun = Callable[..., RunRecord]


def test_a_record_is_found_by_its_key(store: Store, put_stage: PutStage) -> None:
    """Another `Store` finds the record that this one put."""
    record = put_stage(store, "k1")
    assert Store(store.url, settings=store.settings).record("k1") == record
    assert store.record("k2") is None


def test_a_fresh_store_answers_and_makes_nothing(store: Store, root: Path) -> None:
    """Asking an empty store is no error and leaves no trace on disk."""
    assert store.record("k") is None
    assert store.runs() == ()
    assert store.run("r") is None
    assert store.history("n", "s") == ()
    assert store.records_of("c") == ()
    assert not root.exists()


def test_a_kernel_does_not_wait_for_the_disk(store: Store, put_stage: PutStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written without waiting is there for every process, as whole as ever."""
    put_stage(store, "k1")
    waited: list[int] = []
    monkeypatch.setattr(os, "fsync", waited.append)
    kernel = Store(store.url, settings=store.settings, synced=False)
    record = put_stage(kernel, "k2", b"another model")
    assert waited == []
    assert store.record("k2") == record
    assert bytes(store.objects.view(record.outputs["model"].digest)) == b"another model"


def test_batch_syncs_what_a_kernel_has_written(store: Store, put_stage: PutStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that is there already may not be on disk yet, and a record is to last."""
    put_stage(Store(store.url, settings=store.settings, synced=False), "k1")
    waited: list[int] = []
    monkeypatch.setattr(os, "fdatasync", waited.append)
    put_stage(store, "k2")
    assert len(waited) == 1


def test_records_of_a_code_are_read_again_when_somebody_adds_one(store: Store, put_stage: PutStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then they are kept, if the index is older than two writings in one tick of the clock could be."""
    first = put_stage(store, "k1")
    path = Path(store.url) / index_path(f"code:{first.code}")
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 60))
    assert store.records_of(first.code) == (first,)
    reads: list[str] = []
    read = store.record_alone
    monkeypatch.setattr(store, "record_alone", lambda key: reads.append(key) or read(key))
    assert store.records_of(first.code) == (first,)
    assert reads == []
    second = put_stage(Store(store.url, settings=store.settings), "k2")
    assert store.records_of(first.code) == (second, first)


def test_a_record_is_read_again_when_somebody_writes_it_anew(store: Store, put_stage: PutStage) -> None:
    """A kernel keeps what it has read and verified; another process that computes the same key may have learnt more of it."""
    put_stage(store, "k1")
    path = Path(store.url) / record_path("k1")
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 60))
    assert store.record("k1") is store.record("k1")
    again = put_stage(Store(store.url, settings=store.settings), "k1", seconds=7.0)
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 60))
    assert store.record("k1") == again


def test_a_damaged_record_is_a_miss(store: Store, root: Path, put_stage: PutStage) -> None:
    """A record with one changed byte is gone, and kept in quarantine."""
    put_stage(store, "k1")
    path = root / "records" / "k1.json"
    path.write_bytes(path.read_bytes().replace(b"train", b"brain"))
    assert store.record("k1") is None
    assert not path.exists()
    assert [item.name.startswith("records-k1.json-") for item in (root / "quarantine").iterdir()] == [True]


def test_a_renamed_record_is_a_miss(store: Store, root: Path, put_stage: PutStage) -> None:
    """A good record under another's name serves nobody."""
    put_stage(store, "k1")
    (root / "records" / "k2.json").write_bytes((root / "records" / "k1.json").read_bytes())
    assert store.record("k2") is None


def test_a_linked_record_is_a_miss(store: Store, root: Path, tmp_path: Path, put_stage: PutStage) -> None:
    """A record is not read through a symbolic link, nor written through it."""
    put_stage(store, "k1")
    path = root / "records" / "k1.json"
    path.rename(tmp_path / "k1.json")
    path.symlink_to(tmp_path / "k1.json")
    assert store.record("k1") is None
    path.symlink_to(tmp_path / "k1.json")
    before = (tmp_path / "k1.json").read_bytes()
    put_stage(store, "k1", seconds=9.0)
    assert (tmp_path / "k1.json").read_bytes() == before
    assert not path.is_symlink()


def test_a_record_of_another_shape_is_a_miss(store: Store, root: Path, put_stage: PutStage) -> None:
    """Sealed bytes that are no record of ours are a miss, and stay."""
    put_stage(store, "k1")
    for body in ({"kind": "stage-record/2", "key": "k1"}, {"kind": "stage-record/1", "key": "k1"}, {"kind": "stage-record/1", "outputs": 3}):
        (root / "records" / "k1.json").write_bytes(seal(body))
        assert store.record("k1") is None
        assert (root / "records" / "k1.json").exists()


def test_a_record_without_its_objects_serves_nobody(store: Store, put_stage: PutStage) -> None:
    """A record counts only with its objects; what it tells can still be read."""
    record = put_stage(store, "k1")
    store.objects.delete(record.outputs["model"].digest)
    assert store.record("k1") is None
    assert store.record_alone("k1") == record


@pytest.mark.parametrize("key", ["../k1", "", "k1/../k1", "k1\0", "x" * 200])
def test_no_key_leads_elsewhere(store: Store, key: str) -> None:
    """What is no key has no record."""
    assert store.record(key) is None


def test_history_is_newest_first(store: Store, put_stage: PutStage) -> None:
    """The last 20 keys of a stage, each once, other stages apart."""
    for number in [*range(25), 24, 7]:
        put_stage(store, f"k{number}")
    put_stage(store, "other", stage="evaluate")
    assert store.history("flights.ipynb", "train") == ("k7", *(f"k{number}" for number in range(24, 5, -1) if number != 7), "k5")


def test_records_of_code_are_newest_first(store: Store, put_stage: PutStage) -> None:
    """The last 8 records of a stage's code, whatever became of their objects."""
    for number in range(10):
        put_stage(store, f"k{number}")
    put_stage(store, "other", code="0ther")
    assert [record.key for record in store.records_of("c0de")] == [f"k{number}" for number in range(9, 1, -1)]


def test_a_damaged_index_costs_only_memory(store: Store, root: Path, put_stage: PutStage) -> None:
    """Records outlive the loss of an index, which begins anew."""
    put_stage(store, "k1")
    for path in (root / "index").rglob("*.json"):
        path.write_bytes(b"")
    assert store.history("flights.ipynb", "train") == ()
    assert store.record("k1") is not None
    put_stage(store, "k2")
    assert store.history("flights.ipynb", "train") == ("k2",)


def test_eight_processes_write_one_history(store: Store, start: Callable[..., subprocess.Popen[str]]) -> None:
    """No key is lost from a history that eight processes write at once."""
    script = """
from nbmlops.store.records import StageRecord
print("up", flush=True)
sys.stdin.readline()
for n in range(2):
    store.put_record(StageRecord(key=f"{sys.argv[3]}{n}", stage="s", notebook="n.ipynb", code="c"))
    store.put_record(StageRecord(key="same", stage="t", notebook="n.ipynb", code="d"))
"""
    writers = [start(script, name) for name in "abcdefgh"]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
    assert sorted(store.history("n.ipynb", "s")) == sorted(f"{name}{number}" for name in "abcdefgh" for number in range(2))
    assert store.record("same") is not None


def test_runs_are_newest_first(store: Store, put_run: PutRun) -> None:
    """Runs are listed by their start, of one notebook or of all."""
    put_run(store, "r1", [], started_s=1.0)
    put_run(store, "r3", [], started_s=3.0)
    put_run(store, "r2", [], started_s=2.0, notebook="other.ipynb")
    assert [run.run_id for run in store.runs()] == ["r3", "r2", "r1"]
    assert [run.run_id for run in store.runs("flights.ipynb")] == ["r3", "r1"]


def test_a_run_is_found_by_the_beginning_of_its_id(store: Store, put_run: PutRun) -> None:
    """A unique prefix is enough, an exact id wins, and an ambiguous one is an error that lists them."""
    put_run(store, "8f3a", [])
    put_run(store, "8f3a11", [])
    put_run(store, "9b", [])
    assert store.run("9") == store.run("9b") is not None
    exact = store.run("8f3a")
    assert exact is not None
    assert exact.run_id == "8f3a"
    assert store.run("7") is None
    with pytest.raises(UsageError, match="8f3a, 8f3a11"):
        store.run("8f")


def test_a_run_may_be_written_again(store: Store, put_run: PutRun) -> None:
    """A run that ends replaces what it was while it ran, and a damaged run is not listed."""
    run = put_run(store, "r1", [])
    store.put_run(replace(run, status="failed"))
    found = store.run("r1")
    assert found is not None
    assert found.status == "failed"


def test_a_damaged_run_is_not_listed(store: Store, root: Path, put_run: PutRun) -> None:
    """A run whose seal is broken is a miss like any other; an executed notebook beside it is none."""
    put_run(store, "r1", [])
    (root / "runs" / "flights-r1.ipynb").write_text("{}")
    os.truncate(root / "runs" / "r1.json", 40)
    assert store.runs() == ()


def test_snapshots_are_kept_by_digest(store: Store, root: Path) -> None:
    """A notebook's source comes back as it was, or not at all; taking it again heals it."""
    digest = store.snapshot(b'{"cells": []}')
    assert store.read_snapshot(digest) == b'{"cells": []}'
    (root / "notebooks" / f"{digest}.ipynb").write_bytes(b"{}")
    with pytest.raises(KeyError):
        store.read_snapshot(digest)
    (root / "notebooks" / f"{digest}.ipynb").write_bytes(b"{}")
    assert store.snapshot(b'{"cells": []}') == digest
    assert store.read_snapshot(digest) == b'{"cells": []}'


def test_local_paths_are_inside(store: Store, root: Path) -> None:
    """Local paths lie in the store, hidden from git, and lead nowhere else."""
    assert store.local_path("outbox/mlflow") == root / "outbox" / "mlflow"
    assert (root / "outbox").is_dir()
    assert (root / ".gitignore").exists()
    assert store.local_path("") == root
    with pytest.raises(StoreError):
        store.local_path("../elsewhere")


def test_a_relative_store_is_the_projects(project: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A relative path means the same from every folder."""
    monkeypatch.chdir(tmp_path)
    Store("shared/store", settings=project).objects.put([b"x"])
    assert (project.project_root / "shared" / "store" / "objects").is_dir()


def test_one_computes_and_the_other_reuses(start: Callable[..., subprocess.Popen[str]]) -> None:
    """Of four processes that want one stage, one computes it; when that one is killed, another does."""
    script = """
from nbmlops.store.records import StageRecord
with store.claim("k1"):
    if store.record("k1") is None:
        print("computing", flush=True)
        time.sleep(0.2)
        if sys.argv[3] == "first":
            time.sleep(60)
        store.put_record(StageRecord(key="k1", stage="s", notebook="n.ipynb", code="c"))
"""
    first = start(script, "first")
    assert first.stdout is not None
    assert first.stdout.readline() == "computing\n"
    others = [start(script, "other") for _ in range(3)]
    first.kill()
    assert sorted(other.communicate()[0] for other in others) == ["", "", "computing\n"]


def test_importing_the_store_is_light() -> None:
    """Importing the store, and reading records from it, loads no heavy module."""
    script = (
        "import sys; from pathlib import Path; from nbmlops.store.store import Store; from nbmlops.settings import Settings\n"
        "Store('s', settings=Settings(project_root=Path('/nowhere'), store='s')).record('k')\n"
        "print({'fsspec', 'pandas', 'numpy', 'pyarrow', 'cloudpickle', 'IPython'} & set(sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(nbmlops.__file__).parents[1])}
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert answer.stdout == "set()\n"
