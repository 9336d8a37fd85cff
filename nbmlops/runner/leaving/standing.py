"""Where objects stand that cannot be stored: an open file at its line, a generator at its yield, a queue with its items.

Every stage gets such an object of a setup cell anew, so one that has used it up, moved it on or filled it has left something behind.
"""

from __future__ import annotations

import functools
import gc
import io
import operator
import sys
import threading
import types
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmlops.runner.localmodules import local_module_path
from nbmlops.store.fingerprint import class_state, function_state, value_fingerprint
from nbmlops.store.serializers.hooks import attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nbmlops.store.serializers import Context

__all__ = ["Standing", "standing"]

_MOST_OBJECTS = 500
_PLAIN = frozenset({bool, int, float, complex, str, bytes})
# their attributes are all that there is to them; of other libraries' objects nobody knows which attributes matter
_TRANSPARENT = frozenset({"_csv", "codecs", "csv", "queue", "tempfile", "threading"})
_HASHES = ("_hashlib", "_blake2", "_md5", "_sha", "hmac", "blake3", "xxhash")
_FRAMES = {types.GeneratorType: "gi_frame", types.CoroutineType: "cr_frame", types.AsyncGeneratorType: "ag_frame"}
_WEAK = (weakref.WeakSet, weakref.WeakKeyDictionary, weakref.WeakValueDictionary)
_CONTAINERS = (list, tuple, set, frozenset, deque)
# made on demand: whoever finds None makes one of his own
_UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an object stands.

    Parameters
    ----------
    mark : str
        Another one once the object has been moved on.
    told : bool
        Whether that is certain: an iterator that does not tell its position may have been moved on all the same.
    """

    mark: str
    told: bool


def standing(value: Any, context: Context) -> Standing | None:  # noqa: ANN401 - any value at all
    """Return where an object stands that cannot be stored; None for one that can, and for code, whose changes are noticed otherwise."""
    if isinstance(value, types.ModuleType) or (not _state(value, context) and value_fingerprint(value, context) is not None):
        return None
    look = _Look(context)
    try:
        return Standing(look.at(value), look.told)
    except Exception:  # noqa: BLE001 - objects of users and libraries may answer anything, and most of them have no such state
        return None


class _Look:
    """One look at an object and at what it holds."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seen: dict[int, Any] = {}
        self.told = True

    def at(self, value: Any) -> str:  # noqa: ANN401
        """Return the mark of one object."""
        if type(value) in _PLAIN:
            return repr(value)
        if value is None or id(value) in self._seen or len(self._seen) >= _MOST_OBJECTS:
            return _UNKNOWN
        self._seen[id(value)] = value
        mark = None if _state(value, self._context) else value_fingerprint(value, self._context)
        if mark is not None:
            return mark
        look = next((look for applies, look in self._looks() if applies(value)), None)
        return look(value) if look is not None else _UNKNOWN

    def _looks(self) -> Iterable[tuple[Callable[[Any], bool], Callable[[Any], str]]]:
        # a thread goes on by itself
        yield lambda value: isinstance(value, (types.ModuleType, types.CodeType, types.FrameType, threading.Thread)), lambda _: _UNKNOWN
        yield lambda value: isinstance(value, io.IOBase), self._file
        yield lambda value: type(value) in _FRAMES, self._frame
        yield lambda value: isinstance(value, dict), self._attributes
        yield lambda value: isinstance(value, _CONTAINERS), self._all
        yield lambda value: bool(_state(value, self._context)), lambda value: self._attributes(_state(value, self._context))
        yield lambda value: isinstance(value, (types.MethodType, types.BuiltinFunctionType)), lambda value: self.at(value.__self__)
        yield lambda value: isinstance(value, functools.partial), lambda value: self._all((value.func, value.args, value.keywords))
        yield lambda value: isinstance(value, _WEAK), lambda value: str(len(value))
        yield lambda value: type(value).__module__.startswith(_HASHES), _digest
        yield lambda value: _is_of("sqlite3", "Connection", value), _database
        yield lambda value: _is_of("_queue", "SimpleQueue", value), lambda value: str(value.qsize())
        yield lambda value: _is_of("_thread", "lock", value), lambda value: str(value.locked())
        yield lambda value: type(value).__module__ in _TRANSPARENT or _is_users(type(value)), self._instance
        yield lambda value: isinstance(value, Iterator) and not hasattr(value, "execute"), self._iterator

    def _all(self, values: Iterable[Any]) -> str:
        return f"[{','.join(self.at(value) for value in list(values))}]"

    def _attributes(self, held: dict[Any, Any]) -> str:
        return f"{{{','.join(f'{key!r:.80}:{self.at(value)}' for key, value in list(held.items()))}}}"

    def _instance(self, value: Any) -> str:  # noqa: ANN401
        inner = self._all(gc.get_referents(value)) if type(value).__module__ == "_csv" else ""
        lines = getattr(value, "line_num", "") if type(value).__module__ in {"csv", "_csv"} else ""
        return f"{lines}{self._attributes(attributes(value))}{inner}"

    def _iterator(self, value: Any) -> str:  # noqa: ANN401
        """Look at an iterator of the interpreter or a library: at how much is left of it, and at what it iterates over."""
        left = operator.length_hint(value, -1)
        counts = {name: item for name, item in getattr(value, "__dict__", {}).items() if type(item) in _PLAIN}
        seen = len(self._seen)
        inner = self._all(item for item in gc.get_referents(value) if isinstance(item, Iterator))
        if left < 0 and not counts and len(self._seen) == seen:
            self.told = False
        return f"{left}{sorted(counts.items())}{inner}"

    def _frame(self, value: Any) -> str:  # noqa: ANN401
        frame = getattr(value, _FRAMES[type(value)])
        if frame is None:
            return "ended"
        # what it iterates over is in no variable
        hidden = [item for item in gc.get_referents(value) if isinstance(item, Iterator)]
        return f"{frame.f_lasti}{self._attributes(dict(frame.f_locals))}{self._all(hidden)}"

    def _file(self, value: Any) -> str:  # noqa: ANN401
        if value in {sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__}:
            return _UNKNOWN
        if value.closed:
            return "closed"
        mode = getattr(value, "mode", "")
        # what is appended comes last, wherever the file stood
        if (isinstance(mode, str) and "a" in mode and "+" not in mode) or not value.seekable():
            return _UNKNOWN
        try:
            return str(value.tell())
        except OSError:  # of a text that is iterated over, nobody is told how much of what was read in advance has been given out
            self.told = False
            return f"iterated {value.buffer.tell()}"


def _state(value: Any, context: Context) -> dict[str, Any]:  # noqa: ANN401
    """Return what can change in a function or class of the notebook."""
    if isinstance(value, types.FunctionType):
        return function_state(value) if value.__globals__ is context.namespace else {}
    return class_state(value) if isinstance(value, type) and value.__module__ == "__main__" else {}


def _is_of(module: str, name: str, value: Any) -> bool:  # noqa: ANN401
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def _is_users(kind: type) -> bool:
    return kind.__module__ == "__main__" or local_module_path(sys.modules.get(kind.__module__)) is not None


def _digest(value: Any) -> str:  # noqa: ANN401
    try:
        return str(value.hexdigest())
    except TypeError:  # SHAKE wants a length
        return str(value.hexdigest(32))


def _database(connection: Any) -> str:  # noqa: ANN401
    """Return a mark of a database in memory; one in a file is there for the next stage too."""
    files = [row[2] for row in connection.execute("PRAGMA database_list")]
    if any(files):
        return _UNKNOWN
    return f"{connection.total_changes} {next(iter(connection.execute('PRAGMA schema_version')))[0]}"
