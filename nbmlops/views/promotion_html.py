"""How a registered model stands, as a still card for a page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nbmlops.views.escape import cut, escape, escape_code
from nbmlops.views.html import card, html_list, html_table
from nbmlops.views.markdown import blocks_of
from nbmlops.views.promotion import versions_table
from nbmlops.views.standing import (
    against,
    chosen_first,
    fact_rows,
    gates_table,
    headline,
    history_table,
    log_line,
    metrics_table,
    version_said,
)
from nbmlops.views.tables import Table

if TYPE_CHECKING:
    from nbmlops.promotion.state import Candidate, ModelState
    from nbmlops.views.markdown import Block

__all__ = ["model_body", "model_html"]

_VERSIONS, _EVENTS, _UNFOLDED = 60, 100, 8
_LINE = 600


def model_html(state: ModelState) -> str:
    """Return how a model stands as a card, for pages that run no script."""
    return card(f"<p>{escape(headline(state))}</p>{model_body(state)}")


def model_body(state: ModelState) -> str:
    """Return what stands on the card below the headline: the versions, what is known of the first of them, and the log."""
    first = chosen_first(state)
    body = html_table(versions_table(replace(state, candidates=state.candidates[:_VERSIONS]))) if state.candidates else ""
    body += _left_out(len(state.candidates), _VERSIONS, "versions")
    for item in state.candidates[:_UNFOLDED]:
        body += _candidate(state, item, unfolded=item is first)
    if state.events:
        body += f"<p><strong>History</strong></p>{html_table(history_table(state, _EVENTS))}"
        body += _left_out(len(state.events), _EVENTS, "entries of the log")
    return f"{body}{html_list(f'! {cut(note, _LINE)}' for note in state.notes)}<p>{escape(log_line(state))}</p>"


def _candidate(state: ModelState, item: Candidate, *, unfolded: bool) -> str:
    body = html_list(f"! {line}" for line in against(state, item))
    body += "".join(html_table(table) for table in (metrics_table(state, item), gates_table(item)) if table.rows)
    body += html_list(f"{name}: {text}" for name, text in fact_rows(item))
    if item.card:
        body += f"<details><summary>Model card</summary>{''.join(map(_block, blocks_of(item.card)))}</details>"
    return f"<details{' open' if unfolded else ''}><summary>{escape(version_said(item))}</summary>{body}</details>"


def _block(block: Block) -> str:
    if block.kind == "table":
        header, *rows = block.rows
        width = len(header)
        return html_table(Table(header=header, rows=tuple((*row, *("",) * width)[:width] for row in rows)))
    lines = [row[0] for row in block.rows]
    if block.kind == "list":
        return html_list(lines)
    if block.kind == "code":
        return f"<pre>{chr(10).join(escape_code(line, _LINE) for line in lines)}</pre>"
    text = escape(lines[0])
    return f"<p><strong>{text}</strong></p>" if block.kind == "heading" else f"<p>{text}</p>"


def _left_out(count: int, shown: int, what: str) -> str:
    return f"<p>the newest {shown} of {count} {what}</p>" if count > shown else ""
