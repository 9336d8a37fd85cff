"""The outbox keeps events through kills, full disks and flipped bits."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nbmlops.errors import StoreError
from nbmlops.executors.events import Event, RunFinished
from nbmlops.tracking.conformance import example_run, example_sweep_run, example_trial
from nbmlops.tracking.journal import read_journal
from nbmlops.tracking.outbox import Outbox, _Remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_OWNER = """
import sys, time
from pathlib import Path
from nbmlops.tracking.conformance import example_run, example_sweep_run, example_trial
from nbmlops.tracking.journal import read_journal
from nbmlops.tracking.outbox import Outbox, _Remembered
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


def test_events_that_come_together_are_written_together(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial's end costs one fsync however many events it has, and its lock is free then; events of two runs are refused."""
    started, *rest = example_trial("t1", 1)
    outbox.append(started)
    assert Outbox(outbox.folder).close_dead() == []
    synced: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(descriptor), fsync(descriptor)))
    outbox.append(*rest)
    assert len(synced) == 1
    journal = Outbox(outbox.folder).journal("t1")
    assert [type(event) for event in journal.events] == [type(event) for event in (started, *rest)]
    assert (journal.finished, journal.of_sweep) == (True, None)
    with pytest.raises(ValueError, match="of one run"):
        outbox.append(example_run("r1")[1], example_run("r2")[1])


def test_a_run_that_comes_whole_is_no_ones_any_more(outbox: Outbox) -> None:
    """A run whose start and end come at once leaves no lock that another process would wait for."""
    outbox.append(*example_trial("t1", 1))
    assert outbox._owned == {}
    assert outbox.journal("t1").finished


def test_a_part_of_what_came_together_is_a_run_without_end(outbox: Outbox) -> None:
    """Wherever a crash cuts events that were written at once, the whole ones before it are kept, and the run is closed as dead."""
    events = example_trial("t1", 1)
    outbox.append(*events)
    path = outbox.folder / "t1.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert outbox.journal("t1").events[-1].run_id == "t1"
    assert Outbox(outbox.folder).close_dead() == ["t1"]
    assert [event.status for event in outbox.journal("t1").events[1:]] == ["reused", "ran", "cancelled"]


def test_a_dead_sweep_is_left_to_those_who_live(outbox: Outbox) -> None:
    """A sweep whose process died ends as `left` while another process works on it, else as cancelled."""
    _die(outbox, *example_sweep_run("w1", "s1")[:1])
    _die(outbox, *example_sweep_run("w2", "other")[:1])
    outbox.append(example_sweep_run("w3", "s1")[0])
    assert set(Outbox(outbox.folder).close_dead()) == {"w1", "w2"}
    assert [outbox.journal(run_id).events[-1].status for run_id in ("w1", "w2")] == ["left", "cancelled"]


def test_the_last_to_leave_a_sweep_ends_it(outbox: Outbox) -> None:
    """Who leaves while another works on says so; the last one, and one who is alone, ends it as it ended, and so does one whose fellow died."""
    runs = {run_id: example_sweep_run(run_id, sweep_id) for run_id, sweep_id in (("w1", "s1"), ("w2", "s1"), ("w3", "s2"), ("w4", "s3"))}
    owners = {run_id: Outbox(outbox.folder) for run_id in runs}
    _die(outbox, example_sweep_run("w5", "s3")[0])
    for run_id, events in runs.items():
        owners[run_id].append(events[0])
    for run_id, events in runs.items():
        owners[run_id].leave(events[1])
    assert [outbox.journal(run_id).events[-1].status for run_id in runs] == ["left", "done", "done", "done"]


def test_a_dead_sweep_ends_with_its_last_trial(outbox: Outbox) -> None:
    """Its own journal says nothing between start and end: what its process wrote of the trials shows how long it lived."""
    begun_s = time.time()
    _die(outbox, example_sweep_run("w1", start_s=begun_s)[0], example_trial("t1", 1)[0], pause_s=0.3)
    Outbox(outbox.folder).close_dead()
    assert outbox.journal("w1").events[-1].seconds >= 0.3


def _die(outbox: Outbox, *events: Event, pause_s: float = 0.0) -> None:
    child = os.fork()
    if child == 0:
        for event in events:
            Outbox.append(outbox, event)
            time.sleep(pause_s)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_thousand_that_wait_are_read_once(outbox: Outbox) -> None:
    """Who looks again reads only what has changed, and forgets what is filed away."""
    read: list[Path] = []
    outbox._journals = _Remembered(lambda path: (read.append(path), read_journal(path))[1])
    for number in range(20):
        outbox.append(*example_trial(f"t{number}", number))
    outbox.append(example_run("r1")[0])
    for _ in range(3):
        assert len(outbox.pending("mlflow")) == 21
    assert len(read) == 21
    outbox.append(example_run("r1")[1])
    assert len(outbox.pending("mlflow")) == 21
    assert [path.stem for path in read[21:]] == ["r1"]
    outbox.advance("mlflow", "t0", outbox.journal("t0"), {"run_id": "m"})
    outbox.settle("t0", ("mlflow",))
    assert len(outbox.pending("mlflow")) == 20
    assert len(outbox._journals._known) == 20


def test_whose_turn_it_was_is_known(outbox: Outbox) -> None:
    """A sender learns whether another has sent since it did itself, for each tracker, whoever looks."""
    turns = [("mlflow", "a"), ("mlflow", "a"), ("wandb", "a"), ("mlflow", "b"), ("mlflow", "a")]
    outbox.append(example_run("r1")[0])
    assert [Outbox(outbox.folder).take_turn(tracker, who) for tracker, who in turns] == [True, False, True, True, True]


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
