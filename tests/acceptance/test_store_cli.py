"""`nbmlops store` and what becomes of damaged bytes."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nbmlops.settings import Settings
from nbmlops.store.store import Store
from tests.acceptance.project import PIPELINE, Project

if TYPE_CHECKING:
    from pathlib import Path


def damage(path: Path) -> None:
    """Flip one bit of a file that may be read-only."""
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def objects(project: Project) -> list[Path]:
    """Return the files of all objects."""
    return sorted(path for path in (project.folder / ".nbmlops" / "objects").rglob("*") if path.is_file())


def test_ls_and_show(finished: Project) -> None:
    """`ls` lists the run; `show` shows it by a beginning of its id, a record by its key, an object by its digest."""
    run_id = finished.run().data["run_id"]
    assert run_id in finished.call("store", "ls").out
    assert [item["run_id"] for item in finished.call("store", "ls", "--json").data["runs"]] == [run_id]
    stage = finished.run().stage("train")
    for ref in (run_id, run_id[:6], stage["key"], stage["outputs"]["model"]["digest"]):
        done = finished.call("store", "show", ref)
        assert (done.code, done.err) == (0, "")
        assert json.loads(done.out)


def test_get_writes_stored_bytes_or_converts(finished: Project) -> None:
    """`get` writes the bytes; `--as` converts."""
    run_id = finished.run().data["run_id"]
    for form in ([], ["--as", "json"], ["--as", "pickle"]):
        done = finished.call("store", "get", run_id, "train", "model", "-o", "out", *form)
        assert done.code == 0, done.err
        data = (finished.folder / "out").read_bytes()
        assert (pickle.loads(data) if "pickle" in form else json.loads(data)) == [0.0, 0.5, 2.0]


def test_get_tables_and_arrays(project: Project) -> None:
    """Frames convert to CSV, Parquet and JSON, arrays to .npy."""
    project.write(
        [
            "import numpy as np\nimport pandas as pd",
            "%%mlstage a\nframe = pd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})\narray = np.arange(3)",
            "print(frame, array)",
        ]
    )
    run_id = project.run().data["run_id"]
    for name, form in (("frame", "csv"), ("frame", "parquet"), ("frame", "json"), ("array", "npy")):
        done = project.call("store", "get", run_id, "a", name, "-o", f"out.{form}", "--as", form)
        assert done.code == 0, done.err
    assert project.call("store", "get", run_id, "a", "array", "-o", "plain", "--as", "npy").code == 0
    assert (project.folder / "plain").read_bytes() == (project.folder / "out.npy").read_bytes()
    assert (project.folder / "out.csv").read_text().splitlines()[-1].endswith("2,y")
    assert (project.folder / "out.parquet").read_bytes()[:4] == b"PAR1"


def test_get_what_cannot_be_converted(finished: Project) -> None:
    """A list is no table: one line, nothing written."""
    run_id = finished.run().data["run_id"]
    done = finished.call("store", "get", run_id, "ingest", "data", "-o", "out.npy", "--as", "parquet")
    assert (done.code in {1, 2}, "Traceback" in done.err, len(done.err.strip().splitlines())) == (True, False, 1)
    assert not (finished.folder / "out.npy").exists()


def test_gc_keeps_what_recent_runs_need(finished: Project) -> None:
    """`gc --dry-run` and `gc` take nothing of a run of today; all is reused afterwards."""
    before = objects(finished)
    for words in (["--dry-run"], []):
        done = finished.call("store", "gc", *words)
        assert done.code == 0, done.err
    assert objects(finished) == before
    assert finished.run().ran == []


def test_verify_of_a_sound_store(finished: Project) -> None:
    """A sound store has no problem."""
    done = finished.call("store", "verify", "--json")
    assert (done.code, done.data["problems"]) == (0, [])


@pytest.mark.parametrize("kind", ["objects", "records", "runs"])
def test_flipped_bit_is_found_repaired_and_computed_again(finished: Project, kind: str) -> None:
    """`verify` exits 1 and changes nothing, `--repair` quarantines, the next run gives the right values."""
    files = [path for path in (finished.folder / ".nbmlops" / kind).rglob("*") if path.is_file() and path.suffix != ".ipynb"]
    assert files
    for path in files:
        damage(path)
    found = finished.call("store", "verify", "--json")
    assert (found.code, len(found.data["problems"]) >= len(files)) == (1, True)
    repaired = finished.call("store", "verify", "--repair", "--json")
    assert repaired.data["problems"]
    assert finished.call("store", "verify").code == 0
    done = finished.run()
    assert done.code == 0, done.err
    assert done.stage("evaluate")["metrics"] == {"total": 3.5}
    assert finished.run().ran == []


@pytest.mark.parametrize("kind", ["objects", "records", "runs"])
def test_flipped_bits_never_reach_a_value(finished: Project, kind: str) -> None:
    """Without `verify`, what is damaged counts as missing: a run that needs it computes it again."""
    for path in (finished.folder / ".nbmlops" / kind).rglob("*"):
        if path.is_file() and path.suffix != ".ipynb":
            damage(path)
    done = finished.run("-p", "C", "1.0")
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    assert done.stage("evaluate")["metrics"] == {"total": 6.0}


def test_deleted_object_is_computed_again(finished: Project) -> None:
    """An object that is gone is a miss for who needs it."""
    for path in objects(finished):
        path.unlink()
    done = finished.run("out.ipynb", "-p", "C", "1.0")
    assert done.code == 0, done.err
    assert done.stage("evaluate")["metrics"] == {"total": 6.0}


def test_deleted_store_is_made_again(finished: Project) -> None:
    """The store is a cache: without it everything runs."""
    import shutil

    shutil.rmtree(finished.folder / ".nbmlops")
    assert finished.run().ran == ["ingest", "features", "train", "evaluate"]


def test_store_is_ignored_by_git(finished: Project) -> None:
    """The store's folder holds a `.gitignore` of `*`."""
    assert (finished.folder / ".nbmlops" / ".gitignore").read_text().strip() == "*"


def test_untrusted_store_is_not_unpickled(project: Project) -> None:
    """A pickle in a store outside the project is not read unless the store is named as trusted; the line says how."""
    other = project.folder.parent / "elsewhere"
    project.write(["%%mlstage a\nvalue = {1, 2}", "%%mlstage b\nx = len(value)", "print(x)"])
    done = project.run("--store", other)
    assert (done.code, "Traceback" in done.err) == (1, False)
    assert [line for line in done.err.splitlines() if "trusted_stores" in line]
    trusted = project.run("--store", other, env={"NBMLOPS_TRUSTED_STORES": str(other)})
    assert (trusted.code, trusted.statuses["b"]) == (0, "ran")


def test_plain_data_of_an_untrusted_store_is_used(project: Project) -> None:
    """JSON runs no code: it is reused from anywhere."""
    other = project.folder.parent / "elsewhere"
    project.write(PIPELINE)
    assert project.run("--store", other).code == 0
    assert project.run("--store", other).ran == []


def test_untrusted_store_changes_no_file(project: Project) -> None:
    """Whoever writes to a shared store could name files of a record: one that code is imported from, or outside the project."""
    other = project.folder.parent / "elsewhere"
    project.write(["%%mlstage a\nx = 1\nprint(open('a.txt', 'w').write('text'))"])
    (project.folder / "b.txt").write_text("mine")
    key = project.run("--store", other).stage("a")["key"]
    store = Store(str(other), settings=Settings(project_root=project.folder, store=str(other)))
    record = store.record_alone(key)
    assert record is not None
    digest = store.objects.put([b"mine"])
    store.put_record(replace(record, files_written={"helpers.py": digest, "../outside.txt": digest, **record.files_written}))
    assert project.run("--store", other).stage("a")["reason"].startswith("NB811: its record would change helpers.py")
    assert not (project.folder / "helpers.py").exists()
    assert not (project.folder.parent / "outside.txt").exists()
    store.put_record(replace(record, effects=replace(record.effects, files_removed=(("b.txt", digest),))))
    assert project.run("--store", other).code == 0
    assert (project.folder / "b.txt").read_text() == "mine"
    assert project.run("--store", other).ran == []  # the record that is there now changes nothing
