"""How a model does by group, as text for a terminal and as a still card for a page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nbmlops.views.amounts import human_value
from nbmlops.views.escape import cut, escape, listed
from nbmlops.views.html import card, html_list, html_table
from nbmlops.views.plots import spans
from nbmlops.views.tables import Table, text_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmlops.gates.slices import ColumnSlices, Gap, Slices

__all__ = ["slices_html", "slices_text"]

_NAME = 40
_ROWS, _DRAWN = 24, 16
_TWO = 2
NOT_DEFINED = "not defined"


def slices_text(found: Slices) -> str:
    """Return a table for each column, its worst groups and gaps, and what was left out."""
    blocks = [[_headline(found)]]
    blocks += [[_title(column), *text_table(_table(found, column)), *_notes(found, column)] for column in found.columns.values()]
    return "\n\n".join("\n".join(block) for block in blocks)


def slices_html(found: Slices) -> str:
    """Return the same for a notebook, with a picture of the first metric."""
    body = f"<p>{escape(_headline(found))}</p>"
    for column in found.columns.values():
        body += f"<p><strong>{escape(_title(column))}</strong></p>{_picture(column)}{html_table(_table(found, column))}"
        body += html_list(_notes(found, column))
    return card(body)


def _headline(found: Slices) -> str:
    overall = ", ".join(f"{name} {_said(value)}" for name, value in found.overall.items())
    return f"{found.rows:,} rows: {overall}"


def _title(column: ColumnSlices) -> str:
    kind = "demographic fairness" if column.sensitive else "group performance"
    return f"{kind} by {cut(column.column, _NAME)}"


def _table(found: Slices, column: ColumnSlices) -> Table:
    rows = []
    worst = {gap.metric: gap.worst_group for gap in column.gaps}
    for record in _shown(column):
        cells = [_cell(record, metric) for metric in found.overall]
        marks = ["small, not judged"] if record["small"] else [f"worst {name}" for name in worst if worst[name] == record["group"]]
        rows.append((cut(record["group"], _NAME), f"{record['rows']:,}", *cells, ", ".join(marks)))
    return Table(header=("group", "rows", *found.overall, ""), rows=tuple(rows), numbers=frozenset(range(1, _TWO + len(found.overall))))


def _shown(column: ColumnSlices) -> list[dict[str, object]]:
    """Return the rows that are shown: the largest groups, and the worst whatever their size."""
    records: list[dict[str, object]] = column.frame.to_dict("records")
    worst = {gap.worst_group for gap in column.gaps}
    kept = [record for number, record in enumerate(records) if number < _ROWS or (record["group"] in worst and not record["small"])]
    return kept if len(records) - len(kept) > 1 else records


def _cell(record: dict[str, object], metric: str) -> str:
    low, high = record[f"{metric}_low"], record[f"{metric}_high"]
    said = _said(record[metric])
    known = isinstance(low, float) and isinstance(high, float) and not math.isnan(low + high)
    return f"{said} ({_said(low)} to {_said(high)})" if known else said


def _said(value: object) -> str:
    return NOT_DEFINED if isinstance(value, float) and math.isnan(value) else human_value(value)


def _notes(found: Slices, column: ColumnSlices) -> list[str]:
    return [*_judgements(column), *_left_out(found, column)]


def _judgements(column: ColumnSlices) -> Iterator[str]:
    for gap in column.gaps:
        yield f"{gap.metric}: {_judged(gap)}"


def _judged(gap: Gap) -> str:
    worst = f"worst {cut(gap.worst_group, _NAME)} with {_said(gap.worst)}" if gap.worst_group is not None else ""
    if gap.why:
        told = "gap" if worst else "worst group and gap"
        return f"{worst + ', ' if worst else ''}{told} {NOT_DEFINED}: {cut(gap.why, 200)}"
    interval = f" (95 % interval {_said(gap.low)} to {_said(gap.high)})" if not math.isnan(gap.low + gap.high) else ""
    return f"{worst}, gap {_said(gap.gap)}{interval}"


def _left_out(found: Slices, column: ColumnSlices) -> Iterator[str]:
    if column.small:
        count, of = len(column.small), f"fewer than {found.min_size:,} rows: left out of worst and gap"
        yield f"{count} group{'s' * (count > 1)} of {of}: {listed(column.small, 8)}"
    hidden = len(column.frame) - len(_shown(column))
    if hidden:
        yield f"{hidden} more groups are not shown here; the frame holds them"


def _picture(column: ColumnSlices) -> str:
    gap = column.gaps[0]
    rows = [
        (str(record["group"]), float(str(record[gap.metric])), float(str(record[f"{gap.metric}_low"])), float(str(record[f"{gap.metric}_high"])))
        for record in column.frame.to_dict("records")
        if not record["small"] and not math.isnan(float(record[gap.metric]))
    ]
    if len(rows) < _TWO or len(rows) > _DRAWN:
        return ""
    plot = spans("slices", f"{gap.metric} by {cut(column.column, _NAME)}", rows, gap.worst_group)
    return f'<p><img src="{plot.address}" alt="{escape(plot.alt)}" style="max-width:100%"></p>'
