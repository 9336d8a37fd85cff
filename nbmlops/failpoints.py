"""Points at which a test kills nbmlops, lets it fail or holds it up: ``NBMLOPS_FAILPOINT=name:n:kill|raise|enospc|delay``.

Each point stands just before the step that it is named after, at every write, fsync, commit (a link or rename that makes bytes visible), sync of a
folder, removal and lock. ``n`` counts the passages of one process from 1; a forked process goes on counting where its parent was. ``kill`` is
SIGKILL, ``raise`` an exception that no code foresees, ``enospc`` what a full disk answers, ``delay`` a pause of two seconds.

With ``NBMLOPS_FAILPOINT_COUNT=FILE`` all processes count together, a byte of the file for each passage: so each passage of a run can be struck
alone, in whichever process it is, and the file tells whether it was.

The variables are read when the first point is passed, once for the process, and handed on to the processes that it starts: nothing is read at
import, and without them a point costs one call (0.1 µs, beside steps that take 10 µs and more).
"""

from __future__ import annotations

import errno
import os
import signal
import time
from functools import cache

from nbmlops.dataclass import dataclass
from nbmlops.errors import UsageError

__all__ = ["FAILPOINTS", "FailpointError", "failpoint"]

_VARIABLE = "NBMLOPS_FAILPOINT"
_COUNT_VARIABLE = "NBMLOPS_FAILPOINT_COUNT"
_ACTS = ("kill", "raise", "enospc", "delay")
_DELAY_S = 2.0
_DURABLE = ("write", "fsync", "commit", "sync")
_QUICK = ("write", "commit")
# what is written, with the steps in which it is: what a power failure may lose is not synced
_STEPS = {
    "objects": _DURABLE,  # the bytes of artifacts, outputs and files
    "records": _DURABLE,  # what a stage produced
    "runs": _DURABLE,  # the record of a run
    "notebooks": _DURABLE,  # snapshots of notebooks
    "index": _QUICK,  # the newest records of a stage
    "store": ("write", "fsync", "commit", "make"),  # the store's .gitignore; its folders
    "blobs": ("remove",),  # what gc deletes, and what goes to quarantine
    "lock": ("open", "take", "held"),
    "task": _QUICK,  # what a stage process is told
    "journal": ("write",),  # the outputs of a stage, as they come
    "result": _QUICK,  # what a stage process answers
    "restored": _QUICK,  # a file of the user's that is put back
    "executed": _DURABLE,  # the executed notebook
    "answer": _QUICK,  # the file of `nbmlops stage --result`
    "cache": _QUICK,  # what is known of the installed distributions
    "outbox": ("write", "fsync", "sync", "move"),  # the events of a run
    "progress": _DURABLE,  # how far a tracker has them
    "sweep": ("append", "fsync"),  # the journal of a sweep
    "remote": ("write", "remove"),  # a store elsewhere
    "promotions": _DURABLE,  # an entry of the log of a model's promotions
    "promotion": ("claim", "look", "pend", "move", "read", "log", "tell", "head", "settle", "release"),  # the registry, as an alias moves
}
FAILPOINTS = tuple(f"{what}.{step}" for what, steps in _STEPS.items() for step in steps)


class FailpointError(RuntimeError):
    """What ``raise`` raises: no NbmlopsError, so that it stands for a fault that nobody foresaw."""


@dataclass(slots=True)
class _Armed:
    name: str
    number: int
    act: str
    count_file: str
    passed: int = 0

    def count(self) -> int:
        """Count a passage, and return which one it is."""
        self.passed += 1
        if not self.count_file:
            return self.passed
        descriptor = os.open(self.count_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, b".")
            return os.lseek(descriptor, 0, os.SEEK_CUR)  # behind the own byte, whoever else appends
        finally:
            os.close(descriptor)


def failpoint(name: str) -> None:
    """Pass the point `name`, one of `FAILPOINTS`."""
    armed = _armed()
    if armed is None or armed.name != name:
        return
    if armed.count() == armed.number:
        _strike(armed)


@cache
def _armed() -> _Armed | None:
    text = os.environ.get(_VARIABLE)
    if not text:
        return None
    name, _, rest = text.partition(":")
    count, _, act = rest.partition(":")
    if name not in FAILPOINTS or not count.isdecimal() or act not in _ACTS:
        fix = f"give one of {', '.join(FAILPOINTS)}, a number from 1 and one of {', '.join(_ACTS)}"
        raise UsageError(f"{_VARIABLE} is {text!r}", code="NB005", fix=fix)
    return _Armed(name, int(count), act, os.environ.get(_COUNT_VARIABLE, ""))


def _strike(armed: _Armed) -> None:
    if armed.act == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif armed.act == "raise":
        raise FailpointError(f"failpoint {armed.name}")
    elif armed.act == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), armed.name)
    else:
        time.sleep(_DELAY_S)
