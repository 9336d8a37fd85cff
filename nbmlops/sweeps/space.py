"""The space of a sweep: which values a parameter may take, as text, as a comment in the notebook, or as Optuna's own distribution."""

from __future__ import annotations

import ast
import json
import math
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nbmlops.errors import NbmlopsError, UsageError
from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from optuna.distributions import BaseDistribution

    from nbmlops.pipeline.model import Parameter

__all__ = ["Range", "check_grid", "check_space", "noted_ranges", "parse_range", "range_of"]

_CALL = pattern(r"(?P<kind>[A-Za-z_]+)\s*\((?P<arguments>.*)\)", re.DOTALL)
_NOTE = pattern(r"\bsweep:\s*(?P<range>[A-Za-z_]+\s*\(.*\))")
_HOW = "write float(0.001, 0.3, log), float(0, 1, step=0.1), int(2, 8), int(16, 256, log) or choice(a, b)"
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The values that one parameter may take.

    Parameters
    ----------
    name : str
        The parameter.
    kind : {"float", "int", "choice"}
    low, high : float or int
        Both may be taken; 0 for a choice.
    log : bool
        Whether values are drawn evenly on a logarithmic scale.
    step : float, int or None
        The distance between values, from `low` on.
    choices : tuple of JSON
        Any JSON data, lists included.

    Raises
    ------
    UsageError
        If no value is in it, or none can be drawn.
    """

    name: str
    kind: str
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        trouble = self._trouble_of_choices() if self.kind == "choice" else self._trouble_of_numbers()
        if trouble:
            raise _wrong(self.name, f"{self}: {trouble}", "name each choice once" if "twice" in trouble else _HOW)

    def _trouble_of_choices(self) -> str:
        if not self.choices:
            return "there is nothing to choose from"
        labels = [_label(choice) for choice in self.choices]
        twice = next((label for label in labels if labels.count(label) > 1), None)
        return f"{twice} stands there twice" if twice else ""

    def _trouble_of_numbers(self) -> str:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return "the bounds must be finite"
        if self.low > self.high:
            return f"the range is empty, since {self.low} is above {self.high}"
        if self.log and self.low <= 0:
            return "a logarithmic range begins above 0"
        if self.log and self.step is not None:
            return "log and step exclude each other"
        return "the step must be above 0" if self.step is not None and not self.step > 0 else ""

    def __str__(self) -> str:
        """Write the range as ``--space`` takes it."""
        if self.kind == "choice":
            return f"choice({', '.join(map(_shown, self.choices))})"
        more = (", log" if self.log else "") + ("" if self.step is None else f", step={self.step!r}")
        return f"{self.kind}({self.low!r}, {self.high!r}{more})"

    def distribution(self) -> BaseDistribution:
        """Return the range as Optuna takes it."""
        if self.kind == "choice":
            return CategoricalDistribution([_category(choice) for choice in self.choices])
        if self.kind == "int":
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=1 if self.step is None else int(self.step))
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def value(self, drawn: Any) -> Any:  # noqa: ANN401 - JSON data
        """Return the parameter's value for what Optuna has drawn."""
        if self.kind != "choice":
            return drawn
        return next(choice for choice in self.choices if _same(_category(choice), drawn))

    def bounds(self) -> tuple[Any, ...]:
        """Return the values that must be possible for all of them to be: the bounds, or every choice."""
        return self.choices or (self.low, self.high)

    def grid(self) -> list[Any]:
        """Return every value of the range, as Optuna draws them.

        Raises
        ------
        UsageError
            If it has no end of them.
        """
        if self.kind == "choice":
            return [_category(choice) for choice in self.choices]
        if self.kind == "int" and not self.log:
            return list(range(int(self.low), int(self.high) + 1, int(self.step or 1)))
        if self.step is None:
            raise _wrong(self.name, f"{self} has no end of values, and a grid tries each", "give it a step, as in float(0, 1, step=0.1), or a choice")
        count = int((self.high - self.low) / self.step + 1e-8) + 1  # as Optuna counts: 0.1 is not a tenth exactly
        return [min(self.high, self.low + position * self.step) for position in range(count)]


def parse_range(name: str, text: str) -> Range:
    """Read a range such as ``float(0.001, 0.3, log)``, ``int(2, 8)`` or ``choice(a, b)``; the items are YAML.

    Raises
    ------
    UsageError
        If it is none, or empty.
    """
    match = _CALL.fullmatch(text.strip())
    if match is None or match["kind"] not in {"float", "int", "choice"}:
        raise _wrong(name, f"{text.strip()!r} is no range", _HOW)
    items = _items(name, match["arguments"])
    if match["kind"] == "choice":
        return Range(name=name, kind="choice", choices=tuple(items))
    return _numbers(name, match["kind"], text.strip(), items)


def _numbers(name: str, kind: str, text: str, items: list[Any]) -> Range:
    options = [item for item in items[2:] if isinstance(item, str)]
    numbers = items[:2]
    step = next((option.partition("=")[2] for option in options if re.fullmatch(r"step\s*=.+", option)), None)
    unknown = [option for option in options if option != "log" and not re.fullmatch(r"step\s*=.+", option)]
    if len(numbers) != 2 or len(options) != len(items) - 2 or unknown:  # noqa: PLR2004 - from and to
        raise _wrong(name, f"{text!r} is no range", _HOW)
    wanted = (int,) if kind == "int" else (int, float)
    values = [*numbers, *([] if step is None else _items(name, step))]
    wrong = next((value for value in values if not isinstance(value, wanted) or isinstance(value, bool)), None)
    if wrong is not None:
        raise _wrong(name, f"{text!r}: {wrong!r} is no {'whole number' if kind == 'int' else 'number'}", _HOW)
    low, high, *given = map(int if kind == "int" else float, values)
    return Range(name=name, kind=kind, low=low, high=high, log="log" in options, step=given[0] if given else None)


def _items(name: str, text: str) -> list[Any]:
    from ruamel.yaml import YAML  # noqa: PLC0415 - only where a range is written out
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        found = YAML(typ="safe", pure=True).load(f"[{text}]")
        json.dumps(found, allow_nan=True)
    except (YAMLError, ValueError, TypeError) as error:
        raise _wrong(name, f"({text}) cannot be read", _HOW) from error
    return [item if isinstance(item, (*_PLAIN, list, dict)) else str(item) for item in found]


def range_of(name: str, given: object) -> Range:
    """Return a range given in Python: its text, a list of choices, or one of Optuna's distributions.

    Raises
    ------
    UsageError
        If it is none of these, or empty.
    """
    if isinstance(given, Range):
        return given
    if isinstance(given, str):
        return parse_range(name, given)
    if isinstance(given, (list, tuple)):
        return Range(name=name, kind="choice", choices=tuple(given))
    if isinstance(given, CategoricalDistribution):
        return Range(name=name, kind="choice", choices=tuple(given.choices))
    if isinstance(given, IntDistribution):
        return Range(name=name, kind="int", low=given.low, high=given.high, log=given.log, step=None if given.step == 1 else given.step)
    if isinstance(given, FloatDistribution):
        return Range(name=name, kind="float", low=given.low, high=given.high, log=given.log, step=given.step)
    raise _wrong(name, f"a {type(given).__name__} is no range", f"{_HOW}, or give one of Optuna's distributions")


def noted_ranges(cells: Mapping[int, str], declared: Mapping[str, Parameter], notebook: str) -> dict[str, Range]:
    """Return the ranges that the parameters cells note.

    Parameters
    ----------
    cells : mapping of int to str
        The sources of the parameters cells, whose annotations count: ``depth: "int(2, 8)" = 3``.
    declared : mapping of str to Parameter
        Whose comment may hold ``sweep: float(0.01, 0.3, log)``, alone or after other words.
    notebook : str
        For the message.

    Raises
    ------
    UsageError
        If a note is no range.
    """
    found: dict[str, Range] = {}
    texts = {name: text for source in cells.values() for name, text in _annotated(source).items()}
    notes = {name: match["range"] for name, item in declared.items() if (match := _NOTE.search(item.help)) is not None}
    for name, text in {**texts, **notes}.items():
        try:
            found[name] = parse_range(name, text)
        except UsageError as error:
            error.notebook, error.cell = notebook, declared[name].cell if name in declared else None
            raise
    return found


def _annotated(source: str) -> dict[str, str]:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return {}  # `check` says so
    found = {}
    for statement in tree.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            texts = [node.value for node in ast.walk(statement.annotation) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
            ranges = [text for text in texts if _CALL.fullmatch(text.strip())]
            if ranges:
                found[statement.target.id] = ranges[0]
    return found


def check_space(space: Mapping[str, Range], declared: Iterable[str], check: Callable[[dict[str, Any]], object], notebook: str) -> None:
    """Refuse a space that names an unknown parameter, or values that a parameter cannot have.

    Parameters
    ----------
    space : mapping of str to Range
    declared : iterable of str
        The notebook's parameters.
    check : callable
        Raises a UsageError for parameters that cannot be meant.
    notebook : str
        For the message.
    """
    known = list(declared)
    for name, item in space.items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            fix = f"did you mean {near[0]!r}?" if near else f"its parameters are: {', '.join(known) or 'none; tag a cell parameters'}"
            raise UsageError(f"the notebook has no parameter {name!r}", code="NB001", notebook=notebook, fix=fix)
        for value in item.bounds():
            check({name: value})


def check_grid(space: Mapping[str, Range]) -> int:
    """Return how many combinations a grid of the space has.

    Raises
    ------
    UsageError
        If a range has no end of values.
    """
    return math.prod(len(item.grid()) for item in space.values())


def _wrong(name: str, message: str, fix: str) -> NbmlopsError:
    return UsageError(f"the space of {name!r}: {message}", code="NB020", fix=fix)


def _label(choice: object) -> str:
    return json.dumps(choice, sort_keys=True, default=repr)


def _category(choice: Any) -> Any:  # noqa: ANN401 - what Optuna's storages take
    return choice if isinstance(choice, _PLAIN) else _label(choice)


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and (one == other or one != one)  # noqa: PLR0124 - NaN


def _shown(choice: object) -> str:
    if isinstance(choice, str) and re.fullmatch(r"[A-Za-z_][\w.-]*", choice) and choice.lower() not in {"true", "false", "null", "none", "yes", "no"}:
        return choice
    return _label(choice)
