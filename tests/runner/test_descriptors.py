"""Code that closes descriptors which it has not opened: what nbmlops had there must not be taken for the files that the code opens next."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from nbmlops.runner.outputs import Descriptor

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runner.bench import Bench

_CLOSES_AND_OPENS = """%%mlstage a
import os
os.closerange(3, 256)
files = [open(f"out{number}.txt", "w+") for number in range(24)]
print("shown")
os.system("echo too")
for file in files:
    file.write("own")
    file.flush()
    file.seek(0)
x = [file.read() for file in files]
del files[:], file
"""


def test_files_that_get_our_numbers_hold_what_the_code_wrote(bench: Bench) -> None:
    """Neither outputs nor marks of ours are written into the code's files, none of them is read or closed, and its values are handed on."""
    done = bench.outcome(_CLOSES_AND_OPENS, wants=("x",))
    assert (done.status, done.error) == ("ran", None)
    assert {path.read_text() for path in bench.folder.glob("out*.txt")} == {"own"}
    assert [bytes(bench.store.objects.view(digest)) for digest in set(done.files_written.values())] == [b"own"]


@pytest.mark.parametrize("closes", ["os.closerange(0, 256)", "[os.dup2(os.open(os.devnull, os.O_RDWR), number) for number in range(1, 40)]"])
def test_stage_without_descriptors_ends_at_once(bench: Bench, closes: str) -> None:
    """Nobody waits for the outputs of descriptors that are no longer there, nor fails for want of them."""
    done = bench.outcome(f"%%mlstage a\nimport os\nx = 1\n{closes}\nprint('shown')", wants=("x",))
    assert (done.status, done.error) == ("ran", None)


def test_a_number_that_stands_for_another_file_is_left_alone(tmp_path: Path) -> None:
    """Nothing is written to it, and it stays open."""
    reader, writer = os.pipe()
    pipe = Descriptor(writer)
    assert pipe.write(b"a")
    with (tmp_path / "own.txt").open("w+b") as file:
        os.dup2(file.fileno(), writer)
        assert (pipe.is_ours, pipe.write(b"b")) == (False, False)
        pipe.close()
        os.fstat(writer)
        assert file.read() == b""
    os.close(writer)
    os.close(reader)
    assert not pipe.is_ours
