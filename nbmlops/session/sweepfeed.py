"""A sweep in a process of its own, seen from the kernel that shows it: states come as lines, Ctrl-C goes as a signal.

In the kernel's own process its look at files would count as reads of whatever cell runs meanwhile, and both would share one interpreter lock.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from nbmlops.errors import NbmlopsError, NotebookError, UsageError
from nbmlops.sweeps.state import SweepState, TrialState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from nbmlops.session.batch import Session
    from nbmlops.session.run import Run

__all__ = ["Feed", "SweepProcess"]

_INTERVAL_S = 0.5
_WEIGH_S = 15.0


class Feed:
    """Writes the states of a sweep as lines, at most two a second and the last one surely.

    Parameters
    ----------
    stream : text stream
    weigh : callable
        Finds out how much each parameter matters, for the states to come; called now and then from a thread of the feed.
    state : callable
        Returns how the sweep stands.
    """

    def __init__(self, stream: TextIO, state: Callable[[], SweepState], weigh: Callable[[], None]) -> None:
        self._stream = stream
        self._state = state
        self._weigh = weigh
        self._news = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()
        threading.Thread(target=self._weigh_often, daemon=True).start()
        threading.Thread(target=_end_with_reader, daemon=True).start()

    def __call__(self, _state: SweepState) -> None:
        """Take note that something has changed."""
        self._news.set()

    def close(self) -> None:
        """Write the last state."""
        self._closed.set()
        self._news.set()
        self._thread.join()
        self._line(self._state())

    def _write(self) -> None:
        while not self._closed.is_set():
            self._news.wait()
            self._news.clear()
            if not self._closed.is_set():
                self._line(self._state())
            self._closed.wait(_INTERVAL_S)

    def _weigh_often(self) -> None:
        while not self._closed.wait(_WEIGH_S):
            with suppress(Exception):  # what a storage raises ends the sweep itself, and is told there
                self._weigh()
                self._news.set()

    def _line(self, state: SweepState) -> None:
        with suppress(BrokenPipeError):
            self._stream.write(state.to_line() + "\n")
            self._stream.flush()


def _end_with_reader() -> None:
    """Be interrupted when the kernel is gone: its end of our standard input closes with it, however it ends."""
    while True:
        ready, _, _ = select.select([0], [], [], 1.0)
        if ready and not os.read(0, 1):
            os.kill(os.getpid(), signal.SIGINT)
            return


class SweepProcess:
    """A sweep that runs in a process of its own.

    Parameters
    ----------
    notebook : Path
    words : sequence of str
        The options of `nbmlops sweep`.
    store : str or None
        The store that they name.
    fixed : mapping of str to object
        The parameters that they set.

    Raises
    ------
    UsageError, NotebookError
        If the sweep cannot be meant; nothing has run.
    """

    def __init__(self, notebook: Path, words: Sequence[str], store: str | None, fixed: Mapping[str, Any]) -> None:
        command = [sys.executable, "-P", "-m", "nbmlops", "sweep", *words, "--feed", "-q", "--", str(notebook)]
        self.notebook = notebook
        self.fixed = dict(fixed)
        self._store = store
        self._watcher: Callable[[SweepState], None] | None = None
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self._errors: list[str] = []
        self._reading = threading.Thread(target=self._read_errors, daemon=True)
        self._reading.start()
        first = self._process.stdout.readline() if self._process.stdout else ""
        if not first.startswith("{") or "error_of_command" in first:
            self._refuse(first)
        self.state = SweepState.from_line(first)
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self, watcher: Callable[[SweepState], None]) -> None:
        """Follow the sweep from now on.

        Parameters
        ----------
        watcher : callable
            Gets each state, from a thread.
        """
        self._watcher = watcher
        self._thread.start()

    @property
    def best(self) -> TrialState | None:
        """The best complete trial; None with several objectives."""
        return self.state.best

    @property
    def trials(self) -> tuple[TrialState, ...]:
        """The trials so far, by number."""
        return self.state.trials

    @property
    def best_run(self) -> Run | None:
        """The full run of the best trial, once there is one."""
        return self.run_of(self.state.best_run["run_id"]) if self.state.best_run else None

    def session(self) -> Session:
        """Open the notebook anew, with the store that the sweep uses."""
        from nbmlops.session.batch import open_notebook  # noqa: PLC0415 - only where somebody asks

        return open_notebook(self.notebook, store=self._store)

    def run_of(self, run_id: str) -> Run:
        """Return a run of the sweep, to be asked for its artifacts."""
        from nbmlops.session.run import Run  # noqa: PLC0415 - only where somebody asks

        session = self.session()
        record = session.store.run(run_id)
        if record is None:
            raise UsageError(f"the store keeps no run {run_id!r}", code="NB004", fix="run the sweep again")
        return Run.of_record(record, session)

    def stop(self) -> None:
        """Break off what runs; finished trials are kept, and the same sweep continues with the others."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)

    def wait(self) -> SweepState:
        """Wait until the sweep has ended, and return how."""
        try:
            self._thread.join()
        except KeyboardInterrupt:
            self.stop()
            self._thread.join()
            raise
        return self.state

    def __repr__(self) -> str:
        """Say which sweep it is and how it stands."""
        return f"<Sweep {self.state.name} {self.state.status}: {len(self.state.finished)} of {self.state.wanted} trials>"

    def _follow(self) -> None:
        if self._watcher is not None:
            self._watcher(self.state)
        for line in self._process.stdout or ():
            self.state = SweepState.from_line(line)
            if self._watcher is not None:
                self._watcher(self.state)
        self._process.wait()
        self._reading.join()
        if self.state.status == "running":  # it was killed
            self.state = _ended(self.state, " ".join(self._errors[-1:]) or f"its process ended with {self._process.returncode}")
            if self._watcher is not None:
                self._watcher(self.state)
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _read_errors(self) -> None:
        self._errors.extend(line.strip() for line in self._process.stderr or ())

    def _refuse(self, line: str) -> None:
        """Raise what the command has said instead of a state."""
        self._process.wait()
        self._reading.join()
        told: dict[str, Any] = json.loads(line)["error_of_command"] if line.startswith("{") else {}
        if not told:
            raise NbmlopsError(f"the sweep's process ended before it began: {' '.join(self._errors[-3:])}")
        kind = NotebookError if told["kind"] == "NotebookError" else UsageError if told["exit_code"] == 2 else NbmlopsError  # noqa: PLR2004 - misuse
        raise kind(told["message"], code=told["code"], notebook=told["notebook"], cell=told["cell"], fix=told["fix"])


def _ended(state: SweepState, why: str) -> SweepState:
    from dataclasses import replace  # noqa: PLC0415 - beside its only use

    return replace(state, status="failed", error=why)
