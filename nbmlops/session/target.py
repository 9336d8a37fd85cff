"""Where the executed notebook goes: never over something that a run has not written."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from nbmlops.errors import UsageError

__all__ = ["target_of"]


def target_of(output: Path | str, notebook: Path | None) -> Path:
    """Return the file that OUTPUT names, with links followed.

    Parameters
    ----------
    output : path
    notebook : Path or None
        The notebook that is run.

    Raises
    ------
    UsageError
        If it is a folder, a device, or a file that is no executed notebook, such as the second one of ``nbmlops run *.ipynb``.
    """
    try:
        target = Path(output).resolve()
        found = target.stat() if Path(output).exists() else None
        if found is None:
            return target
        if notebook is not None and target.samefile(notebook):
            raise UsageError(f"OUTPUT {output} is the notebook itself", code="NB009", fix="choose another file; the notebook stays as you wrote it")
    except (OSError, ValueError, RuntimeError) as error:  # too long a name, a loop of links
        if isinstance(error, UsageError):
            raise
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"OUTPUT {output} cannot be a file: {why}", code="NB009", fix="give the name of a file that ends in .ipynb") from error
    if stat.S_ISDIR(found.st_mode):
        raise UsageError(f"OUTPUT {output} is a folder", code="NB009", fix="give the name of a file that ends in .ipynb")
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"OUTPUT {output} is a device or a pipe", code="NB009", fix="give the name of a file that ends in .ipynb, or none")
    if found.st_size and not _is_executed(target):
        raise UsageError(
            f"OUTPUT {output} exists and is not the output of an earlier run, so that something of yours would be lost",
            code="NB673",
            fix="give another name, or remove that file",
        )
    return target


def _is_executed(path: Path) -> bool:
    """Tell whether a notebook says that it was executed, by nbmlops or by papermill. One that cannot be read is left to who writes it."""
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
        return "papermill" in metadata or "run" in metadata.get("nbmlops", {})
    except PermissionError:
        return True
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
