"""Where Optuna keeps a sweep: a journal of our own in the store, or whatever its URL names."""

from __future__ import annotations

import json
import os
import re
import time
import warnings
from typing import TYPE_CHECKING, Any

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalRedisBackend
from optuna.trial import TrialState

from nbmlops.errors import MissingDependency, NbmlopsError, StoreError
from nbmlops.failpoints import failpoint
from nbmlops.pattern import pattern
from nbmlops.store.locks import file_lock
from nbmlops.store.replacing import make_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["open_storage", "repair_journal", "without_password"]

_ENDED = {state.value for state in TrialState if state.is_finished()}
_MADE_BY_ANOTHER = pattern(r"already exists|UNIQUE constraint failed|duplicate key|database is locked")
# by the beginning of a URL: the package that opens it, and the extra of ours that installs it
_DRIVERS = {"postgres": ("psycopg", "postgresql"), "redis": ("redis", "redis"), "mysql": ("mysqlclient", "mysql")}


def open_storage(url: str | None, journal: Path) -> BaseStorage:
    """Open the storage of a sweep.

    Parameters
    ----------
    url : str or None
        As Optuna takes it (``sqlite:///sweeps.db``, ``postgresql://...``, ``redis://...``); None for the journal.
    journal : Path
        Where the journal is, or is made.

    Raises
    ------
    StoreError
        If it cannot be opened.
    MissingDependency
        If the driver of its database is not installed.
    """
    try:
        if url is None:
            make_folder(journal.parent)
            repair_journal(journal)
            return JournalStorage(_Journal(journal))
        if url.startswith(("redis://", "rediss://", "unix://")):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                storage: BaseStorage = JournalStorage(JournalRedisBackend(url))
            storage.get_all_studies()  # a server that does not answer says so now
            return storage
        return _open_database(url)
    except NbmlopsError:
        raise
    except ImportError as error:
        package, extra = next((found for scheme, found in _DRIVERS.items() if (url or "").startswith(scheme)), (str(error.name), str(error.name)))
        raise MissingDependency(package, extra, f"the storage {without_password(url or '')}") from error
    except Exception as error:
        line = without_password(" ".join(str(error).split()))[:200]
        raise StoreError(
            f"the sweep's storage {without_password(url or str(journal))} cannot be opened: {line or type(error).__name__}",
            code="NB023",
            fix="give a URL that Optuna can open, such as sqlite:///sweeps.db, or leave --storage out",
        ) from error


def _open_database(url: str) -> BaseStorage:
    """Open a database; of two processes that make its tables at once, the slower one finds them made by the other and looks again."""
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else None
    for pause_s in (0.5, 1.0, 2.0):
        try:
            return RDBStorage(url, engine_kwargs=options)
        except Exception as error:
            if not _MADE_BY_ANOTHER.search(str(error)):
                raise
            time.sleep(pause_s)
    return RDBStorage(url, engine_kwargs=options)


def without_password(text: str) -> str:
    """Return a URL, or a message that holds one, with its password hidden."""
    return re.sub(r"://[^/@\s]*@", "://***@", text)


def repair_journal(path: Path) -> int:
    """Cut off the line that a kill or a full disk has left unfinished at a journal's end; return how many bytes that was.

    Optuna would append to it, and never read again what comes after.
    """
    if not path.exists():
        return 0
    with file_lock(_lock_of(path)), path.open("r+b") as file:
        data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        last = whole[whole[:-1].rfind(b"\n") + 1 :]
        if last and not _is_json(last):
            whole = whole[: -len(last)]
        if len(whole) < len(data):
            file.truncate(len(whole))
            os.fsync(file.fileno())
        return len(data) - len(whole)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


class _Journal(JournalFileBackend):
    """Optuna's journal, synced to disk when a trial ends, and not at each of the lines of one that is under way.

    What a crash of the machine can take is the end of the file: trials that have not ended. The lock dies with its holder; Optuna's own is
    held for 30 seconds more.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append whole lines, or none."""
        data = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        ends = any(log.get("state") in _ENDED or "study_name" in log for log in logs)
        with file_lock(_lock_of(self._path)), self._path.open("ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                failpoint("sweep.append")
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
                if ends:
                    failpoint("sweep.fsync")
                    os.fsync(file.fileno())
            except OSError as error:
                os.ftruncate(file.fileno(), size)
                raise StoreError(
                    f"the sweep's journal cannot be written: {error.strerror}", code="NB801", fix="free space on the disk, then run the command again"
                ) from error
