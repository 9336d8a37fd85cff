"""Bytes, seconds and other values as people read them."""

from __future__ import annotations

import json
import math

from nbmlops.views.escape import cut

__all__ = ["exact_value", "human_bytes", "human_seconds", "human_value"]

_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")


def human_bytes(size_bytes: float) -> str:
    """Return a size in the largest decimal unit that leaves a number of at least 1, to two digits.

    Examples
    --------
    >>> human_bytes(512), human_bytes(1_300_000), human_bytes(42_000_000)
    ('512 B', '1.3 MB', '42 MB')
    """
    if not 0 <= size_bytes < math.inf:
        return "?"
    value, unit = float(size_bytes), "B"
    for larger in _UNITS:
        if value < 999.5:  # noqa: PLR2004 - from here it is rounded to 1000
            break
        value, unit = value / 1000, larger
    return f"{value:.1f} {unit}" if unit != "B" and value < 9.95 else f"{value:.0f} {unit}"  # noqa: PLR2004 - from here it is rounded to 10


def human_seconds(seconds: float) -> str:
    """Return a duration: milliseconds below a tenth of a second, then seconds, minutes, hours, days.

    Examples
    --------
    >>> human_seconds(0.0123), human_seconds(4.2), human_seconds(75), human_seconds(7300)
    ('12 ms', '4.2 s', '1 min 15 s', '2 h 1 min')
    """
    if not 0 <= seconds < math.inf:
        return "?"
    if seconds < 0.0995:  # noqa: PLR2004 - from here it is rounded to 0.1 s
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:  # noqa: PLR2004 - from here it is rounded to 10 s
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    hours, rest_min = divmod(minutes, 60)
    days, rest_h = divmod(hours, 24)
    parts = [(days, "d"), (rest_h, "h"), (rest_min, "min"), (rest_s, "s")]
    first = next((number for number, (value, _) in enumerate(parts) if value), len(parts) - 1)
    return " ".join(f"{value} {unit}" for value, unit in parts[first : first + 2] if value)


def human_value(value: object, limit: int = 40) -> str:
    """Return a metric: floats to four digits, the rest as `exact_value`."""
    return f"{value:.4g}" if isinstance(value, float) else exact_value(value, limit)


def exact_value(value: object, limit: int = 40) -> str:
    """Return a parameter, option or judged value: strings bare, the rest as JSON, cut to `limit` columns."""
    if isinstance(value, str):
        return cut(value, limit)
    try:
        return cut(json.dumps(value, ensure_ascii=False, default=str), limit)
    except (TypeError, ValueError, RecursionError):  # a key that is no string, a value that holds itself
        return cut(type(value).__name__, limit)
