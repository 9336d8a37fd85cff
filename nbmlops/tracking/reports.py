"""What gates have found, at length: the reports that evidence refers to, such as Great Expectations' own result."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from nbmlops.errors import NbmlopsError
from nbmlops.settings import Settings
from nbmlops.tracking.pages import plain_name, stages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nbmlops.executors.events import Event

__all__ = ["reports"]

_LONGEST = 120
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.\-]*")


def reports(history: Sequence[Event], store: str, project_root: Path) -> Iterator[tuple[str, bytes]]:
    """Yield each report with its path, such as ``expectations/clean/flights.json``; one that the store no longer has is left out.

    Parameters
    ----------
    history : sequence of Event
    store : str
        Path or URL of the run's store; "" if unknown.
    project_root : Path
    """
    found = [(stage.stage, gate) for stage in stages(history) for gate in stage.gates if gate.get("report")]
    if not found or not store:
        return
    from nbmlops.store.store import Store  # noqa: PLC0415 - only where a gate has left a report

    kept = Store(store, settings=Settings(project_root=project_root, store=store)).objects
    for stage, gate in found:
        kind, _, name = str(gate.get("name")).partition(":")
        with suppress(KeyError, OSError, NbmlopsError):
            yield f"{_plain(kind)}/{_plain(stage)}/{_plain(name or kind)}.json", bytes(kept.view(str(gate["report"])))


def _plain(name: str) -> str:
    return plain_name(name, _LONGEST, lambda text: _PLAIN.fullmatch(text) is not None).replace(":", "_")
