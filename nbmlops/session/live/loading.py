"""Values of the store in the live kernel: what a stage of a run handed on, and whether a live value is that of the store."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NbmlopsError, UsageError
from nbmlops.runner.results import DONE, PAST
from nbmlops.session.live.history import StageRun
from nbmlops.store.fingerprint import value_fingerprint
from nbmlops.store.loading import load_artifact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.session.live.kernel import KernelSession
    from nbmlops.session.live.provenance import Origin
    from nbmlops.store.records import Artifact
    from nbmlops.store.serializers import Context

__all__ = ["equals_with_caches", "load_run", "load_values"]


def load_values(session: KernelSession, artifacts: Mapping[str, Artifact], context: Context) -> dict[str, Any]:
    """Return values from the store; those that were stored together share their state again.

    Raises
    ------
    KeyError
        If an object is no longer there.
    """
    loaded: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for name, artifact in artifacts.items():
        if artifact.digest not in loaded or not artifact.members:
            loaded[artifact.digest] = load_artifact(session.store, artifact, context)
        values[name] = loaded[artifact.digest][name] if artifact.members else loaded[artifact.digest]
    return values


def load_run(session: KernelSession, stage: str, run_id: str | None) -> str:
    """Bind what a stage of a run handed on; of one that failed, what it was given. Return what was done, in words.

    Raises
    ------
    UsageError
        If there is no such run or stage.
    """
    store = session.store
    notebook = session.planner().notebook
    runs = [store.run(run_id)] if run_id else list(store.runs(notebook) or store.runs())
    holding = [item for item in runs if item is not None and any(entry["name"] == stage for entry in item.stages)]
    # what a run did not come to is not there to be loaded
    reached = (item for item in holding if any(entry["name"] == stage and entry["status"] != "not-run" for entry in item.stages))
    run = next(reached, next(iter(holding), None))
    if run is None:
        raise UsageError(f"no run {run_id or ''} has a stage {stage!r}".replace("  ", " "), code="NB402", fix="see nbmlops store ls")
    entries = {item["name"]: item for item in run.stages}
    entry = entries[stage]
    if entry["status"] in {"ran", "reused"}:
        names = _load_outputs(session, entry, None)
        return f"loaded {', '.join(names) or 'nothing'} of stage {stage} from run {run.run_id[:8]}"
    wanted = session.known().stages[stage].inputs if stage in session.known().stages else {}
    providers = [entries[provider] for provider in dict.fromkeys(wanted.values()) if provider in entries]
    lacking = next((item for item in providers if item["status"] not in DONE), None)
    if lacking is not None:
        why = f"stage {stage!r} reads from stage {lacking['name']!r}, which {PAST.get(lacking['status'], 'did not run')} in run {run.run_id[:8]}"
        raise UsageError(why, code="NB402", fix=f"load that one: %mlload {lacking['name']} --run {run.run_id[:8]}")
    names = [name for provider in providers for name in _load_outputs(session, provider, set(wanted))]
    if entry["status"] == "refused" and entry.get("key"):
        names += _load_outputs(session, entry, None)
    shown = "\n".join((entry.get("error") or {}).get("traceback", ()))
    what = "the inputs and outputs" if entry["status"] == "refused" else "the inputs"
    ended = PAST.get(entry["status"], "did not run")
    return f"loaded {', '.join(names) or 'nothing'}, {what} of stage {stage}, which {ended} in run {run.run_id[:8]}\n{shown}".rstrip()


def _load_outputs(session: KernelSession, entry: Mapping[str, Any], only: set[str] | None) -> list[str]:
    record = session.store.record(entry["key"]) if entry.get("key") else None
    if record is None:
        raise UsageError(f"stage {entry['name']!r} of that run is no longer in the store", code="NB402", fix="run it again")
    outputs = {name: artifact for name, artifact in record.outputs.items() if only is None or name in only}
    context = session.context()
    session.shell.user_ns.update(load_values(session, outputs, context))
    cell = session.cells.latest
    session.history.stages[entry["name"]] = StageRun(
        cell=cell, parts=dict(record.components), effects=record.effects, outputs=record.outputs, written=record.files_written
    )
    session.history.idle.pop(entry["name"], None)
    session.note_outputs(entry["name"], cell, outputs)
    return list(outputs)


def equals_with_caches(session: KernelSession, name: str, origin: Origin) -> bool:
    """Tell whether a value differs from what was stored only by what it has computed for itself since, in a ``cached_property``."""
    if origin.artifact is None:
        return False
    live = session.shell.user_ns[name]
    context = session.context(origin.code)
    with suppress(NbmlopsError, KeyError):
        copy = load_values(session, {name: origin.artifact}, context)[name]
        return _fill(live, copy, set()) and value_fingerprint(copy, context) == value_fingerprint(live, context)
    return False


def _fill(live: Any, copy: Any, seen: set[int]) -> bool:  # noqa: ANN401 - any values
    """Make a copy compute what the live value has kept for itself; tell whether there was anything."""
    if id(live) in seen or type(live) is not type(copy):
        return False
    seen.add(id(live))
    if isinstance(live, (list, tuple)) and len(live) == len(copy):
        return _any(_fill(one, other, seen) for one, other in zip(live, copy, strict=True))
    if isinstance(live, dict):
        return _any(_fill(value, copy[key], seen) for key, value in live.items() if key in copy)
    state, other = getattr(live, "__dict__", None), getattr(copy, "__dict__", None)
    if not isinstance(state, dict) or not isinstance(other, dict):
        return False
    kept = [key for key in state if key not in other and isinstance(getattr(type(live), key, None), cached_property)]
    for key in kept:
        with suppress(Exception):  # the property is the user's: whatever it raises, the values then differ
            getattr(copy, key)
    return _any([bool(kept), *(_fill(value, other[key], seen) for key, value in list(state.items()) if key in other)])


def _any(found: Iterable[bool]) -> bool:
    """Look at all of them: each look fills something."""
    return sum(found) > 0
