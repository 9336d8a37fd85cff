"""One store: objects by digest, records by stage key, runs by id, snapshots of notebooks."""

from __future__ import annotations

import json
import os
import time
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from blake3 import blake3

from nbmlops.errors import StoreError, UsageError
from nbmlops.store.leases import hold_lease
from nbmlops.store.local import LocalBlobs
from nbmlops.store.locks import file_lock
from nbmlops.store.objects import Blobs, FileInfo, Objects, Planted, digest_of, quarantine_path, split_path
from nbmlops.store.records import BadSeal, ForeignSeal, RunRecord, StageRecord, is_digest, is_name, seal, unseal
from nbmlops.store.trust import judge_trust, local_root, store_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from nbmlops.settings import Settings

__all__ = ["Store", "index_path", "promotion_path", "record_path", "run_path", "snapshot_path", "trial_path", "verdict_path"]

_EFFECTS_KEPT = 8
_HISTORY_KEPT = 20
# Files written within so short a time may have one and the same. A local one has another inode then, unless it was written a third time: clocks of
# files go on every few milliseconds, and in whole seconds where a file system keeps no parts of them.
_TICK_S, _LOCAL_TICK_S, _COARSE_TICK_S = 1.0, 0.1, 2.0
_RECORD = "stage-record/1"
_RUN = "run-record/1"
_INDEX = "index/1"
_VERDICT = "verdict/1"
_Built = TypeVar("_Built")
_Stamp = tuple[float, int, int]


class Store:
    """Where artifacts, records and runs are kept.

    Nothing is made on disk before the first write. Any thread or process may use the same store.

    Parameters
    ----------
    url : str
        A path (a relative one is taken from the project root) or an fsspec URL.
    settings : Settings
    synced : bool
        Whether what is stored is on disk before a call returns, where the store is in a folder: see `LocalBlobs`. What a power failure
        tears fails its digest or seal, and counts as a miss.

    Attributes
    ----------
    objects : Objects
        The bytes of artifacts, outputs and files.
    trust : Trust
        Whether formats that run code may be read from here, and why.

    Raises
    ------
    UsageError
        If nothing installed can open the URL.
    """

    def __init__(self, url: str, *, settings: Settings, synced: bool = True) -> None:
        self.url = url
        self.settings = settings
        self.key = store_key()
        self.trust = judge_trust(url, settings, key=self.key)
        self._local = _open_local(url, settings, synced=synced)
        self.blobs: Blobs = self._local or _open_remote(url)
        self.objects = Objects(self.blobs)
        self._told: dict[str, tuple[_Stamp, tuple[StageRecord, ...]]] = {}
        self._records: dict[str, tuple[_Stamp, StageRecord]] = {}

    @property
    def trusted(self) -> bool:
        """Whether formats that run code may be read from here."""
        return self.trust.trusted

    def record(self, key: str) -> StageRecord | None:
        """Return the record of a stage key, or None if there is none that can be relied on.

        A record counts only if the objects that it names are there; none of them is read.
        """
        record = self.record_alone(key)
        return record if record is not None and self.whole(record) else None

    def record_alone(self, key: str) -> StageRecord | None:
        """Return the record of a stage key although objects that it names may be gone: for what it tells, not what it gives."""
        return self._record_alone(key, self._stamp(record_path(key))) if is_name(key) else None

    def records_alone(self, keys: Sequence[str]) -> Iterator[StageRecord]:
        """Yield the records of those of the keys that have one, as `record_alone` does; in a folder of this machine all are looked at together."""
        stamps: dict[str, _Stamp | None] = {}
        if self._local is not None:
            found = self._local.stat_in("records", [f"{key}.json" for key in keys if is_name(key)])
            stamps = {name.removesuffix(".json"): _stamp_of(info) for name, info in found.items()}
        for key in keys:
            record = self._record_alone(key, stamps[key]) if key in stamps else self.record_alone(key)
            if record is not None:
                yield record

    def _record_alone(self, key: str, stamp: _Stamp | None) -> StageRecord | None:
        if stamp is not None and key in self._records and self._records[key][0] == stamp:
            return self._records[key][1]
        record = self._read(record_path(key), _RECORD, StageRecord.from_json)
        if record is None or record.key != key:
            return None
        if stamp is not None:
            self._records[key] = (stamp, record)
        return record

    def put_record(self, record: StageRecord) -> None:
        """Store a record, once everything that it names is stored, and make it the newest of its code and its stage."""
        self._write(record_path(record.key), _RECORD, record.to_json())
        with file_lock(self.local_path("locks/index.lock")):
            self._add(_code_index(record.code), record.key, _EFFECTS_KEPT)
            self._add(_stage_index(record.notebook, record.stage), record.key, _HISTORY_KEPT)

    def verdict(self, key: str) -> dict[str, Any] | None:
        """Return what is known of whether the stage of a key gives the same again; None if nothing is."""
        found = self._read(verdict_path(key), _VERDICT, dict) if is_name(key) else None
        return found if found is not None and found.get("key") == key else None

    def put_verdict(self, key: str, verdict: Mapping[str, Any]) -> None:
        """Keep whether the stage of a key gives the same again, in place of what was kept; `gc` drops it with the record."""
        self._write(verdict_path(key), _VERDICT, {**verdict, "key": key})

    def whole(self, record: StageRecord) -> bool:
        """Tell whether every object that the record names seems to be there; none is read."""
        return all(self.objects.exists(digest) for digest in record.digests())

    def records_of(self, code: str) -> tuple[StageRecord, ...]:
        """Return the last records of a stage's code, newest first, at most 8: for what they tell of the code, not for what they give.

        They are kept in memory while nobody adds one: a kernel asks for those of every stage around each cell.
        """
        return self._records_of(code, self._stamp(_code_path(code)))

    def records_of_each(self, codes: Collection[str]) -> dict[str, tuple[StageRecord, ...]]:
        """Return what `records_of` does for each of several codes; in a folder of this machine all are looked at together."""
        if self._local is None:
            return {code: self.records_of(code) for code in codes}
        files = {code: _code_path(code).rpartition("/") for code in codes}
        if not files:
            return {}
        folder = next(iter(files.values()))[0]
        infos = self._local.stat_in(folder, [name for _, _, name in files.values()])
        stamps = {code: _stamp_of(infos[name]) for code, (_, _, name) in files.items()}
        return {code: self._records_of(code, stamp) for code, stamp in stamps.items()}

    def _records_of(self, code: str, stamp: _Stamp | None) -> tuple[StageRecord, ...]:
        if stamp is None or self._told.get(code, (None, ()))[0] != stamp:
            found = (self.record_alone(key) for key in self._keys(_code_index(code)))
            records = tuple(record for record in found if record is not None and record.code == code)
            if stamp is None:
                return records
            self._told[code] = (stamp, records)
        return self._told[code][1]

    def _stamp(self, path: str) -> _Stamp | None:
        return _stamp_of(self.blobs.stat(path))

    def keys_of(self, code: str) -> tuple[str, ...]:
        """Return the last keys of a stage's code, newest first, at most 8: they change with every record of it that anybody puts."""
        return tuple(self._keys(_code_index(code)))

    def history(self, notebook: str, stage: str) -> tuple[str, ...]:
        """Return the last keys of a stage, newest first, at most 20; the record of a key may be gone."""
        return tuple(self._keys(_stage_index(notebook, stage)))

    def put_run(self, run: RunRecord) -> None:
        """Store a run, in place of what was stored under its id; a sweep's trials lie apart, since there may be a thousand of them.

        A trial is not synced: what it found stands in the sweep's journal and its stages' records, which are.
        """
        if run.sweep:
            self._write(trial_path(run.run_id), _RUN, run.to_json(), durable=False)
        else:
            self._write(run_path(run.run_id), _RUN, run.to_json())

    def run(self, prefix: str) -> RunRecord | None:
        """Return the run whose id is `prefix`, or the only one whose id begins so; None if there is none.

        Raises
        ------
        UsageError
            If several ids begin so.
        """
        exact = self._run(prefix)
        if exact is not None or not is_name(prefix):
            return exact
        ids = [run_id for run_id in (*self.run_ids(), *self.trial_ids()) if run_id.startswith(prefix)]
        if len(ids) > 1:
            raise UsageError(f"{len(ids)} runs begin with {prefix!r}: {', '.join(ids[:4])}", code="NB806", fix="give more of the id")
        return self._run(ids[0]) if ids else None

    def run_ids(self) -> list[str]:
        """List the ids of all runs, sorted, without those of trials."""
        return self._ids("runs")

    def trial_ids(self) -> list[str]:
        """List the ids of the runs that are trials of a sweep, sorted."""
        return self._ids("trials")

    def _ids(self, folder: str) -> list[str]:
        names = (info.path.removeprefix(f"{folder}/") for info in self.blobs.list(folder))
        return [name[:-5] for name in names if name.endswith(".json") and is_name(name[:-5])]

    def runs(self, notebook: str | None = None) -> tuple[RunRecord, ...]:
        """Return the runs, of one notebook or of all, newest first; trials of sweeps are not among them."""
        found = [run for run_id in self.run_ids() if (run := self._run(run_id)) is not None]
        kept = [run for run in found if notebook is None or run.notebook == notebook]
        return tuple(sorted(kept, key=lambda run: (run.started_s, run.run_id), reverse=True))

    def snapshot(self, data: bytes, *, suffix: str = ".ipynb") -> str:
        """Keep the source of a notebook and return its digest; `snapshot_path` tells where it is."""
        view = memoryview(data)
        digest = digest_of([view])
        path = snapshot_path(digest, suffix)
        self._drop_if(path, lambda: self._differs(path, digest))
        self.blobs.write(path, [view], overwrite=False)
        return digest

    def read_snapshot(self, digest: str, *, suffix: str = ".ipynb") -> bytes:
        """Return the source of a notebook, verified; KeyError if it is not there or was damaged."""
        path = snapshot_path(digest, suffix)
        try:
            view = self.blobs.read(path)
        except (FileNotFoundError, Planted):
            raise KeyError(digest) from None
        if digest_of([view]) != digest:
            self._drop_if(path, lambda: self._differs(path, digest))
            raise KeyError(digest)
        return bytes(view)

    def local_path(self, name: str) -> Path:
        """Return a path on this machine for what is not shared, such as locks and the outbox; its folder is made.

        Parameters
        ----------
        name : str
            Parts with ``/``; "" is the folder itself. For a store elsewhere it lies in the project's `.nbmlops`.
        """
        blobs = self._local or LocalBlobs(self.settings.project_root / ".nbmlops")
        if not name:
            return blobs.folder()
        *folders, last = split_path(name)
        return blobs.folder(*folders) / last

    def claim(
        self,
        key: str,
        *,
        timeout_s: float | None = None,
        on_wait: Callable[[], None] | None = None,
    ) -> AbstractContextManager[None]:
        """Be the only one who computes the stage key, while in this context; look for the record again inside.

        On one machine this is a lock that dies with its holder. Elsewhere it is a lease: two holders are possible where
        a machine was cut off, and harmless, since both store the same.
        """
        if not is_name(key):
            raise StoreError(f"{key!r} is no stage key", code="NB808", fix="names come from digests and ids only")
        if self._local is None:
            return hold_lease(self.blobs, f"leases/{key}.json", timeout_s=timeout_s, on_wait=on_wait)
        return file_lock(self.local_path(f"locks/stage-{key}.lock"), timeout_s=timeout_s, on_wait=on_wait)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep `gc` from deleting any record, while in this context: for the time of a run."""
        with ExitStack() as stack:
            # A store that this user cannot write to still serves what it holds.
            with suppress(StoreError):
                if self._local is None:
                    stack.enter_context(hold_lease(self.blobs, f"leases/run-{os.urandom(8).hex()}.json"))
                else:
                    stack.enter_context(file_lock(self.local_path("locks/run.lock"), shared=True))
            yield

    def check_writable(self) -> None:
        """Raise the StoreError that a later write would, before anything is computed in vain."""
        path = f"locks/check-{os.urandom(8).hex()}"
        self.blobs.write(path, [memoryview(b"?")], overwrite=True, durable=False)
        self.blobs.remove(path, when=lambda: True)

    def unsealed(self, path: str) -> dict[str, Any] | None:
        """Return the data sealed at `path`, None if there is none that can be relied on; damaged, it goes to quarantine."""
        try:
            return unseal(self.blobs.read(path), key=self.key)
        except (FileNotFoundError, ForeignSeal):
            return None
        except (BadSeal, Planted):
            self._drop_if(path, lambda: self.damage(path) is not None)
            return None

    def damage(self, path: str) -> str | None:
        """Tell what is wrong with the sealed file at `path`, None if nothing is; never moves it."""
        try:
            unseal(self.blobs.read(path), key=self.key)
        except (FileNotFoundError, ForeignSeal):
            return None
        except Planted:
            return "is no plain file"
        except BadSeal as error:
            return str(error)
        return None

    def quarantine(self, path: str) -> bool:
        """Move a bad file out of the way and keep it for a look; return whether it was there."""
        return self.blobs.remove(path, when=lambda: True, to=quarantine_path(path))

    def _drop_if(self, path: str, bad: Callable[[], bool]) -> None:
        if not bad():
            return
        try:
            self.blobs.remove(path, when=bad, to=quarantine_path(path))
        except StoreError:
            # A reader without the right to write treats it as missing all the same.
            return

    def _differs(self, path: str, digest: str) -> bool:
        try:
            return digest_of([self.blobs.read(path)]) != digest
        except FileNotFoundError:
            return False
        except Planted:
            return True

    def _read(self, path: str, kind: str, build: Callable[[dict[str, Any]], _Built]) -> _Built | None:
        data = self.unsealed(path)
        if data is None or data.pop("kind", None) != kind:
            return None
        try:
            return build(data)
        except (TypeError, ValueError, KeyError, AttributeError):
            # Sealed by a version of nbmlops that writes other shapes: a miss, and not ours to move away.
            return None

    def _write(self, path: str, kind: str, data: dict[str, Any], *, durable: bool = True) -> None:
        sealed = seal({"kind": kind, **data}, key=self.key)
        self.blobs.write(path, [memoryview(sealed)], overwrite=True, durable=durable)

    def _run(self, run_id: str) -> RunRecord | None:
        if not is_name(run_id):
            return None
        run = self._read(run_path(run_id), _RUN, RunRecord.from_json) or self._read(trial_path(run_id), _RUN, RunRecord.from_json)
        return run if run is not None and run.run_id == run_id else None

    def _keys(self, name: str) -> list[str]:
        def keys(data: dict[str, Any]) -> list[str]:
            return [key for key in data["keys"] if data["name"] == name and is_name(key)]

        return self._read(index_path(name), _INDEX, keys) or []

    def _add(self, name: str, key: str, kept: int) -> None:
        # Not synced: what a power failure tears fails its seal, and a lost index costs a re-run at most.
        keys = [key, *(other for other in self._keys(name) if other != key)][:kept]
        self._write(index_path(name), _INDEX, {"name": name, "keys": keys}, durable=False)


def _stamp_of(info: FileInfo | None) -> _Stamp | None:
    """Return what is another one when a file is written again; None if there is none, or if it may be written again without."""
    if info is None:
        return None
    tick_s = _TICK_S if not info.inode else _LOCAL_TICK_S if info.modified_s % 1 else _COARSE_TICK_S
    return None if time.time() - info.modified_s < tick_s else (info.modified_s, info.size_bytes, info.inode)


def record_path(key: str) -> str:
    """Return where the record of a stage key lies."""
    return f"records/{key}.json"


def run_path(run_id: str) -> str:
    """Return where a run lies."""
    return f"runs/{run_id}.json"


def verdict_path(key: str) -> str:
    """Return where it lies whether the stage of a key gives the same again."""
    return f"verdicts/{key}.json"


def trial_path(run_id: str) -> str:
    """Return where a run lies that is a trial of a sweep."""
    return f"trials/{run_id}.json"


def promotion_path(place: str) -> str:
    """Return where an entry of a log of promotions lies; `place` is the digest of the model's name and the entry's number."""
    return f"promotions/{place}.json"


def snapshot_path(digest: str, suffix: str = ".ipynb") -> str:
    """Return where the source of a notebook lies; KeyError for what is no digest, or a suffix of no notebook."""
    if not is_digest(digest) or suffix not in {".ipynb", ".py"}:
        raise KeyError(digest)
    return f"notebooks/{digest}{suffix}"


def index_path(name: str) -> str:
    """Return where an index lies: its name is a notebook's path or the like, and never part of a path."""
    return f"index/{name.partition(':')[0]}/{blake3(name.encode('utf-8', 'surrogatepass')).hexdigest()}.json"


def _code_index(code: str) -> str:
    return f"code:{code}"


@lru_cache(maxsize=4096)  # a kernel asks for those of every stage around each cell
def _code_path(code: str) -> str:
    return index_path(_code_index(code))


def _stage_index(notebook: str, stage: str) -> str:
    return f"stage:{json.dumps([notebook, stage])}"


def _open_local(url: str, settings: Settings, *, synced: bool) -> LocalBlobs | None:
    root = local_root(url, settings)
    return None if root is None else LocalBlobs(root, synced=synced)


def _open_remote(url: str) -> Blobs:
    from nbmlops.store.remote import RemoteBlobs  # noqa: PLC0415 - brings fsspec

    return RemoteBlobs(url)
