"""JSON, for plain data that it gives back exactly.

Exact means: the same types, no subclasses, string keys, finite floats, and no list or dict in two places, since JSON
would make two of it.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, ClassVar

from nbmlops.store.serializers.base import Encoded, summarise, type_name

if TYPE_CHECKING:
    from nbmlops.store.serializers.base import Context

__all__ = ["PlainSerializer"]

# deeper values would depend on how much stack the reader has left
_DEPTH_LIMIT = 100
# Python refuses to print or parse longer integers; its limit can be set as low as 640 digits, which are 2126 bits
_INTEGER_BITS = 2000
_CONSTANTS = frozenset({bool, type(None)})
_SCALARS = frozenset({str, int, float, *_CONSTANTS})


class PlainSerializer:
    """Plain data as JSON text in UTF-8."""

    format: ClassVar[str] = "json"
    runs_code: ClassVar[bool] = False

    def encode(self, value: Any, context: Context) -> Encoded | None:  # noqa: ANN401, ARG002
        """Return JSON, or None for anything that would come back changed."""
        if not _is_plain(value):
            return None
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))
            data = text.encode()
        except UnicodeEncodeError:
            # a lone surrogate has no UTF-8, and two halves written as escapes would be read as one character
            return None
        return Encoded(format=self.format, buffers=(data,), type=type_name(value), summary=summarise(value))

    def decode(self, view: memoryview, context: Context) -> Any:  # noqa: ANN401, ARG002
        """Parse JSON."""
        return json.loads(bytes(view))


def _is_plain(value: object) -> bool:
    level, depth, seen = [value], 0, set[int]()
    while level:
        if depth > _DEPTH_LIMIT:
            return False
        below: list[object] = []
        for item in level:
            kind = type(item)
            if kind in _SCALARS:
                if not _is_exact(item):
                    return False
                continue
            if kind not in {list, dict} or id(item) in seen:
                return False
            seen.add(id(item))
            if isinstance(item, dict):
                if any(type(key) is not str for key in item):
                    return False
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        level, depth = below, depth + 1
    return True


def _is_exact(item: object) -> bool:
    if type(item) is float:
        return math.isfinite(item)
    return type(item) is not int or item.bit_length() <= _INTEGER_BITS
