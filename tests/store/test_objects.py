"""Objects are whole, verified on every read, and never what somebody planted."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbmlops.errors import StoreError
from nbmlops.store.verify import verify_store

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from nbmlops.store.store import Store

BIG = bytes(range(256)) * 4096


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def _place(store: Store, root: Path, content: bytes) -> tuple[str, Path]:
    digest = store.objects.put([content])
    return digest, root / store.objects.path(digest)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=64), max_size=5))
def test_buffers_come_back_as_one(store: Store, buffers: list[bytes]) -> None:
    """What is put in pieces is named by, and read back as, the bytes one after the other."""
    digest = store.objects.put(buffers)
    assert digest == blake3(b"".join(buffers)).hexdigest()
    assert bytes(store.objects.view(digest)) == b"".join(buffers)


def test_arrays_of_any_order_are_buffers(store: Store) -> None:
    """Fortran order, no elements and read-only arrays are all taken."""
    import numpy as np

    table = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    table.flags.writeable = False
    digest = store.objects.put([table, np.zeros((0, 4))])  # type: ignore[list-item]  # numpy says that arrays are buffers from Python 3.12 on
    assert bytes(store.objects.view(digest)) == table.tobytes(order="F")


@pytest.mark.parametrize("content", [b"small", BIG])
def test_a_view_is_private(store: Store, root: Path, content: bytes) -> None:
    """Writing to a view changes neither the object nor another view of it."""
    digest, path = _place(store, root, content)
    view = store.objects.view(digest)
    view[0] = 255 - content[0]
    assert path.read_bytes() == content
    assert bytes(store.objects.view(digest)) == content


@pytest.mark.parametrize("content", [b"small", BIG])
def test_every_flipped_bit_is_seen(store: Store, root: Path, content: bytes) -> None:
    """A flipped bit makes the object a miss, and moves it to quarantine."""
    for at in (0, len(content) // 2, len(content) - 1):
        digest, path = _place(store, root, content)
        _flip(path, at)
        with pytest.raises(KeyError):
            store.objects.view(digest)
        assert not path.exists()
    assert len(list((root / "quarantine").iterdir())) == 3


@pytest.mark.parametrize("length", [0, 1, len(BIG) - 1])
def test_truncation_is_seen(store: Store, root: Path, length: int) -> None:
    """An object cut short is a miss."""
    digest, path = _place(store, root, BIG)
    os.truncate(path, length)
    with pytest.raises(KeyError):
        store.objects.view(digest)


def test_putting_again_heals(store: Store, root: Path) -> None:
    """Good bytes take the place of damaged ones of the same name."""
    digest, path = _place(store, root, BIG)
    _flip(path, 77)
    store.objects.put([BIG])
    assert bytes(store.objects.view(digest)) == BIG


def test_a_missing_object_is_a_key_error(store: Store, root: Path) -> None:
    """A missing object raises KeyError, and asking for it makes nothing on disk."""
    with pytest.raises(KeyError):
        store.objects.view("0" * 64)
    assert not store.objects.exists("0" * 64)
    assert not root.exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 64, "0" * 63, ""])
def test_only_digests_are_names(store: Store, name: str) -> None:
    """What is no digest never becomes a path."""
    with pytest.raises(KeyError):
        store.objects.view(name)


def test_a_planted_link_is_refused(store: Store, root: Path, tmp_path: Path) -> None:
    """A symbolic link in an object's place is a miss even when its bytes are right, and putting writes nothing through it."""
    digest, path = _place(store, root, b"right")
    outside = tmp_path / "outside"
    outside.write_bytes(b"right")
    path.unlink()
    path.symlink_to(outside)
    with pytest.raises(KeyError):
        store.objects.view(digest)
    path.symlink_to(tmp_path / "absent")
    assert store.objects.put([b"right"]) == digest
    assert path.is_file()
    assert not path.is_symlink()
    assert not (tmp_path / "absent").exists()


def test_a_planted_folder_link_is_refused(store: Store, root: Path, tmp_path: Path) -> None:
    """A link in place of a folder of the store leads no write outside."""
    store.objects.put([b"first"])
    digest = blake3(b"second").hexdigest()
    (tmp_path / "outside").mkdir()
    (root / "objects" / digest[:2]).symlink_to(tmp_path / "outside")
    with pytest.raises(StoreError, match="the store did not make"):
        store.objects.put([b"second"])
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("plant", [os.mkfifo, os.mkdir])
def test_a_planted_fifo_or_folder_does_not_hang(store: Store, root: Path, plant: Callable[[Path], None]) -> None:
    """Whatever lies in an object's place is moved away, and the object can be put."""
    digest, path = _place(store, root, b"right")
    path.unlink()
    plant(path)
    assert not store.objects.exists(digest)
    store.objects.put([b"right"])
    assert bytes(store.objects.view(digest)) == b"right"


def test_files_are_the_owners_only(store: Store, root: Path) -> None:
    """Files are 0600 and folders 0700, whatever the umask."""
    mask = os.umask(0)
    try:
        store.objects.put([b"private"])
    finally:
        os.umask(mask)
    assert {path.stat().st_mode & 0o777 for path in root.rglob("*") if path.is_dir()} | {root.stat().st_mode & 0o777} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in root.rglob("*") if path.is_file()} == {0o600}


def test_a_shared_folder_stays_shared(store: Store, root: Path) -> None:
    """A store that its group may write to is open to the group throughout."""
    root.mkdir(mode=0o700)
    root.chmod(0o770)
    with store.claim("stage"):
        pass
    store.objects.put([b"ours"])
    assert all(path.stat().st_mode & 0o060 == 0o060 for path in root.rglob("*"))


def test_git_never_sees_the_store(store: Store, root: Path) -> None:
    """The store hides itself from git."""
    store.objects.put([b"x"])
    assert (root / ".gitignore").read_text() == "*\n"


def test_a_project_used_as_store_is_not_hidden(store: Store, root: Path) -> None:
    """A folder that holds other things gets no .gitignore."""
    root.mkdir()
    (root / "analysis.ipynb").write_text("{}")
    store.objects.put([b"x"])
    assert not (root / ".gitignore").exists()


def test_all_lists_objects_only(store: Store, root: Path) -> None:
    """Temporary and misplaced files are no objects."""
    digest, path = _place(store, root, b"x")
    (path.parent / ".tmp-1").write_bytes(b"")
    (root / "objects" / ("a" * 64)).write_bytes(b"")
    assert list(store.objects.all()) == [digest]
    store.objects.delete(digest)
    assert list(store.objects.all()) == []


def test_eight_processes_put_the_same(store: Store, root: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    """Eight writers of the same objects agree, and leave one good copy of each."""
    script = "sys.stdin.readline()\nfor n in range(20): print(store.objects.put([bytes([n]) * 300_000]))\n"
    writers = [start(script) for _ in range(8)]
    answers = {writer.communicate("go\n")[0] for writer in writers}
    assert [writer.returncode for writer in writers] == [0] * 8
    assert answers == {"".join(f"{digest}\n" for digest in (blake3(bytes([n]) * 300_000).hexdigest() for n in range(20)))}
    assert verify_store(store, repair=False).ok
    assert len([path for path in (root / "objects").rglob("*") if path.is_file()]) == 20


def test_threads_put_the_same(store: Store) -> None:
    """Threads share one store."""
    threads = [threading.Thread(target=lambda: [store.objects.put([bytes([n]) * 1000]) for n in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(store.objects.all())) == 20
    assert verify_store(store, repair=False).ok
