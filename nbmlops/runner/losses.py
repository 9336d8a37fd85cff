"""What an object does not get back when it is stored, though it could be: its class leaves it out or makes something else of it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from nbmlops.store.fingerprint import value_fingerprint
from nbmlops.store.serializers import decode, encode
from nbmlops.store.serializers.hooks import attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nbmlops.store.serializers import Context

__all__ = ["losses"]


def losses(objects: Iterable[object], context: Context) -> set[str]:
    """Return what is another one in an object that is loaded back, such as ``"Point.extra"``.

    What cannot be stored is not compared: leaving that out is what such classes are for.

    Parameters
    ----------
    objects : iterable of object
        Those whose class decides by itself what is stored. Their code runs: call this when all else is done.
    context : Context
    """
    found: set[str] = set()
    for value in objects:
        with suppress(Exception):  # it is the user's code; who reads the artifact is told
            found.update(_losses(value, context))
    return found


def _losses(value: object, context: Context) -> Iterator[str]:
    encoded = encode(value, context)
    again = decode(encoded.format, memoryview(b"".join(encoded.buffers)), context, encoded.form)
    kind = type(value).__qualname__
    if type(again).__qualname__ != kind:
        yield f"the {kind} (a {type(again).__qualname__} then)"
        return
    loaded = attributes(again)
    for name, held in attributes(value).items():
        before = value_fingerprint(held, context)
        if before is not None and (name not in loaded or value_fingerprint(loaded[name], context) != before):
            yield f"{kind}.{name}"
