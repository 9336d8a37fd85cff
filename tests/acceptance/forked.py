"""Commands and kernels as forks of a process that has their imports loaded: one such template of each kind for every worker of pytest."""

from __future__ import annotations

import atexit
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests.acceptance.template import starting_variables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MARK_CHARACTERS", "Fork", "Template"]

MARK_CHARACTERS = 15
"""How many characters of a mark the name of a process holds."""
_READ_BYTES = 1 << 16


class Fork:
    """A process that was asked for, with as much of `subprocess.Popen` as tests ask of a command that they let end."""

    def __init__(self, answer: socket.socket, out: IO[bytes] | None = None, err: IO[bytes] | None = None) -> None:
        self._answer = answer
        self._pipes = [pipe for pipe in (out, err) if pipe is not None]
        self.pid = int(answer.recv(64))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return how the process ended, or None while it goes on."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0.001)
        return None

    def wait(self, timeout_s: float) -> int:
        """Return how the process ended, as `Popen.wait`."""
        if self.returncode is None:
            self._answer.settimeout(timeout_s)
            try:
                self.returncode = int(self._answer.recv(64))
            except TimeoutError:
                raise subprocess.TimeoutExpired(str(self.pid), timeout_s) from None
            self._answer.close()
        return self.returncode

    def kill(self) -> None:
        """Kill the process and what it started in its session's first group."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, 9)

    def communicate(self, timeout_s: float) -> tuple[str, str]:
        """Return what the process wrote to its two streams, once both are closed and it has ended."""
        end = time.monotonic() + timeout_s
        found: dict[IO[bytes], bytearray] = {pipe: bytearray() for pipe in self._pipes}
        with selectors.DefaultSelector() as selector:
            for pipe in self._pipes:
                selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(max(0.0, end - time.monotonic()))
                if not ready:
                    raise subprocess.TimeoutExpired(str(self.pid), timeout_s)
                for key, _ in ready:
                    data = os.read(key.fd, _READ_BYTES)
                    found[self._pipes[self._pipes.index(key.fileobj)]] += data  # type: ignore[arg-type]
                    if not data:
                        selector.unregister(key.fileobj)
        self.wait(max(0.0, end - time.monotonic()))
        for pipe in self._pipes:
            pipe.close()
        out, err = (bytes(found[pipe]).decode().replace("\r\n", "\n").replace("\r", "\n") for pipe in self._pipes)
        return out, err


class Template:
    """The process that is forked; it begins when it is first needed, and ends with this one.

    Parameters
    ----------
    role : str
        ``"command"``, ``"program"`` or ``"kernel"``: what it has imported.
    seed : str, optional
        The hash seed of all forks; without one it is another in every worker.
    """

    def __init__(self, role: str, seed: str = "random") -> None:
        self._role = role
        self._seed = seed
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._own: dict[str, str] = {}

    @property
    def pid(self) -> int:
        """The process whose children the forks are."""
        self._open()
        assert self._process is not None
        return self._process.pid

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether a fork with this environment is what a new process would be."""
        self._open()
        return starting_variables(environment) == self._own

    def start(self, module: str, words: Sequence[str], folder: Path, environment: Mapping[str, str], *, piped: bool = False) -> Fork:
        """Start ``python -m MODULE WORDS``, or a file of a program in its place; `piped` keeps what it writes for `Fork.communicate`."""
        channel = self._open()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pipes = [os.pipe(), os.pipe()] if piped else []
        mark = environment.get("NBMLOPS_TEST_MARK", "")[:MARK_CHARACTERS]
        told = {"module": module, "words": list(words), "folder": str(folder), "environment": dict(environment), "mark": mark}
        message = {**told, "spare": self._role == "command", "path": True}
        with theirs, Path(os.devnull).open("r+b") as nothing:
            written = [writer for _, writer in pipes] or [nothing.fileno()] * 2
            socket.send_fds(channel, [json.dumps(message).encode()], [theirs.fileno(), nothing.fileno(), *written])
        for _, writer in pipes:
            os.close(writer)
        return Fork(ours, *(os.fdopen(reader, "rb") for reader, _ in pipes))

    def _open(self) -> socket.socket:
        if self._channel is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            apart = {"PYTEST_CURRENT_TEST", "PYTHONPATH"}
            inherited = {name: value for name, value in os.environ.items() if name not in apart and not name.startswith("NBMLOPS_")}
            self._own = starting_variables(inherited)
            program = Path(__file__).with_name("template.py")
            with theirs:
                # a stage's server is started with -P; a kernel is not, and IPython asks
                flags = [] if self._role == "kernel" else ["-P"]
                self._process = subprocess.Popen(
                    [sys.executable, *flags, str(program), self._role, str(theirs.fileno())],
                    env={**inherited, "PYTHONHASHSEED": self._seed, "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
            self._channel = ours
            atexit.register(self._close)
        return self._channel

    def _close(self) -> None:
        assert self._channel is not None
        assert self._process is not None
        self._channel.close()
        self._process.wait()
