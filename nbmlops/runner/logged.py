"""What a stage's code logs: metrics and their course by step, reports that may prune a trial, evidence of gates, models to register."""

from __future__ import annotations

import json
import numbers
import os
import signal
import socket
import time
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nbmlops.errors import UsageError
from nbmlops.runner.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nbmlops.store.serializers import Context
    from nbmlops.store.store import Store

__all__ = ["REPORTED", "Logbook", "Pruned", "add_evidence", "add_model", "log_metric", "logging_to", "open_logbook", "report"]

REPORTED = "reported"  # the name under which reports stand among the metrics
_ANSWER_BYTES = 1 << 12
_END_S = 30.0
_open: Logbook | None = None


class Pruned(BaseException):
    """The sweep has pruned the trial that this stage is a part of.

    No `Exception`, so that a training loop's ``except Exception`` does not go on.
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class Logbook:
    """What one execution of a stage has logged.

    Parameters
    ----------
    stage, attempt : str
    listener : str
        The socket of the sweep that may prune the trial; "" for none.
    store : Store or None
        Where what the stage leaves is kept.
    context : Context or None
        What the stage's code is bound to.
    redactor : Redactor
        Knows the stage's secrets.

    Attributes
    ----------
    metrics, series : dict
        The last value of each name, and the steps and values of those that were logged by step.
    evidence : list of dict
        What gates in the stage's code have found: ``name``, ``value``, ``threshold``, ``passed`` and more, as JSON.
    reports : dict of str to bytes
        What the evidence's ``report`` names, by digest: whoever opened the logbook puts them into the store when the code has run, since
        what the stage itself does with files counts as its own doing.
    models : list of dict
        What is to be registered, as JSON.
    pruned : Pruned or None
        That the trial was pruned, also where the stage's code has caught the exception.
    """

    def __init__(
        self,
        stage: str,
        attempt: str = "",
        listener: str = "",
        *,
        store: Store | None = None,
        context: Context | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        self.stage = stage
        self.redactor = redactor or Redactor()
        self.store = store
        self.context = context
        self.metrics: dict[str, float] = {}
        self.series: dict[str, list[tuple[int, float]]] = {}
        self.evidence: list[dict[str, Any]] = []
        self.reports: dict[str, bytes] = {}
        self.models: list[dict[str, Any]] = []
        self.pruned: Pruned | None = None
        self._attempt = attempt
        self._listener = listener
        self._channel: socket.socket | None = None
        self._owner = os.getpid()

    def log(self, name: str, value: float, step: int | None = None) -> None:
        """Keep a value; the last one of a name is the metric."""
        self._check_process()
        if not name or type(name) is not str:
            raise UsageError(f"stage {self.stage!r} logs a metric named {name!r}", code="NB613", fix="give a name")
        number = self.number(name, value)
        name = self.redactor.text(name)
        place = None if step is None else self._step(name, step)
        self.metrics[name] = number
        if place is not None:
            self.series.setdefault(name, []).append((place, number))

    def report(self, value: float, step: int) -> None:
        """Keep a value, and end the stage if the sweep prunes its trial."""
        if self.pruned is not None:
            self._end()
        self.log(REPORTED, value, step)
        if self._listener and self._is_pruned(*self.series[REPORTED][-1]):
            self.pruned = Pruned(f"pruned by the sweep at step {step}, with {self.metrics[REPORTED]:.6g}")
            raise self.pruned

    def add_evidence(self, gate: Mapping[str, Any]) -> None:
        """Keep what a gate in the stage's code has found; a later one of the same name replaces it only if it is as bad or worse."""
        self._check_process("evidence")
        gate = self.redactor.record(gate)
        if not any(item["name"] == gate["name"] and not item["passed"] and gate["passed"] for item in self.evidence):
            self.evidence = [*(item for item in self.evidence if item["name"] != gate["name"]), dict(gate)]

    def add_report(self, data: bytes) -> str:
        """Keep what evidence refers to; return its digest."""
        from nbmlops.store.objects import digest_of_buffers  # noqa: PLC0415 - for those who leave evidence

        self._check_process("evidence")
        data = self.redactor.text(data.decode("utf-8", "surrogatepass")).encode("utf-8", "surrogatepass")
        digest = digest_of_buffers([data])
        self.reports[digest] = data
        return digest

    def add_model(self, model: Mapping[str, Any]) -> None:
        """Keep what is to be registered; of the same model, as its digest tells, what was said last.

        Two models of one name are refused: what the stage logs, and what its gates judge, would be told of both, and is true of one.
        """
        self._check_process("a model")
        if any(item["name"] == model["name"] and item["digest"] != model["digest"] for item in self.models):
            raise UsageError(
                f"stage {self.stage!r} registers two different models as {model['name']!r}, and its metrics and gates can speak for one only",
                code="NB680",
                fix="register the one that you choose, or each in a stage of its own, or under a name of its own",
            )
        model = {**model, "metrics": self.redactor.data(model["metrics"])}
        self.models = [*(item for item in self.models if item["name"] != model["name"]), dict(model)]

    def merged(self, named: Mapping[str, Any]) -> dict[str, Any]:
        """Return the stage's metrics: those that ``--metrics`` names, which hold at its end, win."""
        return {**self.metrics, **named}

    def close(self) -> None:
        """Let go of the sweep."""
        if self._channel is not None:
            self._channel.close()

    def _is_pruned(self, step: int, value: float) -> bool:
        try:
            if self._channel is None:
                self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                self._channel.connect(self._listener)
            self._channel.send(json.dumps({"attempt": self._attempt, "step": step, "value": value}).encode())
            return bool(json.loads(self._channel.recv(_ANSWER_BYTES))["prune"])
        except (OSError, ValueError, KeyError):
            self._listener = ""  # a sweep that is gone prunes nobody
            return False

    def _end(self) -> None:
        """End a stage whose code has caught the exception and goes on: its supervisor, which is our parent, does that."""
        self._check_process()
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(_END_S)
        raise self.pruned or Pruned

    def _check_process(self, what: str = "a metric") -> None:
        if os.getpid() != self._owner:
            raise UsageError(
                f"stage {self.stage!r} logs {what} in another process than its own, where it would be lost",
                code="NB613",
                fix="return the value, and log it in the stage",
            )

    def number(self, name: str, value: Any) -> float:  # noqa: ANN401 - what the user gives
        """Return a metric's value as a number; `UsageError` if it is none."""
        plain = value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else value
        if isinstance(plain, bool) or not isinstance(plain, numbers.Real):
            raise UsageError(f"stage {self.stage!r} logs {name!r} as a {type(value).__name__}, no number", code="NB613", fix="give a number")
        return float(plain)

    def _step(self, name: str, step: Any) -> int:  # noqa: ANN401 - what the user gives
        if isinstance(step, bool) or not isinstance(step, numbers.Integral) or step < 0:
            raise UsageError(f"stage {self.stage!r} logs {name!r} at step {step!r}", code="NB613", fix="give a whole number from 0")
        return int(step)


@contextmanager
def logging_to(logbook: Logbook) -> Iterator[Logbook]:
    """Let `log_metric` and `report` write into `logbook`."""
    global _open  # noqa: PLW0603 - a stage has its process, or its cell, alone; its threads log too
    before, _open = _open, logbook
    try:
        yield logbook
    finally:
        _open = before
        logbook.close()


def open_logbook() -> Logbook | None:
    """Return the logbook of the stage that runs; None outside a stage."""
    return _open


def add_evidence(gate: Mapping[str, Any]) -> None:
    """Leave what a gate has found with the stage that runs; outside a stage nobody keeps it."""
    if _open is not None:
        _open.add_evidence(gate)


def add_model(model: Mapping[str, Any]) -> bool:
    """Leave a model to be registered with the stage that runs; tell whether there is one."""
    if _open is not None:
        _open.add_model(model)
    return _open is not None


def log_metric(name: str, value: float, step: int | None = None) -> None:
    """Log a metric of the stage that runs: see `nbmlops.log_metric`."""
    if _open is None:
        warnings.warn("nbmlops.log_metric outside a stage: nothing is kept", stacklevel=3)
        return
    _open.log(name, value, step)


def report(value: float, step: int) -> None:
    """Report how the stage that runs goes: see `nbmlops.report`."""
    if _open is None:
        warnings.warn("nbmlops.report outside a stage: nothing is kept", stacklevel=3)
        return
    _open.report(value, step)
