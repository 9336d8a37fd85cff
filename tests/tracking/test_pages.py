"""What a run's page says."""

from __future__ import annotations

import math

from nbmlops.executors.events import StageFinished
from nbmlops.tracking.conformance import example_run
from nbmlops.tracking.pages import numbers, plain_name, requirements, series, stage_line, stages, text_of, texts


def _stage(name: str, **parts: object) -> StageFinished:
    return StageFinished(run_id="r1", time_s=1.0, stage=name, **{"status": "ran", **parts})


def test_a_metric_of_one_stage_keeps_its_name() -> None:
    """A name is prefixed by the stage only where two stages use it, and then in both."""
    named = {item.name: item.value for item in numbers(example_run("r1")) if not math.isnan(item.value)}
    assert named == {"loss": 0.25, "train/auc": 0.5, "evaluate/auc": 0.75, "f1@k (%)": 0.5}


def test_a_series_has_the_name_of_its_metric() -> None:
    """Steps and last value of a metric go under one name, prefixed where another stage uses it, however each is told."""
    events = [_stage("a", metrics={"auc": 0.5}, series={"auc": [[2, 0.5], [1, 0.25]]}), _stage("b", series={"auc": [[0, 1.0]]})]
    assert [(item.name, item.step, item.value) for item in series(events)] == [("a/auc", 1, 0.25), ("a/auc", 2, 0.5), ("b/auc", 0, 1.0)]
    assert [(item.name, item.step) for item in numbers(events)] == [("a/auc", 2)]


def test_a_last_value_that_no_step_has_comes_after_them() -> None:
    """What the stage ended with is the newest, so that trackers show it; without steps it has step 0."""
    events = [_stage("a", metrics={"auc": 0.75, "loss": 1.0}, series={"auc": [[4, 0.5]], "empty": []})]
    assert {item.name: item.step for item in numbers(events)} == {"auc": 5, "loss": 0}


def test_which_stage_ends_first_changes_nothing() -> None:
    """The names are the same in either order, so that runs can be compared."""
    one, two = _stage("a", metrics={"auc": 1.0}), _stage("b", metrics={"auc": 2.0})
    assert {item.name for item in numbers([one, two])} == {item.name for item in numbers([two, one])}


def test_what_is_no_finite_number_is_text() -> None:
    """Infinity, booleans, huge integers and structures are kept as text, NaN as a number."""
    metrics = {"inf": float("-inf"), "ok": True, "big": 2**100, "by": {"a": 1}, "nan": float("nan"), "word": "x"}
    assert texts([_stage("a", metrics=metrics)]) == {
        "inf": "-inf",
        "ok": "True",
        "big": str(2**100),
        "by": '{"a": 1}',
        "word": "x",
    }


def test_a_stage_that_ran_again_counts_once() -> None:
    """The last word on a stage holds."""
    assert [stage.seconds for stage in stages([_stage("a", seconds=1.0), _stage("a", seconds=2.0)])] == [2.0]


def test_names_that_are_made_plain_stay_apart() -> None:
    """Two names that differ only in refused characters do not become one, and none is longer than the limit."""
    made = {plain_name(name, 20, str.isidentifier) for name in ("a@b", "a%b", "a" * 40, "a" * 41, "fine")}
    assert len(made) == 5
    assert "fine" in made
    assert max(map(len, made)) <= 20


def test_text_is_always_encodable() -> None:
    """A lone surrogate becomes an escape, since no database takes it."""
    assert text_of("\ud800é") == "\\ud800é"


def test_a_stage_says_why_in_one_line() -> None:
    """A failed stage shows its error, another one its reason."""
    failed = _stage("a", status="failed", error={"type": "ValueError", "message": "bad\nvalue"})
    assert stage_line(failed) == "failed: ValueError: bad value"
    assert stage_line(_stage("a", reason="forced")) == "ran: forced"


def test_the_environment_is_a_requirements_file() -> None:
    """Python is a comment, since pip cannot install it."""
    assert requirements(example_run("r1")[0]) == "# python 3.11.7\npandas==3.1.1\n"
