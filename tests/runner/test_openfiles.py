"""Files that a stage has not closed, and what is no file at all."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbmlops.errors import StoreError
from nbmlops.runner.environment import file_digest
from nbmlops.runner.leaving.openfiles import flush_open_files

if TYPE_CHECKING:
    from tests.runner.bench import Bench


def test_what_waits_in_a_buffer_is_written(tmp_path: Path) -> None:
    """A file that is still open holds all that was written to it, as it would when the interpreter ends."""
    with (tmp_path / "a.txt").open("w") as text, (tmp_path / "b.bin").open("wb") as data, (tmp_path / "a.txt").open() as reader:
        text.write("abc")
        data.write(b"xyz")
        flush_open_files()
        assert ((tmp_path / "a.txt").read_text(), (tmp_path / "b.bin").read_bytes(), reader.closed) == ("abc", b"xyz", False)


def test_our_own_file_is_no_reason_to_look(bench: Bench) -> None:
    """A stage has a journal open all the time: a look at all objects after each cell would cost more than the cell."""
    counts = "%%mlstage a\nimport gc\nseen = []\ngc.get_objects = lambda: seen.append(1) or []"
    done = bench.outcome(counts, "%%mlstage a\nx = len(seen)", wants=("x",))
    assert bench.value(done, "a", "x") == 0
    done = bench.outcome(f"{counts}\nf = open('q.txt', 'w')", "%%mlstage a\nx = len(seen)", wants=("x",))
    assert bench.value(done, "a", "x") == 1


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A full disk fails the stage, instead of leaving a part of the file as if it were the whole."""
    (tmp_path / "on-disk.txt").touch()
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails
    with (tmp_path / "on-disk.txt").open("a"):
        full.write("abc")
        with pytest.raises(StoreError, match="/dev/full cannot be kept: No space left on device"):
            flush_open_files()
    with pytest.raises(OSError, match="No space left"):
        full.close()


def test_stage_that_does_not_close_loses_nothing(bench: Bench) -> None:
    """The last of what it wrote is in the file and in its record; of one that fails, too."""
    done = bench.outcome("%%mlstage a\nf = open('o.txt', 'w')\nf.write('abc')\nx = 1", wants=("x",))
    assert bytes(bench.store.objects.view(done.files_written["o.txt"])) == b"abc"
    bench.outcome("%%mlstage a\nf = open('p.txt', 'w')\nf.write('abc')\n1 / 0")
    assert (bench.folder / "p.txt").read_text() == "abc"


def test_nothing_is_read_of_what_is_no_file(tmp_path: Path) -> None:
    """A pipe would be waited for, for ever; a socket cannot be opened."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        digests = {file_digest(tmp_path / name) for name in ("pipe", "socket", "none")}
    assert (len(digests), None in digests) == (3, True)


def test_bytes_that_are_no_text_are_shown(bench: Bench) -> None:
    """What an object shows of itself does not fail the stage that shows it."""
    shows = "class Odd:\n    def _repr_mimebundle_(self, **_):\n        return {'text/plain': b'\\xff', 'application/json': {'a': {1}}}\n"
    assert bench.outcome(f"%%mlstage a\n{shows}x = 1\nOdd()", wants=("x",)).status == "ran"


def test_stage_that_runs_out_of_memory_while_it_stores_says_so(bench: Bench) -> None:
    """It is not told that its list cannot be stored."""
    code = "%%mlstage a --memory 420MiB\nx = [bytes(1000) + str(i).encode() for i in range(250_000)]"
    done = bench.outcome(code, wants=("x",))
    assert done.error is not None
    assert (done.error.type, "ran out of memory" in done.error.message) == ("MemoryError", True)
