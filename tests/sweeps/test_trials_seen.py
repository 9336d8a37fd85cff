"""What a study says of its trials while they begin, end in any order and are broken off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbmlops.sweeps.space import parse_range
from nbmlops.sweeps.state import Objective
from nbmlops.sweeps.storage import open_storage
from nbmlops.sweeps.study import Asked, SweepStudy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def opened(folder: Path) -> SweepStudy:
    return SweepStudy(
        "study",
        open_storage(None, folder / "study.journal"),
        folder / "study",
        space={"x": parse_range("x", "float(0, 1)")},
        objectives=[Objective("loss", "minimize")],
        sampler="random",
        pruner="none",
        seed=0,
    )


@pytest.fixture
def study(tmp_path: Path) -> Iterator[SweepStudy]:
    """Give a study without trials, its folder known as alive."""
    (tmp_path / "study").mkdir()
    with opened(tmp_path) as made:
        yield made


def asked(study: SweepStudy) -> Asked:
    found = study.ask(wanted=100)
    assert found is not None
    return found


def end(study: SweepStudy, trial: Asked, state: str, *values: float, **kept: str) -> None:
    study.note(trial, state, values, {"run_id": "r", **kept})
    study.tell(trial, state, values)


def told(study: SweepStudy) -> list[tuple[int, str, tuple[float, ...]]]:
    return [(trial.number, trial.state, trial.values) for trial in study.trials()]


def test_trials_that_end_out_of_turn(study: SweepStudy, tmp_path: Path) -> None:
    """Each look shows what is so then, and a study opened anew shows the same."""
    first, second, third = (asked(study) for _ in range(3))
    assert told(study) == [(0, "RUNNING", ()), (1, "RUNNING", ()), (2, "RUNNING", ())]
    end(study, second, "COMPLETE", 0.5)
    assert told(study) == [(0, "RUNNING", ()), (1, "COMPLETE", (0.5,)), (2, "RUNNING", ())]
    end(study, first, "PRUNED")
    end(study, third, "FAIL", error="no")
    expected = [(0, "PRUNED", ()), (1, "COMPLETE", (0.5,)), (2, "FAIL", ())]
    assert told(study) == told(study) == expected
    assert study.trials()[2].error == "no"
    assert told(opened(tmp_path)) == expected


def test_broken_off_trial_is_left_out(study: SweepStudy) -> None:
    """It is none of the trials, nor is the one that waits in its place until somebody asks for it."""
    broken, other = asked(study), asked(study)
    study.interrupt(broken)
    assert told(study) == [(1, "RUNNING", ())]
    end(study, other, "COMPLETE", 0.1)
    again = asked(study)
    assert again.parameters == broken.parameters
    assert told(study) == [(1, "COMPLETE", (0.1,)), (2, "RUNNING", ())]
    end(study, again, "COMPLETE", 0.2)
    assert told(study) == [(1, "COMPLETE", (0.1,)), (2, "COMPLETE", (0.2,))]
