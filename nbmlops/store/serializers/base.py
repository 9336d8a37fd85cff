"""The contract of a serializer: one format, its encoding and its decoding."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Context", "Encoded", "Serializer", "nbytes", "private", "root_package", "summarise", "type_name"]

_SUMMARY_LIMIT = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the value's code is bound to: the namespace that it comes from, or that it goes to.

    Make one per namespace and keep it: classes that were stored by value are made once for each context.

    Parameters
    ----------
    namespace : dict of str to Any
        The live globals of the stage or kernel; functions loaded with this context see them.
    by_reference : frozenset of str
        Names of the functions and classes that setup cells define; they are stored as their name.
    local_roots : tuple of Path
        Folders whose modules belong to the project, installed packages below them excepted.
    trusted : bool
        Whether formats that run code when read may be decoded.
    form : bytes
        Of the artifact that is decoded: see `Encoded`.
    classes : dict of str to type
        The classes made by earlier loads, by name and content. Filled by loading.
    """

    namespace: dict[str, Any] = field(default_factory=dict)
    by_reference: frozenset[str] = frozenset()
    local_roots: tuple[Path, ...] = ()
    trusted: bool = False
    form: bytes = b""
    classes: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A value as bytes.

    Parameters
    ----------
    format : str
        The serializer's format, such as ``"arrow"``.
    buffers : tuple of bytes or memoryview
        The object's bytes, in order. A memoryview may point into the value: write it before the value changes.
    refers : tuple of str
        What code the value needs, sorted: ``"name:clean"`` a definition of the notebook by reference,
        ``"code:clean:<hash>"`` one kept by value, ``"module:helpers"`` a module of the project,
        ``"dist:scikit-learn"`` an installed distribution.
    form : bytes
        What equal values need not have in common and a program can still see: the order in which sets are iterated. The bytes leave it
        out, so that equal values have equal ones; decoding with it gives the value in its very form.
    type : str
        The type's public name, such as ``"pandas.DataFrame"``.
    summary : str
        The size in a few words, such as ``"1,000 x 20"``.
    hooked : tuple of object
        The objects in it, as far as they are few, whose class in the user's own code decides by itself what of them is stored.
    """

    format: str
    buffers: tuple[bytes | memoryview, ...]
    refers: tuple[str, ...] = ()
    form: bytes = b""
    type: str
    summary: str
    hooked: tuple[object, ...] = field(default=(), repr=False, compare=False)

    @property
    def size_bytes(self) -> int:
        """How many bytes the object takes."""
        return nbytes(self.buffers)


class Serializer(Protocol):
    """One format. Stateless, and called from any thread."""

    format: ClassVar[str]
    runs_code: ClassVar[bool]

    def encode(self, value: Any, context: Context) -> Encoded | None:  # noqa: ANN401 - any value at all
        """Return the value's bytes, or None where this format cannot give the same value back.

        Equal values must give equal bytes, in every process. Raise `NotStorable` only where no other format may try.
        """

    def decode(self, view: memoryview, context: Context) -> Any:  # noqa: ANN401
        """Return the value.

        `view` is private to the caller and writable where it can be: build the value on it without copying, and
        copy it first (`private`) where it is read-only.
        """


def private(view: memoryview) -> memoryview:
    """Return `view` as writable bytes that no one else changes."""
    flat = view.cast("B") if view.format != "B" else view
    return memoryview(bytearray(flat)) if flat.readonly else flat


def nbytes(buffers: Sequence[bytes | memoryview]) -> int:
    """Count the bytes of `buffers`."""
    return sum(item.nbytes if isinstance(item, memoryview) else len(item) for item in buffers)


def root_package(kind: type) -> str:
    """Return the top package of a type, so that a format can pass without importing anything."""
    return str(getattr(kind, "__module__", "")).partition(".")[0]


def type_name(value: object) -> str:
    """Return the name by which users know the value's type, such as ``pandas.DataFrame``."""
    kind = type(value)
    if kind.__module__ in {"builtins", "__main__"}:
        return kind.__qualname__
    root = root_package(kind)
    if getattr(sys.modules.get(root), kind.__qualname__, None) is kind:
        return f"{root}.{kind.__qualname__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def summarise(value: Any) -> str:  # noqa: ANN401
    """Return the value's size, or the value where it is short, in a few words; "" where there is nothing to say."""
    kind = type(value)
    if kind in {int, float, bool, complex, type(None)}:
        # an int beyond the digit limit has no decimal text
        return "a large integer" if kind is int and value.bit_length() > 200 else repr(value)  # noqa: PLR2004
    if kind in {str, bytes}:
        text = repr(value[:_SUMMARY_LIMIT])
        return text if len(value) <= _SUMMARY_LIMIT else f"{len(value):,} {'characters' if kind is str else 'bytes'}"
    if kind in {list, tuple, set, frozenset, dict}:
        return f"{len(value):,} {'item' if len(value) == 1 else 'items'}"
    if root_package(kind) in {"numpy", "pandas", "pyarrow", "scipy"}:
        return _shape(value)
    return ""


def _shape(value: Any) -> str:  # noqa: ANN401
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple) or not all(isinstance(size, int) for size in shape):
        return ""
    text = " x ".join(f"{size:,}" for size in shape) or "scalar"
    dtype = getattr(value, "dtype", None)
    return f"{text} {dtype}" if dtype is not None and len(str(dtype)) <= _SUMMARY_LIMIT else text
