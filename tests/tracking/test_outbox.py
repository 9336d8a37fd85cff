"""The outbox keeps events through kills, full disks and flipped bits."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nbmlops.errors import StoreError
from nbmlops.executors.events import Event, RunFinished
from nbmlops.tracking.conformance import example_run
from nbmlops.tracking.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_OWNER = """
import sys, time
from pathlib import Path
from nbmlops.tracking.conformance import example_run
from nbmlops.tracking.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), ("mlflow",))
for event in example_run("r1")[:2]:
    outbox.append(event)
print("written", flush=True)
time.sleep(60)
"""


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    """Give an empty outbox for MLflow."""
    return Outbox(tmp_path / "outbox", ("mlflow",))


@pytest.fixture
def owner(outbox: Outbox) -> Iterator[subprocess.Popen[str]]:
    """Give another process that has begun the run r1 and lives."""
    process = subprocess.Popen([sys.executable, "-c", _OWNER, str(outbox.folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_events_come_back_as_they_were(outbox: Outbox) -> None:
    """Every event is read back equal, in order, by another object."""
    events = [replace(event, metrics={}) if hasattr(event, "metrics") else event for event in example_run("r1")]
    for event in events:
        outbox.append(event)
    journal = Outbox(outbox.folder).journal("r1")
    assert list(journal.events) == events
    assert (journal.finished, journal.damaged, journal.trackers) == (True, 0, ("mlflow",))


def test_a_torn_tail_is_cut(outbox: Outbox, fill: Callable[..., list[Event]]) -> None:
    """Wherever a crash cuts the last line, the whole ones are read and the next event is not glued to the rest."""
    events = fill("r1", 2)
    path = outbox.folder / "r1.jsonl"
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for cut in range(last + 1, len(whole), 7):
        path.write_bytes(whole[:cut])
        assert outbox.journal("r1").events == tuple(events[:1])
        outbox.append(events[1])
        assert path.read_bytes() == whole


def test_a_flipped_bit_loses_its_line_only(outbox: Outbox, fill: Callable[..., list[Event]]) -> None:
    """A damaged line is noticed by its seal, and the others stay."""
    events = fill("r1", 3)
    path = outbox.folder / "r1.jsonl"
    data = bytearray(path.read_bytes())
    data[data.index(b"parameter C")] ^= 1
    path.write_bytes(data)
    journal = outbox.journal("r1")
    assert [event.time_s for event in journal.events] == [events[0].time_s, events[2].time_s]
    assert journal.damaged == 1


def test_a_run_waits_until_all_its_lines_are_delivered(outbox: Outbox, fill: Callable[..., list[Event]]) -> None:
    """What was appended after the last delivery waits; what is delivered does not."""
    fill("r1", 1)
    outbox.advance("mlflow", "r1", outbox.journal("r1"), {"run_id": "m", "experiment": "e"})
    assert outbox.pending("mlflow") == []
    outbox.append(example_run("r1")[1])
    assert outbox.pending("mlflow") == ["r1"]
    assert outbox.reference("r1") == {"mlflow": {"run_id": "m", "experiment": "e"}}


def test_a_run_is_meant_for_the_trackers_of_its_time(outbox: Outbox, fill: Callable[..., list[Event]]) -> None:
    """A tracker that is configured later does not get older runs."""
    fill("r1")
    assert outbox.pending("wandb") == []
    assert outbox.pending("mlflow") == ["r1"]


def test_a_delivered_run_is_filed_away(outbox: Outbox, fill: Callable[..., list[Event]]) -> None:
    """When everybody has an ended run, looking for what waits does not read it any more."""
    fill("r1")
    outbox.advance("mlflow", "r1", outbox.journal("r1"), {"run_id": "m", "experiment": "e"})
    outbox.settle("r1", ("mlflow",))
    assert outbox.undelivered() == []
    assert outbox.journal("r1").finished
    assert outbox.reference("r1") == {"mlflow": {"run_id": "m", "experiment": "e"}}


def test_damaged_progress_means_sending_again(outbox: Outbox, fill: Callable[..., list[Event]]) -> None:
    """Progress whose seal is broken is not believed."""
    fill("r1")
    outbox.advance("mlflow", "r1", outbox.journal("r1"), {"run_id": "m", "experiment": "e"})
    path = outbox.folder / "progress" / "mlflow" / "r1.json"
    path.write_text(path.read_text().replace('"m"', '"n"'))
    assert outbox.pending("mlflow") == ["r1"]


@pytest.mark.usefixtures("owner")
def test_a_living_run_is_not_closed(outbox: Outbox) -> None:
    """Neither another process nor the owner's own ends a run whose owner lives."""
    assert outbox.close_dead() == []
    outbox.append(example_run("r2")[0])
    assert Outbox(outbox.folder).close_dead() == []


def test_a_killed_run_is_closed_once_as_cancelled(outbox: Outbox, owner: subprocess.Popen[str]) -> None:
    """After SIGKILL of its process a run ends as cancelled, at its last sign of life."""
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    assert outbox.close_dead() == ["r1"]
    assert outbox.close_dead() == []
    finished = outbox.journal("r1").events[-1]
    assert isinstance(finished, RunFinished)
    assert (finished.status, finished.seconds) == ("cancelled", 1.0)


def test_an_unreadable_beginning_is_put_aside(outbox: Outbox, owner: subprocess.Popen[str]) -> None:
    """A run whose start is damaged can be shown by nobody and blocks nobody."""
    owner.kill()
    owner.wait()
    path = outbox.folder / "r1.jsonl"
    path.write_bytes(path.read_bytes().replace(b"flights/<b>", b"flighty/<b>"))
    assert outbox.close_dead() == []
    assert outbox.undelivered() == []
    assert (outbox.folder / "quarantine" / "r1.jsonl").exists()


def test_a_full_disk_leaves_the_journal_whole(outbox: Outbox, fill: Callable[..., list[Event]]) -> None:
    """An event that does not fit is an error in one line, and what is there stays readable."""
    events = fill("r1", 2)
    size = (outbox.folder / "r1.jsonl").stat().st_size
    code = (
        "import resource, signal, sys; from pathlib import Path; from nbmlops.errors import StoreError\n"
        "from nbmlops.tracking.conformance import example_run; from nbmlops.tracking.outbox import Outbox\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); size = int(sys.argv[2]) + 20\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
        "try: Outbox(Path(sys.argv[1])).append(example_run('r1')[2])\n"
        "except StoreError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(outbox.folder), str(size)], capture_output=True, text=True, check=True)
    assert "the outbox of events cannot be written: File too large" in done.stdout
    assert (outbox.folder / "r1.jsonl").stat().st_size == size
    assert outbox.journal("r1").events == tuple(events)


@pytest.mark.parametrize("name", ["../r1", "", "a/b", ".hidden", "a\0b", "x" * 200])
def test_a_name_that_is_no_file_name_is_refused(outbox: Outbox, name: str) -> None:
    """No run id leads out of the folder."""
    with pytest.raises(StoreError, match="cannot name a file"):
        outbox.append(replace(example_run("r1")[0], run_id=name))


def test_an_unwritable_outbox_is_one_line(tmp_path: Path) -> None:
    """A folder that cannot be made gives a StoreError with the remedy."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="make room or make the folder writable"):
        Outbox(tmp_path / "file" / "outbox").append(example_run("r1")[1])


def test_it_imports_the_standard_library_only() -> None:
    """The scheduler's side of tracking loads no tracker and no third-party module."""
    code = (
        "import sys; before = set(sys.modules); import nbmlops.tracking.outbox, nbmlops.tracking.sender;"
        "tops = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(tops - set(sys.stdlib_module_names) - {'nbmlops'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_that_told_nothing_is_forgotten(outbox: Outbox) -> None:
    """A process that was killed, or had no room, before its first line leaves a file without one: it is no run that waits."""
    outbox.folder.mkdir(parents=True)
    (outbox.folder / "r9.jsonl").touch()
    assert outbox.close_dead() == []
    assert outbox.undelivered() == []


def test_a_run_that_could_not_begin_is_let_go(outbox: Outbox, fill: Callable[..., list[Event]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first line finds no room, the run's lock is free again, and the run may begin later."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError):
            fill("r1")
    assert len(fill("r1")) == len(outbox.journal("r1").events)
