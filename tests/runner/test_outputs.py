"""What a cell shows is kept as a notebook would keep it."""

from __future__ import annotations

import base64
import io
import json
import time
from typing import Any

import pytest

from nbmlops.runner.outputs import OutputRecorder, RecordedStream, read_journal
from nbmlops.runner.redaction import MASK, Redactor
from tests.runner.bench import Bench, cell


@pytest.fixture
def recorder() -> OutputRecorder:
    """Make a recorder that has begun a cell."""
    made = OutputRecorder(Redactor(["hunter2"]), limit_bytes=100)
    made.begin(3)
    return made


def texts(outputs: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return streams as (name, text)."""
    return [(item["name"], item["text"]) for item in outputs]


def test_text_of_one_stream_is_joined(recorder: OutputRecorder) -> None:
    """Two prints are one output, until the other stream comes in between."""
    for name, text in (("stdout", "a\n"), ("stdout", "b\n"), ("stderr", "c\n"), ("stdout", "d\n"), ("stdout", "")):
        recorder.stream(name, text)
    assert texts(recorder.take()) == [("stdout", "a\nb\n"), ("stderr", "c\n"), ("stdout", "d\n")]


def test_every_kind_of_output_is_redacted(recorder: OutputRecorder) -> None:
    """Streams, display data, results and errors never hold a secret."""
    recorder.stream("stdout", "hunter2")
    recorder.display({"text/html": "<b>hunter2</b>"}, {"k": "hunter2"})
    recorder.result(1, {"text/plain": "'hunter2'"})
    recorder.error("ValueError", "hunter2", ["line", "hunter2"])
    shown = json.dumps(recorder.take())
    assert "hunter2" not in shown
    assert shown.count(MASK) == 6


def test_long_text_keeps_head_and_tail(recorder: OutputRecorder) -> None:
    """The middle is left out, and how much."""
    recorder.stream("stdout", "a" * 500 + "b" * 500)
    text = recorder.take()[0]["text"]
    assert text == "a" * 50 + "\n... 900 characters are left out here ...\n" + "b" * 50


def test_whole_of_a_long_text_is_kept_elsewhere() -> None:
    """The log goes to the store as one text, redacted, and the output says where."""
    kept: list[str] = []
    recorder = OutputRecorder(Redactor(["hunter2"]), limit_bytes=20, keep_log=lambda text: f"digest-{kept.append(text)}")
    recorder.begin(0)
    for part in ("a" * 15, "hun", "ter2", "b" * 15):
        recorder.stream("stdout", part)
    assert "store show digest-" in recorder.take()[0]["text"]
    assert kept == ["a" * 15 + MASK + "b" * 15]


def test_secret_printed_in_parts_is_masked(recorder: OutputRecorder) -> None:
    """A secret that two writes put together is no less a secret."""
    recorder.stream("stdout", "hun")
    recorder.stream("stdout", "ter2")
    assert texts(recorder.take()) == [("stdout", MASK)]


def test_endless_text_is_bounded_in_memory(recorder: OutputRecorder) -> None:
    """A loop that prints without end does not fill the memory, and the last line is there."""
    for number in range(10_000):
        recorder.stream("stdout", f"line {number}\n")
    log = recorder.outputs[0]["_text"]
    assert sum(map(len, log._parts)) <= 2 * 100
    text = recorder.take()[0]["text"]
    assert text.startswith("line 0\n")
    assert text.endswith("line 9999\n")


def test_display_is_updated_in_place(recorder: OutputRecorder) -> None:
    """A display handle changes what it has shown; its id is not kept."""
    recorder.display({"text/plain": "1 of 2"}, transient={"display_id": "bar"})
    recorder.stream("stdout", "x")
    recorder.update({"text/plain": "2 of 2"}, transient={"display_id": "bar"})
    first = recorder.take()[0]
    assert first == {"output_type": "display_data", "data": {"text/plain": "2 of 2"}, "metadata": {}}


def test_clear_now_and_later(recorder: OutputRecorder) -> None:
    """`clear_output(wait=True)` waits for something new."""
    recorder.display({"text/plain": "a"})
    recorder.clear(wait=True)
    assert [item["data"] for item in recorder.outputs] == [{"text/plain": "a"}]
    recorder.stream("stdout", "b")
    assert texts(recorder.take()) == [("stdout", "b")]
    recorder.stream("stdout", "c")
    recorder.clear()
    assert recorder.take() == []


MIMES = [
    ({"image/png": b"\x89PNG"}, {"image/png": base64.b64encode(b"\x89PNG").decode()}),
    ({"text/html": b"<b>"}, {"text/html": "<b>"}),
    ({"application/vnd.jupyter.widget-view+json": {}, "text/plain": "bar"}, {"text/plain": "bar"}),
    ({"application/json": {"a": [1]}}, {"application/json": {"a": [1]}}),
]


@pytest.mark.parametrize(("data", "expected"), MIMES)
def test_data_is_what_a_notebook_file_holds(recorder: OutputRecorder, data: dict[str, Any], expected: dict[str, Any]) -> None:
    """Bytes become text, and a live widget gives way to its static twin."""
    recorder.display(data)
    assert recorder.take()[0]["data"] == expected


def test_journal_gives_the_outputs_back() -> None:
    """What was written as it came is what the cells showed; a line cut off by the end is left out."""
    journal = io.StringIO()
    recorder = OutputRecorder(Redactor(["hunter2"]), journal=journal)
    recorder.begin(2)
    recorder.stream("stdout", "a hunter2\n")
    recorder.stream("stdout", "b\n")
    recorder.display({"text/plain": "x"})
    expected = recorder.take()
    recorder.begin(4)
    recorder.error("E", "v", [])
    lines = journal.getvalue().splitlines()
    assert read_journal([*lines, '{"cell": 4, "out'], limit_bytes=1000) == {2: expected, 4: recorder.take()}


def test_stream_is_like_a_text_file() -> None:
    """Text and bytes go to the recorder, anything else is refused."""
    got: list[tuple[str, str]] = []
    stream = RecordedStream("stdout", lambda name, text: got.append((name, text)), 1)
    print("a", file=stream)
    stream.buffer.write("é".encode())
    assert "".join(text for _, text in got) == "a\né"
    assert (stream.fileno(), stream.isatty(), stream.writable(), stream.encoding) == (1, False, True, "utf-8")
    with pytest.raises(TypeError, match="must be str, not int"):
        stream.write(3)


DESCRIPTORS = """%%mlstage a
import ctypes, os, subprocess, sys
print('python')
os.write(1, b'descriptor\\n')
ctypes.CDLL(None).puts(b'libc')
ctypes.CDLL(None).fflush(None)
subprocess.run(['echo', 'child'])
subprocess.run('echo oops >&2', shell=True)
!echo shell
os.write(1, b'no newline')"""


def test_what_c_code_and_children_write_is_kept(bench: Bench) -> None:
    """Everything on descriptors 1 and 2 is in the cell's outputs, the last part without a line break too."""
    digest = bench.outcome(DESCRIPTORS).cell_outputs
    assert sorted(bench.text(digest).split()) == sorted(["python", "descriptor", "libc", "child", "shell", "no", "newline"])
    assert bench.text(digest, "stderr") == "oops\n"


def test_children_write_in_order(bench: Bench) -> None:
    """What two commands write stands in the order of the commands."""
    digest = bench.outcome("%%mlstage a\n!echo one\n!echo two; echo three").cell_outputs
    assert bench.text(digest).split() == ["one", "two", "three"]


def test_outputs_of_cells_are_kept_apart(bench: Bench) -> None:
    """Each cell of a stage has its own outputs, though C code wrote them."""
    digest = bench.outcome(cell("import os\nos.write(1, b'one\\n')", "stage:a"), cell("os.write(1, b'two\\n')", "stage:a")).cell_outputs
    streams = [[item["text"] for item in outputs if item["output_type"] == "stream"] for outputs in bench.shown(digest)]
    assert streams == [["one\n"], ["two\n"]]


def test_secret_in_parts_is_masked_in_a_journal_too() -> None:
    """A killed stage's journal holds the parts of a secret in lines of their own: together they are masked."""
    journal = io.StringIO()
    recorder = OutputRecorder(Redactor(["hunter2"]), journal=journal)
    recorder.begin(0)
    for part in ("hun", "ter2\n"):
        recorder.stream("stdout", part)
        recorder.flush()
    shown = read_journal(journal.getvalue().splitlines(), limit_bytes=1000, redactor=Redactor(["hunter2"]))
    assert texts(shown[0]) == [("stdout", f"{MASK}\n")]


def test_line_is_in_the_journal_when_it_ends() -> None:
    """What a killed process has printed whole is there, and what it has flushed."""
    journal = io.StringIO()
    recorder = OutputRecorder(Redactor(), journal=journal)
    recorder.begin(0)
    stream = RecordedStream("stdout", recorder.stream, 1, recorder.flush)
    print("loss", 0.5, file=stream)
    print("epoch 2", end="", file=stream, flush=True)
    assert texts(read_journal(journal.getvalue().splitlines(), limit_bytes=1000)[0]) == [("stdout", "loss 0.5\nepoch 2")]


def test_streams_in_turn_are_bounded(recorder: OutputRecorder) -> None:
    """A loop that writes to both streams in turn makes no output of each line, and loses none."""
    for number in range(5000):
        recorder.stream("stdout", f"{number}\n")
        recorder.stream("stderr", "e\n")
    outputs = recorder.take()
    assert len(outputs) <= 1000
    assert sum(len(text) for _, text in texts(outputs)) < 1000 * 300


OWN_DESCRIPTORS = [
    "os.close(1)",
    "sys.stdout.close()",
    "os.dup2(os.open('log.txt', os.O_CREAT | os.O_WRONLY), 1)\nos.write(1, b'elsewhere')",
]


@pytest.mark.parametrize("code", OWN_DESCRIPTORS)
def test_output_that_the_code_closes_or_redirects(bench: Bench, code: str) -> None:
    """A stage may do with its output what it likes: it ends, at once, and the next cell shows what it prints."""
    cells = [cell(f"import os, sys\nprint('one')\n{code}", "stage:a"), cell("print('two')\nx = 1", "stage:a")]
    begun = time.monotonic()
    done = bench.outcome(*cells, "print(x)")
    assert time.monotonic() - begun < 55
    assert done.status == "ran", done.error
    assert bench.text(done.cell_outputs).split() == ["one", "two"]
    if "log.txt" in code:
        assert (bench.folder / "log.txt").read_text() == "elsewhere"


def test_forked_workers_are_heard(bench: Bench) -> None:
    """What the workers of a pool print is the stage's, though each has a copy of its streams."""
    code = "import multiprocessing\n\ndef work(i):\n    print('worker', i)\n    return i\n\n"
    code += "with multiprocessing.get_context('fork').Pool(2) as pool:\n    x = pool.map(work, range(3))"
    done = bench.outcome(f"%%mlstage a\n{code}", "print(x)")
    assert done.status == "ran", done.error
    assert sorted(bench.text(done.cell_outputs).split("\n")) == ["", "worker 0", "worker 1", "worker 2"]
