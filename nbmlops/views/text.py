"""A pipeline, a plan, a run and diagnostics as text for a terminal."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from nbmlops.runner.redaction import MASK, looks_secret
from nbmlops.runner.results import DONE
from nbmlops.views.amounts import exact_value, human_seconds, human_value
from nbmlops.views.escape import cut, listed
from nbmlops.views.failing import failure_lines
from nbmlops.views.fitting import fitted_table
from nbmlops.views.registered import REGISTRY, registered_lines
from nbmlops.views.stageline import gate_texts, stage_line
from nbmlops.views.states import words_of
from nbmlops.views.tables import REPORT_ROW, Table, aligned, by_kind, reason_of, run_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nbmlops.pipeline.model import Diagnostic, FileUse, Parameter, Pipeline, Read, Stage
    from nbmlops.runner.plan import Plan
    from nbmlops.runner.results import RunResult

__all__ = ["diagnostic_line", "diagnostics_text", "failure_text", "graph_text", "headline", "notable", "run_text", "stage_line", "status_text"]

_NAME, _REASON, _SENTENCE = 48, 120, 600
_NO_STAGES = "no stages: put %%mlstage NAME on the first line of a cell, or the tag stage:NAME on it"
_SEVERITIES = ("error", "warning", "info")
_SHOWN = frozenset({"in", "out", "after", "file", "writes"})  # options that reads and writes already show


def graph_text(pipeline: Pipeline) -> str:
    """Return a pipeline: its parameters, each stage with what it reads, from where and how that is known, what it writes, and diagnostics."""
    counts = [_count(len(pipeline.stages), "stage"), _count(len(pipeline.edges), "edge"), _count(len(pipeline.parameters), "parameter")]
    blocks = [[", ".join(counts)] if pipeline.stages else [_NO_STAGES]]
    if pipeline.parameters:
        blocks.append(["parameters", *_indented(aligned([_parameter_row(item) for item in pipeline.parameters.values()], header=False))])
    blocks += [list(_stage_block(stage)) for stage in pipeline.stages.values()]
    if pipeline.reports:
        blocks.append(list(_report_block(pipeline)))
    if pipeline.diagnostics:
        blocks.append(["diagnostics", *_indented(diagnostic_line(item) for item in pipeline.diagnostics)])
    return "\n\n".join("\n".join(block) for block in blocks)


def status_text(plan: Plan, width: int | None = None) -> str:
    """Return each stage's state with its reason, and what a run would do; in so many columns where the table can."""
    if not plan.stages:
        return _NO_STAGES
    rows = tuple((cut(name, _NAME), item.state, reason_of(item.reason)) for name, item in plan.stages.items())
    states = Counter(item.state for item in plan.stages.values())
    if plan.all_fresh:
        summary = "nothing to run: every stage is fresh" + (f" ({states['skipped']} skipped)" if states["skipped"] else "")
    else:
        summary = ", ".join(f"{states[state]} {state}" for state in ("fresh", "stale", "unknown", "skipped", "refused") if states[state])
    return "\n".join([*fitted_table(Table(header=("stage", "state", "reason"), rows=rows, state=1, wraps=frozenset({2})), width), "", summary])


def run_text(result: RunResult, given: Sequence[str] = (), *, in_kernel: bool = False, width: int | None = None) -> str:
    """Return what became of a run: a table of its stages, metrics and gates, where to look further, and last how it failed and what helps.

    Parameters
    ----------
    result : RunResult
    given, in_kernel
        As `failure_lines` takes them.
    width : int or None
        The columns that the table has.
    """
    blocks = [[headline(result)], fitted_table(run_table(result), width) if result.stages or result.report else []]
    blocks += [_facts(result), [diagnostic_line(item) for item in notable(result)]]
    blocks.append(list(failure_lines(result, given, in_kernel=in_kernel)))
    return "\n\n".join("\n".join(block) for block in blocks if block)


def failure_text(result: RunResult, given: Sequence[str] = ()) -> str:
    """Return how a run failed and what helps; nothing of one that is done."""
    return "" if result.exit_code == 0 else "\n".join([headline(result), *failure_lines(result, given)])


def notable(result: RunResult) -> list[Diagnostic]:
    """Return the diagnostics that a reader must see, without that which says of the report cells what their error says."""
    said = None if result.report is None or result.report.error is None else result.report.error.cell
    own = {"NB214", result.report.error.code} if result.report is not None and result.report.error is not None else set()
    return [item for item in result.diagnostics if item.severity != "info" and not (item.code in own and item.cell == said)]


def diagnostics_text(diagnostics: Iterable[Diagnostic], notebook: str) -> str:
    """Return one line for each diagnostic, which names the notebook as `notebook`, errors first; and how many there are."""
    found = list(diagnostics)
    name = cut(notebook, 200)
    if not found:
        return f"{name}: nothing to report"
    groups = [[item for item in found if item.severity == severity] for severity in _SEVERITIES]
    summary = ", ".join(_count(len(group), group[0].severity) for group in groups if group)
    if groups[0]:
        summary += f": nothing runs until the {'error is' if len(groups[0]) == 1 else 'errors are'} mended"
    blocks = [[f"{name}: {diagnostic_line(item)}" for item in group] for group in groups if group]
    return "\n\n".join("\n".join(block) for block in [*blocks, [summary]])


def headline(result: RunResult) -> str:
    """Return which run it is and how it ended, in one line."""
    run = f"run {cut(result.run_id, 32)}"
    if result.nothing_to_do:
        return f"nothing to do: every stage is reused; this equals {run} of {cut(result.notebook, 120)}"
    counts = Counter(stage.status for stage in result.stages.values())
    told = [f"{number} {words_of(cut(status, 20))}" for status, number in counts.items()]
    saved = sum(stage.seconds for stage in result.stages.values() if stage.status == "reused")
    if result.report is not None and result.report.status not in {*DONE, "not-run"}:
        told.append(f"{REPORT_ROW} {words_of(cut(result.report.status, 20))}")
    told += [f"saved {human_seconds(saved)}"] if saved else []
    head = f"{run} of {cut(result.notebook, 120)}: {words_of(cut(result.status, 20))} in {human_seconds(result.seconds)}"
    return f"{head} ({', '.join(told)})" if told else head


def _facts(result: RunResult) -> list[str]:
    facts = [("metrics", f"{cut(name, _NAME)} {human_value(value)}") for name, value in result.metrics.items()]
    facts += [("gates", text) for text in _gates(result)]
    facts += [("models", line) for line in registered_lines(result)]
    for tracker, fields in result.tracking.items():
        if tracker == REGISTRY:
            continue
        facts.append((cut(tracker, 20), ", ".join(f"{cut(key, 20)} {cut(value, 120)}" for key, value in fields.items())))
    if result.output:
        facts.append(("notebook", cut(result.output, _SENTENCE)))
    shown: list[tuple[str, str]] = []
    for label, text in facts:
        shown.append(("" if any(label == earlier for earlier, _ in facts[: len(shown)]) else label, text))
    return aligned(shown, header=False)


def _gates(result: RunResult) -> Iterator[str]:
    """Return what each gate says; of two stages that say the same, with the stage."""
    said = [(text, stage.name) for stage in result.stages.values() for text in gate_texts(stage)]
    counts = Counter(text for text, _ in said)
    yield from (f"{text} in {cut(stage, _NAME)}" if counts[text] > 1 else text for text, stage in said)


def _parameter_row(parameter: Parameter) -> tuple[str, ...]:
    default = exact_value(parameter.default) if parameter.literal else "(computed)"
    if looks_secret(parameter.name, parameter.default):
        default = MASK
    return cut(parameter.name, _NAME), cut(parameter.type, 20), default, cut(parameter.help, 100)


def _stage_block(stage: Stage) -> Iterator[str]:
    after = f"  ← {listed(stage.upstream, 8)}" if stage.upstream else ""
    yield f"{cut(stage.name, 64)}  {_cells(stage.cells)}{after}"
    rows = [("reads", *_read_row(read)) for read in by_kind(stage.reads)]
    rows += [("reads", cut(use.path, _NAME), _file_source(use), f"file, {use.how}") for use in stage.files if use.kind == "read"]
    rows += [("writes", cut(name, _NAME), "", "") for name in stage.wants]
    rows += [("writes", cut(use.path, _NAME), "", f"file, {use.how}") for use in stage.files if use.kind == "write"]
    rows += [("after", cut(name, _NAME), "", cut("; ".join(why), _REASON)) for name, why in stage.order.items()]
    rows += [("options", option, "", "") for option in _options(stage)]
    labelled = [(row[0] if number == 0 or rows[number - 1][0] != row[0] else "", *row[1:]) for number, row in enumerate(rows)]
    yield from _indented(aligned(labelled, header=False))


def _options(stage: Stage) -> Iterator[str]:
    for flag, value in stage.directive.given_options().items():
        if flag not in _SHOWN and value is not False:
            for item in value if isinstance(value, list) else [value]:
                if flag == "tags":
                    yield cut(item, 80)
                else:
                    yield f"--{flag}" if item is True else f"--{flag} {exact_value(item, 80)}"


def _read_row(read: Read) -> tuple[str, str, str]:
    return cut(read.name, _NAME), f"from {cut(read.provider, _NAME)} (cell {read.cell})", cut(read.told, _REASON)


def _file_source(use: FileUse) -> str:
    return f"from {cut(use.provider, _NAME)}" if use.provider is not None else ""


def _report_block(pipeline: Pipeline) -> Iterator[str]:
    yield f"{REPORT_ROW}  {_cells(tuple(report.cell for report in pipeline.reports))}"
    reads = {
        read.name: f"{cut(read.name, _NAME)} from {cut(read.provider, _NAME)}"
        for report in pipeline.reports
        for read in report.reads
        if read.kind == "stage"
    }
    if reads:
        yield f"  reads  {listed(reads.values(), 12, width=2 * _NAME)}"


def diagnostic_line(item: Diagnostic) -> str:
    """Return a diagnostic in one line: its place, what is wrong, and the fix."""
    place = ", ".join(
        part
        for part in (
            f"cell {item.cell}" if item.cell is not None else "",
            f"line {item.line}" if item.line is not None else "",
        )
        if part
    )
    text = f"{item.severity} {item.code}: {cut(item.message, _SENTENCE)}"
    text = f"{place}: {text}" if place else text
    return f"{text}; {cut(item.fix, _SENTENCE)}" if item.fix else text


def _cells(cells: tuple[int, ...]) -> str:
    return ("cell " if len(cells) == 1 else "cells ") + listed(map(str, cells), 12)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 or noun == "info" else f"{number} {noun}s"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
