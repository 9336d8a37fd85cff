"""Look at every file of a store, whether it is what its name or its seal says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nbmlops.store.objects import FileInfo, Planted, digest_of
from nbmlops.store.records import StageRecord, is_digest
from nbmlops.store.store import Store, index_path, promotion_path, record_path, run_path, trial_path, verdict_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

__all__ = ["Problem", "Verification", "verify_store"]

_SEALED = {
    "records": ("key", record_path),
    "verdicts": ("key", verdict_path),
    "runs": ("run_id", run_path),
    "trials": ("run_id", trial_path),
    "index": ("name", index_path),
    "promotions": ("place", promotion_path),
}
_KEPT = ("promotions",)  # what cannot be computed again stays where it is, though it be damaged: `history --verify` says more of it
_NAMED = ("objects", "notebooks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One file that is not what it should be.

    Parameters
    ----------
    path : str
        In the store.
    what : str
        What is wrong with it, for people.
    repaired : bool
        Whether it was moved to quarantine.
    """

    path: str
    what: str
    repaired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What `verify_store` found.

    Parameters
    ----------
    checked : int
        How many files were read.
    problems : tuple of Problem
    """

    checked: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether every file is what it should be."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {"checked": self.checked, "ok": self.ok, "problems": [asdict(problem) for problem in self.problems]}


def verify_store(store: Store, *, repair: bool) -> Verification:
    """Read every object, record, run, index and snapshot of a store.

    Parameters
    ----------
    store : Store
    repair : bool
        Move what is bad to quarantine, so that it counts as missing; records that need it go there too.
    """
    problems: list[Problem] = []
    checked = 0
    # Objects first, so that a record sees the damage of what it needs.
    for path, what in _judged(store):
        checked += 1
        if what is not None:
            problems.append(Problem(path=path, what=what, repaired=repair and not path.startswith(_KEPT) and store.quarantine(path)))
    gone = {problem.path for problem in problems}
    for path, record in _records(store, gone):
        lost = sorted(digest for digest in record.digests() if store.objects.path(digest) in gone or not store.objects.exists(digest))
        if lost:
            what = f"stage {record.stage!r} needs {len(lost)} objects that are lost, the first {lost[0]}"
            problems.append(Problem(path=path, what=what, repaired=repair and store.quarantine(path)))
    return Verification(checked=checked, problems=tuple(problems))


def _judged(store: Store) -> Iterator[tuple[str, str | None]]:
    for folder in (*_NAMED, *_SEALED):
        for info in list(store.blobs.list(folder)):
            # A temporary file is what a killed writer left; `gc` clears it away. Executed notebooks lie among the runs.
            if not info.temporary and not (folder == "runs" and info.regular and not info.name.endswith(".json")):
                yield info.path, _damage(store, folder, info)


def _damage(store: Store, folder: str, info: FileInfo) -> str | None:
    if not info.regular:
        return "is no plain file"
    if folder in _NAMED:
        return _misnamed(store, folder, info)
    return store.damage(info.path) or _misplaced(store, folder, info)


def _misnamed(store: Store, folder: str, info: FileInfo) -> str | None:
    digest = info.name.partition(".")[0]
    if not is_digest(digest) or (folder == "objects" and info.path != store.objects.path(digest)):
        return "is not named by a digest"
    try:
        view = store.blobs.read(info.path)
    except FileNotFoundError:
        return None
    except Planted:
        return "is no plain file"
    return None if digest_of([view]) == digest else "the bytes differ from their digest"


def _misplaced(store: Store, folder: str, info: FileInfo) -> str | None:
    """Tell whether a sealed file lies under another's name, where its seal cannot show it."""
    data = store.unsealed(info.path)
    if data is None:
        return None  # of another key, or gone meanwhile
    field, place = _SEALED[folder]
    right = place(str(data.get(field)))
    return None if right == info.path else f"it is the one of {right}"


def _records(store: Store, bad: AbstractSet[str]) -> Iterator[tuple[str, StageRecord]]:
    for info in list(store.blobs.list("records")):
        if info.path in bad:
            continue
        record = store.record_alone(info.name.removesuffix(".json"))
        if record is not None:
            yield info.path, record
