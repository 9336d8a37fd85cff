"""Which version of a model is in use: looked at and decided from Python, as the commands and the panel do.

`import nbmlops` brings these names and loads nothing for them: each imports what it needs when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbmlops.promotion.state import History, ModelState, PromotionEvent
    from nbmlops.session.promotions import Promotions

__all__ = ["history", "models", "promote", "rollback"]

_kept: Promotions | None = None


def promote(
    model: str,
    version: int,
    *,
    to: str,
    reason: str,
    override: str = "",
    approver: str = "",
    **options: Any,  # noqa: ANN401 - fields of Settings
) -> PromotionEvent:
    """Let an alias mean a version of a registered model, if every gate of it holds and its files verify.

    Parameters
    ----------
    model : str
    version : int
    to : str
        The alias, one of the setting ``promotion_aliases``.
    reason : str
        Why; it is recorded.
    override : str
        Why it is promoted although a gate refuses; it is recorded.
    approver : str
        The second person, where the setting ``promotion_approver`` asks for one.
    **options
        Settings that win over the environment and the project's file.

    Returns
    -------
    PromotionEvent
        The entry of the log.

    Raises
    ------
    nbmlops.errors.GateRefused
        If a gate does not hold and no override is stated.
    nbmlops.errors.LostRace
        If somebody else has moved the alias meanwhile, or is moving one of this model.
    nbmlops.errors.Tampered
        If the version's files, its evidence or the log is not what was written.
    nbmlops.errors.UsageError
        If the model, version, alias or approver cannot be meant, or the reason is empty.
    nbmlops.errors.TrackerUnavailable
        If the registry does not answer. Except in this case, nothing has changed after an error.

    Examples
    --------
    >>> nbmlops.promote("flight-delay", 2, to="champion", reason="better on every route").from_version  # doctest: +SKIP
    1
    """
    return _promotions(options).promote(model, version, to, reason, override=override, approver=approver)


def rollback(
    model: str,
    *,
    reason: str,
    alias: str = "",
    approver: str = "",
    **options: Any,  # noqa: ANN401 - fields of Settings
) -> PromotionEvent:
    """Let an alias mean what it meant before, by the log; each call goes one promotion further back.

    Parameters
    ----------
    model : str
    reason : str
    alias : str
        By default the first of the setting ``promotion_aliases``.
    approver : str
        As of `promote`.
    **options
        Settings that win over the environment and the project's file.
    """
    return _promotions(options).rollback(model, alias, reason, approver=approver)


def history(model: str, **options: Any) -> History:  # noqa: ANN401 - fields of Settings
    """Return who moved which alias of a model and why, the newest first, and whether that is still what was written.

    Parameters
    ----------
    model : str
    **options
        Settings that win over the environment and the project's file.
    """
    return _promotions(options).history(model)


def models(model: str, **options: Any) -> ModelState:  # noqa: ANN401 - fields of Settings
    """Return how a registered model stands: its versions with gates and metrics, what differs from the one in use, aliases and log.

    Parameters
    ----------
    model : str
    **options
        Settings that win over the environment and the project's file.
    """
    return _promotions(options).look(model)


def _promotions(options: dict[str, Any]) -> Promotions:
    """Return who answers, and keep it for the next question: its process has loaded MLflow, which takes seconds."""
    global _kept  # noqa: PLW0603 - one process that answers is enough for a program
    import atexit  # noqa: PLC0415 - `import nbmlops` stays light
    from pathlib import Path  # noqa: PLC0415

    from nbmlops.session.promotions import Promotions  # noqa: PLC0415
    from nbmlops.settings import load_settings  # noqa: PLC0415

    settings = load_settings(Path.cwd(), **options)
    if _kept is None or _kept.settings != settings:
        if _kept is not None:
            atexit.unregister(_kept.close)
            _kept.close()
        _kept = Promotions(settings)
        atexit.register(_kept.close)
    return _kept
