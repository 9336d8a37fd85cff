"""``%load_ext nbmlops``: how many modules it adds, and whether a heavy one is among them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from benchmarks.measure import run
from benchmarks.table import Row, count_row

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers import Peers

__all__ = ["HEAVY", "heavy_of", "rows"]

# What STYLE 5 names, by the name that is imported.
HEAVY = frozenset(
    {
        "fsspec",
        "great_expectations",
        "ipywidgets",
        "mlflow",
        "nbformat",
        "numpy",
        "optuna",
        "pandas",
        "papermill",
        "sklearn",
        "wandb",
    }
)
_MOST = 40
_SCRIPT = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_line_magic("load_ext", "nbmlops")
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def rows(folder: Path, _peers: Peers) -> list[Row]:
    """Load the extension in a fresh shell and return what that added to `sys.modules`."""
    added: list[str] = json.loads(run([sys.executable, "-c", _SCRIPT], folder, {"IPYTHONDIR": str(folder)}).stdout)
    return [
        count_row("modules added by %load_ext nbmlops", added, most=_MOST, named=False),
        count_row("heavy ones among them", heavy_of(added), most=0, named=True),
    ]


def heavy_of(modules: list[str]) -> list[str]:
    """Return the heavy packages that these modules belong to."""
    return sorted(HEAVY & {name.partition(".")[0] for name in modules})
