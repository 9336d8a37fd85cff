"""What a cell begins with is what was found after the cell before, unless something else has run."""

from __future__ import annotations

import os
import sys
import types
from typing import TYPE_CHECKING

import pytest

from nbmlops.runner.leaving.leftbehind import LeftBehind
from nbmlops.runner.watching.observation import Observation
from nbmlops.store.serializers import Context

if TYPE_CHECKING:
    from pathlib import Path

MOVED = ("process", "the working directory")


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[LeftBehind, Observation]:
    """Give what watches a stage, whose first cell has run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    left, observation = LeftBehind(tmp_path, tmp_path, Context(namespace={}), ()), Observation(tmp_path, tmp_path)
    with left.around(0, observation):
        pass
    return left, observation


def test_change_of_a_later_cell_is_noticed(watched: tuple[LeftBehind, Observation]) -> None:
    """It is compared with what the cell before left, and is told of that cell alone."""
    left, observation = watched
    with left.around(1, observation):
        os.chdir("other")
    with left.around(2, observation):
        pass
    assert left.entries() == ((*MOVED, "1"),)


def test_change_of_what_runs_between_is_not_the_cells(watched: tuple[LeftBehind, Observation]) -> None:
    """A setup cell between two cells of a stage may change what it likes: every stage runs it."""
    left, observation = watched
    left.look_anew()
    os.chdir("other")
    with left.around(1, observation):
        pass
    assert left.entries() == ()


def test_change_of_an_import_between_is_not_the_cells(watched: tuple[LeftBehind, Observation], monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading an input or keeping an output may import a library, which may change much."""
    left, observation = watched
    monkeypatch.setitem(sys.modules, "a_library_that_moves", types.ModuleType("a_library_that_moves"))
    os.chdir("other")
    with left.around(1, observation):
        pass
    assert left.entries() == ()


def test_builtin_that_was_replaced_is_told_of_one_cell(watched: tuple[LeftBehind, Observation], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held of libraries is kept between the cells too."""
    left, observation = watched
    with left.around(1, observation):
        monkeypatch.setattr("builtins.ascii", repr)
    with left.around(2, observation):
        pass
    assert left.entries() == (("process", "builtins.ascii", "1"),)
