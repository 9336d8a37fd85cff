"""Trials in Optuna's storage: predictable, continued, taken over from the dead."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import optuna
import pytest

from nbmlops.errors import MissingDependency, UsageError
from nbmlops.sweeps.choosing import make_pruner, make_sampler
from nbmlops.sweeps.space import Range, parse_range
from nbmlops.sweeps.state import Objective
from nbmlops.sweeps.storage import open_storage
from nbmlops.sweeps.study import SweepStudy

SPACE = {"rate": parse_range("rate", "float(0.01, 0.3, log)"), "depth": parse_range("depth", "int(1, 64)")}


def study_in(folder: Path, *, seed: int = 0, sampler: str = "tpe", space: dict[str, Range] = SPACE, **more: Any) -> SweepStudy:
    objectives = more.pop("objectives", [Objective("auc", "maximize")])
    storage = open_storage(None, folder / "s.journal")
    return SweepStudy("s", storage, folder / "s", space=space, objectives=objectives, sampler=sampler, pruner="median", seed=seed, **more)


def run_trials(study: SweepStudy, wanted: int) -> list[dict[str, Any]]:
    chosen = []
    while (asked := study.ask(wanted)) is not None:
        value = asked.parameters["rate"] * asked.parameters["depth"]
        study.note(asked, "COMPLETE", [value], {"run_id": "r"})
        study.tell(asked, "COMPLETE", [value])
        chosen.append(asked.parameters)
    return chosen


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2"])
def test_a_sweep_in_two_parts_equals_one_in_one(sampler: str, tmp_path: Path) -> None:
    """A command that goes on chooses what it would have chosen without the break."""
    with study_in(tmp_path / "whole", sampler=sampler) as whole:
        chosen = run_trials(whole, 15)
    with study_in(tmp_path / "parts", sampler=sampler) as first:
        before = run_trials(first, 6)
    with study_in(tmp_path / "parts", sampler=sampler) as second:
        assert before + run_trials(second, 15) == chosen
    with study_in(tmp_path / "other", sampler=sampler, seed=1) as other:
        assert run_trials(other, 3) != chosen[:3]


def test_a_trial_that_was_broken_off_is_tried_again_and_shifts_nothing(tmp_path: Path) -> None:
    """Its parameters come next, and the trials after it are those of a sweep without a break."""
    with study_in(tmp_path / "whole") as whole:
        chosen = run_trials(whole, 14)
    with study_in(tmp_path / "broken") as study:
        run_trials(study, 5)
        asked = study.ask(14)
        assert asked is not None
        study.interrupt(asked)
        assert run_trials(study, 14) == chosen[5:]
        assert [trial.parameters for trial in study.trials()] == chosen
        assert len({trial.number for trial in study.trials()}) == 14


def test_a_trial_that_was_asked_for_and_not_begun_is_tried_again(tmp_path: Path) -> None:
    """Ctrl-C between asking and beginning leaves none RUNNING; what another process runs stays."""
    with study_in(tmp_path) as other, study_in(tmp_path) as study:
        theirs, ours = other.ask(9), study.ask(9)
        assert theirs is not None
        assert ours is not None
        study.interrupt_left()
        states = {trial.number: trial.state for trial in study.trials()}
        assert (states[theirs.number], states.get(ours.number)) == ("RUNNING", None)
        again = study.ask(9)
        assert again is not None
        assert again.parameters == ours.parameters


@pytest.mark.parametrize("step", ["_suggest", "set_user_attr"])
def test_an_interrupt_while_a_trial_is_asked_for_leaves_none_running(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it bears the sign of who runs it, nobody else would end it; what another process runs stays."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with study_in(tmp_path) as other, study_in(tmp_path) as study:
        theirs = other.ask(9)
        assert theirs is not None
        with monkeypatch.context() as patch:
            patch.setattr(optuna.trial.Trial, step, interrupted)
            with pytest.raises(KeyboardInterrupt):
                study.ask(9)
        assert [(trial.number, trial.state) for trial in study.trials()] == [(theirs.number, "RUNNING")]
        run_trials(study, 4)
        assert len(study.trials()) == 4


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_study import study_in
with study_in(Path({folder!r})) as study:
    asked = study.ask(9)
    if {noted}:
        study.note(asked, "COMPLETE", [0.5], {{"run_id": "r"}})
    print(asked.number, flush=True)
    if {wait}:
        sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def child(folder: Path, *, noted: bool = False, wait: bool = False) -> subprocess.Popen[str]:
    code = CHILD.format(here=str(Path(__file__).parent), folder=str(folder), noted=noted, wait=wait)
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_the_trial_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    """It is failed, its parameters are tried again, and the count comes out right."""
    process = child(tmp_path)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    with study_in(tmp_path) as study:
        assert study.trials() == ()
        asked = study.ask(3)
        assert asked is not None
        assert asked.number == 1
        assert asked.parameters == {name: item.value(study.study.trials[0].params[name]) for name, item in SPACE.items()}
        study.interrupt(asked)
        run_trials(study, 3)
        assert len(study.trials()) == 3


@pytest.mark.parametrize("told", [True, False])
def test_a_trial_that_had_noted_its_end_keeps_it_if_the_trackers_know(told: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a case
    """Killed after its end was noted: it counts if it was told, and is tried again if it was not."""
    child(tmp_path, noted=True).communicate(timeout=120)
    with study_in(tmp_path, was_told=lambda _run_id: told) as study:
        assert [trial.values for trial in study.trials()] == ([(0.5,)] if told else [])


def test_the_trial_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    """Two processes share a sweep: what one is at, the other does not touch."""
    process = child(tmp_path, wait=True)
    assert process.stdout is not None
    number = int(process.stdout.readline())
    with study_in(tmp_path) as study:
        study.take_over()
        assert [trial.state for trial in study.trials()] == ["RUNNING"]
        assert study.others_work()
        mine = study.ask(2)
        assert mine is not None
        assert mine.number != number
        assert study.ask(2) is None
    process.communicate("", timeout=120)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"space": {"rate": SPACE["rate"]}}, "depth in int(1, 64), not no range"),
        ({"space": {**SPACE, "depth": parse_range("depth", "int(1, 32)")}}, "depth in int(1, 64), not int(1, 32)"),
        ({"objectives": [Objective("brier", "minimize")]}, "maximize auc"),
        ({"objectives": [Objective("auc", "minimize")]}, "maximize auc"),
    ],
)
def test_another_sweep_of_the_name_is_refused_once_a_trial_has_ended(changed: dict[str, Any], why: str, tmp_path: Path) -> None:
    """What was begun is not mixed with something else; a name under which nothing came about is free."""
    with study_in(tmp_path):
        pass
    with study_in(tmp_path, **changed):
        pass
    with study_in(tmp_path) as study:
        run_trials(study, 1)
    with pytest.raises(UsageError, match="--name") as raised:
        study_in(tmp_path, **changed)
    assert why in str(raised.value)


def test_a_grid_tries_each_combination_once(tmp_path: Path) -> None:
    """It ends when there are no more, whatever number was wanted."""
    space = {"rate": parse_range("rate", "choice(1, 2, 3)"), "depth": parse_range("depth", "int(1, 2)")}
    with study_in(tmp_path, sampler="grid", space=space) as study:
        chosen = run_trials(study, 50)
    assert sorted(json.dumps(item) for item in chosen) == sorted(json.dumps({"rate": rate, "depth": depth}) for rate in (1, 2, 3) for depth in (1, 2))


def test_several_objectives_make_a_front(tmp_path: Path) -> None:
    """Each objective has its value and direction."""
    with study_in(tmp_path, objectives=[Objective("auc", "maximize"), Objective("cost", "minimize")]) as study:
        for values in ([1.0, 1.0], [2.0, 2.0], [1.5, 3.0]):
            asked = study.ask(3)
            assert asked is not None
            study.note(asked, "COMPLETE", values, {"run_id": "r"})
            study.tell(asked, "COMPLETE", values)
        assert [direction.name for direction in study.study.directions] == ["MAXIMIZE", "MINIMIZE"]
        assert [trial.number for trial in study.study.best_trials] == [0, 1]


@pytest.mark.parametrize(("name", "package"), [("gp", "torch")])
def test_a_sampler_without_its_package_is_the_pip_command(name: str, package: str) -> None:
    """What is not installed is named before anything runs."""
    if find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    with pytest.raises(MissingDependency, match="pip install"):
        make_sampler(name, 0, SPACE)


@pytest.mark.parametrize(("make", "name"), [(lambda name: make_sampler(name, 0, SPACE), "tpee"), (make_pruner, "mediann")])
def test_an_unknown_name_is_told_with_the_known_ones(make: Any, name: str) -> None:
    """One line that lists what there is."""
    with pytest.raises(UsageError, match="choose from"):
        make(name)


def test_no_lock_is_left_behind(tmp_path: Path) -> None:
    """A sweep that has ended leaves no sign of life."""
    with study_in(tmp_path) as study:
        run_trials(study, 1)
        assert [path for path in (tmp_path / "s").iterdir() if path.suffix == ".alive"]
    assert [path for path in (tmp_path / "s").iterdir() if path.suffix == ".alive"] == []
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["asking.lock"]
