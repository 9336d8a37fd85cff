"""Ask the process that works with the registry, so that no kernel and no scheduler imports MLflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

import nbmlops.errors
from nbmlops.errors import NbmlopsError, TrackerUnavailable
from nbmlops.tracking.delivery import QUIET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmlops.settings import Settings

__all__ = ["Asking"]

_MODULE = "nbmlops.promotion.answering"
_LIMIT_S = 300.0  # for a large model's files over a slow network; a registry that hangs is told far earlier, by its own limit
_END_S = 5.0
_CLOSED = "NB660"


class Asking:
    """One process that answers, started when it is first asked, and again after it has died or the environment has changed.

    Parameters
    ----------
    settings : Settings
    limit_s : float
        After how many seconds without an answer the process is ended. An act that is broken off so is settled by the next one.
    """

    def __init__(self, settings: Settings, limit_s: float = _LIMIT_S) -> None:
        self._settings = settings
        self._limit_s = limit_s
        self._process: subprocess.Popen[str] | None = None
        self._environment: dict[str, str] = {}
        self._owner = 0
        self._log: IO[bytes] | None = None

    def ask(self, act: str, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Return the answer as JSON data.

        Raises
        ------
        NbmlopsError
            Whatever the act raised there.
        TrackerUnavailable
            If there is no answer.
        """
        process = self._running()
        settings = {**asdict(self._settings), "project_root": str(self._settings.project_root)}
        question = json.dumps({"act": act, "arguments": dict(arguments), "settings": settings})
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        watch = threading.Timer(self._limit_s, end)
        watch.daemon = True
        watch.start()
        try:
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - opened as pipes
            process.stdin.write(question + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        except BaseException:
            self.close()  # an answer that nobody has read must not be taken for that to the next question
            raise
        finally:
            watch.cancel()
        if not line.endswith("\n"):
            raise self._unanswered(late=late.is_set())
        answer = json.loads(line)
        if "error" in answer:
            raise _rebuilt(answer["error"])
        return answer["answer"]

    def stop(self) -> None:
        """End the process now, whatever it does; may be called by another thread than the one that waits for its answer, and gets none then."""
        process = self._process
        if process is not None and self._owner == os.getpid():
            process.kill()

    def close(self) -> None:
        """End the process; one that was forked meanwhile only forgets it."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(BrokenPipeError):  # of a question that it did not read
                        stream.close()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None

    def __del__(self) -> None:
        """End the process with the object."""
        self.close()

    def _running(self) -> subprocess.Popen[str]:
        environment = {**QUIET, **os.environ}
        if self._process is not None and (self._owner != os.getpid() or self._process.poll() is not None or environment != self._environment):
            self.close()
        if self._process is None:
            self._environment, self._owner = environment, os.getpid()
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
            # -P: an `mlflow.py` beside the notebook must not be taken for the real one; a session of its own: Ctrl-C is for whoever asks
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", _MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                env=environment,
                start_new_session=True,
            )
        return self._process

    def _unanswered(self, *, late: bool) -> TrackerUnavailable:
        told = ""
        if self._log is not None:
            self._log.seek(0)
            told = self._log.read().decode(errors="replace").strip().rpartition("\n")[2]
        self.close()
        why = f"has not answered for {self._limit_s:.0f} s" if late else f"ended without an answer{f': {told}' if told else ''}"
        fix = "ask nbmlops history MODEL how far it came: it settles what was broken off"
        return TrackerUnavailable(f"the process that works with the registry {why}", code=_CLOSED, fix=fix)


def _rebuilt(told: Mapping[str, Any]) -> NbmlopsError:
    kind = getattr(nbmlops.errors, told["kind"], NbmlopsError)
    error: NbmlopsError = kind.__new__(kind) if isinstance(kind, type) and issubclass(kind, NbmlopsError) else NbmlopsError.__new__(NbmlopsError)
    Exception.__init__(error, told["message"])
    error.__dict__.update(told["parts"])
    return error
