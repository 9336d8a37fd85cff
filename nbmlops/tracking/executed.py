"""Find the notebook that a run wrote, even when its file was written over since."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.errors import NbmlopsError
from nbmlops.settings import Settings

if TYPE_CHECKING:
    from nbmlops.executors.events import RunFinished

__all__ = ["executed_notebook"]


def executed_notebook(finished: RunFinished, store: str, project_root: Path) -> bytes | None:
    """Return the executed notebook of the run that ended with `finished`.

    Parameters
    ----------
    finished : RunFinished
    store : str
        Path or URL of the run's store; "" if unknown.
    project_root : Path

    Returns
    -------
    bytes or None
        None if the file is gone or is another run's by now, and the store has no snapshot of it.
    """
    digest = finished.output_digest
    if finished.output:
        with suppress(OSError):
            data = Path(finished.output).read_bytes()
            if digest is None or _digest(data) == digest:
                return data
    return _snapshot(digest, store, project_root) if digest and store else None


def _snapshot(digest: str, store: str, project_root: Path) -> bytes | None:
    from nbmlops.store.store import Store  # noqa: PLC0415 - only for a notebook that has moved

    with suppress(KeyError, OSError, NbmlopsError):
        return Store(store, settings=Settings(project_root=project_root, store=store)).read_snapshot(digest)
    return None


def _digest(data: bytes) -> str:
    from blake3 import blake3  # noqa: PLC0415 - a compiled module, for senders only

    return blake3(data).hexdigest()
