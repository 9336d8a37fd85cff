"""Projects that are killed, and a tracker that costs nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.chaos.wreck import CHAOS, SHORT, Wreck

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

collect_ignore = [] if CHAOS else ["test_passages.py"]

_DIARY = '''
from pathlib import Path


class Diary:
    """Writes down each run whole."""

    def __init__(self, project_root):
        self._folder = Path(project_root) / "diary"
        self._folder.mkdir(exist_ok=True)

    def deliver(self, history, *, new, reference):
        run_id = history[0].run_id
        (self._folder / run_id).write_text(getattr(history[-1], "status", "?"))
        return {"run_id": run_id, "experiment": "diary"}

    def close(self):
        pass
'''


@pytest.fixture(scope="session")
def diary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a tracker called `diary`, as another package would bring it."""
    folder = tmp_path_factory.mktemp("diary")
    (folder / "diary_tracker.py").write_text(_DIARY)
    information = folder / "diary_tracker-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: diary-tracker\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[nbmlops.trackers]\ndiary = diary_tracker:Diary\n")
    return folder


@pytest.fixture
def wreck(tmp_path: Path, diary: Path) -> Iterator[Wreck]:
    """Give a project with a pipeline of six stages."""
    made = Wreck(tmp_path / "project", _with(diary))
    yield made
    made.project.kill_left_over()


@pytest.fixture
def short(tmp_path: Path, diary: Path) -> Iterator[Wreck]:
    """Give a project with a pipeline of three stages."""
    made = Wreck(tmp_path / "project", _with(diary), cells=SHORT)
    yield made
    made.project.kill_left_over()


def _with(diary: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(diary), os.environ.get("PYTHONPATH")]))}
