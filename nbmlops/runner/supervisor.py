"""Watch over one stage process: whatever it does, its true end is told and nothing of it stays alive.

The supervisor leads a session of its own and is child subreaper, so that a daemon that the stage starts becomes its child and is
ended too (measured: process group plus parent-death signal left children alive in 4 of 4 kills, this in 0 of 6).
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import select
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NbmlopsError, StoreError
from nbmlops.runner.memory import limit_memory
from nbmlops.runner.outputs import read_journal
from nbmlops.runner.redaction import Redactor, secret_values
from nbmlops.runner.task import StageError, StageOutcome, StageTask, gibibytes
from nbmlops.settings import load_settings
from nbmlops.store.replacing import replace_file
from nbmlops.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["adopt_orphans", "end_children", "end_with_parent", "lead_session", "supervise"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.5
_NOTE_BYTES = 1 << 15
_REAP_S = 0.005
# what a program does whose memory was refused, and what the kernel does to one that took too much
_MEMORY_SIGNALS = frozenset({signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS})


def end_with_parent(number: signal.Signals) -> None:
    """Ask the kernel to send this process a signal when its parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def adopt_orphans() -> None:
    """Ask the kernel to make this process the parent of every descendant whose own parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def lead_session() -> None:
    """Be one who can supervise: leader of a session, parent of all that a stage leaves behind, and ended with its own parent."""
    with suppress(OSError):
        os.setsid()
    adopt_orphans()
    end_with_parent(signal.SIGTERM)


def supervise(
    task: StageTask,
    result: Path,
    journal: Path,
    run: Callable[[StageTask, Any], StageOutcome],
    hangup: int | None = None,
    orders: tuple[int, Callable[[], bool]] | None = None,
) -> bool:
    """Run a stage in a child process and write its outcome to `result`, whatever becomes of the child; call `lead_session` before.

    Parameters
    ----------
    task : StageTask
    result : Path
        Gets the outcome as JSON, whole or not at all.
    journal : Path
        Gets the outputs as they come.
    run : callable
        Runs the stage in the child; takes the task and the open journal.
    hangup : int or None
        A socket of the scheduler's; when its other end closes, the stage ends.
    orders : tuple of int and callable, or None
        A descriptor, and what tells, when it can be read from, whether the stage is to end.

    Returns
    -------
    bool
        Whether this process may watch over another stage: this one has ended by itself, and nobody has told us to end.
    """
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    started_s, begun, own = time.time(), time.monotonic(), os.getpid()
    note = mmap.mmap(-1, _NOTE_BYTES)  # shared with the child, which may have no descriptors left to write with
    child = os.fork()
    if child == 0:
        _be_stage(task, result, journal, run, own, note)
    status, end = _wait(child, task.timeout_s, begun, stopped, hangup, orders)
    end_children()  # as subreaper we are the parent of all that the stage has left, or will be
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if end is None and result.exists():
        return not stopped
    result.unlink(missing_ok=True)
    outcome = _account(task, status, end, time.monotonic() - begun, started_s, _noted(note))
    _write(result, replace(outcome, cell_outputs=_keep_journal(task, journal)))
    return False


def _be_stage(task: StageTask, result: Path, journal: Path, run: Callable[[StageTask, Any], StageOutcome], supervisor: int, note: mmap.mmap) -> None:
    """Be the child: never return."""
    code, own = 1, os.getpid()
    try:
        end_with_parent(signal.SIGKILL)
        if os.getppid() != supervisor:
            return  # it ended before we asked
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if task.memory_bytes:
            limit_memory(task.memory_bytes)
        outcome = run(task, journal.open("w", encoding="utf-8"))  # never closed: code may have closed it, and opened another file there
        if os.getpid() == own:  # a fork that the stage's code let run on does not speak for it
            _write(result, outcome)
            code = 0
    except BaseException as error:  # noqa: BLE001 - a bug of ours must reach the outcome, not end the worker silently
        import traceback  # noqa: PLC0415

        code_of = error.code if isinstance(error, NbmlopsError) else None
        message = f"{error.code}: {error}" if isinstance(error, NbmlopsError) else str(error)
        cell = task.steps[-1].cell if task.steps else None
        lines = tuple(traceback.format_exc().splitlines())
        failure = StageError(type=type(error).__name__, message=message, code=code_of, cell=cell, traceback=lines)
        if os.getpid() == own:
            try:
                _write(result, StageOutcome(attempt=task.attempt, status="failed", error=failure))
            except OSError:  # its code has limited itself to no files, or given up the right to write here
                told = json.dumps(replace(failure, message=message[: _NOTE_BYTES // 8], traceback=()).to_json()).encode()
                note[: len(told)] = told
    finally:
        with suppress(Exception):
            sys.stdout.flush()
        os._exit(code)


def _wait(
    child: int, timeout_s: float | None, begun: float, stopped: list[int], hangup: int | None, orders: tuple[int, Callable[[], bool]] | None
) -> tuple[int, str | None]:
    """Wait for the child; return its wait status, and why it was ended if it was."""
    pidfd = os.pidfd_open(child)
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    if hangup is not None:
        poller.register(hangup, select.POLLHUP | select.POLLERR)
    if orders is not None:
        poller.register(orders[0], select.POLLIN)
    end: str | None = None
    while True:
        left = _POLL_S if timeout_s is None else min(_POLL_S, max(0.0, begun + timeout_s - time.monotonic()))
        ready = dict(poller.poll(left * 1000))
        if pidfd in ready:
            break
        told = orders is not None and orders[0] in ready and orders[1]()
        if stopped or told or (hangup is not None and ready.get(hangup, 0) & (select.POLLHUP | select.POLLERR)):
            end = "cancelled"
        elif timeout_s is not None and time.monotonic() - begun >= timeout_s:
            end = "timed-out"
        if end is not None:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            break
    _, status = os.waitpid(child, 0)
    os.close(pidfd)
    return status, end


def end_children(spared: Collection[int] = ()) -> None:
    """Kill every child of this process, and what they leave to it, but for those spared; wait until they are gone."""
    while True:
        left = [pid for pid in _children(os.getpid()) if pid not in spared]
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in left:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if not left:
            return
        time.sleep(_REAP_S)  # the list may miss one while others end: only an empty one is believed


def _children(parent: int) -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    except OSError:
        return []


def _noted(note: mmap.mmap) -> StageError | None:
    """Return the error that the child could not write."""
    with suppress(ValueError, KeyError, TypeError):
        return StageError.from_json(json.loads(bytes(note).rstrip(b"\0")))
    return None


def _account(task: StageTask, status: int, end: str | None, seconds: float, started_s: float, noted: StageError | None = None) -> StageOutcome:
    """Say how a stage ended that could not say it itself."""
    cell = task.steps[-1].cell if task.steps else None
    if end == "timed-out":
        error = StageError(type="StageTimeout", message=f"stage {task.stage!r} ran longer than its --timeout of {task.timeout_s:g} s", cell=cell)
    elif end == "cancelled":
        error = StageError(type="Cancelled", message=f"stage {task.stage!r} was cancelled", cell=cell)
    elif noted is not None:
        error = replace(noted, message=f"{noted.message}; or let its code not limit the process (RLIMIT_NOFILE, RLIMIT_FSIZE, setuid)")
    elif os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if number in set(signal.Signals) else f"SIG{number}"
        message = f"the process of stage {task.stage!r} was ended by {name}{_perhaps_memory(task, number)}"
        error = StageError(type="StageDied", message=message, cell=cell, signal=name)
    else:
        code = os.WEXITSTATUS(status)
        error = StageError(
            type="StageDied", message=f"the process of stage {task.stage!r} ended by itself with exit code {code}", cell=cell, exit_code=code
        )
    return StageOutcome(attempt=task.attempt, status=end or "failed", seconds=seconds, error=error, started_s=started_s)


def _perhaps_memory(task: StageTask, number: int) -> str:
    if task.memory_bytes and number in _MEMORY_SIGNALS:
        return f", perhaps for want of memory: its --memory is {gibibytes(task.memory_bytes)}"
    return ", as the kernel does where memory runs out" if number == signal.SIGKILL else ""


def _keep_journal(task: StageTask, journal: Path) -> str | None:
    """Store what the stage had shown before it died; None if nothing, or if the store cannot be written."""
    cells = [step.cell for step in task.steps if step.kind in {"stage", "report"} or task.stage.startswith("@")]
    try:
        lines = journal.read_text(encoding="utf-8").splitlines()
        hidden = Redactor((*secret_values(task.parameters, {**os.environ, **task.environment}, task.secrets), *task.hidden))
        shown = read_journal(lines, limit_bytes=task.output_limit_bytes, redactor=hidden)
        outputs = [shown.get(cell, []) for cell in cells]
        store = Store(task.store, settings=load_settings(Path(task.folder), store=task.store))
        return store.objects.put([json.dumps(outputs).encode()]) if any(outputs) else None
    except (OSError, ValueError, KeyError):
        return None  # how the stage ended is told all the same


def _write(path: Path, outcome: StageOutcome) -> None:
    try:
        replace_file(path, json.dumps(outcome.to_json()).encode(), point="result")
    except OSError as error:
        raise StoreError(f"the result of a stage cannot be written: {error.strerror}", code="NB801", fix="free space, then run again") from error
