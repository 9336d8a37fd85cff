"""Sweeps as their core would tell them, made up from a seed."""

from __future__ import annotations

import math
import random

from nbmlops.sweeps.state import Objective, SweepState, TrialState

__all__ = ["made_sweep", "trial"]

OBJECTIVES = (Objective("roc_auc", "maximize"), Objective("brier", "minimize"), Objective("fairness", "maximize"))


def trial(number: int, value: float | None = None, state: str = "COMPLETE", **parameters: object) -> TrialState:
    """Return a trial of one objective."""
    return TrialState(number=number, state=state, parameters=parameters or {"C": 1.0 + number}, values=() if value is None else (value,), seconds=1.5)


def made_sweep(count: int, *, parameters: int = 2, objectives: int = 1, status: str = "done") -> SweepState:
    """Return a sweep with trials in each state, if there are enough of them."""
    random_ = random.Random(5)
    space = {"learning_rate": "float(0.01, 0.3, log)", "max_leaf_nodes": "int(8, 64)", "criterion": "choice(gini, entropy)"}
    space |= {f"parameter_{number}": "float(0, 1)" for number in range(3, parameters)}
    names = list(space)[:parameters]
    trials = []
    for number in range(count):
        chosen = {"learning_rate": math.exp(random_.uniform(-4.6, -1.2)), "max_leaf_nodes": random_.randint(8, 64)}
        chosen |= {"criterion": random_.choice(["gini", "entropy"])} | {name: random_.random() for name in space if name.startswith("parameter")}
        state = "COMPLETE" if number % 5 != 3 else ("PRUNED", "FAIL", "RUNNING")[number // 5 % 3]
        values = tuple(random_.random() for _ in range(objectives)) if state == "COMPLETE" else ()
        error = {"PRUNED": "pruned at step 3", "FAIL": "ValueError: too deep"}.get(state, "")
        trials.append(
            TrialState(
                number=number,
                state=state,
                parameters={name: chosen[name] for name in names},
                values=values,
                seconds=number / 10,
                ran=("train",),
                reused=("load", "split"),
                error=error,
            )
        )
    return SweepState(
        name="demo",
        notebook="nb.ipynb",
        objectives=OBJECTIVES[:objectives],
        space={name: space[name] for name in names},
        sampler="tpe",
        pruner="median",
        wanted=count,
        status=status,
        trials=tuple(trials),
        importances=dict.fromkeys(names, 1 / parameters) if count > 3 else {},
        tracking={"mlflow": {"experiment": "demo", "run_id": "ab12"}},
    )
