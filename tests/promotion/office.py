"""A model of a few versions in a registry, and the people who promote them, each with a store of their own."""

from __future__ import annotations

import io
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from blake3 import blake3

from nbmlops import failpoints
from nbmlops.promotion.base import Evidence, ModelRequest, ModelVersion
from nbmlops.promotion.desk import Desk
from nbmlops.promotion.log import Log
from nbmlops.settings import Settings
from nbmlops.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nbmlops.promotion.mlflow_registry import MlflowRegistry

__all__ = ["AGAINST_CHAMPION", "MODEL", "Office", "evaluation", "evidence_of", "fill", "register", "strike"]

MODEL = "flight-delay"


def evidence_of(number: int, metrics: Mapping[str, float], gates: Sequence[Mapping[str, Any]] = (), status: str = "done") -> Evidence:
    """Make the evidence of a run."""
    return Evidence(
        run_id=f"run{number}",
        stage="train",
        status=status,
        time_s=float(number),
        notebook="nb.ipynb",
        metrics=metrics,
        gates=tuple({"stage": "train", "judge": "require", "value": None, "threshold": None, "passed": True, **gate} for gate in gates),
        data={"data.csv": "d" * 64},
        environment_digest="e" * 64,
        commit="c0ffee",
    )


def evaluation(seed: int, noise: float, rows: int = 400) -> bytes:
    """Return scores on the rows that `seed` gives, the worse the more noise."""
    chance = np.random.default_rng(seed)
    truth = chance.integers(0, 2, rows).astype(float)
    score = np.clip(0.5 + 0.3 * (truth - 0.5) + noise * np.random.default_rng(7).normal(size=rows), 0, 1)
    stream = io.BytesIO()
    np.savez(stream, y_true=truth, y_score=score)
    return stream.getvalue()


def register(
    registry: MlflowRegistry, folder: Path, number: int, evidence: Evidence, *, model: str = MODEL, extra: Mapping[str, bytes] | None = None
) -> ModelVersion:
    """Register a version as a run does that ends, and return it."""
    files = {"MLmodel": b"flavors: {}\n", "model.skops": b"model %d" % number, "nbmlops/card.md": b"# card %d\n" % number, **(extra or {})}
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    digests = {path: blake3(content).hexdigest() for path, content in files.items()}
    request = ModelRequest(name=model, digest=f"{number:064x}", files=digests, flavor="sklearn")
    return registry.register(request, replace(evidence, files=digests), folder)


AGAINST_CHAMPION = {"name": "roc_auc >= champion.roc_auc - 0.01"}


def fill(registry: MlflowRegistry, folder: Path, model: str = MODEL) -> None:
    """Register the versions that most tests look at: good, better, worse than the champion, and not to be told."""
    evaluations = [evaluation(1, 0.3), evaluation(1, 0.2)]
    register(
        registry,
        folder / "1",
        1,
        evidence_of(1, {"roc_auc": 0.70}, [{"name": "roc_auc >= 0.62", "value": 0.70, "threshold": 0.62}]),
        model=model,
        extra={"nbmlops/evaluation.npz": evaluations[0]},
    )
    register(
        registry,
        folder / "2",
        2,
        evidence_of(2, {"roc_auc": 0.75, "seconds": 3.0}, [AGAINST_CHAMPION]),
        model=model,
        extra={"nbmlops/evaluation.npz": evaluations[1]},
    )
    register(registry, folder / "3", 3, evidence_of(3, {"roc_auc": 0.50}, [AGAINST_CHAMPION]), model=model)
    register(registry, folder / "4", 4, evidence_of(4, {"roc_auc": math.nan}, [AGAINST_CHAMPION]), model=model)


@dataclass
class Office:
    """A project, its registry, and a desk for each person with a store."""

    root: Path
    registry: MlflowRegistry

    def settings(self, store: str = ".nbmlops", **options: Any) -> Settings:
        """Return the settings of a person who has a store of that name."""
        return Settings(project_root=self.root, store=str(self.root / store), **options)

    def desk(self, store: str = ".nbmlops", **options: Any) -> Desk:
        """Return a desk of that person."""
        settings = self.settings(store, **options)
        return Desk(settings, self.registry, Store(settings.store, settings=settings))

    def log(self, store: str = ".nbmlops") -> Log:
        """Return the log in a store."""
        settings = self.settings(store)
        return Log(Store(settings.store, settings=settings), MODEL)

    def entries(self, store: str = ".nbmlops") -> list[Path]:
        """Return the files of the log, by position."""
        return sorted((self.root / store / "promotions").glob("*/*.json"))

    def all(self, model: str = MODEL) -> dict[str, Any]:
        """Return all that a promotion may change: aliases, tags, logs, to the byte."""
        files = {str(path): path.read_bytes() for path in self.root.glob("*/promotions/**/*.json")}
        return {"aliases": dict(self.registry.aliases(model)), "tags": dict(self.registry.tags(model)), **files}


def strike(act: Callable[[], Any], point: str) -> int:
    """Do something in a forked child with a failpoint armed, and return how the child ended."""
    child = os.fork()
    if not child:
        os.environ["NBMLOPS_FAILPOINT"] = point
        failpoints._armed.cache_clear()
        try:
            act()
        except BaseException:  # noqa: BLE001 - the child must not go on with the tests
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
