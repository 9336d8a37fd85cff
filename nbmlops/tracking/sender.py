"""A process of its own that sends events, so that no tracker's import, database or network slows a run.

``python -m nbmlops.tracking.sender --outbox DIR --trackers mlflow,wandb --project-root DIR [--follow RUN_ID]``
ends when all that waits is sent and RUN_ID has ended, when the trackers stay down, or with the process that started it.
"""

from __future__ import annotations

import argparse
import math
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from nbmlops.store.replacing import make_folder
from nbmlops.tracking.delivery import QUIET, Delivery
from nbmlops.tracking.journal import Journal
from nbmlops.tracking.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["Sender", "main"]

_POLL_S = 0.1
_RETRY_S = 1.0
_FRUITLESS_ROUNDS = 3
_STOP_S = 2.0
_LEFTOVERS_S = 2.0
_TRIALS_S = 0.5
_PASS_S = 1.0


class Sender:
    """The sending process, seen from the run's process.

    Parameters
    ----------
    outbox : Outbox
    trackers : sequence of str
        Names in `nbmlops.tracking.base.TRACKERS`.
    project_root : Path
    run_id : str or None
        The run whose end is waited for; None sends only what waits already.

    Examples
    --------
    >>> with Sender(outbox, ("mlflow",), root, run_id) as sender:  # doctest: +SKIP
    ...     outbox.append(started)
    ...     outbox.append(finished)
    ...     sender.wait()
    {'mlflow': {'run_id': '...', 'experiment': 'flight_delay'}}
    """

    def __init__(self, outbox: Outbox, trackers: Sequence[str], project_root: Path, run_id: str | None = None) -> None:
        self.outbox = outbox
        self.trackers = tuple(trackers)
        self.project_root = project_root
        self.run_id = run_id
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id, None if there is none."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process; without trackers, or if it cannot be started, events just stay in the outbox."""
        if self._process is not None or not self.trackers:
            return
        # -P: a `wandb.py` or `random.py` beside the notebook must not be taken for the real one.
        command = [sys.executable, "-P", "-m", __name__, "--outbox", str(self.outbox.folder.absolute())]
        command += ["--trackers", ",".join(self.trackers), "--project-root", str(self.project_root.absolute())]
        command += ["--follow", self.run_id] if self.run_id else []
        try:
            make_folder(self.outbox.folder)
            with (self.outbox.folder / "sender.log").open("wb") as log:
                # Its standard input is a pipe that nobody writes to: it ends when this process does.
                self._process = subprocess.Popen(  # noqa: S603 - our own module
                    command, stdin=subprocess.PIPE, stdout=log, stderr=log, env={**QUIET, **os.environ}, start_new_session=True
                )
        except OSError:
            self._process = None

    def wait(self, timeout_s: float = 10.0) -> dict[str, dict[str, str]]:
        """Wait until everything is sent, at most `timeout_s` seconds; stop the process and return where the run is found.

        Returns
        -------
        dict of str to dict of str to str
            By tracker; one that has not answered is absent, and gets its events with the next command.
        """
        if self._process is not None:
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                pass
            finally:
                self.stop()
        return self.outbox.reference(self.run_id) if self.run_id else {}

    def reason(self, tracker: str) -> str:
        """Return why `tracker` has not got the run, in one line, as the process that has ended told it; "" where it told nothing."""
        head = f"{tracker}: run {self.run_id} waits: "
        with suppress(OSError):
            lines = (self.outbox.folder / "sender.log").read_text(encoding="utf-8", errors="replace").splitlines()
            return next((line.removeprefix(head) for line in lines if line.startswith(head)), "")
        return ""

    def stop(self) -> None:
        """Stop the process now; what is not sent stays in the outbox."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()

    def __enter__(self) -> Self:
        """Start the process."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop the process."""
        self.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Send until there is nothing more to send; return 0 if all was sent."""
    parser = argparse.ArgumentParser(prog="nbmlops.tracking.sender", description="Send a project's events to its trackers.")
    parser.add_argument("--outbox", type=Path, required=True)
    parser.add_argument("--trackers", required=True)
    parser.add_argument("--project-root", type=Path, required=True)
    parser.add_argument("--follow")
    options = parser.parse_args(arguments)
    os.nice(5)
    outbox = Outbox(options.outbox)
    delivery = Delivery(outbox, [name for name in options.trackers.split(",") if name], options.project_root)
    try:
        return _send(delivery, options.follow)
    finally:
        delivery.close()
        for tracker, runs in delivery.left.items():
            for run_id, reason in runs.items():
                sys.stderr.write(f"{tracker}: run {run_id} waits: {reason}\n")


def _send(delivery: Delivery, follow: str | None) -> int:
    outbox = delivery.outbox
    fruitless = 0
    looked_s = float("-inf")
    while fruitless < _FRUITLESS_ROUNDS:
        journal = outbox.journal(follow) if follow is not None else Journal()
        running = follow is not None and not journal.finished
        # The run that somebody waits for comes first, then what others have left; but a sweep ends after its trials.
        if follow is not None and (running or journal.of_sweep is None):
            delivery.send_run(follow)
        sent = False
        if not running or time.monotonic() - looked_s > (_TRIALS_S if journal.of_sweep is not None else _LEFTOVERS_S):
            outbox.close_dead()
            # A sweep that is followed has nothing more urgent than its trials, and looking at all that wait costs as much as sending a few.
            sent = bool(delivery.send_all(_PASS_S if running and journal.of_sweep is None else math.inf))
            looked_s = time.monotonic()
        if not running and not any(_sendable(outbox, name) for name in delivery.trackers):
            return 0
        fruitless = 0 if running or sent else fruitless + 1
        if not sent:
            time.sleep(_RETRY_S if delivery.waits else _POLL_S)
    return 1


def _sendable(outbox: Outbox, tracker: str) -> bool:
    # A tracker that takes only whole runs still waits for those of other living processes: that is theirs to send.
    return any(outbox.journal(run_id).finished for run_id in outbox.pending(tracker))


def _end_with_parent() -> None:
    # PR_SET_PDEATHSIG fires when the *thread* that started us ends, which in a kernel is not the end of the run.
    parent = os.getppid()
    while os.getppid() == parent:
        ready, _, _ = select.select([0], [], [], 1.0)
        if ready and not os.read(0, 1):
            break
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(main())
