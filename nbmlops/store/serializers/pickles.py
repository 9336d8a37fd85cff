"""Pickle protocol 5 with its buffers out of band: for everything that no plainer format gives back exactly.

The object is a header line, the pickle, and the buffers, each at a multiple of 64 bytes, so that a mapped object loads without copying.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import io
import json
import pickle
import random
import sys
import types
import typing
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

import cloudpickle  # noqa: TID253 - this module is imported when something is pickled

from nbmlops.errors import NotStorable
from nbmlops.store.serializers.base import Encoded, private, summarise, type_name
from nbmlops.store.serializers.canonical import Canonical, SetForms
from nbmlops.store.serializers.definitions import LOADER, Definitions, Loader
from nbmlops.store.serializers.histories import reducer_of, without_hidden
from nbmlops.store.serializers.hooks import has_hooks
from nbmlops.store.serializers.references import References
from nbmlops.store.serializers.refusals import is_refused, not_storable
from nbmlops.store.serializers.shared import ARRAY_SUBCLASSES, Window, private_arrays, rebuild_view, rebuild_window, shared_windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmlops.store.serializers.base import Context

__all__ = ["PickleSerializer"]

_MAGIC = b"nbmlops-pickle5\n"
_ALIGNMENT = 64
_LENGTH_BYTES = 8
_MOST_HOOKED = 50
_STATE = 2  # its place in what __reduce_ex__ returns
# identity is what these are about, and pickle would copy them
_SINGLETONS: tuple[tuple[Any, str, str], ...] = (
    (dataclasses.MISSING, "dataclasses", "MISSING"),
    (dataclasses.KW_ONLY, "dataclasses", "KW_ONLY"),
    (dataclasses._HAS_DEFAULT_FACTORY, "dataclasses", "_HAS_DEFAULT_FACTORY"),  # type: ignore[attr-defined]  # noqa: SLF001
    (random._inst, "random", "_inst"),  # noqa: SLF001
)
_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


class PickleSerializer:
    """Any object that pickles, with the notebook's functions and classes."""

    format: ClassVar[str] = "pickle5"
    runs_code: ClassVar[bool] = True

    def encode(self, value: Any, context: Context) -> Encoded:  # noqa: ANN401
        """Return the container.

        Raises
        ------
        NotStorable
            If an inner object cannot be pickled, or would come back as something else.
        """
        first = last = _Pickler(context, value)
        try:
            first.run()
            windows = shared_windows(first.arrays)
            if windows is None:
                what = "two arrays of objects, or of a class of their own, share memory, which cannot be stored"
                raise NotStorable(what, code="NB615", fix="make one of them a copy()")
            if windows:
                # `first` lives on: the ids in `windows` must not be given to other arrays
                last = _Pickler(context, value, windows=windows)
                last.run()
            return Encoded(
                format=self.format,
                buffers=_pack(last.stream.getvalue(), [buffer.raw() for buffer in last.buffers]),
                refers=last.references.sorted(),
                form=last.form,
                type=type_name(value),
                summary=summarise(value),
                hooked=tuple(last.hooked),
            )
        finally:
            first.release()
            last.release()

    def decode(self, view: memoryview, context: Context) -> Any:  # noqa: ANN401
        """Unpickle, with the buffers left where they are. Runs what the pickle names: the caller has checked the trust."""
        data, buffers = _unpack(private(view))
        loader = Loader(context, lambda kind: _class_key(kind, context), SetForms(context.form))
        try:
            return _Unpickler(io.BytesIO(data), loader, buffers).load()
        except BaseException:
            loader.forget()
            raise


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Writes one value canonically.

    Parameters
    ----------
    context : Context
        The namespace that the value comes from.
    value : Any
        The value.
    windows : dict of int to Window
        The arrays that share memory, by id.
    alone : bool
        Whether only the bytes count, as a name for the value: nothing is read back from them.
    """

    def __init__(self, context: Context, value: Any, *, windows: dict[int, Window] | None = None, alone: bool = False) -> None:  # noqa: ANN401
        self.stream = io.BytesIO()
        self.buffers: list[pickle.PickleBuffer] = []
        self.arrays: list[Any] = []
        self.hooked: list[Any] = []
        self.references = References(context)
        self.definitions = Definitions(context, self.references, self._alone, named=not alone)
        self._value = value
        self._context = context
        self._windows = windows or {}
        self._private: dict[int, Any] = {}
        self._last: Any = value
        self._nested = alone
        self._canonical = Canonical(self._sort_key)
        self._identities: dict[type, Callable[[Any], Any] | None] = {}
        self._reducers: dict[type, Callable[[Any], Any] | None] = {}
        self._singletons = {id(item): (module, name) for item, module, name in (*_SINGLETONS, *_numpy_singletons())}
        super().__init__(self.stream, protocol=5, buffer_callback=None if alone else self.buffers.append)

    def run(self) -> None:
        """Write the value to the stream.

        Raises
        ------
        NotStorable
            Naming the innermost object that failed.
        """
        try:
            self.dump(self._value)
        except (NotStorable, MemoryError):
            raise
        except (RecursionError, pickle.PicklingError) as error:
            if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
                raise NotStorable(
                    f"a {type_name(self._value)} is nested too deeply to be stored", code="NB615", fix="keep it as a flat list or table"
                ) from error
            raise not_storable(self._value, self._last, _reason(error)) from error
        except Exception as error:
            raise not_storable(self._value, self._last, _reason(error)) from error

    @property
    def form(self) -> bytes:
        """What the bytes leave out: in which order sets are iterated."""
        return self._canonical.forms.to_bytes()

    def release(self) -> None:
        """Let go of the value: a pickler is part of a cycle, and its memo would keep large values until the next collection."""
        self.clear_memo()
        self.__dict__.clear()

    def persistent_id(self, value: Any) -> Any:  # noqa: ANN401
        """Return the object that stands for `value`: see `canonical`. Called for every object, so it is short."""
        kind = type(value)
        if kind is float:
            return None if value == value else self._canonical.nan(value)  # noqa: PLR0124 - NaN is what is not equal to itself
        try:
            handler = self._identities[kind]
        except KeyError:
            handler = self._identities[kind] = (lambda _: 0) if value is LOADER else self._canonical.handler(kind)
        return handler and handler(value)

    def reducer_override(self, value: Any) -> Any:  # noqa: ANN401
        """Return how to make `value` again; NotImplemented leaves it to pickle."""
        self._last = value
        named = self.definitions.by_name(value)
        if named is not None:
            return named
        kind = type(value)
        try:
            reducer = self._reducers[kind]
        except KeyError:
            reducer = self._reducers[kind] = self._reducer(kind)
        if id(value) in self._singletons:
            return getattr, (sys.modules[self._singletons[id(value)][0]], self._singletons[id(value)][1])
        return reducer(value) if reducer else NotImplemented

    def _reducer(self, kind: type) -> Callable[[Any], Any] | None:  # noqa: PLR0911 - a table with tests for subclasses
        definitions = self.definitions
        exact: dict[type, Callable[[Any], Any]] = {
            types.FunctionType: definitions.function,
            types.CodeType: definitions.code,
            types.CellType: definitions.cell,
            types.ModuleType: self._module,
            types.BuiltinFunctionType: self._builtin,
            types.MappingProxyType: lambda value: (types.MappingProxyType, (gc.get_referents(value)[0],)),
            **dict.fromkeys((typing.TypeVar, typing.ParamSpec, typing.NewType), definitions.typing_name),
            functools._lru_cache_wrapper: _cached_function,  # noqa: SLF001
            functools.cached_property: _cached_property,
            **dict.fromkeys(_VIEWS, _dict_view),
        }
        if kind in exact:
            return exact[kind]
        if issubclass(kind, type):
            return definitions.class_
        if issubclass(kind, BaseException) and kind.__reduce__ is BaseException.__reduce__:
            return _exception
        package = kind.__module__.partition(".")[0]
        without_history = reducer_of(kind)
        if without_history is not None:
            return self._foreign(kind, without_history)
        if package == "numpy":
            return self._numpy(kind)
        if package == "pyarrow" and kind.__name__.endswith("Array"):
            return _arrow_column
        if package == "pandas":
            return self._pandas
        return self._foreign(kind)

    def _foreign(self, kind: type, reducer: Callable[[Any], Any] | None = None) -> Callable[[Any], Any]:
        """Return how to reduce values of classes that are not ours to know; of those that are arrays, the memory is noted."""
        reducer = reducer or (self._hooked if has_hooks(kind, self._context) else self._other)
        numpy: Any = sys.modules.get("numpy")
        if numpy is None or not issubclass(kind, numpy.ndarray):
            return reducer

        def array(value: Any) -> Any:  # noqa: ANN401
            self._note_array(value)
            return reducer(value)

        return array

    def _numpy(self, kind: type) -> Callable[[Any], Any] | None:
        if kind.__name__ == "ndarray":
            return self._array
        if kind.__name__ in ARRAY_SUBCLASSES:
            return self._array_subclass
        if kind.__module__ == "numpy.dtypes":
            return _dtype
        return self._foreign(kind)

    def _array(self, value: Any) -> Any:  # noqa: ANN401
        window = self._note_array(value)
        if window:
            return rebuild_window, window
        if value.dtype.hasobject:
            return NotImplemented if value.flags.writeable else _read_only(value)
        if value.flags.c_contiguous or value.flags.f_contiguous:
            return NotImplemented
        return _reordered(value)

    def _note_array(self, value: Any) -> tuple[Any, ...] | None:  # noqa: ANN401
        """Note memory that others may use, and return the array's place in it, once that is known."""
        if id(value) not in self._private:
            self.arrays.append(value)
        window = self._windows.get(id(value))
        return (window.block, value.dtype, value.shape, value.strides, window.offset, value.flags.writeable) if window else None

    def _array_subclass(self, value: Any) -> Any:  # noqa: ANN401
        refused = self._other(value)
        window = self._note_array(value)
        if window:
            return rebuild_view, (type(value), *window)
        return refused if value.flags.writeable else _read_only(value)

    def _pandas(self, value: Any) -> Any:  # noqa: ANN401
        self._private.update((id(array), array) for array in private_arrays(value))
        extends = hasattr(value, "_from_sequence") or hasattr(value, "construct_array_type")
        return _extension(value) if extends else NotImplemented

    def _hooked(self, value: Any) -> Any:  # noqa: ANN401
        if len(self.hooked) < _MOST_HOOKED:
            self.hooked.append(value)
        return self._other(value)

    def _other(self, value: Any) -> Any:  # noqa: ANN401
        if is_refused(value):
            raise not_storable(self._value, value)
        if type(value) not in self.dispatch_table and _is_named_in_main(value):
            raise not_storable(self._value, value, "it is known by its name only", fix="define it in a setup cell")
        return NotImplemented

    def _module(self, value: types.ModuleType) -> Any:  # noqa: ANN401
        if vars(value) is self._context.namespace or sys.modules.get(value.__name__) is not value or value.__name__ == "__main__":
            raise not_storable(self._value, value, "it cannot be imported again")
        self.references.add_module(value.__name__)
        return cloudpickle.cloudpickle.subimport, (value.__name__,)

    def _builtin(self, value: Any) -> Any:  # noqa: ANN401
        if value.__module__:
            self.references.add_module(value.__module__)
        return NotImplemented

    def _sort_key(self, value: Any) -> bytes:  # noqa: ANN401
        # one level only: an item that leads back to its own set has no end
        return type(value).__qualname__.encode() if self._nested else self._alone(value)

    def _alone(self, value: Any) -> bytes:  # noqa: ANN401
        pickler = _Pickler(self._context, value, alone=True)
        try:
            pickler.run()
            return pickler.stream.getvalue()
        finally:
            pickler.release()


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, loader: Loader, buffers: list[memoryview]) -> None:
        super().__init__(stream, buffers=buffers)
        self._loader = loader

    def persistent_load(self, pid: Any) -> Any:  # noqa: ANN401
        return self._loader if type(pid) is int else pid

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        if module == "__main__":
            first, *rest = name.split(".")
            with suppress(KeyError):
                return functools.reduce(getattr, rest, self._loader.context.namespace[first])
        return super().find_class(module, name)


def _class_key(kind: type, context: Context) -> str:
    pickler = _Pickler(context, kind)
    try:
        return pickler.definitions.class_key(kind)
    finally:
        pickler.release()


def _pack(data: bytes, buffers: list[memoryview]) -> tuple[bytes | memoryview, ...]:
    head = json.dumps({"pickle": len(data), "buffers": [item.nbytes for item in buffers]}, separators=(",", ":")).encode()
    parts: list[bytes | memoryview] = []
    size = 0
    items: list[bytes | memoryview] = [_MAGIC + len(head).to_bytes(_LENGTH_BYTES, "little") + head, data, *buffers]
    for item in items:
        padding = -size % _ALIGNMENT
        if padding:
            parts.append(bytes(padding))
        parts.append(item)
        size += padding + len(item)
    return tuple(parts)


def _unpack(view: memoryview) -> tuple[memoryview, list[memoryview]]:
    start = len(_MAGIC) + _LENGTH_BYTES
    if bytes(view[: len(_MAGIC)]) != _MAGIC:
        raise ValueError("not a pickle container")
    end = start + int.from_bytes(view[len(_MAGIC) : start], "little")
    head = json.loads(bytes(view[start:end]))
    parts: list[memoryview] = []
    # pickle itself makes those read-only again that were
    for length in (head["pickle"], *head["buffers"]):
        begin = end + -end % _ALIGNMENT
        end = begin + length
        parts.append(view[begin:end])
    if end != len(view):
        raise ValueError("a pickle container of the wrong length")
    return parts[0], parts[1:]


def _reason(error: Exception) -> str:
    text = str(error)
    return "" if text.lower().startswith(("cannot pickle", "can't pickle")) else text


def _is_named_in_main(value: Any) -> bool:  # noqa: ANN401
    # such as what a decorator made of a function: pickle would look it up in the reading process's own __main__
    named = type(value).__module__ != "__main__" and getattr(value, "__module__", None) == "__main__"
    return named and isinstance(value.__reduce_ex__(5), str)


def _numpy_singletons() -> tuple[tuple[Any, str, str], ...]:
    module: Any = sys.modules.get("numpy.random.mtrand")
    return ((module._rand, "numpy.random.mtrand", "_rand"),) if module is not None else ()  # noqa: SLF001


def _dtype(value: Any) -> Any:  # noqa: ANN401
    from nbmlops.store.serializers.layout import has_one_form  # noqa: PLC0415

    # its own reduction makes a copy of what is a singleton
    return (sys.modules["numpy"].dtype, (value.str,)) if has_one_form(value) else NotImplemented


def _reordered(value: Any) -> Any:  # noqa: ANN401
    import numpy as np

    from nbmlops.store.serializers.layout import compact  # noqa: PLC0415

    # pickle would write C order; the order of the axes decides the last bits of a float sum
    array = compact(value)
    if array.flags.c_contiguous or array.flags.f_contiguous:
        return array.__reduce_ex__(5)
    axes = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    return np.transpose, (array.transpose(axes), tuple(axes.index(axis) for axis in range(array.ndim)))


def _read_only(value: Any) -> Any:  # noqa: ANN401
    # what is not written out of band comes back writable
    make, args, state = value.__reduce_ex__(5)
    return make, args, state, None, None, _set_read_only


def _set_read_only(array: Any, state: Any) -> None:  # noqa: ANN401
    array.__setstate__(state)
    array.flags.writeable = False


def _extension(value: Any) -> Any:  # noqa: ANN401
    # which attributes a column or its dtype has, and in which order, depends on what was done with it before
    reduced = value.__reduce_ex__(5)
    state = reduced[_STATE] if len(reduced) > _STATE else None
    if type(state) is dict:
        state = _attributes(state)
    elif type(state) is tuple and hasattr(value, "_ndarray"):
        # pandas 2 reads three parts only; pandas 3 leaves out an empty third
        state = (*state[:_STATE], _attributes(state[_STATE]) if len(state) > _STATE else {})
    else:
        return reduced
    return (*reduced[:_STATE], state, *reduced[_STATE + 1 :])


def _attributes(state: dict[str, Any]) -> dict[str, Any]:
    return without_hidden({name: item for name, item in sorted(state.items()) if name != "_cache" and (name != "_readonly" or item)})


def _arrow_column(value: Any) -> Any:  # noqa: ANN401
    from nbmlops.store.serializers.arrowfile import read_array, read_column, write_column  # noqa: PLC0415

    # a slice of a column would be written with all that it was cut from
    read = read_column if type(value).__name__ == "ChunkedArray" else read_array
    # not of a memoryview: as garbage in a cycle the two crash Python before 3.12.7 (python/cpython#77894)
    return read, (pickle.PickleBuffer(write_column(value)),)


def _dict_view(value: Any) -> Any:  # noqa: ANN401
    mapping = gc.get_referents(value.mapping)[0]
    return getattr(type(mapping), type(value).__name__.removeprefix("dict_")), (mapping,)


def _cached_function(value: Any) -> Any:  # noqa: ANN401
    module = sys.modules.get(value.__module__ or "__main__")
    if value.__module__ != "__main__" and getattr(module, value.__qualname__, None) is value:
        return NotImplemented
    return _cache_again, (value.__wrapped__, value.cache_parameters())


def _cache_again(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:  # noqa: ANN401
    return functools.lru_cache(**parameters)(function)


def _cached_property(value: Any) -> Any:  # noqa: ANN401
    # before 3.12 it holds a lock
    return functools.cached_property, (value.func,), {"attrname": value.attrname, "__doc__": value.__doc__}


def _exception(value: BaseException) -> Any:  # noqa: ANN401
    # pickle calls the class with `args`, which fails where __init__ takes others
    state = {"dict": dict(vars(value)), "cause": value.__cause__, "suppress": value.__suppress_context__}
    return _bare_exception, (type(value), value.args), state, None, None, _set_exception


def _bare_exception(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    made = kind.__new__(kind, *args)
    made.args = args
    return made


def _set_exception(error: BaseException, state: dict[str, Any]) -> None:
    error.__dict__.update(state["dict"])
    error.__cause__ = state["cause"]
    error.__suppress_context__ = state["suppress"]
