"""Weights & Biases, really written, offline."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from nbmlops.tracking.conformance import TrackerConformance, example_run
from nbmlops.tracking.offline_run import is_whole, read_records
from nbmlops.tracking.wandb import WandbTracker, wandb_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_KILLED = """
import os, signal, sys
from pathlib import Path
from nbmlops.tracking.conformance import example_run
from nbmlops.tracking.wandb import WandbTracker
class Dying(WandbTracker):
    def _await_end(self, path):
        os.kill(os.getpid(), signal.SIGKILL)
Dying(Path(sys.argv[1])).deliver(example_run("r1"), new=0, reference={})
"""


def _files(tracker: WandbTracker) -> list[Path]:
    return sorted(tracker.folder.glob("wandb/*/run-*.wandb"))


def _updates(path: Path, kind: str) -> dict[str, Any]:
    records = [record for record in read_records(path) if record.WhichOneof("record_type") == kind]
    items = [item for record in records for item in (record.run.config.update if kind == "run" else record.summary.update)]
    return {item.key: json.loads(item.value_json) for item in items if item.key}


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[WandbTracker]:
    """Give a tracker without a key."""
    tracker = WandbTracker(tmp_path)
    yield tracker
    tracker.close()


class TestConformance(TrackerConformance):
    """W&B keeps a tracker's promises."""

    def shown(self, tracker: WandbTracker, run_id: str) -> list[Any]:
        """List the folders that `wandb sync --sync-all` would send for our run."""
        return [(path.parent.name, path.read_bytes()) for path in _files(tracker) if path.name == f"run-{wandb_id(run_id)}.wandb"]


def test_an_offline_run_has_config_summary_and_table(tracker: WandbTracker) -> None:
    """Parameters, metrics, statuses and the table of stages are in the file, and its end is too."""
    reference = tracker.deliver(example_run("r1"), new=0, reference={})
    assert reference["mode"] == "offline"
    assert reference["experiment"] == "flights-<b>"
    (path,) = _files(tracker)
    assert is_whole(path)
    config, summary = _updates(path, "run"), _updates(path, "summary")
    assert (config["C"], config["long"]) == (0.5, "x" * 7000)
    assert (summary["loss"], summary["evaluate/auc"], summary["worst"], summary["huge"]) == (0.25, 0.75, "nan", "inf")
    assert summary["nbmlops-status"] == "done"
    (table,) = path.parent.rglob("*.table.json")
    assert [row[:2] for row in json.loads(table.read_text())["data"]] == [["train", "ran"], ["evaluate", "ran"]]


def test_a_run_that_goes_on_is_not_sent(tracker: WandbTracker) -> None:
    """Only a whole run is written, since offline every attempt makes a folder."""
    assert tracker.deliver(example_run("r1")[:3], new=0, reference={}) is None
    assert not tracker.folder.exists()


def test_a_kill_leaves_no_second_folder(tracker: WandbTracker, tmp_path: Path) -> None:
    """What a killed attempt wrote is never counted, and the next attempt takes its place."""
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert _files(tracker) == []
    tracker.deliver(example_run("r1"), new=0, reference={})
    assert len(_files(tracker)) == 1
    assert list(tracker.folder.rglob("run-*.wandb")) == _files(tracker)


def test_nothing_is_printed(tmp_path: Path) -> None:
    """W&B says nothing on the console of the command that syncs."""
    code = _KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "pass")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_torn_file_is_not_whole(tracker: WandbTracker, tmp_path: Path) -> None:
    """A file that lacks its end is seen to."""
    tracker.deliver(example_run("r1"), new=0, reference={})
    torn = tmp_path / "run-torn.wandb"
    torn.write_bytes(_files(tracker)[0].read_bytes()[:-10])
    assert not is_whole(torn)


def test_a_server_that_is_down_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a key but no server the run stays in the outbox."""
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    code = (
        "import sys; from pathlib import Path; from nbmlops.errors import TrackerUnavailable\n"
        "import nbmlops.tracking.wandb as module; module._INIT_TIMEOUT_S = 2.0\n"
        "from nbmlops.tracking.conformance import example_run\n"
        "try: module.WandbTracker(Path(sys.argv[1])).deliver(example_run('r1'), new=0, reference={})\n"
        "except TrackerUnavailable as error: print('unavailable:', error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=40)
    assert done.stdout.startswith("unavailable: W&B cannot be used now")


@pytest.mark.parametrize(
    ("variable", "value", "mode"),
    [("WANDB_MODE", "disabled", "disabled"), ("WANDB_MODE", "offline", "offline"), ("WANDB_PROJECT", "x", "offline")],
)
def test_without_a_key_it_is_offline(tracker: WandbTracker, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, mode: str) -> None:
    """WANDB_MODE decides; without it and without a key a run is written offline."""
    monkeypatch.setenv(variable, value)
    assert tracker.deliver(example_run("r1"), new=0, reference={})["mode"] == mode


def test_an_id_is_the_same_each_time() -> None:
    """The W&B id follows from ours and has W&B's letters only."""
    assert wandb_id("run-1") == "run-1"
    assert wandb_id("Run.1") == wandb_id("Run.1") != wandb_id("run.1")
    assert wandb_id("Run.1").isalnum()


def test_a_flight_over_many_blocks_is_read(tracker: WandbTracker) -> None:
    """Records that span the file's 32 KiB blocks come back whole."""
    events = example_run("r1")
    events[0].parameters["long"] = "y" * 100_000
    tracker.deliver(events, new=0, reference={})
    (path,) = _files(tracker)
    assert path.stat().st_size > 100_000
    assert _updates(path, "run")["long"] == "y" * 100_000
    assert is_whole(path)
