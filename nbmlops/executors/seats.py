"""One executor for several schedulers that are driven in turn: each has a seat, and together they keep to its workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbmlops.executors.base import Executor
    from nbmlops.runner.task import StageOutcome, StageTask

__all__ = ["Seat", "SharedExecutor"]


class SharedExecutor:
    """Hands the outcomes of one executor to the seats whose tasks they are of.

    Parameters
    ----------
    executor : Executor
    """

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self._owners: dict[str, Seat] = {}

    @property
    def free(self) -> int:
        """How many more tasks may run."""
        return self.executor.workers - len(self._owners)

    def seat(self) -> Seat:
        """Return an executor for one more scheduler."""
        return Seat(self)

    def begin(self, task: StageTask, seat: Seat) -> None:
        """Start a seat's task."""
        self._owners[task.attempt] = seat
        try:
            self.executor.start(task)
        except BaseException:
            del self._owners[task.attempt]
            raise

    def cancel(self, attempt: str) -> None:
        """End a task; its outcome still comes."""
        self.executor.cancel(attempt)

    def wait(self, timeout_s: float) -> dict[Seat, list[StageOutcome]]:
        """Wait up to `timeout_s` seconds for outcomes, and return them by seat."""
        found: dict[Seat, list[StageOutcome]] = {}
        for outcome in self.executor.wait(timeout_s):
            seat = self._owners.pop(outcome.attempt, None)
            if seat is not None:
                seat.running.discard(outcome.attempt)
                found.setdefault(seat, []).append(outcome)
        return found


class Seat:
    """One scheduler's share of an executor; whoever drives the schedulers waits for the outcomes.

    Attributes
    ----------
    running, begun : set of str
        The attempts that run, and all that were ever started here.
    """

    def __init__(self, shared: SharedExecutor) -> None:
        self._shared = shared
        self.running: set[str] = set()
        self.begun: set[str] = set()

    @property
    def workers(self) -> int:
        """How many tasks of this seat may run at once now."""
        return len(self.running) + self._shared.free

    def start(self, task: StageTask) -> None:
        """Begin a task and return at once."""
        self.begun.add(task.attempt)  # before it can report
        self._shared.begin(task, self)
        self.running.add(task.attempt)

    def wait(self, timeout_s: float) -> list[StageOutcome]:
        """Wait for this seat's outcomes alone, where its scheduler is the only one."""
        return self._shared.wait(timeout_s).get(self, [])

    def cancel(self, attempt: str) -> None:
        """End a task and everything it has started."""
        if attempt in self.running:
            self._shared.cancel(attempt)

    def close(self) -> None:
        """End this seat's tasks; the executor stays."""
        for attempt in self.running:
            self._shared.cancel(attempt)
