"""Registered models: how they stand, and the acts that move their aliases; what command, magics, panel, gates and Python share.

All that reaches the registry happens in a process of its own (`nbmlops.promotion.asking`), so that nobody's kernel imports MLflow.
"""

from __future__ import annotations

import operator
import threading
from typing import TYPE_CHECKING, Any, Self

from nbmlops.errors import UsageError
from nbmlops.promotion.asking import Asking
from nbmlops.promotion.state import Candidate, History, ModelState, PromotionEvent

if TYPE_CHECKING:
    from types import TracebackType

    from nbmlops.promotion.base import ModelVersion
    from nbmlops.promotion.state import Expected
    from nbmlops.settings import Settings

__all__ = ["Promotions"]


class Promotions:
    """The registered models of a project. Any thread may ask; one question is answered at a time.

    The process that answers is started with the first question and kept for the next ones, until `close`, the end of this process or of
    the object.

    Parameters
    ----------
    settings : Settings

    Raises
    ------
    nbmlops.errors.TrackerUnavailable
        From every method, if the registry does not answer.
    nbmlops.errors.UsageError
        From every method that names a model, version or alias, if there is none such.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._asking = Asking(settings)
        self._lock = threading.Lock()

    def names(self) -> tuple[str, ...]:
        """Return the names of all registered models, sorted."""
        return tuple(self._ask("names"))

    def look(self, model: str) -> ModelState:
        """Return how a model stands: its versions with their gates and what differs from the one in use, its aliases, its log."""
        return ModelState.from_json(self._ask("look", model=model))

    def promote(
        self,
        model: str,
        version: int,
        alias: str,
        reason: str,
        *,
        override: str = "",
        approver: str = "",
        expected: Expected | None = None,
    ) -> PromotionEvent:
        """Let an alias mean a version, if every gate of it holds and its files verify; return the log's entry.

        Parameters
        ----------
        model : str
        version : int
        alias : str
            One of the setting ``promotion_aliases``.
        reason : str
        override : str
            Why it is promoted although a gate refuses, or the log is broken; it is recorded.
        approver : str
            The second person, where the setting ``promotion_approver`` asks for one.
        expected : Expected, optional
            What was seen by whoever decided (`ModelState.expected`); by default what is there when this is called.

        Raises
        ------
        GateRefused
            If a gate does not hold and nothing is stated in `override`; nothing has changed.
        LostRace
            If something else than `expected` is there, or somebody else is at it; nothing has changed.
        Tampered
            If the version's files, its evidence or the log is not what was written; nothing has changed.
        UsageError
            If the reason is empty, or the approver is missing or nobody who may approve.
        """
        number = _number(version)
        told = None if expected is None else expected.to_json()
        data = self._ask("promote", model=model, version=number, alias=alias, reason=reason, override=override, approver=approver, expected=told)
        return PromotionEvent.from_json(data)

    def rollback(self, model: str, alias: str, reason: str, *, approver: str = "", expected: Expected | None = None) -> PromotionEvent:
        """Let an alias mean what it meant before, by the log, if that version's files verify; return the log's entry.

        Each rollback goes one promotion further back. Gates are not asked: what was in use comes back.

        Parameters
        ----------
        model : str
        alias : str
            "" means the first of the setting ``promotion_aliases``.
        reason : str
        approver : str
            As of `promote`.
        expected : Expected, optional
            As of `promote`; its digest is that of the version to go back to, "" where that is left open.
        """
        told = None if expected is None else expected.to_json()
        return PromotionEvent.from_json(self._ask("rollback", model=model, alias=alias, reason=reason, approver=approver, expected=told))

    def history(self, model: str) -> History:
        """Return the log of a model, the newest entry first, and whether it is what was written."""
        return History.from_json(self._ask("history", model=model))

    def champion(self, model: str) -> ModelVersion | None:
        """Return the version that the first of the setting ``promotion_aliases`` means; None where there is none."""
        data = self._ask("champion", model=model)
        return None if data is None else Candidate.from_json(data).version

    def stop(self) -> None:
        """End the process that answers, at once; whoever waits for an answer is told that there is none."""
        self._asking.stop()

    def close(self) -> None:
        """End the process that answers."""
        with self._lock:
            self._asking.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the process that answers."""
        self.close()

    def _ask(self, act: str, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        for name, value in arguments.items():
            if name not in {"version", "expected"} and not isinstance(value, str):
                raise UsageError(f"{name} is {value!r}, which is no text", code="NB004", fix=f'write {name}="..."')
        with self._lock:
            return self._asking.ask(act, arguments)


def _number(version: object) -> int:
    """Return a version's number, of whatever library's type."""
    try:
        number = operator.index(version)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if isinstance(version, bool) or number < 1:
        raise UsageError(f"version is {version!r}", code="NB004", fix="give a number from 1; nbmlops models MODEL lists them")
    return number
