"""What is stale runs in order and in parallel, and is planned again as effects are learnt."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nbmlops.executors.events import StageFinished
from nbmlops.executors.firstruns import FirstRuns
from nbmlops.executors.local import LocalExecutor
from nbmlops.executors.scheduler import Scheduler
from nbmlops.executors.tasks import preload_modules
from nbmlops.pipeline.model import Step
from nbmlops.store.store import Store
from tests.runner.bench import Bench, cell

if TYPE_CHECKING:
    from nbmlops.executors.progress import Moment
    from nbmlops.runner.task import StageOutcome, StageTask

PARALLEL = ("import time", "%%mlstage a\nx = [1]", "%%mlstage b\ntime.sleep(0.6)\nx.append(2)", "%%mlstage c\nz = len(x)", "print(z)")


def test_stage_that_read_a_version_too_early_runs_again(bench: Bench) -> None:
    """When a stage turns out to change what a parallel one has read, that one is run on the new version."""
    done = bench.run(*PARALLEL)
    assert bench.value(done, "c", "z") == 2
    assert done.planner.pipeline.stages["c"].inputs == {"x": "b"}
    assert {name: item.status for name, item in done.results.items()} == {"a": "ran", "b": "ran", "c": "ran"}
    assert set(bench.states(*PARALLEL).values()) == {"fresh"}


def test_stage_that_is_still_running_on_an_old_version_is_given_up(bench: Bench) -> None:
    """An attempt whose input has changed meanwhile is ended, and its reason says that it was run again."""
    cells = (*PARALLEL[:2], "%%mlstage b\nx.append(2)\ntime.sleep(0.3)", "%%mlstage c\nn = len(x)\ntime.sleep(2 if n == 1 else 0)\nz = n", "print(z)")
    done = bench.run(*cells)
    assert bench.value(done, "c", "z") == 2
    assert "again, because an input has changed meanwhile" in done.results["c"].reason


class Disobedient(LocalExecutor):
    """Ends nothing when asked to: attempts that were given up finish all the same, and late."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, workers=2)
        self.started: list[StageTask] = []
        self.delivered: list[StageOutcome] = []

    def start(self, task: StageTask) -> None:
        """Remember what was started."""
        self.started.append(task)
        super().start(task)

    def wait(self, timeout_s: float) -> list[StageOutcome]:
        """Remember what was delivered."""
        found = super().wait(timeout_s)
        self.delivered += found
        return found

    def cancel(self, attempt: str) -> None:
        """Do nothing."""


def test_late_result_of_a_discarded_attempt_is_ignored(bench: Bench, tmp_path: Path) -> None:
    """The attempt is the fencing token: what an outdated one delivers is in no record."""
    bench.executor = executor = Disobedient(tmp_path / "own")
    early = "n = len(x)\ntime.sleep(1.2 if n == 1 else 2.4)\nz = n"
    done = bench.run(*PARALLEL[:2], "%%mlstage b\nx.append(2)\ntime.sleep(0.3)", f"%%mlstage c\n{early}", "print(z)")
    executor.close()
    attempts = [task.attempt for task in executor.started if task.stage == "c"]
    assert len(attempts) == 2
    assert attempts[0] in [item.attempt for item in executor.delivered if item.status == "ran"]
    assert done.finished["c"].attempt == attempts[1]
    assert bench.value(done, "c", "z") == 2


CHAIN = ("%%mlstage a\nx = [1, 2, 3]", "%%mlstage b\ny = sum(x)", "print(y)")


def damage(bench: Bench, digest: str) -> None:
    """Change a byte of an object, its size and time kept."""
    path = bench.folder / ".nbmlops" / "objects" / digest[:2] / digest
    status, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_damaged_input_is_computed_again(bench: Bench) -> None:
    """Bytes that are not what was stored are noticed when they are read; the stage that made them runs again."""
    done = bench.run(*CHAIN)
    damage(bench, done.finished["a"].outputs["x"].digest)
    again = bench.run(CHAIN[0], "%%mlstage b\ny = sum(x) * 2", CHAIN[2])
    assert {name: item.status for name, item in again.results.items()} == {"a": "ran", "b": "ran"}
    assert bench.value(again, "b", "y") == 12


def test_two_processes_compute_a_stage_once(bench: Bench, cache: Path, tmp_path: Path) -> None:
    """Of two runs at once, one computes and the other waits for its record."""
    cells = (f"%%mlstage a\nimport time\ntime.sleep(1.5)\nprint('computed', file=open({str(tmp_path / 'log')!r}, 'a'))\nx = 1", "print(x)")
    benches = [Bench(bench.folder, cache, LocalExecutor(tmp_path / f"own{place}", 1)) for place in range(2)]
    found: list[dict[str, str]] = []
    threads = [threading.Thread(target=lambda one=one: found.append(one.statuses(*cells))) for one in benches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in benches:
        assert isinstance(one.executor, LocalExecutor)
        one.executor.close()
    assert sorted(item["a"] for item in found) == ["ran", "reused"]
    assert (tmp_path / "log").read_text() == "computed\n"


HOLDER = """
import sys, time
from pathlib import Path
from nbmlops.store.locks import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(300)
"""


def test_lock_of_a_process_that_died_is_free(bench: Bench) -> None:
    """A holder that is killed without a record lets the next one compute."""
    key = bench.plan(*CHAIN)["a"].key
    path = bench.store.local_path(f"locks/stage-{key}.lock")
    root = str(Path(__file__).parents[2])
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root})
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    ends = threading.Timer(1.0, holder.kill)
    ends.start()
    begun = time.monotonic()
    assert bench.statuses(*CHAIN) == {"a": "ran", "b": "ran"}
    assert time.monotonic() - begun >= 0.9
    holder.communicate()


def test_independent_branch_goes_on_after_a_failure(bench: Bench) -> None:
    """What hangs on the failed stage is not run and says why; the rest runs."""
    done = bench.run("%%mlstage a\nraise ValueError('no')", "%%mlstage b --after a\ny = 1", "%%mlstage c --after b\nz = 1", "%%mlstage d\nw = 1")
    assert {name: item.status for name, item in done.results.items()} == {"a": "failed", "b": "not-run", "c": "not-run", "d": "ran"}
    assert (done.results["b"].reason, done.results["c"].reason) == ("stage a failed", "stage b did not run")


def test_fail_fast_starts_nothing_more(bench: Bench, tmp_path: Path) -> None:
    """With `fail_fast` the first failure stops what has not begun."""
    bench.executor = executor = LocalExecutor(tmp_path / "own", workers=1)
    found = bench.statuses("%%mlstage a\nraise ValueError('no')", "%%mlstage b\ny = 1", fail_fast=True)
    executor.close()
    assert found == {"a": "failed", "b": "not-run"}


def test_retries_count_attempts(bench: Bench, tmp_path: Path) -> None:
    """`--retries 1` tries twice, and says which try it was."""
    log = tmp_path / "log"
    code = f"%%mlstage a --retries 1\nprint('try', file=open({str(log)!r}, 'a'))\nassert len(open({str(log)!r}).readlines()) == 2"
    done = bench.run(code)
    assert (done.results["a"].status, done.results["a"].reason) == ("ran", "try 2 of 2")


REFUSED = ("%%mlstage a --metrics m --require 'auc > 0.7'\nm = {'auc': 0.6}\nx = 1", "%%mlstage b\ny = x", "%%mlstage c\nz = 1")


def test_refused_stage_is_offered_to_nobody(bench: Bench) -> None:
    """Below a refused gate nothing runs, the first time or from the record."""
    for status in ("ran", "reused"):
        done = bench.run(*REFUSED)
        assert {name: item.status for name, item in done.results.items()} == {"a": "refused", "b": "not-run", "c": status}
        assert done.results["b"].reason == "stage a was refused"
        assert "a" not in done.finished


def test_gate_is_no_part_of_the_key(bench: Bench) -> None:
    """A gate that is lowered is judged on the record that is there."""
    bench.run(*REFUSED)
    assert bench.statuses(REFUSED[0].replace("0.7", "0.5"), *REFUSED[1:]) == {"a": "reused", "b": "ran", "c": "reused"}


def test_stricter_gate_stops_what_was_done_before(bench: Bench) -> None:
    """Results that hang on what is refused now are not offered either, although they are in the store."""
    accepted = (REFUSED[0].replace("0.7", "0.5"), *REFUSED[1:])
    assert bench.statuses(*accepted) == {"a": "ran", "b": "ran", "c": "ran"}
    assert bench.statuses(*REFUSED) == {"a": "refused", "b": "not-run", "c": "reused"}
    assert bench.statuses(*accepted) == {"a": "reused", "b": "reused", "c": "reused"}


def test_written_file_is_put_back(bench: Bench) -> None:
    """A reused stage restores the files that it wrote, where they are missing or changed."""
    cells = ("%%mlstage a\nopen('out.txt', 'w').write('made')", "%%mlstage b\ny = open('out.txt').read()", "print(y)")
    bench.run(*cells)
    path = bench.folder / "out.txt"
    for spoil in (path.unlink, lambda: path.write_text("spoilt")):
        spoil()
        assert set(bench.statuses(*cells).values()) == {"reused"}
        assert path.read_text() == "made"


def test_file_of_an_edited_stage_reaches_its_reader(bench: Bench) -> None:
    """The reader counts with what the writer writes now."""
    cells = ["%%mlstage a\nopen('out.txt', 'w').write('one')", "%%mlstage b\ny = open('out.txt').read()", "print(y)"]
    bench.run(*cells)
    cells[0] = cells[0].replace("one", "two")
    done = bench.run(*cells)
    assert bench.value(done, "b", "y") == "two"


def test_each_stage_is_told_once(bench: Bench) -> None:
    """Watchers get one event per stage, with its status, metrics and error."""
    events: list[Any] = []
    planner = bench.planner("%%mlstage a --metrics m\nm = {'auc': 0.5}", "%%mlstage b\nraise ValueError('no')", "%%mlstage c --after b\nz = 1")
    assert bench.executor is not None
    Scheduler(planner, bench.executor, bench.store, bench.settings, run_id="r" * 16, emit=events.append).run(report=False)
    found = {event.stage: event for event in events if isinstance(event, StageFinished)}
    assert len(events) == len(found) == 3
    assert {name: event.status for name, event in found.items()} == {"a": "ran", "b": "failed", "c": "not-run"}
    assert found["a"].metrics == {"auc": 0.5}
    assert found["b"].error is not None
    assert found["b"].error["message"] == "no"


def test_watcher_is_told_of_every_start_and_end(bench: Bench) -> None:
    """With what runs at that moment, what waits, and how many are done."""
    moments: list[Moment] = []
    assert bench.executor is not None
    scheduler = Scheduler(bench.planner("%%mlstage a\nx = 1", "%%mlstage b\ny = x"), bench.executor, bench.store, bench.settings, "r" * 16)
    scheduler.watcher = moments.append
    scheduler.run(report=False)
    assert [(item.stage, item.result and item.result.status, item.running, item.waiting, item.done) for item in moments] == [
        ("a", None, ("a",), ("b",), 0),
        ("a", "ran", (), ("b",), 1),
        ("b", None, ("b",), (), 1),
        ("b", "ran", (), (), 2),
    ]


def test_interrupt_is_told_of_every_stage(bench: Bench, tmp_path: Path) -> None:
    """What was running is cancelled, what is done keeps its record, what had not begun is not run."""

    def interrupt(moment: Moment) -> None:
        if moment.stage == "b" and moment.result is None:
            raise KeyboardInterrupt

    executor = LocalExecutor(tmp_path / "own", workers=1)
    cells = ("%%mlstage a\nx = 1", "%%mlstage b\ny = x", "%%mlstage c\nz = y")
    scheduler = Scheduler(bench.planner(*cells), executor, bench.store, bench.settings, run_id="r" * 16, watcher=interrupt)
    with pytest.raises(KeyboardInterrupt):
        scheduler.run()
    executor.close()
    scheduler.cancel()
    assert {name: item.status for name, item in scheduler.results.items()} == {"a": "ran", "b": "cancelled", "c": "not-run"}
    assert bench.states(*cells)["a"] == "fresh"


def test_report_runs_after_the_stages_on_their_values(bench: Bench) -> None:
    """Report cells see each version where they stand, in document order."""
    done = bench.run("%%mlstage a\nx = 1", "print('first', x)", "%%mlstage b\nx = 2", "print('second', x)", report=True)
    assert bench.text(done.results["@report"].cell_outputs) == "first 1\nsecond 2\n"


@pytest.mark.parametrize("reads", ["open('v.txt').read()", "__import__('os').listdir('.')"])
def test_report_that_reads_what_is_written_below_it_is_refused(bench: Bench, reads: str) -> None:
    """It runs when every stage is done, and would show what the notebook has only further down."""
    (bench.folder / "v.txt").write_text("first")
    done = bench.run(f"x = {reads}\nprint(x)", "%%mlstage a\nopen('v.txt', 'w').write('second')", report=True)
    assert (done.results["a"].status, done.results["@report"].status) == ("ran", "failed")
    assert done.results["@report"].error is not None
    assert done.results["@report"].error.code == "NB218"


def test_first_runs_that_may_use_files_keep_the_order(bench: Bench, cache: Path, tmp_path: Path) -> None:
    """Nobody knows yet which files: the second would find the first one's half written. Once both have run, they run side by side."""
    executor = LocalExecutor(tmp_path / "own", workers=2)
    twin = Bench(bench.folder, cache, executor)
    code = "import time, os\nname = '{0}' + '.txt'\nopen(name, 'w').write('x')\ntime.sleep({1})\nopen(name, 'a').write('y')"
    cells = [f"%%mlstage {name}\n{code.format(name, 1.0)}" for name in "ab"]
    events: list[str] = []
    try:
        for _ in range(2):
            scheduler = Scheduler(twin.planner(*cells, forced=frozenset("ab")), executor, twin.store, twin.settings, "r" * 16)
            scheduler.watcher = lambda moment: events.append(f"{moment.stage} {moment.result.status if moment.result else 'starts'}")
            scheduler.run(report=False)
    finally:
        executor.close()
    assert events[:4] == ["a starts", "a ran", "b starts", "b ran"]
    assert events[4:6] == ["a starts", "b starts"]


def test_first_run_does_not_wait_for_what_will_never_run(bench: Bench) -> None:
    """A stage that hangs on a failed one has no files to wait for."""
    cells = ("%%mlstage a\nx = 1 / 0", "%%mlstage b\nopen(str(x) + '.txt', 'w').write('b')", "%%mlstage c\nopen('c' + '.txt', 'w').write('c')")
    assert bench.statuses(*cells) == {"a": "failed", "b": "not-run", "c": "ran"}


def test_first_run_waits_below_a_chain_of_any_length(bench: Bench) -> None:
    """What a thousand stages hang on one by one is followed without a call for each."""
    chain = [f"%%mlstage s{number}\nx{number} = x{number - 1} + 1" for number in range(1, 1100)]
    last = "%%mlstage last\nopen(str(x1099), 'w').write('1')"
    planner = bench.planner("%%mlstage s0\nx0 = 0", *chain, last, "%%mlstage free\ny = open('y' + '.txt', 'w').write('1')")
    item = planner.plan(report=False).stages["free"]
    assert FirstRuns(planner).must_wait(item, {})


def test_report_that_is_unchanged_is_reused(bench: Bench) -> None:
    """Report cells have a record like a stage's."""
    cells = ("%%mlstage a\nx = 1", "print(x)")
    assert [bench.run(*cells, report=True).results["@report"].status for _ in range(2)] == ["ran", "reused"]


def test_no_more_run_at_once_than_there_are_workers(bench: Bench, tmp_path: Path) -> None:
    """With one worker, stages that need nothing of each other run one after the other."""
    bench.executor = executor = LocalExecutor(tmp_path / "own", workers=1)
    code = "%%mlstage {0} --metrics {0}\n{0} = {{'from': time.time()}}\ntime.sleep(0.2)\n{0}['to'] = time.time()"
    done = bench.run("import time", code.format("a"), code.format("b"))
    executor.close()
    a, b = done.finished["a"].metrics, done.finished["b"].metrics
    assert a["to"] <= b["from"] or b["to"] <= a["from"]


def test_modules_are_not_preloaded_where_setup_sets_variables() -> None:
    """`os.environ["OMP_NUM_THREADS"] = "1"` must come before numpy is imported."""
    plain, setting = Step(kind="setup", cell=0, source="import numpy"), Step(kind="setup", cell=0, source="import os\nos.environ['A'] = '1'")
    assert preload_modules((plain,), {"numpy", "json"}) == ("json", "numpy")
    assert preload_modules((setting, plain), {"numpy"}) == ()


def test_setup_that_fails_fails_its_users_only(bench: Bench) -> None:
    """A setup cell below a stage does not concern it."""
    found = bench.statuses("%%mlstage a\nx = 1", cell("raise OSError('no')", "setup"), "%%mlstage b\ny = 1")
    assert found == {"a": "ran", "b": "failed"}


class Overtaken(Store):
    """A store where another process is always quicker: it has recorded what is claimed by the time the claim is granted."""

    other: Bench | None = None

    def claim(self, key: str, **options: Any) -> Any:
        """Let the other one run to its end first."""
        other, self.other = self.other, None
        if other is not None:
            other.run(*CHAIN)
        return super().claim(key, **options)


def test_record_that_came_before_the_claim_is_reused(bench: Bench, cache: Path) -> None:
    """Between the plan and the claim another process may have finished: the stage is not computed again."""
    store = Overtaken(bench.settings.store, settings=bench.settings)
    store.other = Bench(bench.folder, cache, bench.executor)
    bench.store = store
    assert bench.statuses(*CHAIN) == {"a": "reused", "b": "reused"}
