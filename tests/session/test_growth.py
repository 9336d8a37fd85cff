"""How much a large notebook takes: counted in calls, which no busy machine changes, never in seconds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

import nbmlops
from tests.acceptance.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

FEW = 40


def calls(work: Callable[[], object]) -> int:
    """Count the functions that `work` calls, Python's and C's."""
    count = 0

    def seen(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def per_stage(folder: Path, stages: int, plain_each: int) -> float:
    """Return the calls for each stage of planning a notebook whose stages hang on the one before, with so many plain cells after each."""
    project = Project(folder)
    cells = ["import json"]
    for number in range(stages):
        cells += [f"%%mlstage s{number}\nx{number} = {f'x{number - 1} + 1' if number else '0'}"]
        cells += [f"print('cell {number}.{other}')" for other in range(plain_each)]
    project.write(cells)
    return calls(lambda: nbmlops.open(project.folder / "nb.ipynb").status()) / stages


@pytest.mark.parametrize(
    ("times", "plain_each"), [pytest.param(8, 0, id="stages"), pytest.param(25, 9, id="1,000 stages in 10,000 cells", marks=pytest.mark.thorough)]
)
def test_a_stage_of_a_large_notebook_takes_no_more_than_twice_that_of_a_small_one(tmp_path: Path, times: int, plain_each: int) -> None:
    """Reading, linking and planning are linear."""
    few, many = tmp_path / "few", tmp_path / "many"
    few.mkdir()
    many.mkdir()
    per_stage(few, 2, 0)  # what is imported and compiled once
    small = per_stage(few, FEW, plain_each)
    large = per_stage(many, FEW * times, plain_each)
    assert large <= 2 * small, f"{large:.0f} calls for a stage of {FEW * times}, {small:.0f} for one of {FEW}"
