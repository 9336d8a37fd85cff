"""Metrics that a stage's code logs by name."""

from __future__ import annotations

import json
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbmlops
from nbmlops.errors import UsageError
from nbmlops.runner.logged import Logbook, Pruned, add_evidence, add_model, logging_to
from nbmlops.runner.redaction import Redactor
from nbmlops.store.objects import digest_of_buffers


def test_the_last_value_is_the_metric_and_the_course_is_kept() -> None:
    """NumPy's numbers and 0-d arrays are numbers."""
    with logging_to(Logbook("train")) as book:
        for step, value in enumerate([0.5, np.float32(0.25), np.array(0.75)]):
            nbmlops.log_metric("auc", value, step)
        nbmlops.log_metric("rows", np.int64(3))
        nbmlops.report(0.5, 7)
    assert book.metrics == {"auc": 0.75, "rows": 3.0, "reported": 0.5}
    assert book.series == {"auc": [(0, 0.5), (1, 0.25), (2, 0.75)], "reported": [(7, 0.5)]}
    assert book.merged({"auc": 0.9}) == {"auc": 0.9, "rows": 3.0, "reported": 0.5}


@pytest.mark.parametrize(
    ("name", "value", "step"),
    [
        ("auc", "high", None),
        ("auc", None, None),
        ("auc", True, None),
        ("auc", [1], None),
        ("", 1, None),
        (3, 1, None),
        ("auc", 1, -1),
        ("auc", 1, 1.5),
    ],
)
def test_what_is_no_metric_is_refused_by_name(name: Any, value: Any, step: Any) -> None:
    """One line that names stage and metric."""
    with logging_to(Logbook("train")) as book, pytest.raises(UsageError, match="stage 'train' logs"):
        nbmlops.log_metric(name, value, step)
    assert book.metrics == {}


def test_secrets_are_hidden_before_anything_is_kept() -> None:
    """In names, evidence, reports, and what is said of a model; a report's digest is that of what is kept."""
    with logging_to(Logbook("train", redactor=Redactor(["hunter2"]))) as book:
        nbmlops.log_metric("auc_hunter2", 1, 0)
        add_evidence({"name": "hunter2", "passed": True, "value": "hunter2"})
        digest = book.add_report(b'["hunter2"]')
        add_model({"name": "m", "digest": "0" * 64, "metrics": {"hunter2": 1.0}, "files": {"MLmodel": "0" * 64}})
    kept = (book.metrics, book.series, book.evidence, book.models, book.reports)
    assert "hunter2" not in repr(kept)
    assert digest == digest_of_buffers([b'["[secret]"]'])


def test_two_models_of_one_name_are_refused() -> None:
    """What the stage logs can speak for one only; the same model again is no second one, and another name is free."""
    first, again, second = ({"name": "m", "digest": digest, "metrics": {"auc": auc}} for digest, auc in (("a", 0.5), ("a", 0.75), ("b", 0.25)))
    other = {**second, "name": "other"}
    with logging_to(Logbook("train")) as book:
        add_model(first)
        with pytest.raises(UsageError, match="stage 'train' registers two different models as 'm'") as refused:
            add_model(second)
        assert (refused.value.code, book.models) == ("NB680", [first])
        add_model(other)
        add_model(again)
    assert book.models == [other, again]


def test_outside_a_stage_it_is_said_that_nothing_is_kept() -> None:
    """Code that is shared with other programs goes on."""
    with pytest.warns(UserWarning, match="nothing is kept"):
        nbmlops.log_metric("auc", 1)
    with pytest.warns(UserWarning, match="nothing is kept"):
        nbmlops.report(1, 0)


def test_another_process_may_not_log_in_vain() -> None:
    """What joblib's workers log would be lost: they are told."""
    with logging_to(Logbook("train")):
        read, write = os.pipe()
        if os.fork() == 0:
            try:
                nbmlops.log_metric("auc", 1)
                os.write(write, b"lost")
            except UsageError as error:
                os.write(write, str(error).encode())
            finally:
                os._exit(0)
        os.wait()
        assert b"another process" in os.read(read, 4096)


def test_the_answer_to_a_report_ends_the_stage(tmp_path: Path) -> None:
    """Through `except Exception`, and only when the sweep says so."""
    address = str(tmp_path / "s")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(address)
    server.listen()
    told: list[dict[str, Any]] = []

    def answer() -> None:
        channel, _ = server.accept()
        with channel:
            for prune in (False, True):
                told.append(json.loads(channel.recv(4096)))
                channel.send(json.dumps({"prune": prune}).encode())

    thread = threading.Thread(target=answer)
    thread.start()

    def train() -> None:
        for step in range(5):
            with suppress(Exception):  # as training loops do
                nbmlops.report(step / 2, step)

    with logging_to(Logbook("train", "attempt-1", address)) as book, pytest.raises(Pruned, match="at step 1"):
        train()
    thread.join()
    server.close()
    assert told == [{"attempt": "attempt-1", "step": 0, "value": 0.0}, {"attempt": "attempt-1", "step": 1, "value": 0.5}]
    assert book.series["reported"] == [(0, 0.0), (1, 0.5)]


def test_a_sweep_that_is_gone_prunes_nobody(tmp_path: Path) -> None:
    """The stage goes on, and its values are kept."""
    with logging_to(Logbook("train", "a", str(tmp_path / "nothing"))) as book:
        nbmlops.report(1, 0)
        nbmlops.report(2, 1)
    assert book.metrics == {"reported": 2.0}
