"""How long `nbmlops.register_model` takes in a stage, and the registration after it: ``python -m benchmarks.registering``.

Both as in a run: what packing imports is loaded before the stage, as the server that stages are forked from does, and so is the sender's MLflow.
"""

from __future__ import annotations

import importlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import nbmlops
from nbmlops.promotion.base import Evidence, ModelRequest
from nbmlops.promotion.flavors import QUIET
from nbmlops.runner.logged import Logbook, logging_to
from nbmlops.settings import Settings
from nbmlops.store.serializers import Context
from nbmlops.store.store import Store

TIMES = 7
TREE = "sklearn.tree._tree.Tree"


def main() -> int:
    """Print the median seconds of each; with an address as argument, of the MLflow server there."""
    os.environ.update(QUIET)
    if len(sys.argv) > 1:
        os.environ["MLFLOW_TRACKING_URI"] = sys.argv[1]
    importlib.import_module("nbmlops.promotion.preloaded")
    from nbmlops.promotion.mlflow_registry import MlflowRegistry  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        registry = MlflowRegistry(root)
        registry.versions("flight-delay")
        packing, registering = [], []
        for number in range(TIMES):
            request, folder, seconds = _packed(root, number)
            packed = time.perf_counter()
            evidence = Evidence(run_id=f"r{number}", stage="train", status="done", time_s=time.time(), metrics={"auc": 0.5})
            registry.register(request, evidence, folder)
            registering.append(time.perf_counter() - packed)
            packing.append(seconds)
    sys.stdout.write(f"packing {statistics.median(packing):.2f} s, registering {statistics.median(registering):.2f} s, of {TIMES}\n")
    return 0


def _packed(root: Path, number: int) -> tuple[ModelRequest, Path, float]:
    """Pack a model of 100 trees, with example and evaluation, and write its files; the seconds are those of `register_model`."""
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier

    rows = np.random.default_rng(number).random((500, 10))
    answers = (rows[:, 0] > 1 / 2).astype(int)
    model = RandomForestClassifier(100, random_state=number).fit(rows, answers)
    store = Store(str(root / "store"), settings=Settings(project_root=root, store=str(root / "store")))
    logbook = Logbook("train", store=store, context=Context(namespace={}))
    scores = model.predict_proba(rows)[:, 1]
    begun, used = time.perf_counter(), sum(os.times()[:4])
    with logging_to(logbook):
        nbmlops.register_model(model, "flight-delay", example=rows[:5], evaluation=(answers, scores), skops_trusted_types=[TREE])
    seconds = time.perf_counter() - begun
    sys.stdout.write(f"  packing took {seconds:.2f} s, of which {sum(os.times()[:4]) - used:.2f} s on a CPU\n")
    request = ModelRequest.from_json(logbook.models[-1])
    folder = root / f"model-{number}"
    for name, digest in request.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(store.objects.view(digest))
    return request, folder, seconds


if __name__ == "__main__":
    sys.exit(main())
