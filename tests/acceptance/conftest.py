"""A fresh project per test, and whatever its commands left running ended after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.project import PIPELINE, Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Give an empty project."""
    made = Project(tmp_path / "project")
    yield made
    made.kill_left_over()


@pytest.fixture
def pipeline(project: Project) -> Project:
    """Give a project with the four-stage notebook, not run yet."""
    project.write(PIPELINE)
    return project


@pytest.fixture
def finished(pipeline: Project) -> Project:
    """Give a project whose four-stage notebook has run once."""
    done = pipeline.run()
    assert done.code == 0, done.err
    return pipeline
