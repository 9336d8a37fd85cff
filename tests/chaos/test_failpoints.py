"""Killed, failing or out of room at each point in turn: the run says so, the store is whole, and the next run is right.

`make chaos` goes through every passage of every point, as SQLite's tests go through every system call; `make test` through the first one.
"""

from __future__ import annotations

import itertools
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from nbmlops.failpoints import FAILPOINTS
from tests.chaos.wreck import CHAOS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.acceptance.project import Outcome
    from tests.chaos.wreck import Wreck

# where it is not the run that fails: what cannot be kept there is no result, or is another process's to send
BESIDE = ("store.", "cache.", "progress.", "outbox.move", "journal.", "blobs.", "remote.remove")
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
    wreck.finished.discard("f")
    return wreck.finish(wreck.start("--force-stage", "f", env=variables))


def damaged(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run where an object is damaged, which goes to quarantine."""
    if not wreck.finished:
        wreck.complete()
    record = wreck.store.record_alone(wreck.store.history("nb.ipynb", "d")[0])
    assert record is not None
    (wreck.folder / ".nbmlops" / wreck.store.objects.path(record.outputs["d"].digest)).write_bytes(b"damaged")
    wreck.finished -= {"d", "e", "f"}
    done = wreck.project.finish(wreck.start("--force-stage", "e", env=variables))
    assert wreck.project.left_after(5) == {}
    return done


def fresh(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run in a project that has no store yet."""
    shutil.rmtree(wreck.folder / ".nbmlops", ignore_errors=True)
    wreck.finished.clear()
    return wreck.finish(wreck.start(env=variables))


def elsewhere(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run with a store behind a URL."""
    done = wreck.project.finish(wreck.start("--store", f"dir::file://{wreck.folder}/elsewhere", env=variables))
    assert wreck.project.left_after(5) == {}
    return done


SCENARIOS: dict[str, Callable[[Wreck, Mapping[str, str]], Outcome]] = {
    "answer": single,
    "blobs": damaged,
    "outbox": tracked,
    "progress": tracked,
    "remote": elsewhere,
    "restored": restoring,
    "store": fresh,
}


KINDS = sorted({name.partition(".")[0] for name in FAILPOINTS})


def faults(kind: str) -> list[tuple[str, str]]:
    """Return the points of a kind with what happens there: a kill at each, a full disk at its first write, all at all for `make chaos`."""
    names = [name for name in FAILPOINTS if name.partition(".")[0] == kind]
    first = next((name for name in names if "write" in name), "")
    return [(name, act) for name in names for act in ("kill", "enospc", "raise") if CHAOS or act == "kill" or (act == "enospc" and name == first)]


@pytest.mark.parametrize("kind", KINDS)
def test_fault_at_every_point(wreck: Wreck, kind: str) -> None:
    """Killed, out of room or failing there, and then left in peace: the run is done and every value right."""
    run = SCENARIOS.get(kind, plain)
    wreck.begin()
    for name, act in faults(kind):
        for number in itertools.count(1) if CHAOS else (1,):
            done = fault(wreck, run, name, number, act)
            if done.code == 0:  # all is done, or the point is not passed that often
                wreck.begin()
                break
    run(wreck, {})
    wreck.begin()
    wreck.complete(**TRACKED)
    assert None not in wreck.outbox().values()


def fault(wreck: Wreck, run: Callable[[Wreck, Mapping[str, str]], Outcome], name: str, number: int, act: str) -> Outcome:
    """Run with one fault, and check that it was told if it was the run's."""
    done = run(wreck, {"NBMLOPS_FAILPOINT": f"{name}:{number}:{act}"})
    if act == "kill" and number == 1:
        hit = done.code == -signal.SIGKILL or "StageDied" in done.out + done.err or None in wreck.outbox().values()
        assert hit, f"{name} is not passed\n{done.err}"
    if act == "enospc" and not name.startswith(BESIDE):
        assert "Traceback" not in done.err, done.err
        assert number > 1 or done.code == 1, done.err
        assert number > 1 or "NB" in done.err + done.out, done.err
    return done
