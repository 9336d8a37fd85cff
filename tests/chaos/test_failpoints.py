"""Killed, failing or out of room at each point in turn: the run says so, the store is whole, and the next run is right.

`make chaos` goes through every passage of every point, as SQLite's tests go through every system call; `make test` through the first one.
"""

from __future__ import annotations

import itertools
import signal
from typing import TYPE_CHECKING

import pytest

from nbmlops.failpoints import FAILPOINTS
from tests.chaos.wreck import CHAOS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.acceptance.project import Outcome
    from tests.chaos.wreck import Wreck

# where the fault is not the run's to tell: what it is about is no result, or is another process's to send
BESIDE = {"store.write", "store.fsync", "store.commit", "cache.write", "cache.commit", "progress.write", "progress.fsync", "progress.commit"}
BESIDE |= {"progress.sync", "outbox.move", "journal.write", "blobs.remove", "remote.remove"}
TRACKED = {"NBMLOPS_TRACKERS": "diary"}


def plain(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run all stages."""
    return wreck.finish(wreck.start(env=variables))


def tracked(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run all stages and tell a tracker."""
    return wreck.finish(wreck.start(env={**TRACKED, **variables}))


def single(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run one stage by the stage command."""
    (wreck.folder / "params.json").write_text(f'{{"p": {wreck.p}}}')
    words = ("stage", "nb.ipynb", "a", "--params", "@params.json", "--result", "answer.json", "--json")
    done = wreck.project.call(*[word for word in words if word != "--json"], env={**wreck.variables, **variables})
    assert wreck.project.left_after(5) == {}
    return done


def restoring(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run where a stage that is reused has lost the file that it wrote."""
    if not wreck.finished:
        wreck.complete()
    (wreck.folder / "d.txt").unlink(missing_ok=True)
    return wreck.finish(wreck.start("--force-stage", "f", env=variables))


def damaged(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run where an object is damaged, which goes to quarantine."""
    if not wreck.finished:
        wreck.complete()
    record = wreck.store.record_alone(wreck.store.history("nb.ipynb", "d")[0])
    assert record is not None
    path = wreck.folder / ".nbmlops" / wreck.store.objects.path(record.outputs["d"].digest)
    if path.exists():
        path.write_bytes(b"damaged")
    wreck.finished -= {"d", "e", "f"}
    done = wreck.project.finish(wreck.start("--force-stage", "e", env=variables))
    assert wreck.project.left_after(5) == {}
    return done


def elsewhere(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run with a store behind a URL."""
    done = wreck.project.finish(wreck.start("--store", f"file://{wreck.folder}/elsewhere", env=variables))
    assert wreck.project.left_after(5) == {}
    return done


SCENARIOS: dict[str, Callable[[Wreck, Mapping[str, str]], Outcome]] = {
    "answer": single,
    "blobs": damaged,
    "outbox": tracked,
    "progress": tracked,
    "remote": elsewhere,
    "restored": restoring,
}


def passages() -> list[tuple[str, str]]:
    """List the points with their scenario's kind."""
    return [(name, name.partition(".")[0]) for name in FAILPOINTS]


@pytest.mark.parametrize(("name", "kind"), passages(), ids=[name for name, _ in passages()])
def test_fault_at_every_point(wreck: Wreck, name: str, kind: str) -> None:
    """Killed there, then out of room there, then failing there, then left in peace: the run is done and every value right."""
    run = SCENARIOS.get(kind, plain)
    for act in ("kill", "enospc", "raise"):
        for number in itertools.count(1):
            if not wreck.finished or act == "kill":
                wreck.begin()
            done = run(wreck, {"NBMLOPS_FAILPOINT": f"{name}:{number}:{act}"})
            if act == "kill" and number == 1:
                assert was_hit(wreck, name, done), f"{name} is not passed\n{done.err}"
            if act == "enospc" and name not in BESIDE:
                assert "Traceback" not in done.err, done.err
                assert done.code == 1 or number > 1, done.err
            if done.code == 0 or not CHAOS:
                break
    run(wreck, {})
    assert run(wreck, {}).code == 0
    wreck.complete(**TRACKED)
    assert None not in wreck.outbox().values()


def was_hit(wreck: Wreck, name: str, done: Outcome) -> bool:
    """Tell whether a process was killed: the command, a stage's, or the one that tells the tracker."""
    return done.code == -signal.SIGKILL or "StageDied" in done.out + done.err or (done.code == 1) or None in wreck.outbox().values()
