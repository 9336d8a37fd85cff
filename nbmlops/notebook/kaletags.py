"""Kale's language of tags: what one tag of a cell says, in both generations of its names."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Any, NoReturn

from nbmlops.dataclass import dataclass
from nbmlops.nearest import close_matches
from nbmlops.notebook.values import CHECKERS
from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["SPECIAL", "CellTags", "Setting", "cell_tags", "names_steps", "stage_name"]

SPECIAL = ("skip", "imports", "functions", "pipeline-parameters", "pipeline-metrics")

_STEPS = ("step", "block")  # the newer word, and that of Kale before 1.0
_NAME = pattern(r"[_a-z][_a-z0-9]*")
_NAMES_STEPS = pattern(r"(?:step|block|notebook):(?:[_a-z][_a-z0-9]*)?|prev:[_a-z][_a-z0-9]*")
_ALMOST = pattern(r"\s*(?:step|block)\s*:.*", re.IGNORECASE | re.DOTALL)
_SEGMENT = r"[a-zA-Z0-9]+(?:[a-zA-Z0-9_.-]*[a-zA-Z0-9])?"
_KEPT = pattern(rf"({_SEGMENT}(?:/{_SEGMENT})?):(.*)", re.DOTALL)
_LIMIT = pattern(r"([_a-z./-]+):([_a-zA-Z0-9.]+)")
_SECRET = pattern(r"([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?):([-._a-zA-Z0-9]+):([a-zA-Z_][a-zA-Z0-9_]*)")
_SWITCH = pattern(r"enabled|disabled")
_QUANTITY = pattern(r"([0-9]+\.?[0-9]*|\.[0-9]+)(m|k|[MGTPE]|[KMGTPE]i|[eE][0-9]{1,2})?")
_POWERS = "kMGTPE"


@dataclass(frozen=True, slots=True)
class Setting:
    """An option that a tag gives to its step.

    Parameters
    ----------
    key : str
        What it settles: two settings of one step with this key must be the same.
    tag : str
        The tag, as it is written.
    values : dict of str to object
        Fields of `Directive`, with their values.
    keeps : bool
        Whether the tag says more than those fields do.
    """

    key: str
    tag: str
    values: dict[str, Any] = field(default_factory=dict)
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class CellTags:
    """What the tags of one cell say.

    Parameters
    ----------
    special : str or None
        The first tag that is one of `SPECIAL`: it decides alone, as in Kale.
    steps : tuple of str
        The names of ``step:`` and ``block:``; "" alone continues the step before.
    previous : tuple of str
        The names of ``prev:``.
    notebook : str or None
        The name of ``notebook:``.
    settings : tuple of Setting
    problem : tuple of (str, str) or None
        What is wrong with a tag, and what to do.
    """

    special: str | None = None
    steps: tuple[str, ...] = ()
    previous: tuple[str, ...] = ()
    notebook: str | None = None
    settings: tuple[Setting, ...] = ()
    problem: tuple[str, str] | None = None


def names_steps(tags: Iterable[str], *, almost: bool = False) -> bool:
    """Tell whether one of the tags names a step of Kale; `almost` takes those that Kale refuses, such as ``Step:a``."""
    return any(_NAMES_STEPS.fullmatch(tag) or (almost and _ALMOST.fullmatch(tag)) for tag in tags)


def stage_name(step: str) -> str:
    """Return the stage's name for a step's: Kale allows an underscore in front, a stage's name begins with a letter."""
    return f"step{step}" if step.startswith("_") else step


def cell_tags(tags: Iterable[str]) -> CellTags:
    """Read the tags of one cell; what Kale does not know and nobody could take for a tag of Kale is left alone.

    Examples
    --------
    >>> cell_tags(["step:train", "prev:load", "hide-input"]).previous
    ('load',)
    """
    steps: list[str] = []
    previous: list[str] = []
    settings: list[Setting] = []
    notebook: str | None = None
    for tag in tags:
        if tag in SPECIAL:
            return CellTags(special=tag)
        head, colon, rest = tag.partition(":")
        try:
            if head in _STEPS and rest in SPECIAL:
                return CellTags(special=rest)  # Kale makes no difference between step:skip and skip
            if head in _STEPS and colon:
                steps.append(_name(tag, head, rest, empty=True))
            elif head == "prev" and colon:
                previous.append(_name(tag, head, rest, empty=False))
            elif head == "notebook" and colon:
                notebook = rest
            elif head in _SETTINGS and colon:
                settings.append(_SETTINGS[head](tag, rest))
            else:
                _refuse_misspelt(tag)
        except ValueError as error:
            message, fix = error.args
            return CellTags(steps=tuple(steps), problem=(message, fix))
    named = [name for name in steps if name] or steps
    return CellTags(None, tuple(dict.fromkeys(named)), tuple(dict.fromkeys(previous)), notebook, tuple(settings))


def _refuse(tag: str, why: str, fix: str) -> NoReturn:
    raise ValueError(f"the tag {tag!r} {why}", fix)


def _name(tag: str, head: str, name: str, *, empty: bool) -> str:
    if _NAME.fullmatch(name) or (empty and not name):
        return name
    better = re.sub(r"[^_a-z0-9]+", "_", name.strip().lower())
    fix = f"write {head}:{better}" if _NAME.fullmatch(better) else f"write {head}:NAME with lower-case letters, digits and '_'"
    _refuse(tag, "is no name of a step", fix)


def _refuse_misspelt(tag: str) -> None:
    head, colon, rest = tag.partition(":")
    word = head.strip().lower()
    if not colon:
        near = close_matches(word, SPECIAL, cutoff=0.8)
        if near:
            _refuse(tag, "is no tag of Kale", f"did you mean {near[0]}?")
        if word in _HEADS:
            _refuse(tag, "names nothing", f"write {word}:NAME")
        return
    near = [word] if word in _HEADS else close_matches(word, _HEADS, cutoff=0.75)
    if near:
        _refuse(tag, "is no tag of Kale", f"did you mean {near[0]}:{rest.strip()}?")


def _limit(tag: str, rest: str) -> Setting:
    match = _LIMIT.fullmatch(rest)
    if match is None:
        _refuse(tag, "is no limit", "write limit:cpu:2, limit:memory:4Gi or limit:nvidia.com/gpu:1")
    resource, text = match.groups()
    amount = _quantity(text)
    if resource == "cpu":
        values: dict[str, Any] = {"cpus": _checked(tag, "amount", amount)}
    elif resource == "memory":
        values = {"memory_bytes": _checked(tag, "size", amount)}
    elif resource == "gpu" or resource.endswith("/gpu"):
        values = {"gpus": _checked(tag, "count", int(amount) if amount is not None and amount == int(amount) else text)}
    else:
        values = {}
    return Setting(f"limit:{resource}", tag, values, keeps=resource not in {"cpu", "memory"})


def _quantity(text: str) -> float | None:
    """Read an amount as Kubernetes writes it: 500m, 2, 4Gi, 1e3."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    from decimal import Decimal  # noqa: PLC0415 - only a tag with a limit needs it

    digits, suffix = Decimal(match[1]), match[2] or ""
    if suffix == "m":
        return float(digits / 1000)
    if suffix[:1] in {"e", "E"} and suffix[1:].isdecimal():
        return float(digits * 10 ** int(suffix[1:]))
    power = _POWERS.find("k" if suffix == "Ki" else suffix[:1]) + 1 if suffix else 0
    return float(digits * (1024 if suffix.endswith("i") else 1000) ** power)


def _checked(tag: str, kind: Any, value: object) -> Any:  # noqa: ANN401 - the value of an option
    try:
        return CHECKERS[kind](value)
    except ValueError as error:
        _refuse(tag, "has a value that cannot be meant", str(error.args[1]))


def _image(tag: str, rest: str) -> Setting:
    return Setting("image", tag, {"image": _checked(tag, "image", rest)})


def _secret(tag: str, rest: str) -> Setting:
    match = _SECRET.fullmatch(rest)
    if match is None:
        _refuse(tag, "names no secret", "write secret:NAME:KEY:VARIABLE")
    return Setting(f"secret:{match[3]}", tag, {"secrets": (match[3],)}, keeps=True)


def _cache(tag: str, rest: str) -> Setting:
    if not _SWITCH.fullmatch(rest):
        _refuse(tag, "is neither on nor off", "write cache:enabled or cache:disabled")
    return Setting("cache", tag, {"cache": rest == "enabled"})


def _report(tag: str, rest: str) -> Setting:
    if not _SWITCH.fullmatch(rest):
        _refuse(tag, "is neither on nor off", "write report:enabled or report:disabled")
    return Setting("report", tag, keeps=True)


def _kept(tag: str, rest: str) -> Setting:
    match = _KEPT.fullmatch(rest)
    head = tag.partition(":")[0]
    if match is None:
        _refuse(tag, f"is no {head}", f"write {head}:KEY:VALUE")
    return Setting(f"{head}:{match[1]}", tag, keeps=True)


_SETTINGS: dict[str, Callable[[str, str], Setting]] = {
    "limit": _limit,
    "image": _image,
    "secret": _secret,
    "cache": _cache,
    "report": _report,
    "annotation": _kept,
    "label": _kept,
}
_HEADS = (*_STEPS, "prev", "notebook", *_SETTINGS)
