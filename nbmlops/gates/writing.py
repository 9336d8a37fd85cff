"""The suite that a cell of `%%mlexpect` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmlops.errors import UsageError
from nbmlops.gates.expectationlines import parse_lines
from nbmlops.gates.expectations import validate
from nbmlops.gates.suites import BY_CELL, Suite, check_name, suite_json, write_suite
from nbmlops.notebook.expecting import suite_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nbmlops.gates.expectationlines import Line
    from nbmlops.gates.validation import Validation

__all__ = ["expect"]

_OWN = frozenset({"severity", "notes", "description", "meta"})


def expect(name: str, lines: str, *, on: Any = None, first_line: int = 1, show: Callable[[Validation], None] | None = None) -> Validation | None:  # noqa: ANN401
    """Write a suite, and hold a frame to it: see `nbmlops.expect`.

    Parameters
    ----------
    name, lines, on
        As there.
    first_line : int
        The number of the first line in its cell, for messages.
    show : callable, optional
        Gets what was found.
    """
    check_name(name)
    items = list(_items(parse_lines(lines, first_line)))
    if not items:
        raise UsageError(f"the suite {name!r} has no expectations", code="NB636", fix="write one a line: an empty suite would let everything pass")
    write_suite(name, suite_json(name, items, BY_CELL))
    # what is refused here is so by its evidence: the suite is written, and the stage that writes it comes to its end
    return None if on is None else validate(on, Suite(name=name, expectations=tuple(items), place=suite_path(name)), stop=False, show=show)


def _items(lines: Iterable[Line]) -> Iterable[dict[str, Any]]:
    from nbmlops.gates.greatexpectations import arguments_of, configured, kind_of  # noqa: PLC0415 - lines that cannot be read are told without

    for line in lines:
        where = f"line {line.number}"
        names = arguments_of(kind_of(line.name, where))
        if len(line.values) > len(names):
            raise UsageError(
                f"{where}: {line.name} takes {len(names)} values by place, and has {len(line.values)}",
                code="NB633",
                fix=f"it takes: {', '.join(names)}; give others by name",
            )
        given = dict(zip(names, line.values, strict=False))
        twice = next((key for key in line.named if key in given), None)
        if twice is not None:
            raise UsageError(f"{where}: {line.name} is given {twice!r} twice", code="NB633", fix="give it once")
        given |= line.named
        item: dict[str, Any] = {"type": line.name, "kwargs": {key: value for key, value in given.items() if key not in _OWN}}
        item |= {key: given[key] for key in sorted(_OWN & set(given))}
        item["severity"] = given.get("severity", "critical")
        configured(item, where)
        yield item
