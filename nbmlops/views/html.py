"""A pipeline and a run as a still card for a page: an image and a table.

Untrusted notebooks lose scripts and inline SVG, but keep an image with a ``data:`` address and a table: this is what remains on GitHub, in
nbconvert and in a notebook that somebody else has run. Nothing here is fetched from anywhere.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from nbmlops.views.amounts import human_value
from nbmlops.views.escape import cut, escape
from nbmlops.views.failing import errors_of, help_commands
from nbmlops.views.registered import registered_lines
from nbmlops.views.svg import describe_graph, graph_svg
from nbmlops.views.tables import Table, diagnostics_table, graph_table, run_table, said_state
from nbmlops.views.text import diagnostic_line, headline, notable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nbmlops.pipeline.model import Diagnostic, Pipeline
    from nbmlops.runner.results import RunResult

__all__ = ["card", "diagnostics_html", "graph_html", "html_list", "html_table", "run_html"]


def graph_html(
    pipeline: Pipeline,
    states: Mapping[str, str] | None = None,
    reasons: Mapping[str, str] | None = None,
) -> str:
    """Return a picture of a pipeline and a table of its stages.

    Parameters
    ----------
    pipeline : Pipeline
    states, reasons : mapping of str to str, optional
        Of each stage, by name.
    """
    if not pipeline.stages:
        return card("<p>no stages</p>" + html_list(map(diagnostic_line, pipeline.diagnostics)))
    table = html_table(graph_table(pipeline, states or {}, reasons or {}))
    return card(_picture(pipeline, states or {}, {}) + table + html_list(map(diagnostic_line, pipeline.diagnostics)))


def run_html(result: RunResult, pipeline: Pipeline | None = None, given: Sequence[str] = (), *, in_kernel: bool = False) -> str:
    """Return what became of a run.

    Parameters
    ----------
    result : RunResult
    pipeline : Pipeline, optional
        The notebook's, for a picture above the table.
    given, in_kernel
        As `failure_lines` takes them.
    """
    picture = ""
    if pipeline is not None and pipeline.stages:
        done = {name: stage for name, stage in result.stages.items() if name in pipeline.stages}
        seconds = {name: stage.seconds for name, stage in done.items() if stage.seconds}
        picture = _picture(pipeline, {name: stage.status for name, stage in done.items()}, seconds)
    metrics = [f"{cut(name, 48)} {human_value(value)}" for name, value in result.metrics.items()]
    said = f"<p>metrics: {escape(', '.join(metrics))}</p>" if metrics else ""
    notes = html_list([diagnostic_line(item) for item in notable(result)])
    models = html_list(registered_lines(result))
    written = f"<p>notebook: {escape(cut(result.output, 600))}</p>" if result.output else ""
    failure = _failure(result, help_commands(result, given, in_kernel=in_kernel))
    return card(f"<p>{escape(headline(result))}</p>{picture}{html_table(run_table(result))}{said}{models}{written}{notes}{failure}")


def _failure(result: RunResult, commands: Iterable[tuple[str, str]]) -> str:
    """Return each error, the line that raised it, and the commands that help with the first."""
    told = "".join(f"<p>✗ {escape(line)}{f'<br><code>{escape(raised)}</code>' if raised else ''}</p>" for line, raised in errors_of(result))
    helping = "".join(f"<li><code>{escape(command)}</code> {escape(what)}</li>" for command, what in commands)
    return told + (f"<ul>{helping}</ul>" if helping else "")


def diagnostics_html(diagnostics: Iterable[Diagnostic], notebook: str) -> str:
    """Return a table of diagnostics.

    Parameters
    ----------
    diagnostics : iterable of Diagnostic
    notebook : str
        Its name for people.
    """
    found = list(diagnostics)
    if not found:
        return card(f"<p>{escape(cut(notebook, 200))}: nothing to report</p>")
    return card(f"<p>{escape(cut(notebook, 200))}</p>{html_table(diagnostics_table(found))}")


def card(body: str) -> str:
    """Return what stands around every card."""
    return f'<div class="nbmlops-card">{body}</div>'


def _picture(pipeline: Pipeline, states: Mapping[str, str], seconds: Mapping[str, float]) -> str:
    drawing = graph_svg(pipeline, states, seconds=seconds)
    data = base64.b64encode(drawing.encode()).decode()
    alt = ". ".join(describe_graph(pipeline, states))
    return f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(alt)}" style="max-width:100%">'


def html_table(table: Table) -> str:
    """Return a table, everything in it escaped."""
    head = "".join(f'<th scope="col"{_side(table, number)}>{escape(cell)}</th>' for number, cell in enumerate(table.header))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(_row(table, row) for row in table.rows)}</tbody></table>"


def _row(table: Table, row: tuple[str, ...]) -> str:
    cells = []
    for number, cell in enumerate(row):
        text = escape(said_state(cell) if number == table.state else cell)
        cells.append(f"<td{_side(table, number)}>{f'<strong>{text}</strong>' if number == 0 else text}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _side(table: Table, column: int) -> str:
    return f' style="text-align:{"right" if column in table.numbers else "left"}"'


def html_list(lines: Iterable[str]) -> str:
    """Return a list of escaped lines; nothing for none."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""
