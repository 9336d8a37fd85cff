"""Stages in processes of this machine, forked from one server that has their imports loaded."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from nbmlops.errors import StoreError
from nbmlops.runner.environment import THREAD_VARIABLES
from nbmlops.runner.task import RESULT_LOST, StageError, StageOutcome, StageTask
from nbmlops.store.replacing import make_folder, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["LocalExecutor"]

_MESSAGE_BYTES = 1 << 16
# a server that is still importing hears nothing; what it watches over ends without it, too
_GRACE_S = 2.0


class LocalExecutor:
    """Run stages in processes of this machine.

    Parameters
    ----------
    folder : Path
        Where attempts keep their task, outputs and result while they run.
    workers : int
        How many stages may run at once, from 1.
    preload : iterable of str
        Modules that the server imports before it forks: the pipeline's, none of them project-local.
    environment : mapping of str to str, optional
        Variables that win over those of this process, and over those that every stage process gets.
    """

    def __init__(self, folder: Path, workers: int, preload: Iterable[str] = (), environment: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._workers = workers
        self._preload = sorted(set(preload))
        self._variables = dict(environment or {})
        self._server: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._running: dict[str, StageTask] = {}
        self._has_own_code = False

    @property
    def reusable(self) -> bool:
        """Whether another run may use it: its server is alive, runs nothing, and has loaded no code that the user may edit."""
        return self._server is not None and self._server.poll() is None and not self._running and not self._has_own_code

    @property
    def workers(self) -> int:
        """How many stages may run at once."""
        return self._workers

    def start(self, task: StageTask) -> None:
        """Begin a task and return at once."""
        folder = self._attempt(task.attempt)
        try:
            make_folder(self._folder)
            folder.mkdir(mode=0o700)
            replace_file(folder / "task.json", json.dumps(task.to_json()).encode(), point="task")
            self._send({"start": task.attempt, "folder": str(folder)})
        except OSError as error:
            raise StoreError(
                f"stage {task.stage!r} cannot be started: {error.strerror}",
                code="NB601",
                fix=f"make {self._folder} writable, or free space on its disk",
            ) from error
        self._running[task.attempt] = task

    def wait(self, timeout_s: float) -> list[StageOutcome]:
        """Return the outcomes of tasks that have ended, waiting up to `timeout_s` seconds for the first."""
        if self._channel is None:
            return []
        outcomes: list[StageOutcome] = []
        poller = select.poll()
        poller.register(self._channel, select.POLLIN)
        left = timeout_s
        while poller.poll(left * 1000):
            left = 0.0
            try:
                data = self._channel.recv(_MESSAGE_BYTES, socket.MSG_DONTWAIT)
            except OSError:
                data = b""
            if not data:
                return [*outcomes, *self._lost()]
            message = json.loads(data)
            self._has_own_code = self._has_own_code or "own_code" in message
            task = self._running.pop(message.get("ended", ""), None)
            if task is not None:
                outcomes.append(self._outcome(task, message["status"]))
        return outcomes

    def cancel(self, attempt: str) -> None:
        """End a task and everything it has started."""
        if attempt in self._running:
            self._send({"cancel": attempt})

    def close(self) -> None:
        """End every task, and the server."""
        if self._channel is not None:
            self._channel.close()
        if self._server is not None:
            try:
                self._server.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        self._channel = self._server = None
        self._has_own_code = False
        for attempt in self._running:
            shutil.rmtree(self._attempt(attempt), ignore_errors=True)
        self._running.clear()

    def _send(self, message: dict[str, object]) -> None:
        if self._channel is None:
            self._open()
        assert self._channel is not None  # noqa: S101 - just opened
        with suppress(BrokenPipeError, ConnectionResetError):  # `wait` finds out that the server has died, and accounts for its tasks
            self._channel.send(json.dumps(message).encode())

    def _open(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-P", "-m", "nbmlops.executors.zygote", str(theirs.fileno())]
        self._server = subprocess.Popen(  # noqa: S603 - our own module
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None,
            env={**_environment(self._workers, self._folder / "ipython"), **self._variables},
            start_new_session=True,  # Ctrl-C is the scheduler's to handle
        )
        theirs.close()
        self._channel = ours
        self._send({"preload": self._preload})

    def _outcome(self, task: StageTask, status: int) -> StageOutcome:
        """Read a result; only that file counts, whatever the status that its supervisor ended with."""
        outcome = self._result(task) or _unanswered(task, status, self._folder)
        shutil.rmtree(self._attempt(task.attempt), ignore_errors=True)
        return outcome

    def _result(self, task: StageTask) -> StageOutcome | None:
        try:
            found = StageOutcome.from_json(json.loads((self._attempt(task.attempt) / "result.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if found.attempt == task.attempt else None

    def _lost(self) -> list[StageOutcome]:
        """Account for the tasks of a server that has died, and forget it; the next task gets a new one."""
        found = [(task, self._result(task)) for task in self._running.values()]
        self.close()
        return [
            outcome if outcome is not None and outcome.status == "ran" else _died(task, "the server of the local workers was killed")
            for task, outcome in found
        ]

    def _attempt(self, attempt: str) -> Path:
        return self._folder / attempt


def _unanswered(task: StageTask, status: int, folder: Path) -> StageOutcome:
    """Say why there is no result, as far as its supervisor's end tells."""
    if os.waitstatus_to_exitcode(status) == RESULT_LOST:
        return _died(task, f"NB801: no room for the result of stage {task.stage!r} in {folder}; free space, then run again", code="NB801")
    why = f"its supervisor was ended by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "it cannot be read"
    return _died(task, f"stage {task.stage!r} ended without a result: {why}")


def _died(task: StageTask, message: str, *, code: str | None = None) -> StageOutcome:
    error = StageError(type="StageDied", message=message, code=code, cell=task.steps[-1].cell if task.steps else None)
    return StageOutcome(attempt=task.attempt, status="failed", error=error, started_s=time.time())


def _environment(workers: int, profile: Path) -> dict[str, str]:
    """Return the environment of stage processes: the user's, a fixed hash seed, and threads that share the CPUs."""
    threads = str(max(1, len(os.sched_getaffinity(0)) // max(1, workers)))
    environment = dict(os.environ)
    for name in THREAD_VARIABLES:
        environment.setdefault(name, threads)
    # OpenMP's threads spin while they wait: a fit on busy CPUs took 62 s and more instead of 5 s (measured with two other processes)
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    environment["PYTHONHASHSEED"] = "0"
    with suppress(KeyError):
        del environment["JPY_PARENT_PID"]  # a stage is no kernel of Jupyter's
    # one throw-away profile for all stages: the user's start-up files are not part of a run
    environment["IPYTHONDIR"] = str(profile)
    return environment
