"""What differs between runs, as text for a terminal and as a still card for a page."""

from __future__ import annotations

import datetime as dt
import math
from itertools import groupby
from typing import TYPE_CHECKING, Any

from nbmlops.session.comparing.comparison import ABSENT
from nbmlops.views.amounts import exact_value, human_bytes, human_seconds, human_value
from nbmlops.views.escape import cut, escape, escape_code, listed, verbatim
from nbmlops.views.html import card, html_list, html_table
from nbmlops.views.states import look_of, words_of
from nbmlops.views.tables import Table, reason_of, text_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbmlops.session.comparing.comparison import ArtifactSide, Comparison, Section, StageRow, StageSide

__all__ = ["comparison_html", "comparison_text"]

_NAME, _LABEL, _VALUE, _SENTENCE, _LINE = 40, 32, 60, 400, 300
_DIGEST = 8
_PAGE_LINES = 200
_NONE = "—"
_TWO = 2
_SAID = {
    "parameters": ("parameter", "parameters"),
    "metrics": ("metric", "metrics"),
    "stages": ("stage", "stages"),
    "artifacts": ("artifact (its bytes)", "artifacts (their bytes)"),
    "code": ("stage's code", "stages' code"),
    "environment": ("version or setting of the environment", "versions and settings of the environment"),
}
_COMPARED = "code compared: the cells of each stage, and the setup that it uses, as the notebooks were run; modules of the project by their digests"


def comparison_text(found: Comparison) -> str:
    """Return which runs are compared, a table for each kind of thing that differs, the code's diffs, what is equal, and what is not known."""
    blocks = [text_table(_runs_table(found)), [f"! {cut(note, _SENTENCE)}" for note in found.notes]]
    blocks += [text_table(table) for table in _tables(found)]
    blocks += [[title, *(f"  {verbatim(line, _LINE)}".rstrip() for line in diff.splitlines())] for title, diff in _diffs(found)]
    blocks.append(_summary(found))
    return "\n\n".join("\n".join(block) for block in blocks if block)


def comparison_html(found: Comparison) -> str:
    """Return the same for a notebook; a long diff is cut there."""
    body = html_table(_runs_table(found)) + html_list(found.notes)
    body += "".join(map(html_table, _tables(found)))
    body += "".join(f"<p>{escape(title)}</p>{_pre(diff)}" for title, diff in _diffs(found))
    return card(body + html_list(_summary(found)))


def _pre(diff: str) -> str:
    lines = diff.splitlines()
    more = [f"… {len(lines) - _PAGE_LINES} more lines"] if len(lines) > _PAGE_LINES else []
    shown = "\n".join(escape_code(line, _LINE) for line in [*lines[:_PAGE_LINES], *more])
    return f"<pre>{shown}</pre>"


def _runs_table(found: Comparison) -> Table:
    commits = any(item.run.git_commit for item in found.runs)
    rows = []
    for label, item in zip(_labels(found), found.runs, strict=True):
        run = item.run
        began = dt.datetime.fromtimestamp(run.started_s, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
        commit = (cut(run.git_commit or "", 12),) if commits else ()
        rows.append((label, cut(run.run_id, _NAME), cut(run.notebook, 120), cut(run.status, 20), began, human_seconds(run.seconds), *commit))
    header = ("run", "id", "notebook", "status", "began (UTC)", "took", *(("commit",) if commits else ()))
    return Table(header=header, rows=tuple(rows))


def _labels(found: Comparison) -> tuple[str, ...]:
    return tuple(cut(label, _LABEL) for label in found.labels)


def _tables(found: Comparison) -> Iterator[Table]:
    """Yield a table for each section in which something differs."""
    labels = _labels(found)
    changes = len(labels) == _TWO
    makers: list[tuple[str, Section[Any], Callable[[Any], tuple[str, ...]], tuple[str, ...]]] = [
        ("parameter", found.parameters, lambda values: _shown(values, exact_value), ()),
        ("metric", found.metrics, lambda values: (*_shown(values, human_value), *([_change(*values)] if changes else [])), ("change",) * changes),
        ("stage", found.stages, _stage_cells, ("why",)),
        ("artifact", found.artifacts, _artifact_cells, ()),
        ("environment", found.environment, lambda values: _shown(values, exact_value), ()),
    ]
    for title, section, cells, more in makers:
        rows = tuple((cut(name, _NAME), *cells(row)) for name, row in section.differ.items())
        if rows:
            yield Table(header=(title, *labels, *more), rows=rows)


def _shown(values: tuple[Any, ...], show: Callable[[Any, int], str]) -> tuple[str, ...]:
    """Return values for people; exactly and with quotes where they would look the same though they are not."""
    said = [_NONE if value is ABSENT else show(value, _VALUE) for value in values]
    distinct = [text for position, text in enumerate(said) if text not in said[:position]]
    different = [value for position, value in enumerate(values) if repr(value) not in map(repr, values[:position])]
    if len(distinct) < len(different):
        said = [_NONE if value is ABSENT else cut(repr(value), 4 * _VALUE) for value in values]
    return tuple(said)


def _change(first: object, second: object) -> str:
    """Return by how much a number has grown; nothing where one is none."""
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) for value in (first, second)):
        return ""
    return f"{second - first:+.4g}"  # type: ignore[operator]


def _stage_cells(row: StageRow) -> tuple[str, ...]:
    cells = [_NONE if side is ABSENT else _stage_cell(side) for side in row.sides]
    why = dict.fromkeys(reason_of(line, 200) for lines in row.reasons for line in lines)
    errors = dict.fromkeys(cut(side.error, 200) for side in row.sides if side is not ABSENT and side.error)
    keys = {side.key for side in row.sides if side is not ABSENT and side.key}
    told = [*why, *errors] or (["the work differs, and there is no record that tells in what"] if len(keys) > 1 else [])
    return (*cells, "; ".join(told))


def _stage_cell(side: StageSide) -> str:
    took = f" {human_seconds(side.seconds)}" if side.seconds else ""
    return f"{look_of(side.status).glyph} {cut(words_of(side.status), 20)}{took}"


def _artifact_cells(sides: tuple[ArtifactSide | Any, ...]) -> tuple[str, ...]:
    return tuple(_NONE if side is ABSENT else _artifact_cell(side) for side in sides)


def _artifact_cell(side: ArtifactSide) -> str:
    size = "" if side.size_bytes is None else f"({human_bytes(side.size_bytes)})"
    form = f"order {side.form[:_DIGEST]}" if side.form else ""
    parts = (cut(side.type or side.format, _NAME), cut(side.summary or "", _NAME), size, side.digest[:_DIGEST], form)
    return " ".join(part for part in parts if part)


def _diffs(found: Comparison) -> Iterator[tuple[str, str]]:
    """Yield diffs with their titles: of each stage's cells, and of setup, once for the stages that see the same change."""
    for name, diff in found.code.differ.items():
        if diff.cells:
            yield f"code of {cut(name, _NAME)}{_cosmetic(diff.cosmetic)}", diff.cells
    changed = sorted((diff.setup, diff.cosmetic, position, name) for position, (name, diff) in enumerate(found.code.differ.items()) if diff.setup)
    for (setup, cosmetic), group in groupby(changed, key=lambda item: item[:2]):
        yield f"setup of {listed((name for *_, name in group), 8)}{_cosmetic(cosmetic)}", setup


def _cosmetic(cosmetic: bool) -> str:  # noqa: FBT001 - what is told of a diff
    return " (comments or formatting only: they decide nothing)" if cosmetic else ""


def _summary(found: Comparison) -> list[str]:
    """Return how much is equal, what is not known, and what was looked at."""
    sections = found.sections
    lines = [] if any(section.differ for section in sections.values()) else ["nothing differs" + (" as far as is known" if _unknown(found) else "")]
    equal = [f"{len(section.equal)} {_SAID[name][len(section.equal) > 1]}" for name, section in sections.items() if section.equal]
    lines += [f"equal: {', '.join(equal)}"] if equal else []
    lines += [f"not known: {text}" for text in _unknown(found)]
    return [*lines, _COMPARED]


def _unknown(found: Comparison) -> list[str]:
    told = []
    for kind, section in found.sections.items():
        by_reason: dict[str, list[str]] = {}
        for name, why in section.unknown.items():
            by_reason.setdefault(why, []).append(name)
        told += [f"{kind} {listed(names, 8)}: {cut(why, _SENTENCE)}" for why, names in by_reason.items()]
    return told
