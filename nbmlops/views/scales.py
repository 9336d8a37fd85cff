"""From values to places on a drawing: number lines with round ticks, linear or logarithmic, and rows of categories."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbmlops.views.amounts import exact_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Scale", "finite", "scale_of"]

_HUGE = 1e300  # beyond it the distance of two floats may be infinite
_STEPS = (1, 2, 5, 10)
_FEW_DECADES = 2
_FEW_TICKS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Where values lie between two pixels.

    Parameters
    ----------
    low, high : float
        The values at its ends; what lies beyond is drawn at the end.
    start, end : float
        The pixels of the ends.
    log : bool
        Whether equal ratios are equally long; both ends are positive then.
    whole : bool
        Whether only whole numbers have ticks.
    categories : tuple of str
        What stands at 0, 1, 2 and so on, where the values are no numbers.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False
    categories: tuple[str, ...] = field(default=())

    def at(self, value: Any) -> float:  # noqa: ANN401 - whatever a parameter may be
        """Return the pixel of a value."""
        spot = float(self.categories.index(_word(value))) if self.categories else float(value)
        spot = min(max(spot, self.low), self.high)
        part = math.log(spot / self.low) / math.log(self.high / self.low) if self.log else (spot - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Return pixels and labels of at most about `most` round values."""
        if self.categories:
            step = math.ceil(len(self.categories) / most)
            return [(self.at(name), name) for name in self.categories[::step]]
        values = list(_log_ticks(self.low, self.high, most)) if self.log else []
        if len(values) < _FEW_TICKS:
            values = list(_linear_ticks(self.low, self.high, most))
        if self.whole:
            values = [value for value in values if value == round(value)]
        return [(self.at(value), label) for value, label in zip(values, _labels(values), strict=True)]


def scale_of(values: Iterable[Any], start: float, end: float, *, log: bool = False) -> Scale:
    """Return a scale on which all of `values` lie: a number line if they are finite numbers, else a row of categories.

    Parameters
    ----------
    values : iterable of object
        At least one.
    start, end : float
        Pixels.
    log : bool
        Whether it should be logarithmic; it is linear all the same if not all values are positive.
    """
    given = list(values)
    if not all(map(finite, given)):
        names = tuple(dict.fromkeys(map(_word, given)))
        names = names if len(names) > 1 else ("", *names, "")
        return Scale(low=0, high=len(names) - 1, start=start, end=end, categories=names)
    low, high = float(min(given)), float(max(given))
    whole = all(isinstance(value, int) for value in given)
    log = log and low > 0
    if low == high:
        low, high = (low / 2, high * 2) if log else (low - (abs(low) / 10 or 0.5), high + (abs(high) / 10 or 0.5))
    return Scale(low=low, high=high, start=start, end=end, log=log, whole=whole)


def finite(value: object) -> bool:
    """Tell whether a value is a number with a place on a line; those beyond 1e300 have none, as little as infinity."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_HUGE < value < _HUGE


def _word(value: object) -> str:
    return exact_value(value, 24)


def _labels(values: Sequence[float]) -> list[str]:
    """Return numbers with as many digits as it takes to tell them apart."""
    labels: list[str] = []
    for digits in range(4, 18):
        labels = [f"{value:.{digits}g}" for value in values]
        if len(set(labels)) == len(labels):
            break
    return labels


def _linear_ticks(low: float, high: float, most: int) -> Iterator[float]:
    rough = (high - low) / most
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in _STEPS if size * factor >= rough or factor == _STEPS[-1])
    for count in range(math.ceil(low / step), math.floor(high / step) + 1):
        yield round(count * step, 12 - math.floor(math.log10(step))) if step < 1 else count * step


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if len(decades) - 1 > _FEW_DECADES else (1, 2, 5)
    inside = [value for decade in decades for factor in factors if low <= (value := factor * 10.0**decade) <= high]
    return inside[:: math.ceil(len(inside) / most) or 1]
