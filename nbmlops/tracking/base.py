"""What a tracker is: it is told a run's events, as often as it takes, and shows each run once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from nbmlops.plugins import Family

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbmlops.executors.events import Event

__all__ = ["REGISTRY", "TRACKERS", "Recalling", "Tracker", "Watchful"]


class Tracker(Protocol):
    """A place that shows runs, such as MLflow.

    It is made as ``TRACKERS.get(name)(project_root)``, which must neither reach a network nor import anything heavy.
    One thread of one process uses it at a time, never the scheduler's.
    `nbmlops.tracking.conformance` holds the tests that every tracker must pass.
    """

    def deliver(self, history: Sequence[Event], *, new: int, reference: Mapping[str, str]) -> dict[str, str] | None:
        """Bring one run's page up to date.

        The process may be killed at any place in here, and an answer may be lost: the same events then come again.
        Sending them again must change nothing, so look for the run before making it.

        A run may be a sweep's, one of its trials or its best trial's (`RunStarted.sweep`). A tracker that knows nothing of sweeps shows each
        as it shows any run; a status that it does not know is one of a run that has ended.

        Parameters
        ----------
        history : sequence of Event
            All that is known of the run, from its `RunStarted` on.
        new : int
            Where in `history` the events begin that were never delivered, from 0.
        reference : mapping of str to str
            What an earlier delivery of this run returned; empty for the first one.

        Returns
        -------
        dict of str to str, or None
            Where the run is found, with the keys ``run_id`` and ``experiment`` at least. None keeps the events for later,
            for trackers that take only whole runs.

        Raises
        ------
        TrackerUnavailable
            If the tracker cannot be reached now; other runs are not tried either.
        NbmlopsError
            If it refuses this run; other runs are tried.
        """

    def close(self) -> None:
        """Let go of connections; the tracker is not used again."""


@runtime_checkable
class Watchful(Protocol):
    """What a tracker may have besides, to look for a run only where there may be one."""

    def alone_since(self, time_s: float) -> None:
        """Be told that from the Unix time `time_s` on nobody else has sent, or has tried to send, to this tracker from this outbox.

        It is told before any other `deliver`, and again after somebody else has had a turn. A run that began later, and that this object
        has not tried to send itself, is in the tracker nowhere.
        """


@runtime_checkable
class Recalling(Protocol):
    """What a tracker may have besides, to be given again what it has lost, such as a database that was made anew."""

    def lacks(self, history: Sequence[Event], reference: Mapping[str, str]) -> bool:
        """Tell whether what an earlier delivery of a run has made is gone, and delivering it again would bring it back; raise as `deliver` does."""


REGISTRY = "registry"
"""What registers models stands beside the trackers: it gets runs from the same outbox. No setting names it."""

TRACKERS = Family(
    "nbmlops.trackers",
    {
        "mlflow": "nbmlops.tracking.mlflow:MlflowTracker",
        "wandb": "nbmlops.tracking.wandb:WandbTracker",
        REGISTRY: "nbmlops.promotion.registrar:Registrar",
    },
)
