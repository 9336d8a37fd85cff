"""What a project goes through when a fault strikes: runs that pass every failpoint between them, and what they must leave."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from typing import TYPE_CHECKING

from tests.acceptance.project import cell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.acceptance.project import Outcome
    from tests.chaos.wreck import Wreck

__all__ = ["go_on", "scenario", "struck"]

# where it is not the run that fails: what cannot be kept there is no result, or is another process's to send
_BESIDE = ("store.", "cache.", "progress.", "outbox.move", "journal.", "blobs.", "remote.remove")
_SWEEP = ("sweep", "swept.ipynb", "--trials", "2", "--maximize", "score", "--space", "x=float(0,1)", "--workers", "1", "--no-track", "--json")
_TRACKED = {"NBMLOPS_TRACKERS": "diary"}


def plain(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run all stages."""
    return wreck.run(env=variables)


def tracked(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run all stages and tell a tracker."""
    return plain(wreck, {**_TRACKED, **variables})


def single(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run one stage by the stage command."""
    (wreck.folder / "params.json").write_text(f'{{"p": {wreck.p}}}')
    words = ("stage", "nb.ipynb", "a", "--params", "@params.json", "--result", "answer.json")
    done = wreck.project.call(*words, env={**wreck.variables, **variables})
    assert wreck.project.left_after(5) == {}
    return done


def restoring(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run where a stage that is reused has lost the file that it wrote."""
    wreck.complete()
    (wreck.folder / "d.txt").unlink()
    wreck.finished.discard("e")
    return wreck.run("--force-stage", "e", env=variables)


def damaged(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run where an object is damaged, which goes to quarantine."""
    wreck.complete()
    record = wreck.store.record_alone(wreck.store.history("nb.ipynb", "d")[0])
    assert record is not None
    (wreck.folder / ".nbmlops" / wreck.store.objects.path(record.outputs["d"].digest)).write_bytes(b"damaged")
    wreck.finished -= {"d", "e"}
    wreck.words = ("--force-stage", "e")  # which reads it: nothing else would, here and in the run that goes on from here
    done = wreck.call(env=variables)
    assert wreck.project.left_after(5) == {}
    return done


def fresh(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run in a project that has no store yet."""
    shutil.rmtree(wreck.folder / ".nbmlops", ignore_errors=True)
    return plain(wreck, variables)


def elsewhere(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run with a store behind a URL."""
    wreck.url = f"dir::file://{wreck.folder}/elsewhere"
    done = plain(wreck, variables)
    # what a killed run held is free a minute later: here, at once
    shutil.rmtree(wreck.folder / "elsewhere" / "leases", ignore_errors=True)
    return done


def swept(wreck: Wreck, variables: Mapping[str, str]) -> Outcome:
    """Run a sweep of a notebook beside the other one."""
    wreck.project.write([cell("x = 0.5", "parameters"), "%%mlstage s --metrics score\nscore = x"], "swept.ipynb")
    done = wreck.project.call(*_SWEEP, env={**wreck.variables, **variables})
    assert wreck.project.left_after(5) == {}
    return done


_SCENARIOS: dict[str, Callable[[Wreck, Mapping[str, str]], Outcome]] = {
    "answer": single,
    "blobs": damaged,
    "cache": fresh,
    "outbox": tracked,
    "progress": tracked,
    "remote": elsewhere,
    "restored": restoring,
    "store": fresh,
    "sweep": swept,
}


def scenario(point: str) -> Callable[[Wreck, Mapping[str, str]], Outcome]:
    """Return what passes a point: a run of a project that has begun anew, under the given variables."""
    return _SCENARIOS.get(point.partition(".")[0], plain)


def struck(point: str, act: str, done: Outcome, *, first: bool) -> None:
    """Check what a run says that a fault has struck, `first` if at the first passage of each process, so that nothing could be kept there."""
    assert done.code in {0, 1, -signal.SIGKILL}, done.err
    if act == "raise":
        return  # it stands for a bug of ours, which may show its traceback
    assert "Traceback" not in done.err, done.err
    assert done.code != 1 or act == "kill" or "NB" in done.err + done.out or os.strerror(errno.ENOSPC) in done.err, done.err
    if act == "enospc" and first and not point.startswith(_BESIDE):
        assert done.code == 1, done.err


def go_on(wreck: Wreck, point: str) -> None:
    """Run without a fault: all is done, every value is right, and a tracker has been told how each run has ended that was to be told to it."""
    wreck.complete(**(_TRACKED if scenario(point) is tracked else {}))
    if scenario(point) is swept:
        done = wreck.project.call(*_SWEEP, env=wreck.variables)
        assert done.code == 0, done.err
        assert [trial["state"] for trial in json.loads(done.out)["trials"]] == ["COMPLETE"] * 2
    if scenario(point) is tracked:
        told = wreck.outbox()
        assert set(told.values()) <= {"done", "failed", "cancelled"}, told
