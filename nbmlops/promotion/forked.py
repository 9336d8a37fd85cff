"""Work in a forked child: what it imports, prints, sets or breaks never reaches the process that it was forked from."""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NbmlopsError
from nbmlops.runner.memory import lift_memory_limit
from nbmlops.runner.supervisor import end_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Died", "in_child"]

_CHUNK = 1 << 16


class Died(Exception):
    """The child ended without an answer; the text says how."""


def in_child(work: Callable[[], Any], log: Path, *, timeout_s: float) -> Any:  # noqa: ANN401 - what `work` returns, as JSON
    """Return what `work` returns in a fork of this process, as JSON; an error of ours that it raises is raised here.

    The child has only the thread that forked it. It must not compute with libraries that have started threads here, such as OpenMP's.

    Parameters
    ----------
    work : callable
    log : Path
        Gets all that the child prints.
    timeout_s : float

    Raises
    ------
    Died
        If it crashes, raises anything else, or takes too long.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of forks beside threads: none of them is used
        pid = os.fork()
    if pid == 0:
        _be_child(work, log, writer)
    os.close(writer)
    status: int | None = None
    try:
        answer = _read(reader, time.monotonic() + timeout_s)
        if answer is not None:
            status = os.waitpid(pid, 0)[1]
    finally:
        os.close(reader)
        if status is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    if answer is None:
        raise Died(f"it took longer than {timeout_s:.0f} s")
    if not answer:
        raise Died(f"it was ended by signal {status & 0x7F}" if status and status & 0x7F else "it ended without an answer")
    told = json.loads(answer)
    if "error" in told:
        code, message, fix = told["error"]
        raise NbmlopsError(message, code=code, fix=fix)
    if "died" in told:
        raise Died(told["died"])
    return told["value"]


def _read(reader: int, deadline_s: float) -> bytes | None:
    parts: list[bytes] = []
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline_s - time.monotonic()))
        if not ready:
            return None
        data = os.read(reader, _CHUNK)
        if not data:
            return b"".join(parts)
        parts.append(data)


def _be_child(work: Callable[[], Any], log: Path, writer: int) -> None:
    """Work, answer, and never return: nothing of the parent's is closed, flushed or collected."""
    try:
        gc.disable()  # a finalizer of an object of the parent's would remove its files
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        end_with_parent(signal.SIGKILL)
        lift_memory_limit()
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for standard in (1, 2):
            os.dup2(descriptor, standard)
        sys.stdout = sys.stderr = os.fdopen(descriptor, "w", buffering=1)
        told: dict[str, Any]
        try:
            told = {"value": work()}
        except NbmlopsError as error:
            told = {"error": [error.code, error.message, error.fix]}
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent tells it
            told = {"died": " ".join(f"{type(error).__name__}: {error}".split())[:500]}
        data = memoryview(json.dumps(told).encode())
        while data:
            data = data[os.write(writer, data) :]
    finally:
        os._exit(0)
