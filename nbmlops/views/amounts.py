"""Bytes and seconds as people read them."""

from __future__ import annotations

import math

__all__ = ["human_bytes", "human_seconds"]

_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def human_bytes(size_bytes: float) -> str:
    """Return a size in the largest decimal unit that leaves a number of at least 1, to two digits.

    Examples
    --------
    >>> human_bytes(512), human_bytes(1_300_000), human_bytes(42_000_000)
    ('512 B', '1.3 MB', '42 MB')
    """
    if not math.isfinite(size_bytes) or size_bytes < 0:
        return "?"
    if size_bytes < 1000:
        return f"{int(size_bytes)} B"
    value, unit = float(size_bytes), ""
    for unit in _UNITS:
        value /= 1000
        if value < 999.5:
            break
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def human_seconds(seconds: float) -> str:
    """Return a duration: milliseconds below a tenth of a second, then seconds, minutes, hours, days.

    Examples
    --------
    >>> human_seconds(0.0123), human_seconds(4.2), human_seconds(75), human_seconds(7300)
    ('12 ms', '4.2 s', '1 min 15 s', '2 h 1 min')
    """
    if not math.isfinite(seconds) or seconds < 0:
        return "?"
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    for large, small, names in ((_HOUR, 1, ("min", "s")), (_DAY, _MINUTE, ("h", "min"))):
        if whole < large:
            return _two(whole, large // (60 if large == _HOUR else 24), small, names)
    return _two(whole, _DAY, _HOUR, ("d", "h"))


def _two(whole: int, unit: int, part: int, names: tuple[str, str]) -> str:
    first, rest = divmod(whole, unit)
    return f"{first} {names[0]} {rest // part} {names[1]}" if rest // part else f"{first} {names[0]}"
