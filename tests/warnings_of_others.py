"""What MLflow, W&B and what they stand on warn of among themselves, which no test of ours is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["UNRAISABLE", "let_through"]

_LINES = (
    "ignore:.*fork.*:DeprecationWarning",  # we fork to kill; the child only runs what the test is about
    "ignore::DeprecationWarning:(mlflow|sqlalchemy|alembic|wandb|google).*",
    "ignore:.*noload:DeprecationWarning",  # SQLAlchemy 2.1 about MLflow, laid at our door by its stack level
)
UNRAISABLE = "ignore::pytest.PytestUnraisableExceptionWarning"  # connections of MLflow's that it leaves to the garbage


def let_through(items: Iterable[pytest.Item], folder: Path, *more: str) -> None:
    """Let the tests below a folder go on where others warn."""
    for item in items:
        if item.path.is_relative_to(folder):
            for line in (*_LINES, *more):
                item.add_marker(pytest.mark.filterwarnings(line))
