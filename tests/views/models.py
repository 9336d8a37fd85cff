"""Registered models as the registry would tell them, made up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nbmlops.promotion.base import Evidence, ModelVersion
from nbmlops.promotion.state import Candidate, Difference, ModelState, PromotionEvent

__all__ = ["event", "hostile_model", "made_model"]

CARD = """# flight-delay, version 3

Tells whether a **flight** arrives more than 15 minutes late.

| metric | value |
| --- | --- |
| roc_auc | 0.731 |

- trained on `flights.csv`
- not for [other airlines](https://example.org)

```python
model.predict(X)
```
"""
GATES = (
    {"name": "roc_auc >= 0.62", "judge": "require", "value": 0.7312, "threshold": 0.62, "passed": True, "stage": "train"},
    {"name": "flights", "judge": "expectations", "value": "10 of 10", "passed": True, "warning": "dep_delay: 3 rows below -60", "stage": "load"},
    {
        "name": "roc_auc >= champion.roc_auc - 0.01",
        "judge": "require",
        "value": 0.7312,
        "threshold": 0.745,
        "passed": False,
        "reason": "0.7312 is below 0.745, which champion version 1 asks for",
        "stage": "train",
    },
)


def made_model(*, refused: bool = True) -> ModelState:
    """Return a model of three versions: 1 is in use, 2 was, 3 is new and refused, or not."""
    differences = (
        Difference(metric="roc_auc", value=0.7312, champion=0.755, difference=-0.0238, low=-0.031, high=-0.0165, better="higher", verdict="worse"),
        Difference(metric="brier", value=0.181, champion=0.192, difference=-0.011, low=-0.02, high=-0.002, better="lower", verdict="better"),
        Difference(metric="recall", value=0.61, champion=0.6, difference=0.01, low=-0.02, high=0.04, better="higher", verdict="unclear"),
        Difference(metric="rows", value=300.0, champion=None, note="champion has not logged it"),
    )
    gates = GATES if refused else GATES[:2]
    third = Candidate(
        version=_version(3),
        gates=gates,
        refusals=("gate roc_auc >= champion.roc_auc - 0.01 refuses: 0.7312 is below 0.745",) if refused else (),
        differences=differences,
        card=CARD,
    )
    second = Candidate(version=_version(2, "challenger"), gates=GATES[:1], differences=differences[:1])
    first = Candidate(version=_version(1, "champion"), gates=GATES[:1], card="# flight-delay, version 1")
    events = (
        event(3, "rollback", 1, 2, reason="the second one fails on JFK"),
        event(2, "override", 2, 1, reason="a larger month", override="the gate is too strict for January", evidence=GATES),
        event(1, "promote", 1, None, reason="the first one", evidence=GATES[:1]),
    )
    opening = {"command": "mlflow ui --backend-store-uri sqlite:////here/mlflow.db"}
    aliases = {"champion": 1, "challenger": 2}
    return ModelState(model="flight-delay", aliases=aliases, candidates=(third, second, first), events=events, opening=opening)


def event(position: int, act: str, version: int | None, before: int | None, **more: Any) -> PromotionEvent:
    """Return an entry of the log of the alias champion."""
    told = {"who": "ada", "when": f"2026-11-2{position}T10:00:00Z", "reason": "why not", **more}
    return PromotionEvent(act=act, model="flight-delay", alias="champion", version=version, from_version=before, position=position, **told)


def hostile_model(payload: str) -> ModelState:
    """Return a model in which a text is everything that a user, a run or a registry can write."""
    gate = {"name": payload, "judge": payload, "value": payload, "threshold": payload, "passed": False, "reason": payload, "stage": payload}
    warning = {**gate, "passed": True, "warning": payload, "reason": ""}
    evidence = Evidence(
        run_id=payload,
        stage=payload,
        status=payload,
        time_s=1.0,
        notebook=payload,
        notebook_digest=payload,
        output=payload,
        metrics={payload: 1.0},
        parameters={payload: payload},
        data={payload: payload},
        environment_digest=payload,
        commit=payload,
        user=payload,
        tracking={"url": payload, "command": payload, payload: payload},
    )
    version = ModelVersion(model=payload, version=2, digest=payload, created_s=1.0, evidence=evidence, aliases=(payload,), url=payload)
    difference = Difference(metric=payload, value=1.0, champion=0.5, difference=0.5, better=payload, verdict=payload, note=payload)
    card = f"# {payload}\n\n{payload}\n\n- {payload}\n\n| a | {payload} |\n| --- | --- |\n| {payload} | b |\n\n```\n{payload}\n```\n"
    item = Candidate(version=version, gates=(gate, warning), refusals=(payload,), differences=(difference,), card=card)
    used = replace(item, version=replace(version, version=1), differences=())
    past = PromotionEvent(
        act=payload,
        model=payload,
        alias=payload,
        version=1,
        from_version=2,
        who=payload,
        when=payload,
        reason=payload,
        override=payload,
        approver=payload,
        evidence=(gate,),
        position=1,
    )
    return ModelState(
        model=payload,
        aliases={"champion": 1, payload: 2},
        team=("champion", payload),
        candidates=(item, used),
        events=(past,),
        broken=payload,
        opening={"url": payload, "command": payload},
        notes=(payload,),
    )


def _version(number: int, *aliases: str) -> ModelVersion:
    evidence = Evidence(
        run_id=f"8f3a9c12d0b4e57{number}",
        stage="train",
        status="done",
        time_s=1_790_000_000.0 + number * 86_400,
        notebook="notebooks/flight_delay.ipynb",
        notebook_digest="c0ffee" * 8,
        output="/here/runs/flight_delay.ipynb",
        metrics={"roc_auc": 0.755, "brier": 0.192, "recall": 0.6},
        parameters={"month": number, "learning_rate": 0.1},
        data={"data/flights.csv": "ab12" * 16},
        environment_digest="e0" * 16,
        commit="4b825dc642cb6eb9a060e54bf8d69288fbee4904",
        user="ada",
        tracking={"run_id": "0af1", "experiment": "flight_delay", "url": "http://127.0.0.1:5000/#/experiments/1/runs/0af1"},
    )
    return ModelVersion(
        model="flight-delay",
        version=number,
        digest=f"{number}d" * 32,
        created_s=1_790_000_000.0 + number * 86_400,
        evidence=evidence,
        aliases=aliases,
        url=f"http://127.0.0.1:5000/#/models/flight-delay/versions/{number}",
    )
