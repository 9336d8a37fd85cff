"""What the gates of a live kernel's stages may ask beyond what these have made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.runner.gate import NOTHING_OUTSIDE, is_outward

if TYPE_CHECKING:
    from nbmlops.pipeline.model import Pipeline
    from nbmlops.runner.gate import Outside
    from nbmlops.session.live.kernel import KernelSession
    from nbmlops.session.promotions import Promotions

__all__ = ["LiveGates"]


class LiveGates:
    """Whom the gates of one kernel ask.

    Parameters
    ----------
    session : KernelSession
    """

    def __init__(self, session: KernelSession) -> None:
        self._session = session
        self._promotions: Promotions | None = None

    @property
    def promotions(self) -> Promotions:
        """The registered models of the project; the process that answers for them is kept."""
        if self._promotions is None:
            from nbmlops.session.promotions import Promotions  # noqa: PLC0415 - only where somebody asks

            self._promotions = Promotions(self._session.settings)
        return self._promotions

    def outside(self, pipeline: Pipeline) -> Outside:
        """Return what the gates of a pipeline may ask; here no stage is repeated, but what batch has found counts."""
        if not is_outward(pipeline):
            return NOTHING_OUTSIDE
        from nbmlops.session.champion import Champion  # noqa: PLC0415 - only where a gate asks
        from nbmlops.session.outside import SessionOutside  # noqa: PLC0415
        from nbmlops.session.reproducing import is_reproducible  # noqa: PLC0415

        in_use = Champion(self._session.settings, pipeline, self.promotions)
        return SessionOutside(lambda result: is_reproducible(self._session.store, result), in_use)
