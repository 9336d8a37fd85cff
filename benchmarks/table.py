"""The table that a run prints: Markdown, to be pasted into the README."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.measure import Race

__all__ = ["Row", "count_row", "race_rows", "table_lines"]

_SHORT_S = 0.01
_HEADER = ("measured", "nbmlops", "against", "ratio", "target", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Parameters
    ----------
    measured, ours, theirs, ratio, target : str
        As printed; "" where there is nothing to compare with.
    met : bool
        Whether the target is met.
    """

    measured: str
    ours: str
    theirs: str = ""
    ratio: str = ""
    target: str
    met: bool


def count_row(measured: str, found: Sequence[str], *, most: int, named: bool) -> Row:
    """Return the row of a count; `named` shows what was counted."""
    shown = ", ".join(found) if named and found else str(len(found))
    return Row(measured=measured, ours=shown, target=f"at most {most}" if most else "none", met=len(found) <= most)


def race_rows(measured: str, peer: str, result: Race, *, most: float) -> list[Row]:
    """Return the rows of a race: by processor time, and by the clock."""
    rows: list[Row] = []
    for unit, of in (("CPU", lambda cost: cost.cpu_s), ("wall", lambda cost: cost.wall_s)):
        ours_s, theirs_s = result.medians(of)
        ratio = result.ratio(of)
        rows.append(
            Row(
                measured=f"{measured}, {unit}",
                ours=_milliseconds(ours_s),
                theirs=f"{peer} {_milliseconds(theirs_s)}",
                ratio=f"{ratio:.3f}",
                target=f"at most {most:.3g}",
                met=ratio <= most,
            )
        )
    return rows


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds >= _SHORT_S else f"{seconds * 1000:.2f} ms"


def table_lines(rows: Iterable[Row]) -> list[str]:
    """Return the table as Markdown whose columns also stand under each other in a terminal."""
    cells = [_HEADER, *((row.measured, row.ours, row.theirs, row.ratio, row.target, "met" if row.met else "MISSED") for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in cells]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
