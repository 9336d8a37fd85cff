"""Delete what no run that is kept can reach.

Safe beside writers: what is younger than an hour stays, what a writer wants again becomes young again, and both are looked
at under the lock that a writer's commit shares. A run on its way keeps every record (`Store.hold`).
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from nbmlops.errors import StoreError
from nbmlops.pattern import pattern
from nbmlops.store.leases import any_lease
from nbmlops.store.locks import file_lock
from nbmlops.store.objects import FileInfo, Planted
from nbmlops.store.records import BadSeal, RunRecord, unseal
from nbmlops.store.store import Store, run_path, trial_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmlops.settings import Settings

__all__ = ["Collection", "collect"]

_YOUNG_S = 3600.0
_DAY_S = 86400.0
_DIGEST = pattern(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What `collect` deleted, or would delete.

    Parameters
    ----------
    deleted : tuple of str
        Paths in the store, sorted.
    freed_bytes : int
    kept_bytes : int
        What is left of the same kinds of files.
    dry_run : bool
    """

    deleted: tuple[str, ...]
    freed_bytes: int
    kept_bytes: int
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reach:
    """What is kept, and why nothing of it may go.

    Parameters
    ----------
    runs, outputs : frozenset of str
        The ids of the kept runs, and the names of the notebooks that they wrote.
    keys : frozenset of str
        The stage keys whose records are kept.
    digests : frozenset of str
        What those runs and records name.
    """

    runs: frozenset[str]
    outputs: frozenset[str]
    keys: frozenset[str]
    digests: frozenset[str]


def collect(store: Store, settings: Settings, *, dry_run: bool) -> Collection:
    """Delete what is out of reach and older than an hour.

    Parameters
    ----------
    store : Store
    settings : Settings
        `retention_days` and `retention_runs` say which runs are kept.
    dry_run : bool
        Delete nothing, only tell.

    Raises
    ------
    StoreError
        If the store cannot be read, or does not let this user delete.
    """
    now_s = time.time()
    deleted: list[FileInfo] = []
    kept_bytes = 0
    with ExitStack() as stack:
        busy = _busy(store, stack)
        reach = _reach(store, settings, now_s, busy=busy)
        # Runs go before records and records before objects: killed in between, nothing that is left lacks its parts.
        for folder, wanted in _FOLDERS.items():
            for info in store.blobs.list(folder):
                keep = _is_young(info, now_s) or (not info.temporary and wanted(store, info, reach, now_s - settings.retention_days * _DAY_S))
                if not keep and (dry_run or _delete(store, info)):
                    deleted.append(info)
                else:
                    kept_bytes += info.size_bytes
        if not dry_run:
            _sweep_locks(store)
            if not busy:
                _sweep_attempts(store, now_s)
    return Collection(
        deleted=tuple(sorted(info.path for info in deleted)),
        freed_bytes=sum(info.size_bytes for info in deleted),
        kept_bytes=kept_bytes,
        dry_run=dry_run,
    )


def _busy(store: Store, stack: ExitStack) -> bool:
    """Tell whether a run may be going on; if none is, keep new ones waiting until the stack is closed."""
    try:
        stack.enter_context(file_lock(store.local_path("locks/run.lock"), timeout_s=0))
    except StoreError:
        return True
    return any_lease(store.blobs)


def _reach(store: Store, settings: Settings, now_s: float, *, busy: bool) -> _Reach:
    promoted, named = _promoted(store)
    runs = _kept_runs(store, settings, now_s, promoted)
    found = named | {digest for _, content in runs for digest in _digests(content)}
    keys = found | {str(stage.get("key")) for run, _ in runs for stage in run.stages}
    kept: set[str] = set()
    for info in store.blobs.list("records"):
        key = info.name.removesuffix(".json")
        if busy or key in keys or _is_young(info, now_s):
            kept.add(key)
            found.update(_named_by_record(store, info.path))
    return _Reach(
        runs=frozenset(run.run_id for run, _ in runs),
        outputs=frozenset(PurePath(run.output).name for run, _ in runs if run.output),
        keys=frozenset(kept),
        digests=frozenset(found),
    )


def _promoted(store: Store) -> tuple[set[str], set[str]]:
    """Return the runs whose models were ever promoted, and every digest that the log of promotions names; the log itself is never deleted."""
    runs: set[str] = set()
    named: set[str] = set()
    for info in store.blobs.list("promotions"):
        content = _content(store, info.path)
        named |= _digests(content)
        with suppress(BadSeal, KeyError, TypeError):
            runs.add(str(unseal(content)["entry"]["run_id"]))
    return runs, named


def _kept_runs(store: Store, settings: Settings, now_s: float, promoted: set[str]) -> list[tuple[RunRecord, bytes]]:
    """Return the runs within retention, and those whose models were promoted, with their bytes."""
    found = [run_path(run_id) for run_id in store.run_ids()] + [trial_path(run_id) for run_id in store.trial_ids()]
    loaded = [item for path in found if (item := _load_run(store, path)) is not None]
    loaded.sort(key=lambda item: item[0].started_s, reverse=True)
    seen: Counter[str] = Counter()
    kept = []
    for run, content in loaded:
        seen[run.notebook] += not run.sweep  # a sweep's trials must not push out the runs that somebody wanted
        info = store.blobs.stat((trial_path if run.sweep else run_path)(run.run_id))
        young = info is not None and _is_young(info, now_s)
        if (
            young
            or run.run_id in promoted
            or (not run.sweep and seen[run.notebook] <= settings.retention_runs)
            or now_s - run.started_s < settings.retention_days * _DAY_S
        ):
            kept.append((run, content))
    return kept


def _load_run(store: Store, path: str) -> tuple[RunRecord, bytes] | None:
    # Without the key: what a colleague without it ran is not trusted, but it is not ours to delete either.
    content = _content(store, path)
    try:
        return RunRecord.from_json(unseal(content)), content
    except (BadSeal, TypeError, ValueError):
        return None


def _named_by_record(store: Store, path: str) -> set[str]:
    """Return every digest in a record's bytes, whatever version wrote it, and in the outputs that it keeps."""
    content = _content(store, path)
    found = _digests(content)
    try:
        # A long log is cut in the outputs, which name the object that holds all of it.
        return found | _digests(_content(store, store.objects.path(unseal(content)["cell_outputs"])))
    except (BadSeal, KeyError):
        return found


def _content(store: Store, path: str) -> bytes:
    try:
        return bytes(store.blobs.read(path))
    except (FileNotFoundError, Planted):
        return b""


def _digests(content: bytes) -> set[str]:
    return {match.decode() for match in _DIGEST.findall(content)}


def _is_young(info: FileInfo, now_s: float) -> bool:
    return now_s - info.modified_s < _YOUNG_S


def _delete(store: Store, info: FileInfo) -> bool:
    def still_old() -> bool:
        now = store.blobs.stat(info.path)
        return now is not None and not _is_young(now, time.time())

    return store.blobs.remove(info.path, when=still_old)


def _sweep_locks(store: Store) -> None:
    # Removed by its holder only, so that whoever waits for it finds out (see `file_lock`).
    for path in store.local_path("locks/any").parent.glob("stage-*.lock"):
        with suppress(StoreError), file_lock(path, timeout_s=0):
            path.unlink(missing_ok=True)


def _sweep_attempts(store: Store, now_s: float) -> None:
    """Clear away what runs that were killed, with all their processes, had told their stages; no run is going on."""
    for path in store.local_path("attempts").glob("*"):
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink() and now_s - path.stat().st_mtime >= _YOUNG_S:
                shutil.rmtree(path)


def _want_run(_store: Store, info: FileInfo, reach: _Reach, since_s: float) -> bool:
    if info.name.endswith(".json"):
        return info.name.removesuffix(".json") in reach.runs
    # An executed notebook, NAME-RUNID.ipynb; of a run that is unknown it is judged by its age.
    return info.modified_s > since_s or info.name in reach.outputs or any(run_id in info.name for run_id in reach.runs)


def _want_record(_store: Store, info: FileInfo, reach: _Reach, _since_s: float) -> bool:
    return info.name.removesuffix(".json") in reach.keys


def _want_index(store: Store, info: FileInfo, reach: _Reach, _since_s: float) -> bool:
    try:
        keys = unseal(_content(store, info.path))["keys"]
        return not reach.keys.isdisjoint(keys)
    except (BadSeal, KeyError, TypeError):
        return False


def _want_object(_store: Store, info: FileInfo, reach: _Reach, _since_s: float) -> bool:
    return info.name.partition(".")[0] in reach.digests


def _want_recent(_store: Store, info: FileInfo, _reach: _Reach, since_s: float) -> bool:
    return info.modified_s > since_s


def _want_nothing(_store: Store, _info: FileInfo, _reach: _Reach, _since_s: float) -> bool:
    return False


_FOLDERS: dict[str, Callable[[Store, FileInfo, _Reach, float], bool]] = {
    "runs": _want_run,
    "trials": _want_run,
    "records": _want_record,
    "verdicts": _want_record,
    "index": _want_index,
    "objects": _want_object,
    "notebooks": _want_object,
    "quarantine": _want_recent,
    "leases": _want_nothing,
}
