"""Local workers that stay warm between the runs of one kernel: their server has the pipeline's imports loaded."""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING, Any

from nbmlops.executors.base import EXECUTORS, Executor
from nbmlops.executors.local import LocalExecutor
from nbmlops.runner.environment import installed_stamp

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["WarmWorkers"]


class WarmWorkers:
    """Keeps the executor of the last run for the next one that wants just the same.

    The same is: folder, number of workers, modules to preload, environment, CPUs and installed distributions. A server that a package
    was upgraded under would run the old code, so it is ended then. It ends with this process too, however that ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[Any, LocalExecutor] | None = None
        self._keys: dict[int, Any] = {}

    def borrow(self, name: str, folder: Path, workers: int, preload: tuple[str, ...]) -> Executor:
        """Return an executor for one run: the one that is kept, or a new one.

        Parameters
        ----------
        name : str
            Of the executor; only ``"local"`` ones are kept.
        folder, workers, preload
            As of `LocalExecutor`.

        Raises
        ------
        UsageError
            If no executor has that name.
        """
        key = (folder, workers, preload, dict(os.environ), os.sched_getaffinity(0), installed_stamp())
        kept = self._take()
        if kept is not None and name == "local" and kept[0] == key and kept[1].reusable:
            self._keys[id(kept[1])] = key
            return kept[1]
        if kept is not None:
            kept[1].close()
        made: Executor = EXECUTORS.get(name)(folder, workers, preload)
        self._keys[id(made)] = key
        return made

    def give_back(self, executor: Executor) -> None:
        """Keep an executor for the next run, unless something still runs in it or its server is gone."""
        key = self._keys.pop(id(executor), None)
        if not isinstance(executor, LocalExecutor) or not executor.reusable or key is None:
            executor.close()
            return
        former = self._take()
        if former is not None:
            former[1].close()
        with self._lock:
            self._kept = (key, executor)
        atexit.unregister(self.close)
        atexit.register(self.close)

    def close(self) -> None:
        """End the server that is kept, if there is one."""
        kept = self._take()
        if kept is not None:
            kept[1].close()
        atexit.unregister(self.close)

    def _take(self) -> tuple[Any, LocalExecutor] | None:
        with self._lock:
            kept, self._kept = self._kept, None
        return kept
