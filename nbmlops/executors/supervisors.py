"""The supervisors that a server forks: each watches over one stage after the other.

A supervisor is as little as possible for the next stage to be forked from: it has read what each stage is told, and nothing else. One whose
stage did not end by itself ends too, and so does one that is told to: the next stage gets a fresh one.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.errors import StoreError
from nbmlops.runner.supervisor import end_children, lead_session, supervise
from nbmlops.runner.task import RESULT_LOST, StageOutcome, StageTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["MESSAGE_BYTES", "Attempt", "Supervisors"]

MESSAGE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Attempt:
    """A stage that runs, and where it keeps its files."""

    token: str
    folder: Path


@dataclass(slots=True)
class _Supervisor:
    """A supervisor as its server knows it."""

    channel: socket.socket
    attempt: Attempt | None = None
    leaves: bool = False


class Supervisors:
    """The supervisors of one server.

    Parameters
    ----------
    run : callable
        Runs a stage in its own process; takes the task and the open journal.
    hangup : socket
        The scheduler's: when its other end closes, every stage ends. A stage has none.
    poller : poll
        Gets what is to wake the server.
    own : iterable of int
        Descriptors of the server that its children are to close.
    """

    def __init__(self, run: Callable[[StageTask, Any], StageOutcome], hangup: socket.socket, poller: select.poll, own: Iterable[int]) -> None:
        self._run = run
        self._hangup = hangup
        self._poller = poller
        self._own = tuple(own)
        self._found: dict[int, _Supervisor] = {}

    def start(self, attempt: Attempt) -> None:
        """Let a supervisor that has nothing to do begin, or a new one."""
        free = next((item for item in self._found.values() if item.attempt is None and not item.leaves), None) or self._fork()
        free.attempt = attempt
        _tell(free.channel, {"start": str(attempt.folder)})

    def cancel(self, token: str) -> None:
        """End a stage and everything it has started."""
        for item in self._found.values():
            if item.attempt is not None and item.attempt.token == token:
                _tell(item.channel, {"cancel": token})

    def ended(self) -> list[tuple[str, int]]:
        """Return the attempts that have ended, each with the wait status of a supervisor that ended before it could say so, else 0."""
        found = [(token, 0) for item in self._found.values() if (token := self._hear(item))]
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return found
            if pid == 0:
                return found
            item = self._found.pop(pid, None)
            if item is None:
                continue
            if token := self._hear(item):
                found.append((token, 0))
            self._poller.unregister(item.channel)
            item.channel.close()
            if status:
                end_children(spared=self._found)  # it was killed: what it watched over is ours
            if item.attempt is not None:
                found.append((item.attempt.token, status))

    def end(self) -> None:
        """End every stage, and clear away what it was told and has answered: nobody will read that."""
        folders = [item.attempt.folder for item in self._found.values() if item.attempt is not None]
        for pid, item in self._found.items():
            if item.attempt is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            item.channel.close()
        for pid in self._found:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        end_children()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _hear(self, item: _Supervisor) -> str:
        """Return the attempt that a supervisor says has ended, or "" if it has not said so."""
        message = _receive(item.channel, socket.MSG_DONTWAIT)
        if not message or item.attempt is None:
            return ""
        token, item.attempt, item.leaves = item.attempt.token, None, bool(message["leaves"])
        return token

    def _fork(self) -> _Supervisor:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # one that is told to end before it listens would not hear it: the signal waits
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._be_supervisor(theirs)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        theirs.close()
        self._poller.register(ours, select.POLLIN)
        made = self._found[pid] = _Supervisor(ours)
        return made

    def _be_supervisor(self, channel: socket.socket) -> None:
        """Be the forked supervisor: never return."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for descriptor in self._own:
                os.close(descriptor)
            for other in self._found.values():  # an end that is open here would keep the other from hearing that the server has ended
                other.channel.close()
            lead_session()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            while self._watch_over_next(channel):
                pass
            code = 0
        except StoreError:
            code = RESULT_LOST
        finally:
            os._exit(code)

    def _watch_over_next(self, channel: socket.socket) -> bool:
        """Wait for a stage and watch over it; return whether there may be a next one."""
        message = _receive(channel)
        if message is None:
            return False
        if "start" not in message:
            return True  # the attempt that was to be cancelled has ended by itself
        folder = Path(message["start"])
        task = StageTask.from_json(json.loads((folder / "task.json").read_text(encoding="utf-8")))

        def run(task: StageTask, journal: Any) -> StageOutcome:  # noqa: ANN401 - a text file
            channel.close()
            self._hangup.close()
            return self._run(task, journal)

        def cancelled() -> bool:
            told = _receive(channel, socket.MSG_DONTWAIT)
            return told is None or told.get("cancel") == task.attempt

        alive = supervise(task, folder / "result.json", folder / "outputs.jsonl", run, self._hangup.fileno(), (channel.fileno(), cancelled))
        _tell(channel, {"leaves": not alive})
        return alive


def _tell(channel: socket.socket, message: dict[str, Any]) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # whoever has ended is accounted for when that is seen
        channel.send(json.dumps(message).encode())


def _receive(channel: socket.socket, flags: int = 0) -> dict[str, Any] | None:
    """Return the next message, an empty one if there is none, or None once the other side has gone."""
    try:
        data = channel.recv(MESSAGE_BYTES, flags)
    except BlockingIOError:
        return {}
    except OSError:
        return None
    return dict(json.loads(data)) if data else None
