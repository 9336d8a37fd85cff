"""What loading nbmlops loads."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.acceptance.project import Project

HEAVY = [
    "nbformat",
    "papermill",
    "ipywidgets",
    "anywidget",
    "numpy",
    "pandas",
    "sklearn",
    "mlflow",
    "wandb",
    "optuna",
    "great_expectations",
    "fairlearn",
    "shap",
    "fsspec",
    "cloudpickle",
    "pyarrow",
    "jupytext",
    "matplotlib",
]

IN_SHELL = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
{code}
print(*sorted(set(sys.modules) - before))
"""


def loaded(code: str, project: Project) -> list[str]:
    """Run code in a fresh interpreter and return the modules that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project.folder, env=project.environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize("code", ["shell.run_line_magic('load_ext', 'nbmlops')", "import nbmlops"])
def test_extension_and_package_are_light(project: Project, code: str) -> None:
    """At most 40 new modules, none of the heavy ones."""
    new = loaded(IN_SHELL.format(code=code), project)
    assert len(new) <= 40, new
    assert not {name.split(".")[0] for name in new} & set(HEAVY)


def test_import_alone_is_light(project: Project) -> None:
    """`import nbmlops` in a bare interpreter loads nothing heavy, not even IPython's shell."""
    new = loaded("import sys; before = set(sys.modules); import nbmlops; print(*sorted(set(sys.modules) - before))", project)
    assert not {name.split(".")[0] for name in new} & {*HEAVY, "IPython"}


@pytest.mark.parametrize(
    "words", [["run", "nb.ipynb", "--json"], ["run", "nb.ipynb"], ["status", "nb.ipynb"], ["why", "nb.ipynb", "train"], ["graph", "nb.ipynb"]]
)
def test_run_with_nothing_stale_is_light(finished: Project, words: list[str]) -> None:
    """What only reads records imports neither papermill nor mlflow nor pandas nor sklearn nor nbformat."""
    code = f"import sys; from nbmlops.cli.main import main; assert main({words!r}) == 0; print(); print(*sorted(sys.modules))"
    assert not {name.split(".")[0] for name in loaded(code, finished)} & {*HEAVY}


def test_asked_output_of_a_reused_run_is_light(finished: Project) -> None:
    """An OUTPUT is written from records alone."""
    code = "import sys; from nbmlops.cli.main import main; main(['run', 'nb.ipynb', 'out.ipynb', '--json']); print(); print(*sorted(sys.modules))"
    assert not {name.split(".")[0] for name in loaded(code, finished)} & {"papermill", "mlflow", "pandas", "sklearn"}
    assert (finished.folder / "out.ipynb").is_file()


def test_object_without_arrays_is_stored_without_numpy(project: Project) -> None:
    """What is pickled, as a function's defaults are to compare them, holds arrays only if numpy is loaded."""
    code = (
        "import argparse, sys; from nbmlops.store.serializers import Context, encode;"
        "found = encode(argparse.Namespace(a=[1]), Context(namespace={}, by_reference=frozenset(), local_roots=(), trusted=True));"
        "assert found.format == 'pickle5'; print(*sorted(sys.modules))"
    )
    assert "numpy" not in loaded(code, project)
