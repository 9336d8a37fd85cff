"""A sweep in Weights & Biases: one group of offline runs, read back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from nbmlops.tracking.conformance import example_run, example_sweep, example_sweep_run, example_trial
from nbmlops.tracking.offline_run import is_whole, read_records
from nbmlops.tracking.sweep_page import SweepPart
from nbmlops.tracking.wandb import WandbTracker, wandb_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nbmlops.executors.events import Event

_COUNT = 20
_STATES = ["COMPLETE", "PRUNED", "FAIL", "COMPLETE"]


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WandbTracker]:
    """Give a tracker that has got a sweep of twenty trials and its best run."""
    patch = pytest.MonkeyPatch()
    patch.setenv("WANDB_MODE", "offline")
    patch.setenv("WANDB_ERROR_REPORTING", "false")
    tracker = WandbTracker(tmp_path_factory.mktemp("sweep"))
    sweep = example_sweep_run("w")
    _send(tracker, sweep[:1])
    for number in range(_COUNT):
        _send(tracker, example_trial(f"t{number}", number, state=_STATES[number % 4], start_s=1_750_000_000.0 + number))
    _send(tracker, example_run("best", sweep=example_sweep("s1", "best", 19)))
    _send(tracker, sweep)
    yield tracker
    tracker.close()
    patch.undo()


def _send(tracker: WandbTracker, events: list[Event]) -> dict[str, str]:
    found = tracker.deliver(events, new=0, reference={})
    assert found is not None
    return found


def _read(tracker: WandbTracker, run_id: str) -> dict[str, Any]:
    (path,) = tracker.folder.glob(f"wandb/*/run-{wandb_id(run_id)}.wandb")
    assert is_whole(path)
    found: dict[str, Any] = {"config": {}, "summary": {}, "history": []}
    for record in read_records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.update(group=record.run.run_group, job_type=record.run.job_type, name=record.run.display_name)
            found["config"] |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "summary":
            found["summary"] |= {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.summary.update}
        elif kind == "history":
            found["history"].append({item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item})
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
    return found


def test_a_sweep_is_one_group_of_its_trials(tracker: WandbTracker) -> None:
    """Twenty trials are in one group; the best one's full run is beside it, and the sweep itself is no run."""
    assert len(list(tracker.folder.glob("wandb/*/run-*.wandb"))) == _COUNT + 1
    read = [_read(tracker, f"t{number}") for number in range(_COUNT)]
    best = _read(tracker, "best")
    assert {run["group"] for run in read} == {_send(tracker, example_sweep_run("w"))["group"]}
    assert best["group"] == ""
    assert {run["job_type"] for run in read} == {"trial"}
    assert best["job_type"] == "best"
    assert [run["name"] for run in read[:2]] == ["flight <delay> trial 0", "flight <delay> trial 1"]


def test_each_trial_has_its_own_values(tracker: WandbTracker) -> None:
    """Parameters, metrics, state, seconds and stages of every trial are in its file, equal to what was told."""
    for number in range(_COUNT):
        state, run = _STATES[number % 4], _read(tracker, f"t{number}")
        assert (run["config"]["C"], run["config"]["größe"], run["config"]["nbmlops-trial"]) == (0.5 + number, "a", number)
        summary = run["summary"]
        assert (summary["auc"], summary["f1@k (%)"], summary["stage_seconds/train"]) == (0.5 + number / 100, 0.25, 0.5)
        assert (summary["nbmlops-state"], summary["nbmlops-seconds"]) == (state, 3.0)
        assert (summary["nbmlops-ran"], summary["nbmlops-reused"]) == (["train"], ["ingest"])
        assert run["exit"] == (1 if state == "FAIL" else 0)


def test_reports_are_the_history(tracker: WandbTracker) -> None:
    """Each report is a row at its own step; one that is no number leaves a gap."""
    assert [(row["_step"], str(row["auc"])) for row in _read(tracker, "t3")["history"]] == [(0, "0.5"), (1, "nan"), (5, "0.53")]


def test_a_run_that_is_in_no_sweep_has_no_group(tmp_path: Path) -> None:
    """A run without a sweep is shown as before, its reports by step too; of steps below 0, which W&B drops, the distance is kept."""
    tracker = WandbTracker(tmp_path)
    started, train, *_, finished = example_run("r1")
    _send(tracker, [started, replace(train, series={"loss": [[-1, 0.5], [1, 0.25]]}), finished])
    run = _read(tracker, "r1")
    tracker.close()
    assert (run["group"], run["job_type"], run["summary"]["loss"]) == ("", "", 0.25)
    assert [(row["_step"], row["loss"]) for row in run["history"]] == [(0, 0.5), (2, 0.25)]
    assert "stages" in run["history"][1]


def test_groups_of_one_name_are_kept_apart() -> None:
    """Another project's sweep of the same name is another group, and a group is the same each time."""
    one, two = (SweepPart(role="trial", id=sweep_id, name="flights") for sweep_id in ("s1", "s2"))
    assert one.group != two.group
    assert one.group == SweepPart(role="best", id="s1", name="flights").group
    assert one.group.startswith("flights-")
