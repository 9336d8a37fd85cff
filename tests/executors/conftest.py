"""A project per test, and one server of stage processes for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbmlops.executors.local import LocalExecutor
from tests.runner.bench import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalExecutor]:
    """Start the server that stages are forked from: it takes longer than most stages."""
    made = LocalExecutor(tmp_path_factory.mktemp("attempts"), workers=2)
    yield made
    made.close()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for what is costly to find out: which distributions are installed."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def bench(tmp_path: Path, cache: Path, server: LocalExecutor, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Give an empty project."""
    monkeypatch.delenv("NBMLOPS_STORE_KEY", raising=False)
    return Bench(tmp_path / "project", cache, server)


@pytest.fixture
def own(tmp_path: Path, bench: Bench) -> Iterator[LocalExecutor]:
    """Give the project an executor of its own, which a test may break."""
    made = LocalExecutor(tmp_path / "attempts", workers=2)
    bench.executor = made
    yield made
    made.close()
