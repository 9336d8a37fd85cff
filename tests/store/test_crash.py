"""Killed, refused or out of room at any moment, the store stays whole."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from nbmlops.errors import StoreError
from nbmlops.store.store import Store
from nbmlops.store.verify import verify_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nbmlops.settings import Settings
    from nbmlops.store.records import StageRecord

# Every system call that changes a disk is counted; at the Nth the process is killed, or the call fails with EIO.
FAULTS = """
import errno, itertools, signal
from nbmlops.errors import StoreError
from nbmlops.store.records import Artifact, StageRecord
from nbmlops.store.verify import verify_store

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def fail():
    raise OSError(errno.EIO, "Input/output error")

def arm(at, act):
    calls = itertools.count(1)
    for name in ("open", "write", "fsync", "link", "rename", "unlink", "mkdir", "utime", "close"):
        def counted(*args, real=getattr(os, name), **options):
            if next(calls) == at:
                if real.__name__ == "close":
                    real(*args, **options)
                act()
            return real(*args, **options)
        setattr(os, name, counted)

def put(store, key):
    digest = store.objects.put([b"x" * 5000, b"y"])
    artifact = Artifact(name="x", digest=digest, format="json", size_bytes=5001)
    store.put_record(StageRecord(key=key, stage="s", notebook="n.ipynb", code="c", outputs={"x": artifact}))

def trial(root, at, act):
    store = Store(str(root), settings=settings)
    child = os.fork()
    if not child:
        arm(at, act)
        try:
            put(store, "new")
        except StoreError:
            os._exit(3)
        except BaseException as error:
            sys.stderr.write(f"{at}: {error!r}\\n")
            os._exit(4)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    store = Store(str(root), settings=settings)
    report = verify_store(store, repair=False)
    assert report.ok, (at, report)
    assert store.record("old") is not None, at
    record = store.record("new")
    assert record is not None or ended != 0, at
    put(store, "new")
    assert store.record("new") is not None, at
    return ended

act = {"kill": kill, "fail": fail}[sys.argv[3]]
seen = set()
for at in range(1, 400):
    root = settings.project_root / f"store{at}"
    if sys.argv[4] == "used":
        put(Store(str(root), settings=settings), "old")
    else:
        Store(str(root), settings=settings).record("old")
        Store.record = lambda self, key, real=Store.record: real(self, key) or (key == "old")
    ended = trial(root, at, act)
    seen.add(ended)
    if ended == 0 and at > 60:
        break
print(at, sorted(seen))
"""


@pytest.mark.parametrize("state", ["fresh", "used"])
def test_killed_at_every_system_call(start: Callable[..., subprocess.Popen[str]], state: str) -> None:
    """Killed at the Nth call that changes the disk, for every N, the store verifies, and the same put then works."""
    process = start(FAULTS, "kill", state)
    answer = process.communicate()[0]
    assert process.returncode == 0
    assert answer.split(" ", 1)[1].strip() == "[-9, 0]"


@pytest.mark.parametrize("state", ["fresh", "used"])
def test_every_system_call_fails_once(start: Callable[..., subprocess.Popen[str]], state: str) -> None:
    """If the Nth call fails with EIO, for every N, the answer is a StoreError and the store verifies."""
    process = start(FAULTS, "fail", state)
    answer = process.communicate()[0]
    assert process.returncode == 0
    assert answer.split(" ", 1)[1].strip() == "[0, 3]"


def test_killed_at_random_moments(store: Store, start: Callable[..., subprocess.Popen[str]]) -> None:
    """Whatever a killed writer had said is stored is stored; nothing is ever bad."""
    script = """
from nbmlops.store.records import Artifact, StageRecord
for n in range(100_000):
    key = f"{sys.argv[3]}-{n}"
    digest = store.objects.put([key.encode() * 20_000])
    artifact = Artifact(name="x", digest=digest, format="json", size_bytes=1)
    store.put_record(StageRecord(key=key, stage="s", notebook="n.ipynb", code="c", outputs={"x": artifact}))
    print(key, flush=True)
"""
    chance = random.Random(7)
    said: list[str] = []
    for attempt in range(5):
        writers = [start(script, f"run{attempt}{name}") for name in "ab"]
        for writer in writers:
            assert writer.stdout is not None
            said.append(writer.stdout.readline())
        time.sleep(chance.random() / 10)
        for writer in writers:
            writer.kill()
            said += [line for line in writer.communicate()[0].splitlines(keepends=True) if line.endswith("\n")]
    assert said
    assert verify_store(store, repair=False).ok
    assert all(store.record(key.strip()) is not None for key in said)
    for key in said[-3:]:
        record = store.record(key.strip())
        assert record is not None
        assert store.objects.view(record.outputs["x"].digest)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a file system of 1 MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", folder], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(tiny: Path, project: Settings, put_stage: Callable[..., StageRecord]) -> None:
    """A full disk is one clear error, leaves no part of the object, and hurts nothing that was stored."""
    store = Store(str(tiny / "store"), settings=project)
    put_stage(store, "small", b"s" * 1000)
    with pytest.raises(StoreError, match=r"no room to write .*; free space or run nbmlops store gc"):
        store.objects.put([b"b" * (2 << 20)])
    assert verify_store(store, repair=False).ok
    assert store.record("small") is not None
    assert not list(tiny.rglob(".tmp-*"))
    store.check_writable()
    put_stage(store, "after", b"room again")


def test_a_disk_full_to_the_last_byte(tiny: Path, project: Settings, put_stage: Callable[..., StageRecord]) -> None:
    """Where not even a record fits, records and runs that were there stay as they were."""
    store = Store(str(tiny / "store"), settings=project)
    before = put_stage(store, "key", b"value")
    filler = tiny / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"f" * 4096)
    with pytest.raises(StoreError, match="no room"):
        put_stage(store, "key", b"another value" * 1000)
    assert store.record("key") == before
    assert verify_store(store, repair=False).ok
    filler.unlink()
    put_stage(store, "key", b"another value" * 1000)


def test_a_file_size_limit(store: Store) -> None:
    """A limit on file sizes is the same clear error as a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(StoreError, match="no room"):
            store.objects.put([b"b" * (1 << 17)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(store.objects.all()) == []
    assert verify_store(store, repair=False).ok


def test_an_interrupt_leaves_nothing(store: Store, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a write removes the temporary file."""
    store.objects.put([b"first"])

    def interrupted(_descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.objects.put([b"second"])
    assert not list(root.rglob(".tmp-*"))
    assert len(list(store.objects.all())) == 1


def test_a_read_only_store_still_serves(tiny: Path, project: Settings, put_stage: Callable[..., StageRecord]) -> None:
    """From a read-only store records and objects are read, damage is a miss, and writing is one clear error."""
    store = Store(str(tiny / "store"), settings=project)
    record = put_stage(store, "key", b"value")
    bad = store.objects.put([b"damaged"])
    (tiny / "store" / store.objects.path(bad)).write_bytes(b"changed")
    subprocess.run(["mount", "-o", "remount,ro", tiny], check=True)
    again = Store(str(tiny / "store"), settings=project)
    assert again.record("key") == record
    assert bytes(again.objects.view(record.outputs["model"].digest)) == b"value"
    with pytest.raises(KeyError):
        again.objects.view(bad)
    with pytest.raises(StoreError, match=r"does not let this user write|cannot be opened"):
        again.objects.put([b"new"])
    with pytest.raises(StoreError), again.hold():
        again.check_writable()
