"""The values that a stage's options take, each checked from text or from JSON."""

from __future__ import annotations

import keyword
import re
import unicodedata
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from nbmlops.errors import NotebookError
from nbmlops.notebook.expressions import parse_expression, parse_requirement
from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["CHECKERS", "STAGE_NAME", "Kind"]

Kind = Literal[
    "names",
    "stages",
    "paths",
    "variables",
    "expressions",
    "expression",
    "count",
    "seed",
    "amount",
    "duration",
    "size",
    "image",
    "off",
]

STAGE_NAME = pattern(r"[A-Za-z][A-Za-z0-9_-]{0,62}")

_VARIABLE = pattern(r"[A-Za-z_][A-Za-z0-9_]*")
_IMAGE = pattern(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,254}")
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_DURATION = pattern(rf"(?:({_NUMBER})d)?(?:({_NUMBER})h)?(?:({_NUMBER})m)?(?:({_NUMBER})s?)?")
_SECONDS = (86_400, 3_600, 60, 1)
_SIZE = pattern(rf"({_NUMBER})\s*([KMGTP]?)(i?)B?", re.IGNORECASE)
# more than any machine has, and small enough for every conversion
_LARGEST = 1e18
# numpy's legacy seed takes no more
_LARGEST_SEED = 2**32 - 1


def _refuse(shown: object, fix: str) -> NoReturn:
    raise ValueError(f"the value {shown!r}", fix)


def _list(value: object) -> list[str]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        _refuse(value, "give names separated by commas, or a list of strings")
    stripped = [item.strip() for item in items]
    if stripped == [""]:
        return []
    if "" in stripped:
        _refuse(value, "write the list without empty items and without spaces")
    return stripped


def _names(value: object) -> tuple[str, ...]:
    items = _list(value)
    for item in items:
        if not item.isidentifier() or keyword.iskeyword(item):
            _refuse(item, "give names of Python variables")
    # as Python's own parser does with every identifier
    return tuple(unicodedata.normalize("NFKC", item) for item in items)


def _stages(value: object) -> tuple[str, ...]:
    items = _list(value)
    for item in items:
        if not STAGE_NAME.fullmatch(item):
            _refuse(item, "give names of stages")
    return tuple(items)


def _paths(value: object) -> tuple[str, ...]:
    items = _list(value)
    for item in items:
        if "\0" in item or "\n" in item:
            _refuse(item, "give a path or a glob")
    return tuple(items)


def _variables(value: object) -> tuple[str, ...]:
    items = _list(value)
    for item in items:
        if not _VARIABLE.fullmatch(item):
            _refuse(item, "give names of environment variables")
    return tuple(items)


def _expression(value: object, parse: Callable[[str], object] = parse_expression) -> str:
    if not isinstance(value, str):
        _refuse(value, 'give an expression as text, such as "roc_auc >= 0.7"')
    try:
        parse(value)
    except NotebookError as error:
        raise ValueError(f"the expression {value!r}, where {error.message}", error.fix) from None
    return value.strip()


def _expressions(value: object) -> tuple[str, ...]:
    # no commas here: they are part of expressions
    return tuple(_expression(item, parse_requirement) for item in (value if isinstance(value, list) else [value]))


def _whole(value: object, largest: int, fix: str) -> int:
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and re.fullmatch(r"[0-9]{1,20}", text):
        text = int(text)
    if not isinstance(text, int) or isinstance(text, bool) or not 0 <= text <= largest:
        _refuse(value, fix)
    return text


def _count(value: object) -> int:
    return _whole(value, 10_000, "give a whole number from 0 to 10000")


def _seed(value: object) -> int:
    return _whole(value, _LARGEST_SEED, f"give a whole number from 0 to {_LARGEST_SEED}")


def _positive(number: object, value: object, fix: str) -> float:
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number < _LARGEST:
        _refuse(value, fix)
    return float(number)


def _amount(value: object) -> float:
    number = float(value) if isinstance(value, str) and re.fullmatch(_NUMBER, value.strip()) else value
    return _positive(number, value, "give a number above 0, such as 2 or 0.5")


def _duration(value: object) -> float:
    number = value
    if isinstance(value, str) and value.strip() and (match := _DURATION.fullmatch(value.strip().lower())):
        number = sum(float(part) * unit for part, unit in zip(match.groups(), _SECONDS, strict=True) if part)
    return _positive(number, value, "give a time above 0, such as 90, 90s, 10m or 1h30m")


def _size(value: object) -> int:
    number = value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        digits, prefix, binary = match.groups()
        power = "KMGTP".find(prefix.upper()) + 1 if prefix else 0
        number = float(digits) * (1024 if binary else 1000) ** power if power or not binary else None
    size = _positive(number, value, "give a size such as 4GiB, 500MB or a number of bytes")
    return int(size) or _refuse(value, "give at least one byte")


def _image(value: object) -> str:
    if not isinstance(value, str) or not _IMAGE.fullmatch(value.strip()):
        _refuse(value, "give an image reference such as registry/team/image:tag")
    return value.strip()


def _off(value: object) -> bool:
    return not value


# Each takes text or JSON and gives the field's value, or raises ValueError(what is wrong, what to do).
CHECKERS: Mapping[Kind, Callable[[object], Any]] = {
    "names": _names,
    "stages": _stages,
    "paths": _paths,
    "variables": _variables,
    "expressions": _expressions,
    "expression": _expression,
    "count": _count,
    "seed": _seed,
    "amount": _amount,
    "duration": _duration,
    "size": _size,
    "image": _image,
    "off": _off,
}
