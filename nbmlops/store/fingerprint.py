"""Whether a value changed, and which names share state that can change."""

from __future__ import annotations

import contextvars
import datetime as dt
import decimal
import enum
import fractions
import functools
import gc
import logging
import pathlib
import re
import sys
import types
import uuid
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NotStorable
from nbmlops.store.serializers import encode
from nbmlops.store.serializers.references import namespace_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.store.serializers import Context

__all__ = ["alias_sets", "class_state", "function_state", "mutable_ids", "state_fingerprint", "value_fingerprint"]

# never changed in place, and nothing below them is
_ATOMS = (
    str, bytes, int, float, complex, bool, type(None), type(Ellipsis), type(NotImplemented), range, re.Pattern, enum.Enum,
    dt.date, dt.time, dt.timedelta, dt.tzinfo, decimal.Decimal, fractions.Fraction, uuid.UUID,
    pathlib.PurePath,
)  # fmt: skip
_COMMON = frozenset({str, bytes, int, float, bool, type(None)})
# code and the process's own objects: every value may reach them, and none owns them
_SHARED = (type, types.ModuleType, types.CodeType, types.FrameType, logging.Logger, logging.Handler, logging.Manager)
_DESCRIPTORS = (types.GetSetDescriptorType, types.MemberDescriptorType, types.MethodDescriptorType, types.WrapperDescriptorType)
_IGNORED = (*_ATOMS, *_SHARED, *_DESCRIPTORS)
_SEQUENCES = frozenset({list, tuple})
_CODE = (types.FunctionType, functools._lru_cache_wrapper, type)  # noqa: SLF001 - it has no public name
_WALKED = (tuple, frozenset, types.MethodType, types.BuiltinFunctionType, slice)
_PANDAS_IMMUTABLE = ("Index", "Timestamp", "Timedelta", "Period", "Interval", "Dtype", "NAType", "NaTType")


def value_fingerprint(value: Any, context: Context) -> str | None:  # noqa: ANN401 - any value at all
    """Return a digest of the bytes and the form that the value would have in the store; None if it cannot be stored."""
    from blake3 import blake3  # noqa: PLC0415

    try:
        encoded = encode(value, context)
    except NotStorable:
        return None
    digest = blake3()
    for buffer in encoded.buffers:
        digest.update(buffer)
    digest.update(encoded.form)
    return str(digest.hexdigest())


def state_fingerprint(value: Any, context: Context) -> str | None:  # noqa: ANN401
    """Return a digest of what can change in a value; None if it cannot be stored, or if nothing in it can change.

    For most values that is `value_fingerprint`. Of a function it is its default arguments, closure and attributes, of a class its
    attributes: its source stands for the rest. Modules, builtins and code of packages have none.
    """
    if isinstance(value, types.FunctionType):
        state: Any = function_state(value) if value.__globals__ is context.namespace else None
    elif isinstance(value, type):
        state = class_state(value) if value.__module__ in {"__main__", "builtins"} else None
    elif isinstance(value, (types.ModuleType, types.BuiltinFunctionType)):
        state = None
    elif isinstance(value, contextvars.ContextVar):
        state = [value.get(None)]
    else:
        return value_fingerprint(value, context)
    return value_fingerprint(state, context) if state else None


def function_state(function: types.FunctionType) -> dict[str, Any]:
    """Return what a function holds beside its code: default arguments, closure, attributes."""
    cells = {name: cell.cell_contents for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True) if _is_set(cell)}
    parts = {"defaults": function.__defaults__, "keywords": function.__kwdefaults__, "closure": cells, "attributes": dict(vars(function))}
    return {name: part for name, part in parts.items() if part}


def _is_set(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - it raises where a local function is not bound yet
    except ValueError:
        return False
    return True


def class_state(kind: type) -> dict[str, Any]:
    """Return what can change in a class: its attributes, and its methods, which a stage may replace."""
    found = {}
    # a Flag notes each combination that was ever made
    left_out = ("_",) if issubclass(kind, enum.Enum) else ("__", "_abc_")
    for name, item in vars(kind).items():
        function = item if isinstance(item, types.FunctionType) else getattr(item, "__func__", getattr(item, "fget", None))
        if isinstance(function, types.FunctionType):
            found[name] = {"code": function.__code__, **{part: held for part, held in function_state(function).items() if part != "closure"}}
        elif not name.startswith(left_out) and not callable(item) and not hasattr(item, "__get__"):
            found[name] = item
    return found


def mutable_ids(value: Any, context: Context | None = None) -> set[int]:  # noqa: ANN401
    """Return the ids of the objects that can be changed through `value`.

    An array counts as the array that owns its memory, a pandas object as one, since pandas copies on write; a class of the notebook that has
    attributes of its own counts as state that its instances share. The ids hold while `value` is alive and unchanged.

    Parameters
    ----------
    value : Any
    context : Context or None
        Tells which classes setup cells define: these are made anew wherever they are needed, and travel by name.
    """
    found: set[int] = set()
    seen: set[int] = set()
    stack = [value]
    while stack:
        item = stack.pop()
        kind = type(item)
        if kind in _COMMON or id(item) in seen:
            continue
        seen.add(id(item))
        if kind in _SEQUENCES:
            if kind is list:
                found.add(id(item))
            stack.extend(item)
            continue
        if kind.__module__ == "__main__":
            stack.append(kind)
        if isinstance(item, _CODE) and context is not None and namespace_name(item, context) is not None:
            continue
        if isinstance(item, type):
            own, below = _shared_by_instances(item)
        elif isinstance(item, _IGNORED):
            continue
        else:
            own, below = _owned(item)
        if own is not None:
            found.add(own)
        stack.extend(below)
    return found


def _shared_by_instances(kind: type) -> tuple[int | None, Iterable[Any]]:
    """Return what a class of the notebook holds for all its instances: ``counter = 0``, which a method may set, or ``items = []``."""
    if kind.__module__ != "__main__" or issubclass(kind, (enum.Enum, tuple)):
        return None, ()
    return id(kind), [*class_state(kind).values(), *kind.__bases__]


def alias_sets(named: Mapping[str, Any], context: Context | None = None) -> tuple[tuple[str, ...], ...]:
    """Return the sets of names that share state that can change, sorted; names that share none are left out."""
    groups: list[tuple[set[str], set[int]]] = []
    for name in sorted(named):
        names, ids = {name}, mutable_ids(named[name], context)
        apart = []
        for group in groups:
            if group[1].isdisjoint(ids):
                apart.append(group)
            else:
                names |= group[0]
                ids |= group[1]
        groups = [*apart, (names, ids)]
    return tuple(sorted(tuple(sorted(names)) for names, _ in groups if len(names) > 1))


def _owned(item: Any) -> tuple[int | None, Iterable[Any]]:  # noqa: ANN401, PLR0911 - one return for each kind of object
    if isinstance(item, dict):
        return id(item), [*item.keys(), *item.values(), *vars(item).values()] if hasattr(item, "__dict__") else [*item.keys(), *item.values()]
    if _is_importable(item):
        return None, ()
    if isinstance(item, types.FunctionType):
        return id(item), [*(item.__closure__ or ()), *(item.__defaults__ or ()), *(item.__kwdefaults__ or {}).values(), *vars(item).values()]
    if isinstance(item, types.CellType):
        return id(item), gc.get_referents(item)  # two closures over one cell share it, whatever it holds
    if isinstance(item, _WALKED):
        return None, gc.get_referents(item)
    package = type(item).__module__.partition(".")[0]
    if package == "numpy":
        return _numpy(item)
    if package == "pandas":
        return _pandas(item)
    if package == "pyarrow":
        return None, ()
    if _is_process_state(item):
        return None, ()
    frozen = getattr(getattr(type(item), "__dataclass_params__", None), "frozen", False)
    # slots, instance dicts and what C types hold
    return None if frozen else id(item), _values(item)


def _is_importable(item: Any) -> bool:  # noqa: ANN401
    if not callable(item):
        return False
    name, module = getattr(item, "__name__", None), getattr(item, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str) or module == "__main__":
        return False
    return getattr(sys.modules.get(module), name, None) is item


def _values(item: Any) -> list[Any]:  # noqa: ANN401
    state = getattr(item, "__dict__", None)
    # the instance's own dict is made on demand and means the instance: its values are what can be shared
    held = list(state.values()) if isinstance(state, dict) else []
    return [*held, *(child for child in gc.get_referents(item) if child is not state)]


def _numpy(item: Any) -> tuple[int | None, Iterable[Any]]:  # noqa: ANN401
    numpy = sys.modules["numpy"]
    if isinstance(item, (numpy.generic, numpy.dtype, numpy.ufunc)) or _is_process_state(item):
        return None, ()
    if not isinstance(item, numpy.ndarray):
        return id(item), _values(item)
    below = list(item.flat) if item.dtype.kind == "O" else []
    owner = item
    while isinstance(owner.base, numpy.ndarray):
        owner = owner.base
    if owner.base is not None and not isinstance(owner.base, (bytes, memoryview)):
        # memory that another object owns, such as a bytearray, an mmap or a C array
        return id(owner), [*below, owner.base]
    return id(owner), below


def _pandas(item: Any) -> tuple[int | None, Iterable[Any]]:  # noqa: ANN401
    if any(kind.__name__.endswith(_PANDAS_IMMUTABLE) for kind in type(item).__mro__):
        return None, ()
    if any(kind.__name__ == "NDFrame" for kind in type(item).__mro__):
        return id(item), [*_held_objects(item), *item.attrs.values()]
    # what keeps a frame sees its changes: a GroupBy, a window, a Styler, `df.loc`
    return id(item), _values(item)


def _held_objects(frame: Any) -> list[Any]:  # noqa: ANN401
    """Return what columns of objects hold: lists in a column are shared with whoever else has them."""
    blocks = [block.values for block in frame._mgr.blocks]  # noqa: SLF001 - a column by its name would be a new object
    return [value for block in blocks if getattr(block.dtype, "kind", "") == "O" and hasattr(block, "flat") for value in block.flat]


def _is_process_state(item: object) -> bool:
    mtrand = sys.modules.get("numpy.random.mtrand")
    random = sys.modules.get("random")
    return item is getattr(mtrand, "_rand", mtrand) or item is getattr(random, "_inst", random)
