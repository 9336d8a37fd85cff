"""A process that has imported what a command or a kernel imports, and is forked for each: ``python template.py ROLE SOCKET``.

The fork then does what ``python -m MODULE`` does, so that a test pays for its own work and not for the same imports again. A command gets a spare
process of its own, forked before it did anything: the server of its stages begins there, as a child of the command, as it does in earnest.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import re
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_MESSAGE_BYTES = 1 << 20
_DESCRIPTORS = 8
_PR_SET_NAME = 15
_PR_SET_PDEATHSIG = 1
_SERVER = "nbmlops.executors.zygote"
# what the module itself loads when it is run, and what it loads while it works
_COMMAND = (
    f"{_SERVER} bdb importlib.metadata tomllib IPython.core.logger nbmlops.executors.local nbmlops.session.execution nbmlops.runner.executed"
    " nbmlops.tracking.delivery nbmlops.tracking.joining nbmlops.tracking.mlflow_store nbmlops.tracking.outbox nbmlops.tracking.sender"
    " nbmlops.cli.run nbmlops.cli.check nbmlops.cli.compare nbmlops.cli.graph nbmlops.cli.status nbmlops.cli.store nbmlops.cli.verify"
)
_IMPORTS = {
    "command": _COMMAND,
    # of a command that starts no stages, or few: it may have loaded numpy, which a server of stages must not have before it is told how many threads
    "program": f"{_COMMAND} nbmlops.cli.sweep optuna papermill.cli nbmlops.session.papermill_engine",
    "kernel": (
        "ipykernel.kernelapp ipykernel.ipkernel ipykernel.zmqshell ipykernel.debugger IPython.core.completerlib IPython.core.debugger"
        " IPython.core.oinspect IPython.extensions.storemagic IPython.core.magics.extension psutil tornado.platform.asyncio"
        " nbmlops.magics.compare nbmlops.magics.completion nbmlops.magics.hooks nbmlops.magics.sweep nbmlops.magics.verbs nbmlops.session.live.kernel"
        " nbmlops.session.live.stagecell nbmlops.session.live.hidden nbmlops.session.batch nbmlops.executors.local nbmlops.runner.stage tomllib"
        " nbmlops.store.serializers.tables nbmlops.store.serializers.pickles nbmlops.store.serializers.plain nbmlops.store.serializers.arrays"
        " nbmlops.store.serializers.shared nbmlops.store.store nbmlops.views.html nbmlops.views.svg nbmlops.views.stageline nbmlops.views.text"
    ),
}


def serve(role: str, channel: socket.socket) -> dict[str, Any] | None:
    """Fork for each message; return its message in a fork, and None when the other end has gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for name in _IMPORTS[role].split():
        importlib.import_module(name)
    sys.modules.pop(_SERVER, None)  # it is run as a program
    assert threading.active_count() == 1
    assert role == "program" or "numpy" not in sys.modules
    tempfile.tempdir = None
    gc.collect()
    gc.freeze()
    reader, writer = os.pipe()
    for descriptor in (reader, writer):
        os.set_blocking(descriptor, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    running: dict[int, socket.socket] = {}
    poller = select.poll()
    poller.register(channel, select.POLLIN)
    poller.register(reader, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poller.poll()}
        if reader in ready:
            with suppress(BlockingIOError):
                os.read(reader, 1 << 12)
            _tell_ends(running)
        if channel.fileno() not in ready:
            continue
        data, descriptors, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, _DESCRIPTORS)
        if not data:
            return None
        answer, *streams = descriptors
        pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (reader, writer, channel.detach(), answer, *(item.detach() for item in running.values())):
                os.close(descriptor)
            return {**json.loads(data), "streams": streams}
        for descriptor in streams:
            os.close(descriptor)
        running[pid] = socket.socket(fileno=answer)
        running[pid].send(str(pid).encode())


def _tell_ends(running: dict[int, socket.socket]) -> None:
    """Tell whoever asked for a fork that it has ended, and how."""
    for pid in list(running):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with running.pop(pid) as answer, suppress(OSError):
                answer.send(str(os.waitstatus_to_exitcode(status)).encode())


def be_program(told: dict[str, Any]) -> None:
    """Do what ``python -m``, or ``python FILE``, does in a new process with these words, folder, environment and streams; it leads a session."""
    name_process(told["mark"])
    if told["spare"]:
        subprocess.Popen = _spare_popen(told)  # type: ignore[misc]
    os.setsid()
    for number, descriptor in enumerate(told["streams"]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update(told["environment"])
    time.tzset()
    sys.path[:0] = [*([told["folder"]] if told["path"] else []), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = ["", *told["words"]]
    if told["module"].endswith(".py"):
        runpy.run_path(told["module"], run_name="__main__")
    else:
        runpy.run_module(told["module"], run_name="__main__", alter_sys=True)


def name_process(mark: str) -> None:
    """Let a fork and its forks be found by name: their environment, as the system tells it, is that of the template."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, mark.encode(), 0, 0, 0)


def starting_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return those variables that an interpreter or a library reads once, when it begins: a fork cannot be given others."""
    return {name: value for name, value in environment.items() if re.match("PYTHON(?!PATH$)|LC_|LANG|LD_|MALLOC_|GLIBC_|HOME$", name)}


def _spare_popen(told: dict[str, Any]) -> type[subprocess.Popen[Any]]:
    """Fork a process that becomes the first server of stages, and ends with this one; return the class that makes it so."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if not pid:
        ours.close()
        for descriptor in told["streams"]:
            os.close(descriptor)
        data, descriptors, _, _ = socket.recv_fds(theirs, _MESSAGE_BYTES, _DESCRIPTORS)
        if not data:
            os._exit(0)
        theirs.close()
        channel = descriptors.pop()
        os.set_inheritable(channel, True)  # noqa: FBT003 - it takes no keyword
        be_program({**json.loads(data), "streams": descriptors, "words": [str(channel)], "mark": told["mark"], "spare": False, "path": False})
        sys.exit()  # as at the end of a program
    theirs.close()
    own = starting_variables(os.environ)
    spare = [pid]

    class Popen(subprocess.Popen[Any]):
        """The first server of stages is the spare process; all else is executed."""

        def _execute_child(self, args: Any, *others: Any) -> None:
            _, _, _, passed, folder, environment = others[:6]
            if not spare or args[1:-1] != ["-P", "-m", _SERVER] or starting_variables(environment) != own:
                super()._execute_child(args, *others)  # type: ignore[misc]
                return
            pipes = others[9:15]
            reads, _, _, writes, _, errors = pipes
            message = {"module": _SERVER, "folder": str(folder or Path.cwd()), "environment": environment}
            streams = [reads, writes, 2 if errors == -1 else errors]
            self.pid = spare.pop()
            try:
                socket.send_fds(ours, [json.dumps(message).encode()], [*streams, *passed])
            except OSError:  # a test has killed it
                super()._execute_child(args, *others)  # type: ignore[misc]
                return
            self._child_created = True
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    return Popen


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the folder of this file
    found = serve(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
    if found is not None:
        be_program(found)
