"""A registry with a model of a few versions: a real MLflow database, made once and copied for each test."""

from __future__ import annotations

import io
import math
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from blake3 import blake3

from nbmlops.promotion.base import Evidence, ModelRequest, ModelVersion
from nbmlops.promotion.desk import Desk
from nbmlops.promotion.log import Log
from nbmlops.promotion.mlflow_registry import MlflowRegistry
from nbmlops.settings import Settings
from nbmlops.store.store import Store
from nbmlops.tracking.delivery import QUIET
from nbmlops.tracking.mlflow_store import make_database

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MODEL = "flight-delay"
_OTHERS_WARNINGS = (
    "ignore:.*fork.*:DeprecationWarning",  # we fork to kill; the child only runs what the test is about
    "ignore::DeprecationWarning:(mlflow|sqlalchemy|alembic|google).*",
    "ignore:.*noload:DeprecationWarning",  # SQLAlchemy 2.1 about MLflow, laid at our door by its stack level
    "ignore::pytest.PytestUnraisableExceptionWarning",  # connections of MLflow's that it leaves to the garbage
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let through what MLflow warns of among itself."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for line in _OTHERS_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(line))


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "NBMLOPS_STORE_KEY"):
        monkeypatch.delenv(name, raising=False)


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


def fill(registry: MlflowRegistry, folder: Path) -> None:
    """Register the versions that most tests look at."""
    evaluations = [evaluation(1, 0.3), evaluation(1, 0.2)]
    register(
        registry,
        folder / "1",
        1,
        evidence_of(1, {"roc_auc": 0.70}, [{"name": "roc_auc >= 0.62", "value": 0.70, "threshold": 0.62}]),
        extra={"nbmlops/evaluation.npz": evaluations[0]},
    )
    register(
        registry,
        folder / "2",
        2,
        evidence_of(2, {"roc_auc": 0.75, "seconds": 3.0}, [AGAINST_CHAMPION]),
        extra={"nbmlops/evaluation.npz": evaluations[1]},
    )
    register(registry, folder / "3", 3, evidence_of(3, {"roc_auc": 0.50}, [AGAINST_CHAMPION]))
    register(registry, folder / "4", 4, evidence_of(4, {"roc_auc": math.nan}, [AGAINST_CHAMPION]))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a project root whose database has the versions."""
    root = tmp_path_factory.mktemp("registry")
    before = {name: os.environ.pop(name, None) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    try:
        make_database(root / "mlflow.db", root / "mlartifacts")
        registry = MlflowRegistry(root)
        fill(registry, root / "packed")
        registry.close()
    finally:
        os.environ.update({name: value for name, value in before.items() if value is not None})
    return root


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

    def all(self) -> dict[str, Any]:
        """Return all that a promotion may change: aliases, tags, logs, to the byte."""
        files = {str(path): path.read_bytes() for path in self.root.glob("*/promotions/**/*.json")}
        return {"aliases": dict(self.registry.aliases(MODEL)), "tags": dict(self.registry.tags(MODEL)), **files}


@pytest.fixture
def office(tmp_path: Path, made: Path) -> Office:
    """Give a project with a copy of the database."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").touch()
    shutil.copy(made / "mlflow.db", root / "mlflow.db")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    for name, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        subprocess.run(["git", "-C", str(root), "config", name, value], check=True)
    return Office(root, MlflowRegistry(root))


@pytest.fixture
def strike() -> Callable[[Callable[[], Any], str], int]:
    """Give a function that does something in a forked child with a failpoint armed, and returns how the child ended."""
    from nbmlops import failpoints

    def struck(act: Callable[[], Any], point: str) -> int:
        child = os.fork()
        if not child:
            os.environ["NBMLOPS_FAILPOINT"] = point
            failpoints._armed.cache_clear()
            try:
                act()
            except BaseException:
                os._exit(1)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return struck
