"""Events are plain data, and come back from JSON as they were."""

from __future__ import annotations

import json

import pytest

from nbmlops.executors.events import Event, RunFinished, RunStarted, StageFinished, event_from_json, event_to_json
from nbmlops.runner.redaction import Redactor

NEWER = {"sweep", "series", "summary"}
EVENTS: list[tuple[Event, str]] = [
    (RunStarted(run_id="r", time_s=1.5, notebook="nb.ipynb", experiment="e", parameters={"n": [1]}, tags={"user": "me"}, seed=3), "run-started"),
    (StageFinished(run_id="r", time_s=2.0, stage="a", status="ran", metrics={"auc": 0.5}, gates=[{"passed": True}]), "stage-finished"),
    (RunFinished(run_id="r", time_s=3.0, status="done", seconds=1.5, output="/p/out.ipynb"), "run-finished"),
    (RunStarted(run_id="r", time_s=1.5, notebook="nb.ipynb", experiment="e", sweep={"role": "trial", "id": "s", "number": 7}), "run-started"),
    (StageFinished(run_id="r", time_s=2.0, stage="a", status="ran", series={"auc": [[0, 0.5], [5, 0.75]]}), "stage-finished"),
    (RunFinished(run_id="r", time_s=3.0, status="pruned", seconds=1.5, summary={"state": "PRUNED", "values": {}}), "run-finished"),
]


@pytest.mark.parametrize(("event", "kind"), EVENTS)
def test_event_survives_json(event: Event, kind: str) -> None:
    """Written to an outbox, it is read back by another process."""
    data = json.loads(json.dumps(event_to_json(event)))
    assert data["kind"] == kind
    assert event_from_json(data) == event


def test_what_an_older_version_did_not_write_is_empty() -> None:
    """An outbox that was written before there were sweeps can be delivered."""
    events = [event_from_json({name: value for name, value in event_to_json(event).items() if name not in NEWER}) for event, _ in EVENTS[:3]]
    assert events == [event for event, _ in EVENTS[:3]]


@pytest.mark.parametrize(("event", "kind"), EVENTS)
def test_secrets_are_hidden_in_every_field(event: Event, kind: str) -> None:
    """What hides secrets in an event reaches into what a sweep tells, and leaves its shape."""
    hidden = event_from_json(Redactor(["seven", "auc_x"]).data({**event_to_json(event), "kind": kind}))
    assert hidden == event
    secret = event_to_json(RunStarted(run_id="r", time_s=1.5, notebook="n", experiment="e", sweep={"space": {"C": "choice(seven)"}}))
    assert "seven" not in json.dumps(Redactor(["seven"]).data(secret))


@pytest.mark.parametrize(("event", "kind"), EVENTS)
def test_field_of_a_newer_version_is_ignored(event: Event, kind: str) -> None:
    """An outbox that a newer nbmlops has written can be delivered."""
    assert event_from_json({**event_to_json(event), "colour": "red", "kind": kind}) == event


def test_unknown_kind_is_an_error() -> None:
    """What is no event of ours is not taken for one."""
    with pytest.raises(KeyError):
        event_from_json({"kind": "run-paused", "run_id": "r"})
