"""What somebody else gets from the repository: a clone, a new environment at the pinned versions, and the same results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = "notebooks/flight_delay.ipynb"


def results(folder: Path) -> dict[str, dict[str, str]]:
    """Run the demo there, and return the digest of each artifact of each stage."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NBMLOPS_", "MLFLOW_", "PYTHON"))}
    words = [folder / ".venv/bin/nbmlops", "run", NOTEBOOK, folder / "build/out.ipynb", "--json", "--no-track"]
    (folder / "build").mkdir(exist_ok=True)
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    stages = json.loads(done.stdout)["stages"]
    return {stage["name"]: {name: item["digest"] for name, item in stage["outputs"].items()} for stage in stages}


@pytest.mark.thorough
def test_a_clone_with_an_environment_of_its_own_gives_the_same(tmp_path: Path) -> None:
    """The README's first command makes it; every artifact of the demo has the digest that it has here."""
    clone, here = tmp_path / "clone", tmp_path / "here"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, clone], check=True)
    made = subprocess.run(["make", ".venv/.installed"], cwd=clone, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    here.mkdir()
    shutil.copytree(clone / "notebooks", here / "notebooks")
    shutil.copy(clone / "pyproject.toml", here)
    (here / ".venv").symlink_to(ROOT / ".venv")
    found = results(clone)
    assert found == results(here)
    assert found["train"]["model"]  # not nothing in both
