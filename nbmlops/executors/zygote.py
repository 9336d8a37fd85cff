"""The server that local stages are forked from: it imports, and never computes.

``python -P -m nbmlops.executors.zygote DESCRIPTOR`` serves one scheduler over a socket, and ends with it. A fork of a process that has imported
pandas and scikit-learn and made an IPython shell is ready in milliseconds. It must not compute: OpenMP's threads do not survive a fork
(HistGradientBoosting before and after one hangs).

An import that breaks after a fork is left to the stages, each of which does it anew: those of a list, and any other that starts a Python
thread or loads one of the list. Nothing else tells a stage that hangs from one that takes long: that is what ``--timeout`` is for.

It is not `multiprocessing`'s forkserver, because that imports the user's main module again, takes no ``PYTHONHASHSEED`` of its own, and makes
no process that leads a session.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from nbmlops.executors.supervisors import MESSAGE_BYTES, Attempt, Supervisors
from nbmlops.runner.leaving.processstate import ProcessState
from nbmlops.runner.localmodules import has_own_modules
from nbmlops.runner.namespace import Namespace
from nbmlops.runner.outputs import OutputRecorder
from nbmlops.runner.randomness import loaded_numpy_random
from nbmlops.runner.redaction import Redactor
from nbmlops.runner.shell import StageShell, make_shell
from nbmlops.runner.sincefork import mark_loaded
from nbmlops.runner.stage import execute
from nbmlops.runner.supervisor import adopt_orphans, end_with_parent
from nbmlops.runner.watching.observation import Observation
from nbmlops.store.serializers import SERIALIZERS

__all__ = ["NOT_BEFORE_FORK", "main"]

# imports that start threads, which a fork loses: polars hangs, the others are documented not to support it
NOT_BEFORE_FORK = frozenset({"polars", "grpc", "jax", "ray", "tensorflow", "torch"})


def main() -> int:
    """Serve until the scheduler closes its end of the socket."""
    end_with_parent(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the scheduler's to handle, also where somebody interrupts all processes of one name
    adopt_orphans()  # of a supervisor that is killed
    channel = socket.socket(fileno=int(sys.argv[1]))
    stopped: list[int] = []
    waker, wakes = _wake_on_signal(stopped)
    shell = make_shell(Namespace(), OutputRecorder(Redactor()))
    poller = select.poll()
    poller.register(channel, select.POLLIN | select.POLLHUP)
    poller.register(waker, select.POLLIN)
    supervisors = Supervisors(lambda task, journal: execute(task, journal=journal, shell=shell), channel, poller, (waker, wakes))
    for names in sys.argv[2:]:  # one that has started over
        _get_loaded(json.loads(names), channel, shell)
    while True:
        poller.poll()
        with suppress(BlockingIOError):
            os.read(waker, 1 << 12)
        for token, status in supervisors.ended():
            with suppress(OSError):
                channel.send(json.dumps({"ended": token, "status": status}).encode())
        message = _receive(channel)
        if message is None or stopped:
            break
        if "preload" in message:
            _get_loaded(message["preload"], channel, shell)
        elif "start" in message:
            supervisors.start(Attempt(message["start"], Path(message["folder"])))
        elif "cancel" in message:
            supervisors.cancel(message["cancel"])
    supervisors.end()
    return 0


def _get_loaded(names: list[str], channel: socket.socket, shell: StageShell) -> None:
    unfit = _preload(names)
    if unfit is not None:
        _start_over(channel, [name for name in names if name != unfit])
    if _get_ready(shell):
        channel.send(json.dumps({"own_code": True}).encode())


def _preload(names: list[str]) -> str | None:
    """Import modules; return the first after which this process must not be forked any more."""
    for name in names:
        if name.partition(".")[0] in NOT_BEFORE_FORK:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # whatever the import raises, the stage that wants it will raise and show
            with suppress(BaseException):
                importlib.import_module(name)
        # a thread would not be there in a stage, and what waits for it would wait for ever. Those of OpenBLAS and jemalloc, which Python
        # does not know of, come back after a fork
        if threading.active_count() > 1 or not NOT_BEFORE_FORK.isdisjoint(sys.modules):
            return name
    with suppress(BaseException):
        loaded_numpy_random()  # every stage would load it, to seed it
    return None


def _start_over(channel: socket.socket, names: list[str]) -> NoReturn:
    """Be a fresh interpreter that preloads only these; what the scheduler sends meanwhile waits in the socket."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", __spec__.name, str(channel.fileno()), json.dumps(names)])  # noqa: S606 - ourselves


def _get_ready(shell: StageShell) -> bool:
    """Do what each stage would do first, so that it is done once: nothing that computes or starts a thread.

    Returns
    -------
    bool
        Whether a library has imported code that the user may edit: then a later run must not be forked from here.
    """
    for name in SERIALIZERS.names():
        SERIALIZERS.get(name)
    if "pandas" in sys.modules:
        with suppress(ImportError):
            importlib.import_module("pyarrow.pandas_compat")  # a frame's serializer asks for it
    shell.transform_cell("ready = True\n")  # IPython compiles its patterns
    importlib.import_module("bdb")  # running a cell asks for it
    shell.logger  # noqa: B018 - made when it is first asked for
    Observation(Path.cwd(), Path.cwd())  # asks where libraries and temporary files are
    ProcessState(Path.cwd()).begin({})  # likewise
    own = has_own_modules()
    if not own:
        mark_loaded()
    # what was loaded before the fork is nobody's garbage: a collection would touch, and so copy, all of its pages
    gc.collect()
    gc.freeze()
    return own


def _receive(channel: socket.socket) -> dict[str, Any] | None:
    """Return the next message, an empty one if there is none, or None once the scheduler has gone."""
    try:
        data = channel.recv(MESSAGE_BYTES, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return {}
    except OSError:
        return None
    return dict(json.loads(data)) if data else None


def _wake_on_signal(stopped: list[int]) -> tuple[int, int]:
    """Return a pipe that can be read from whenever a child has ended or this process is to end, which is then noted."""
    reader, writer = os.pipe()
    for descriptor in (reader, writer):
        os.set_blocking(descriptor, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader, writer


if __name__ == "__main__":
    sys.exit(main())
