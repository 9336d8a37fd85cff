"""Memory: two workers and the server that they are forked from, against papermill's kernel, each with the same imports."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.notebooks import ml_imports, write_notebook
from benchmarks.papermill import papermill
from benchmarks.table import Row
from benchmarks.warm import warm_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.peers import Peers

__all__ = ["rows"]

_MOST = 1.5
_ROUNDS = 3
_PAUSE = "\nimport time\ntime.sleep(1.5)"  # long enough to be looked at while everything is loaded
_LOOK_S = 0.05


def rows(folder: Path, peers: Peers) -> list[Row]:
    """Let two stages run at once, then papermill; the most that was seen of each counts."""
    parameters, (tag, source) = ml_imports()
    cells = [parameters, (tag, source + _PAUSE)]
    ours, theirs = folder / "ours.ipynb", folder / "theirs.ipynb"
    write_notebook(ours, [*cells, ("", "total")])
    write_notebook(theirs, cells)
    mine: list[int] = []
    kernel: list[int] = []
    with papermill(peers, folder) as peer, warm_worker(ours, workers=2) as worker:
        for number in range(_ROUNDS):
            with _watching(worker.pid, itself=True) as seen:
                worker.start({"start": 2 * number})
                worker.start({"start": 2 * number + 1})
                worker.outcomes(2)
            mine.append(max(seen))
            with _watching(peer.pid, itself=False) as seen:
                peer.execute(theirs, folder / "output.ipynb", {"start": number})
            kernel.append(max(seen))
    ratio = median(one / other for one, other in zip(mine, kernel, strict=True))
    return [
        Row(
            measured="peak memory (PSS) of two workers and their server",
            ours=f"{median(mine) / (1 << 10):.0f} MiB",
            theirs=f"papermill's kernel {median(kernel) / (1 << 10):.0f} MiB",
            ratio=f"{ratio:.3f}",
            target=f"at most {_MOST:g}",
            met=ratio <= _MOST,
        )
    ]


@contextmanager
def _watching(pid: int, *, itself: bool) -> Iterator[list[int]]:
    """Collect what a process's descendants take together, with or without itself, in KiB, while in this context."""
    seen: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(_LOOK_S):
            seen.append(sum(map(_pss, [*([pid] if itself else []), *_descendants(pid)])))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def _pss(pid: int) -> int:
    """Return the proportional set size in KiB: pages that several processes share are shared out."""
    with suppress(OSError):  # it may have ended
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="utf-8").split():
                found += [int(child), *_descendants(int(child))]
    return found
