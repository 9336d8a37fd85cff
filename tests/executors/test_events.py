"""Events are plain data, and come back from JSON as they were."""

from __future__ import annotations

import json

import pytest

from nbmlops.executors.events import Event, RunFinished, RunStarted, StageFinished, event_from_json, event_to_json

EVENTS: list[tuple[Event, str]] = [
    (RunStarted(run_id="r", time_s=1.5, notebook="nb.ipynb", experiment="e", parameters={"n": [1]}, tags={"user": "me"}, seed=3), "run-started"),
    (StageFinished(run_id="r", time_s=2.0, stage="a", status="ran", metrics={"auc": 0.5}, gates=[{"passed": True}]), "stage-finished"),
    (RunFinished(run_id="r", time_s=3.0, status="done", seconds=1.5, output="/p/out.ipynb"), "run-finished"),
]


@pytest.mark.parametrize(("event", "kind"), EVENTS)
def test_event_survives_json(event: Event, kind: str) -> None:
    """Written to an outbox, it is read back by another process."""
    data = json.loads(json.dumps(event_to_json(event)))
    assert data["kind"] == kind
    assert event_from_json(data) == event


@pytest.mark.parametrize(("event", "kind"), EVENTS)
def test_field_of_a_newer_version_is_ignored(event: Event, kind: str) -> None:
    """An outbox that a newer nbmlops has written can be delivered."""
    assert event_from_json({**event_to_json(event), "colour": "red", "kind": kind}) == event


def test_unknown_kind_is_an_error() -> None:
    """What is no event of ours is not taken for one."""
    with pytest.raises(KeyError):
        event_from_json({"kind": "run-paused", "run_id": "r"})
