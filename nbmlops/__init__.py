"""Turn tagged notebook cells into a pipeline: incremental, reproducible, tracked.

``%load_ext nbmlops`` in a notebook, ``nbmlops run notebook.ipynb`` in a shell, `nbmlops.open` in Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

    from nbmlops.session.batch import Session

__all__ = ["load_ipython_extension", "open", "unload_ipython_extension"]
__version__ = "0.1.0"


def open(path: Path | str, **options: Any) -> Session:  # noqa: A001, ANN401 - nbmlops.open reads well; fields of Settings
    """Open a notebook for `graph`, `check`, `status`, `why`, `run` and `runs`.

    Parameters
    ----------
    path : path
        An ``.ipynb``, or a ``.py`` in jupytext's percent format.
    **options
        Settings that win over the environment and the project's file, such as ``store="s3://bucket/store"``.

    Raises
    ------
    nbmlops.errors.NotebookError
        If it is not a notebook that can be run here.
    """
    from nbmlops.session.batch import open_notebook  # noqa: PLC0415 - `import nbmlops` stays light

    return open_notebook(path, **options)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics: ``%load_ext nbmlops``."""
    from nbmlops.magics import register  # noqa: PLC0415

    register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics out again: ``%unload_ext nbmlops``."""
    from nbmlops.magics import unregister  # noqa: PLC0415

    unregister(shell)
