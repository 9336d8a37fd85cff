"""Values that cannot be kept: which inner object it is, where it sits, and what to do instead."""

from __future__ import annotations

import io
import sys
import threading
import types
import weakref
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NotStorable
from nbmlops.store.serializers.base import type_name

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_refused", "not_storable", "place_of"]

_LIVE_FILE = "keep its path or its content, and open it in the stage that uses it"
_CONNECT = "keep what is needed to connect, and connect in the stage that uses it"
_LOCK = "make it in the stage that uses it, or leave it out in __getstate__"
_ITERATE = "keep list(...) of it"

# first match on the type's dotted name wins
_REMEDIES = (
    (("_io.", "io.", "tempfile.", "ipykernel.iostream", "mmap.", "zipfile.", "tarfile.", "gzip.", "h5py."), _LIVE_FILE),
    (("sqlite3.", "_sqlite3.", "socket.", "_socket.", "ssl.", "_ssl.", "sqlalchemy.", "psycopg", "pymysql.", "duckdb."), _CONNECT),
    (("requests.", "http.", "urllib", "httpx.", "aiohttp.", "boto", "redis.", "pymongo.", "grpc."), _CONNECT),
    (("_thread.", "threading.", "multiprocessing.", "concurrent.", "asyncio.", "_asyncio.", "_queue.", "queue.", "subprocess."), _LOCK),
    (("generator", "async_generator", "coroutine", "_collections_abc.", "zip", "map", "filter", "csv.", "_csv.", "os.ScandirIterator"), _ITERATE),
    (("dict_", "set_iterator", "odict_iterator", "itertools."), _ITERATE),
    (("memoryview",), "keep bytes(...) of it"),
    (("weakref", "ReferenceType", "weakproxy"), "keep the object itself; a function that holds it belongs into a setup cell"),
    (("frame", "traceback"), "keep its text, with traceback.format_exc()"),
    (("numpy.memmap",), "keep np.array(...) of it; writing to a stored copy would not reach the file"),
)
_DEFAULT = "keep something that pickles, or leave it out in __getstate__"

_VIEWS: tuple[Any, ...] = ({}, {}.values(), {}.items())
# pickle would make another type of these, or a copy that has lost its connection, instead of failing
_LOSSY: frozenset[type] = frozenset(
    {
        memoryview,
        weakref.ReferenceType,
        threading.local,
        *(type(iter(view)) for view in _VIEWS),
        *(type(reversed(view)) for view in _VIEWS),
        type(iter(set[int]())),
    }
)
_PLAIN_FILES = (io.BytesIO, io.StringIO)


def is_refused(value: Any) -> bool:  # noqa: ANN401
    """Say whether pickle would give `value` back as something else without failing."""
    kind = type(value)
    if kind in _LOSSY:
        return True
    if isinstance(value, io.IOBase):
        return kind not in _PLAIN_FILES and value not in {sys.stdout, sys.stderr}
    # written to, a map reaches its file; a stored copy would not
    return kind.__name__ == "memmap" and kind.__module__.startswith("numpy") and value.mode in {"r+", "w+"}


def not_storable(value: object, culprit: object, reason: str = "", *, fix: str | None = None) -> NotStorable:
    """Return the error that names `culprit`, where it sits in `value`, and the remedy."""
    what = _describe(culprit)
    place = place_of(culprit, value)
    where = "" if culprit is value else f" in {place}" if place else f", inside a {type_name(value)}"
    return NotStorable(f"{what}{where} cannot be stored{f' ({reason})' if reason else ''}", code="NB615", fix=fix or _remedy(culprit))


def _describe(culprit: object) -> str:
    name = type_name(culprit)
    if isinstance(culprit, io.IOBase):
        return f"the open file {getattr(culprit, 'name', name)!r} ({name})"
    label = getattr(culprit, "__qualname__", None)
    return f"{name} {label!r}" if isinstance(label, str) else f"a value of type {name}"


def _remedy(culprit: object) -> str:
    kind = type(culprit)
    for candidate in (type_name(culprit), *(f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__)):
        name = candidate.removeprefix("builtins.")
        for prefixes, remedy in _REMEDIES:
            if name.startswith(prefixes):
                return remedy
    return _DEFAULT


def place_of(culprit: object, value: object, *, limit: int = 20_000) -> str | None:
    """Return where `culprit` sits in `value`, such as ``value['db'].lock``; None if it is not found among `limit` objects."""
    queue: deque[tuple[str, object]] = deque([("value", value)])
    seen = {id(value)}
    while queue and len(seen) < limit:
        path, item = queue.popleft()
        if item is culprit:
            return path
        for step, child in _children(item):
            if id(child) not in seen:
                seen.add(id(child))
                queue.append((path + step, child))
    return None


def _children(item: object) -> Iterator[tuple[str, object]]:
    if isinstance(item, dict):
        yield from ((f"[{key!r}]" if isinstance(key, (str, int)) else "[...]", child) for key, child in list(item.items()))
    elif isinstance(item, (list, tuple, deque)):
        yield from ((f"[{index}]", child) for index, child in enumerate(item))
    elif isinstance(item, (set, frozenset)):
        yield from (("{...}", child) for child in item)
    elif isinstance(item, types.FunctionType):
        yield from _closure(item)
    elif isinstance(item, types.MethodType):
        yield ".__self__", item.__self__
    elif isinstance(item, partial):
        yield ".func", item.func
        yield ".args", item.args
        yield ".keywords", item.keywords
    if not isinstance(item, (types.ModuleType, type)):
        yield from ((f".{name}", child) for name, child in list(getattr(item, "__dict__", {}).items()))
        yield from _slots(item)


def _closure(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f" (variable {name!r} of {function.__qualname__})", cell.cell_contents
        except ValueError:  # not bound yet
            continue
    yield from ((f" (default of {function.__qualname__})", item) for item in function.__defaults__ or ())


def _slots(item: object) -> Iterator[tuple[str, object]]:
    for base in type(item).__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            try:
                yield f".{name}", object.__getattribute__(item, name)
            except AttributeError:
                continue
