"""Whether a stage gives the same again: what the gate `reproducible` asks.

The stage is run again as `verify` does it. What that found is kept in the store by the stage key, so that a reused stage is not repeated.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NoReturn

from nbmlops.errors import GateRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbmlops.runner.plan import Planner
    from nbmlops.runner.results import StageResult
    from nbmlops.session.batch import Session
    from nbmlops.session.verifying.verdict import StageVerdict
    from nbmlops.store.store import Store

__all__ = ["is_reproducible", "reproduces"]

_CODE = "NB640"


def is_reproducible(store: Store, result: StageResult) -> bool:
    """Tell whether a stage is known to give the same again.

    Raises
    ------
    GateRefused
        If it is known to give something else, or nothing is known.
    """
    known = _known(store, result)
    if known is None:
        raise GateRefused(f"stage {result.name!r} has not been repeated yet", code=_CODE, fix="run the notebook with nbmlops run or %mlrun")
    return _told(result, known)


def reproduces(session: Session, planner: Planner, result: StageResult, progress: Callable[[str, str], None]) -> bool:
    """Tell whether a stage gives the same under other conditions, by running it again unless that is known.

    Parameters
    ----------
    session : Session
    planner : Planner
    result : StageResult
        One that has just been computed is repeated whatever is known: it may have been computed because somebody doubts it.
    progress : callable
        Gets a stage's name and what is done with it now.

    Raises
    ------
    GateRefused
        If it gives something else, or that cannot be told.
    """
    known = None if result.status == "ran" else _known(session.store, result)
    if known is None:
        found = session.verify(
            planner.trial.parameters,
            stages=[result.name],
            progress=lambda stage, doing: progress(stage, f"{doing}, for --require reproducible of {result.name}"),
        )
        known = _judged(result, next(stage for stage in found.stages if stage.name == result.name))
        if result.key is not None:
            session.store.put_verdict(result.key, known)
    return _told(result, known)


def _known(store: Store, result: StageResult) -> Mapping[str, Any] | None:
    """Return what is kept of a stage, if it is about these very outputs."""
    known = store.verdict(result.key) if result.key is not None else None
    return known if known is not None and known.get("outputs") == _digests(result) else None


def _digests(result: StageResult) -> dict[str, str]:
    return {name: artifact.digest for name, artifact in result.outputs.items()}


def _judged(result: StageResult, verdict: StageVerdict) -> dict[str, Any]:
    if verdict.same is None:
        _refuse(result, f"cannot be repeated: {verdict.cause}")
    same, cause = verdict.same, verdict.cause
    if same and verdict.key == result.key:
        # the repetitions agree with each other, and have the very inputs of the result that is judged
        other = sorted(name for name, digest in _digests(result).items() if verdict.outputs.get(name, digest) != digest)
        if other:
            same, cause = False, f"{', '.join(other)} of this run differs from what two repetitions gave"
    return {"stage": result.name, "same": same, "cause": cause, "outputs": _digests(result), "made_s": time.time()}


def _told(result: StageResult, known: Mapping[str, Any]) -> bool:
    if not known["same"]:
        _refuse(result, f"does not give the same again: {known['cause']}")
    return True


def _refuse(result: StageResult, what: str) -> NoReturn:
    raise GateRefused(f"stage {result.name!r} {what}", code=_CODE, fix="nbmlops verify shows more")
