"""One encoding per type: the same value gives the same bytes in every store, and comes back the same."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NbmlopsError, StoreError, UntrustedArtifact, UsageError
from nbmlops.plugins import Family
from nbmlops.store.serializers.base import Context, Encoded, Serializer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SERIALIZERS", "Context", "Encoded", "Serializer", "decode", "encode", "runs_code"]

SERIALIZERS = Family(
    "nbmlops.serializers",
    {
        "json": "nbmlops.store.serializers.plain:PlainSerializer",
        "npy": "nbmlops.store.serializers.arrays:ArraySerializer",
        "arrow": "nbmlops.store.serializers.tables:TableSerializer",
        "pickle5": "nbmlops.store.serializers.pickles:PickleSerializer",
    },
)

_LAST = "pickle5"


def encode(value: Any, context: Context) -> Encoded:  # noqa: ANN401 - any value at all
    """Return the value's bytes in the first format that gives exactly this value back.

    Raises
    ------
    NotStorable
        If no format can; the message names the inner object and the remedy.
    """
    for serializer in _in_order():
        encoded = serializer.encode(value, context)
        if encoded is not None:
            return encoded
    raise AssertionError(_LAST)  # the last one answers or raises


def decode(format: str, view: memoryview, context: Context, form: bytes = b"") -> Any:  # noqa: A002, ANN401 - the record's word
    """Return the value that `view` holds.

    Parameters
    ----------
    format : str
        What `encode` said.
    view : memoryview
        The object's bytes, verified by the caller. Where it is writable the value is built on it, so it must be private.
    context : Context
        The loading namespace.
    form : bytes
        What `encode` said beside the bytes.

    Raises
    ------
    UntrustedArtifact
        If reading the format runs code, and the context is not trusted.
    StoreError
        If the bytes need code that is not here, or are not what `encode` writes.
    """
    serializer = _serializer(format)
    if serializer.runs_code and not context.trusted:
        raise UntrustedArtifact(
            f"an artifact of format {format!r} would run code when read, and its store is not trusted",
            code="NB811",
            fix="name the store in the setting trusted_stores, or seal it with NBMLOPS_STORE_KEY",
        )
    try:
        return serializer.decode(memoryview(view), replace(context, form=form) if form else context)
    except (NbmlopsError, MemoryError):
        raise
    except Exception as error:
        raise StoreError(
            f"an artifact of format {format!r} cannot be read: {type(error).__name__}: {error}",
            code="NB813",
            fix="run again with --force, or install what it names",
        ) from error


def runs_code(format: str) -> bool:  # noqa: A002
    """Say whether reading `format` may run code, so that only a trusted store may offer it."""
    return _serializer(format).runs_code


def _in_order() -> Iterator[Serializer]:
    # built-ins first: a plugin must not change the digests that other stores know
    for name in ("json", "npy", "arrow"):
        yield _serializer(name)
    for name in _third_parties():
        yield _serializer(name)
    yield _serializer(_LAST)


@lru_cache(maxsize=1)
def _third_parties() -> tuple[str, ...]:
    return tuple(name for name in SERIALIZERS.names() if name not in SERIALIZERS.builtins)


def _serializer(name: str) -> Serializer:
    try:
        serializer: Serializer = SERIALIZERS.get(name)()
    except UsageError as error:
        raise StoreError(f"an artifact has the unknown format {name!r}", code="NB812", fix="install the package that wrote it") from error
    return serializer
