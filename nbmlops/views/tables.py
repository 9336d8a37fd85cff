"""The rows that a terminal and a page both show: of a plan, of a run, of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.dataclass import dataclass
from nbmlops.views.amounts import human_bytes, human_seconds
from nbmlops.views.escape import clean, columns, cut, listed, padded
from nbmlops.views.states import look_of, words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nbmlops.pipeline.model import Diagnostic, Pipeline, Read
    from nbmlops.runner.results import RunResult, StageResult
    from nbmlops.store.records import Artifact

__all__ = [
    "REPORT_ROW",
    "Table",
    "aligned",
    "by_kind",
    "diagnostics_table",
    "graph_table",
    "outputs_of",
    "reason_of",
    "run_table",
    "said_state",
    "text_table",
]

REPORT_ROW = "report cells"
_NAME, _REASON = 40, 100
_OUTPUTS = 4
_SENTENCE = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of cleaned text.

    Parameters
    ----------
    header : tuple of str
    rows : tuple of tuple of str
    state : int or None
        The column that holds bare states, which each front draws in its own way.
    numbers : frozenset of int
        Columns that stand to the right.
    wraps : frozenset of int
        Columns of text, which may go on below where a terminal is narrow.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    state: int | None = None
    numbers: frozenset[int] = frozenset()
    wraps: frozenset[int] = frozenset()


def run_table(result: RunResult) -> Table:
    """Return a row for each stage of a run, and one for its report cells."""
    rows = [_run_row(stage.name, stage) for stage in result.stages.values()]
    if result.report is not None:
        rows.append(_run_row(REPORT_ROW, result.report))
    header = ("stage", "status", "took", "reason", "outputs")
    return Table(header=header, rows=tuple(rows), state=1, numbers=frozenset({2}), wraps=frozenset({3, 4}))


def _run_row(name: str, stage: StageResult) -> tuple[str, ...]:
    took = human_seconds(stage.seconds) if stage.seconds else ""
    outputs = outputs_of(stage.outputs) if name != REPORT_ROW else ""
    return cut(name, _NAME), stage.status, f"({took})" if took and stage.status == "reused" else took, reason_of(stage.reason), outputs


def diagnostics_table(diagnostics: Iterable[Diagnostic]) -> Table:
    """Return a row for each diagnostic: what it is, where, and what to do."""
    rows = tuple(
        (item.code, item.severity, "" if item.cell is None else str(item.cell), cut(item.stage or "", _NAME), cut(item.message, _SENTENCE),
         cut(item.fix or "", _SENTENCE))
        for item in diagnostics
    )  # fmt: skip
    return Table(header=("code", "severity", "cell", "stage", "what", "what to do"), rows=rows, numbers=frozenset({2}))


def graph_table(pipeline: Pipeline, states: Mapping[str, str], reasons: Mapping[str, str]) -> Table:
    """Return a row for each stage of a pipeline; states and reasons are shown where there are any."""
    rows = []
    for stage in pipeline.stages.values():
        reads = listed((read.name for read in by_kind(stage.reads) if read.kind != "setup"), 8)
        known = ((states.get(stage.name, ""),) if states else ()) + ((reason_of(reasons.get(stage.name, "")),) if reasons else ())
        rows.append((cut(stage.name, _NAME), *known, reads, listed(stage.wants, 8)))
    header = ("stage", *(("state",) if states else ()), *(("reason",) if reasons else ()), "reads", "writes")
    return Table(header=header, rows=tuple(rows), state=1 if states else None)


def by_kind(reads: Iterable[Read]) -> list[Read]:
    """Return reads with artifacts first, then parameters, then what setup cells provide."""
    return sorted(reads, key=lambda read: ("stage", "parameter", "setup").index(read.kind))


def outputs_of(outputs: Mapping[str, Artifact], limit: int = _OUTPUTS) -> str:
    """Return artifacts with their sizes; what is stored as one bundle is told as one."""
    bundles: dict[str, tuple[list[str], int]] = {}
    for name, artifact in outputs.items():
        key = artifact.digest if artifact.members else f"{name} alone"
        bundles.setdefault(key, ([], artifact.size_bytes))[0].append(name)
    said = [f"{' + '.join(cut(name, _NAME) for name in names[:limit])} ({human_bytes(size)})" for names, size in bundles.values()]
    return listed(said, limit, width=4 * _NAME)


def reason_of(reason: str, limit: int = _REASON) -> str:
    """Return a reason in one line, with real arrows."""
    return cut(reason, limit).replace(" -> ", " → ")


def said_state(state: str) -> str:
    """Return a state as glyph and word, or nothing for none."""
    return f"{look_of(state).glyph} {cut(words_of(state), 20)}" if state else ""


def text_table(table: Table) -> list[str]:
    """Return a table as lines for a terminal, without blanks at their ends."""
    rows = [tuple(said_state(cell) if number == table.state else cell for number, cell in enumerate(row)) for row in table.rows]
    return aligned([table.header, *rows], table.numbers)


def aligned(rows: Sequence[Sequence[str]], numbers: Iterable[int] = (), *, header: bool = True) -> list[str]:
    """Return rows of cells as lines whose columns stand under each other; a column with nothing under its header goes."""
    cleaned = [[clean(cell) for cell in row] for row in rows]
    kept = [number for number in range(len(cleaned[0])) if any(row[number] for row in cleaned[header:])] if cleaned else []
    widths = {number: max(columns(row[number]) for row in cleaned) for number in kept}
    right = set(numbers)
    return ["  ".join(padded(row[number], widths[number], right=number in right) for number in kept).rstrip() for row in cleaned]
