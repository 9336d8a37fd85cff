"""The contract of an executor: where stage processes run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nbmlops.plugins import Family

if TYPE_CHECKING:
    from nbmlops.runner.task import StageOutcome, StageTask

__all__ = ["EXECUTORS", "Executor"]


class Executor(Protocol):
    """Runs stage tasks somewhere. Called from the scheduler's thread only."""

    @property
    def workers(self) -> int:
        """How many tasks may run at once."""

    def start(self, task: StageTask) -> None:
        """Begin a task and return at once.

        Raises
        ------
        StoreError
            If the task cannot be handed over.
        """

    def wait(self, timeout_s: float) -> list[StageOutcome]:
        """Return the outcomes of tasks that have ended, waiting up to `timeout_s` seconds for the first; none is an empty list.

        Every started task has exactly one outcome, also one whose process was killed.
        """

    def cancel(self, attempt: str) -> None:
        """End a task and everything it has started. Its outcome still comes, as ``cancelled``."""

    def close(self) -> None:
        """End every task and release everything; nothing of the executor's is alive afterwards."""


EXECUTORS = Family("nbmlops.executors", {"local": "nbmlops.executors.local:LocalExecutor"})
