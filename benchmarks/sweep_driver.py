"""Loops that people write by hand, imports done: for each line read, so many trials by one of them, and what one cost.

Run by the peers' Python as a file of its own: it imports nothing of nbmlops.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow  # noqa: TID253 - what this process is for
import optuna  # noqa: TID253
import papermill  # noqa: TID253

if TYPE_CHECKING:
    from collections.abc import Callable

_NOTEBOOK, _OUTPUT = "papermill.ipynb", "output.ipynb"


def main() -> None:
    """Serve lines of ``[loop, trials]`` with lines of ``[CPU seconds, wall seconds]`` per trial."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    mlflow.set_tracking_uri("sqlite:///fluent.db")
    mlflow.set_experiment("sweep")
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    objectives = {"optuna": _in_process, "papermill": _by_papermill}
    with mlflow.start_run():
        _say("ready")
        for line in sys.stdin:
            loop, trials = json.loads(line)
            cpu_s, wall_s = _cpu(), time.perf_counter()
            study.optimize(objectives[loop], trials)
            _say(json.dumps([(_cpu() - cpu_s) / trials, (time.perf_counter() - wall_s) / trials]))


def _in_process(trial: optuna.Trial) -> float:
    return _logged(trial, lambda x: (x - 0.3) ** 2)


def _by_papermill(trial: optuna.Trial) -> float:
    def loss(x: float) -> float:
        papermill.execute_notebook(_NOTEBOOK, _OUTPUT, parameters={"x": x}, kernel_name="python3", progress_bar=False)
        cells = json.loads(Path(_OUTPUT).read_text(encoding="utf-8"))["cells"]
        return float(cells[-1]["outputs"][0]["text"][0])

    return _logged(trial, loss)


def _logged(trial: optuna.Trial, loss: Callable[[float], float]) -> float:
    x = trial.suggest_float("x", 0, 1)
    with mlflow.start_run(nested=True):
        mlflow.log_params({"x": x})
        value = loss(x)
        mlflow.log_metric("loss", value)
    return value


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _cpu() -> float:
    """Return the processor time of this process and of the kernels that have ended, in seconds."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
