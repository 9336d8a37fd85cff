"""Functions and classes in a pickle: by name where setup cells define them, else as code bound to the loading namespace.

cloudpickle copies the globals that a function reads, gives each class a random id and keeps file names and line numbers. Here globals
stay late-bound, as in a kernel; a class is known by its content, so that what two artifacts hold of it is one class again; and moving a
definition changes nothing. What takes a class apart is cloudpickle's.
"""

from __future__ import annotations

import abc
import enum
import importlib
import sys
import types
import typing
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import cloudpickle.cloudpickle as cp  # noqa: TID253 - this module is imported when something is pickled

from nbmlops.store.serializers.references import namespace_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmlops.store.serializers.base import Context
    from nbmlops.store.serializers.references import References

__all__ = ["LOADER", "Definitions", "Loader"]

_MAIN = frozenset({"__main__", "__mp_main__"})
_FILENAME = "<stored>"
# of the entries in a table of lines
_NO_COLUMNS, _NO_LINE, _LONGEST_ENTRY = 13, 15, 8


class _LoaderMark:
    """Stands in the stream for the loader that will read it."""


LOADER = _LoaderMark()


class Loader:
    """What the loading functions below need to know.

    Parameters
    ----------
    context : Context
        The loading namespace.
    class_key : callable
        Gives the content key of a live class.
    forms : object
        How sets are filled.
    """

    def __init__(self, context: Context, class_key: Callable[[type], str], forms: Any) -> None:  # noqa: ANN401 - canonical.SetForms
        self.context = context
        self.class_key = class_key
        self.forms = forms
        self.fresh: set[str] = set()

    def live_class(self, key: str) -> Any:  # noqa: ANN401
        """Return the class with this key that the process already has, or None."""
        if key in self.context.classes:
            return self.context.classes[key]
        first, *rest = key.partition(":")[0].split(".")
        found = self.context.namespace.get(first)
        for part in rest:
            found = getattr(found, part, None)
        if isinstance(found, type) and self.class_key(found) == key:
            self.context.classes[key] = found
            return found
        return None

    def forget(self) -> None:
        """Drop the classes that a failed load left half made."""
        for key in self.fresh:
            self.context.classes.pop(key, None)


class Definitions:
    """Takes the functions and classes of one encoding apart.

    Parameters
    ----------
    context : Context
        The namespace that they come from.
    references : References
        Told what was kept, and how.
    digest : callable
        Gives the canonical bytes of a value on its own.
    named : bool
        Whether classes carry their key; not while the key itself is made.
    """

    def __init__(self, context: Context, references: References, digest: Callable[[Any], bytes], *, named: bool) -> None:
        self._context = context
        self._references = references
        self._digest = digest
        self._with_keys = named
        self._live = {id(context.namespace[name]): name for name in context.by_reference if name in context.namespace}
        self._filled: dict[int, Any] = {}
        self._globals: dict[int, tuple[Any, dict[str, Any]]] = {}
        self._keys: dict[int, tuple[type, str]] = {}

    def by_name(self, value: object) -> Any:  # noqa: ANN401
        """Return the reduction to a name of the namespace, or None."""
        name = self._live.get(id(value))
        if name is None and isinstance(value, (types.FunctionType, type)):
            name = namespace_name(value, self._context)
        if name is None:
            return None
        self._references.add("name", name)
        return load_name, (LOADER, name)

    def function(self, value: types.FunctionType) -> Any:  # noqa: ANN401
        """Reduce a function."""
        if self._is_importable(value):
            self._references.add_module(value.__module__)
            return NotImplemented
        if self._with_keys:
            self._references.add("code", f"{value.__qualname__}:{_hash(self._digest(value.__code__))}")
        closure = value.__closure__ or ()
        # A cell is made empty and filled once its function exists: a recursive inner function sits in its own cell.
        # Two functions over one `nonlocal` keep sharing the cell.
        cells = [cell for cell in closure if id(cell) not in self._filled]
        self._filled.update((id(cell), cell) for cell in cells)
        owner, bound = self._owner(value)
        state = {
            "cells": [(cell, cell.cell_contents) for cell in cells if _is_bound(cell)],
            "globals": bound,
            "attributes": {
                "__name__": value.__name__,
                "__qualname__": value.__qualname__,
                "__annotations__": value.__annotations__,
                "__kwdefaults__": value.__kwdefaults__,
                "__defaults__": value.__defaults__,
                "__module__": value.__module__,
                "__doc__": value.__doc__,
            },
            "dict": value.__dict__,
        }
        return load_function, (LOADER, value.__code__, owner, tuple(closure) or None), state, None, None, set_function

    def class_(self, value: type) -> Any:  # noqa: ANN401
        """Reduce a class."""
        if value in cp._BUILTIN_TYPE_NAMES or value in {type(None), type(Ellipsis), type(NotImplemented)}:  # noqa: SLF001
            return cp._class_reduce(value)  # noqa: SLF001
        if self._is_importable(value):
            self._references.add_module(value.__module__)
            return NotImplemented
        key = self.class_key(value) if self._with_keys else ""
        if key:
            self._references.add("code", key)
        make, arguments, state = _enum_parts(value) if issubclass(value, enum.Enum) else _class_parts(value)
        return load_class, (LOADER, key, make, arguments), (LOADER, key, state), None, None, set_class

    def class_key(self, value: type) -> str:
        """Return the name and content of a class."""
        found = self._keys.get(id(value))
        if found is None:
            found = self._keys[id(value)] = (value, f"{value.__qualname__}:{_hash(self._digest(value))}")
        return found[1]

    def code(self, value: types.CodeType) -> Any:  # noqa: ANN401
        """Reduce code, without the place where it stood."""
        # the line table counts from the first line, so the lines inside a function stay right relative to each other
        return types.CodeType, (
            value.co_argcount,
            value.co_posonlyargcount,
            value.co_kwonlyargcount,
            value.co_nlocals,
            value.co_stacksize,
            value.co_flags,
            value.co_code,
            value.co_consts,
            value.co_names,
            value.co_varnames,
            _FILENAME,
            value.co_name,
            value.co_qualname,
            1,
            _without_columns(value),
            value.co_exceptiontable,
            value.co_freevars,
            value.co_cellvars,
        )

    def cell(self, value: types.CellType) -> Any:  # noqa: ANN401
        """Reduce a closure's cell."""
        if id(value) in self._filled or not _is_bound(value):
            return types.CellType, ()
        self._filled[id(value)] = value
        return types.CellType, (), value.cell_contents, None, None, fill_cell

    def typing_name(self, value: Any) -> Any:  # noqa: ANN401
        """Reduce a TypeVar, ParamSpec or NewType; pickle knows them by their module only, cloudpickle by a random id."""
        if getattr(sys.modules.get(value.__module__), value.__name__, None) is value and value.__module__ not in _MAIN:
            self._references.add_module(value.__module__)
            return NotImplemented
        if isinstance(value, typing.NewType):
            return _typing_name, ("NewType", value.__module__, (value.__name__, value.__supertype__), {})
        constraints = value.__constraints__ if isinstance(value, typing.TypeVar) else ()
        options = {"bound": value.__bound__, "covariant": value.__covariant__, "contravariant": value.__contravariant__}
        return _typing_name, (type(value).__name__, value.__module__, (value.__name__, *constraints), options)

    def _is_importable(self, value: Any) -> bool:  # noqa: ANN401
        module = sys.modules.get(value.__module__ or "")
        if module is not None and vars(module) is self._context.namespace:
            return False
        if module is None:
            _import_part(value.__module__ or "")
        return bool(cp._should_pickle_by_reference(value))  # noqa: SLF001

    def _owner(self, value: types.FunctionType) -> tuple[str | dict[str, Any], dict[str, Any]]:
        scope = value.__globals__
        main = sys.modules.get("__main__")
        # a dataclass made in the notebook has methods over `__main__`, whatever dict its cell ran in
        if scope is self._context.namespace or (main is not None and scope is vars(main)):
            return "", {}
        name = scope.get("__name__")
        if isinstance(name, str) and name not in _MAIN and name in sys.modules and vars(sys.modules[name]) is scope:
            self._references.add_module(name)
            return name, {}
        # the globals of an exec, such as a named tuple's: they exist nowhere else
        shared = self._globals.setdefault(id(scope), (scope, {"__name__": name} if isinstance(name, str) else {}))[1]
        wanted = cp._extract_code_globals(value.__code__)  # noqa: SLF001
        return shared, {name: scope[name] for name in wanted if name in scope}


def _import_part(name: str) -> None:
    """Import a module of a package that is there: numpy 2 says that `recarray` is of `numpy.rec`, and loads that when it is first asked for."""
    if name.partition(".")[0] in sys.modules and name.partition(".")[0] not in _MAIN:
        with suppress(Exception):  # it may name anything
            importlib.import_module(name)


def _without_columns(code: types.CodeType) -> bytes:
    """Return the table of a code's lines without the columns, which say how its source was laid out.

    References
    ----------
    CPython, ``Objects/locations.md``.
    """
    table = bytearray()
    before = code.co_firstlineno
    for start, end, line in code.co_lines():
        units = (end - start) // 2
        while units > 0:
            length = min(units, _LONGEST_ENTRY)
            table.append(0x80 | (_NO_LINE if line is None else _NO_COLUMNS) << 3 | (length - 1))
            if line is not None:
                delta, before = line - before, line
                table += _signed(delta)
            units -= length
    return bytes(table)


def _signed(number: int) -> bytes:
    """Return a signed number in groups of six bits, the least significant first."""
    rest = (-number << 1) | 1 if number < 0 else number << 1
    found = bytearray()
    while rest > 63:  # noqa: PLR2004 - what six bits hold
        found.append(0x40 | (rest & 0x3F))
        rest >>= 6
    return bytes([*found, rest])


def _class_parts(value: type) -> tuple[Callable[..., type], tuple[Any, ...], Any]:
    kept: dict[str, Any] = {"__qualname__": value.__qualname__}
    if "__module__" in vars(value):
        kept["__module__"] = value.__module__
    slot = vars(value).get("__dict__")
    if isinstance(slot, property):
        kept["__dict__"] = slot
    bases = cp._get_bases(value)  # noqa: SLF001
    state, _ = cp._class_getstate(value)  # noqa: SLF001
    return _make_class, (type(value), value.__name__, tuple(bases), kept), {"class": _settled(value, state)}


def _enum_parts(value: type[enum.Enum]) -> tuple[Callable[..., type], tuple[Any, ...], Any]:
    members = {name: member.value for name, member in value.__members__.items()}
    state, _ = cp._enum_getstate(value)  # noqa: SLF001
    for name in members:  # cloudpickle leaves the aliases
        state.pop(name, None)
    # what __init__ or __new__ put on the members: the methods are not there yet when these are made again
    own = {
        member.name: {name: item for name, item in vars(member).items() if name not in {"_name_", "__objclass__", "_sort_order_"}} for member in value
    }
    arguments = (value.__bases__, value.__name__, value.__qualname__, members, value.__module__)
    return _make_enum, arguments, {"class": _settled(value, state), "members": own}


def _settled(value: type, state: dict[str, Any]) -> dict[str, Any]:
    # copyreg's cache, there once an instance was pickled; and a line number (3.13), which changes when cells are edited
    for name in ("__slotnames__", "__firstlineno__"):
        state.pop(name, None)
    if isinstance(type(value), type) and issubclass(type(value), abc.ABCMeta) and "_abc_impl" in state:
        state["_abc_impl"] = sorted(state["_abc_impl"], key=lambda item: (item.__module__, item.__qualname__))
    return state


def load_name(loader: Loader, name: str) -> Any:  # noqa: ANN401
    """Return a definition of the loading namespace."""
    first, *rest = name.split(".")
    try:
        # not `in`: a stage's namespace withholds what the stage is not known to read, and answers look-ups all the same
        found = loader.context.namespace[first]
    except KeyError:
        raise NameError(f"it refers to {first!r}, which no setup cell defines here") from None
    for part in rest:
        found = getattr(found, part)
    return found


def load_function(loader: Loader, code: types.CodeType, owner: str | dict[str, Any], closure: Any) -> types.FunctionType:  # noqa: ANN401
    """Make a function over the namespace that it belongs to."""
    if isinstance(owner, dict):
        owner.setdefault("__builtins__", __builtins__)
        return types.FunctionType(code, owner, None, None, closure)
    scope = vars(importlib.import_module(owner)) if owner else loader.context.namespace
    return types.FunctionType(code, scope, None, None, closure)


def set_function(function: types.FunctionType, state: dict[str, Any]) -> None:
    """Give a function its cells, defaults and attributes."""
    for cell, content in state["cells"]:
        cell.cell_contents = content
    function.__globals__.update(state["globals"])
    for name, value in state["attributes"].items():
        setattr(function, name, value)
    function.__dict__.update(state["dict"])


def fill_cell(cell: types.CellType, content: Any) -> None:  # noqa: ANN401
    """Put its content into a cell that was met outside a function."""
    cell.cell_contents = content


def load_class(loader: Loader, key: str, make: Callable[..., type], arguments: tuple[Any, ...]) -> type:
    """Return the class that the process already has, or make it without its contents."""
    found: type | None = loader.live_class(key)
    if found is None:
        found = make(*arguments)
        loader.context.classes[key] = found
        loader.fresh.add(key)
    return found


def set_class(value: type, state: tuple[Loader, str, dict[str, Any]]) -> None:
    """Give a class that was just made its contents."""
    loader, key, parts = state
    if key not in loader.fresh:
        return
    cp._class_setstate(value, (parts["class"], {}))  # noqa: SLF001
    for name, attributes in parts.get("members", {}).items():
        vars(value.__members__[name]).update(attributes)  # type: ignore[attr-defined]


def _make_class(metaclass: type, name: str, bases: tuple[Any, ...], kept: dict[str, Any]) -> type:
    made: type = cp._make_skeleton_class(metaclass, name, bases, kept, None, None)  # noqa: SLF001
    return made


def _make_enum(bases: tuple[type, ...], name: str, qualname: str, members: dict[str, Any], module: str) -> type:
    made: type = cp._make_skeleton_enum(bases, name, qualname, members, module, None, None)  # noqa: SLF001
    return made


def _typing_name(kind: str, module: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:  # noqa: ANN401
    made = getattr(typing, kind)(*arguments, **options)
    made.__module__ = module
    return made


def _is_bound(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _hash(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()
