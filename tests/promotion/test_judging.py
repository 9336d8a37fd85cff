"""Whether a version may be promoted today."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from nbmlops.promotion.base import Evidence, ModelVersion
from nbmlops.promotion.judging import Judgement, judge_version
from nbmlops.settings import Settings

SETTINGS = Settings(project_root=Path("/p"), store="/p/s")


def version(number: int, metrics: dict[str, float], *gates: Any, status: str = "done") -> ModelVersion:
    """Make a version; a text stands for a `--require` that held when its run ended."""
    made = tuple({"stage": "train", **(gate if isinstance(gate, dict) else {"judge": "require", "name": gate, "passed": True})} for gate in gates)
    evidence = Evidence(run_id=f"run{number}", stage="train", status=status, time_s=0, metrics=metrics, gates=made)
    return ModelVersion(model="m", version=number, digest=str(number), created_s=0, evidence=evidence)


CHAMPION = version(1, {"auc": 0.7, "nan": math.nan})
AGAINST = "auc >= champion.auc - 0.01"


def judged(candidate: ModelVersion, champion: ModelVersion | None = CHAMPION, **options: Any) -> Judgement:
    return judge_version(candidate, champion, Settings(project_root=Path("/p"), store="/p/s", **options))


@pytest.mark.parametrize(
    ("metrics", "gate", "holds"),
    [
        ({"auc": 0.70}, AGAINST, True),
        ({"auc": 0.68}, AGAINST, False),
        ({"auc": math.nan}, AGAINST, False),
        ({}, AGAINST, False),
        ({"auc": 0.9}, "auc >= champion.nan", False),
        ({"auc": 0.9}, "not auc < champion.nan", False),
        ({"auc": 0.9}, "auc >= champion.unknown", False),
        ({"auc": 0.9}, f"{AGAINST} and rows.X >= 100", True),
        ({"auc": 0.5}, f"{AGAINST} and rows.X >= 100", False),
        ({"auc": 0.9}, f"{AGAINST} and reproducible", True),
        ({"auc": 0.9}, f"{AGAINST} or rows.X >= 100", False),
        ({"auc": 0.9}, "rows.X >= champion.auc", False),
        ({"auc": 0.1}, "auc >= 0.62", True),  # without the champion it stands as its run left it
        ({"auc": 0.9}, {"name": "suite", "judge": "expectations", "passed": False, "reason": "3 rows"}, False),
        ({"auc": 0.9}, {"name": "suite", "judge": "expectations", "passed": True, "warning": "3 rows"}, True),
        ({"auc": 0.9}, {"name": "suite", "judge": "expectations", "passed": "yes"}, False),
        ({"auc": 0.9}, {"name": "champion.auc is it", "judge": "require", "passed": True}, False),
    ],
)
def test_gates_of_today(metrics: dict[str, float], gate: Any, *, holds: bool) -> None:
    """What compares with the champion is judged again, with what it needs; NaN and what is missing never pass."""
    found = judged(version(2, metrics, gate))
    assert (found.refusals == ()) == holds, found
    assert (found.gates[0].get("passed") is True) == holds


def test_a_gate_that_failed_against_an_earlier_champion_may_hold_now() -> None:
    """All of it is judged again then."""
    gate = {"name": f"{AGAINST} and auc > 0.6", "judge": "require", "passed": False, "reason": "worse than then"}
    assert judged(version(2, {"auc": 0.75}, gate)).refusals == ()
    assert judged(version(2, {"auc": 0.59}, gate), version(1, {"auc": 0.3})).refusals != ()


def test_a_stage_is_judged_by_its_own_metric() -> None:
    """Where others have logged the name too, or the registration has said it, its own stands under its stage's."""
    metrics = {"auc": 0.9, "train/auc": 0.5}
    assert judged(version(2, metrics, AGAINST)).refusals != ()


def test_a_gate_is_judged_by_what_it_saw() -> None:
    """Where another stage, or the registration, has logged another value under the name."""
    gate = {"name": AGAINST, "judge": "require", "passed": True, "value": 0.72}
    assert judged(version(2, {"auc": 0.1}, gate)).refusals == ()
    assert judged(version(2, {"auc": 0.9}, {**gate, "value": math.nan})).refusals != ()


def test_without_a_champion() -> None:
    """Comparisons pass with a note, or refuse by setting; what hangs on the version alone counts all the same."""
    found = judged(version(2, {"auc": 0.2}, AGAINST), None)
    assert (found.refusals, found.gates[0]["reason"]) == ((), "no champion yet")
    assert "there is no champion yet" in judged(version(2, {"auc": 0.2}, AGAINST), None, champion_absent="refuse").refusals[0]
    assert judged(version(2, {"auc": math.nan}, AGAINST), None).refusals != ()
    assert judged(version(2, {"auc": 0.2}, {"name": f"{AGAINST} and auc > 0.6", "judge": "require", "passed": False}), None).refusals != ()


def test_the_champion_need_not_be_better_than_itself() -> None:
    """It was compared when it was promoted; its own metrics must still be numbers."""
    found = judged(version(1, {"auc": 0.7}, "auc > champion.auc"), version(1, {"auc": 0.7}))
    assert (found.refusals, found.gates[0]["reason"]) == ((), "it is the champion itself")
    assert judged(version(1, {"auc": math.nan}, "auc > champion.auc"), version(1, {"auc": math.nan})).refusals != ()


def test_only_a_run_that_is_done_speaks_for_a_version() -> None:
    """And a version without evidence has none."""
    assert judged(version(2, {"auc": 0.9}, status="refused")).refusals == ("its run run2 ended as refused",)
    bare = ModelVersion(model="m", version=2, digest="", created_s=0, evidence=None)
    assert "no gate is known to hold" in judged(bare).refusals[0]
    assert (
        "the champion, version 1 of 'm', has no evidence"
        in judged(version(3, {"auc": 0.9}, AGAINST), ModelVersion(model="m", version=1, digest="", created_s=0, evidence=None)).refusals[0]
    )


@pytest.mark.parametrize(
    ("metrics", "told"),
    [({"auc": 0.9}, ""), ({"auc": 0.5}, "gate auc >= 0.6 of the project does not hold: 0.5 against 0.6"), ({"auc": math.nan}, "nan"), ({}, "auc")],
)
def test_the_project_asks_for_more(metrics: dict[str, float], told: str) -> None:
    """`promotion_require` counts for every version, whatever its notebook asked."""
    refusals = judged(version(2, metrics), promotion_require=("auc >= 0.6",)).refusals
    assert bool(refusals) == bool(told)
    assert told in "".join(refusals)
