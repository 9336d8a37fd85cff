"""What a run that is not done ends with: each error with the line that raised it, and the commands that help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.runner.results import DONE
from nbmlops.views.escape import cut
from nbmlops.views.stageline import error_text, raising_line, refusal_texts
from nbmlops.views.tables import REPORT_ROW, aligned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nbmlops.runner.results import RunResult, StageResult

__all__ = ["errors_of", "failure_lines", "help_commands"]

KEPT = "every stage is kept: mend the report cell, and run again"
_NAME, _LINE, _WORD = 48, 120, 600
_FAILED = frozenset({"failed", "timed-out", "refused"})


def failure_lines(result: RunResult, given: Sequence[str] = (), *, in_kernel: bool = False) -> Iterator[str]:
    """Return each error, the line that raised it, and the commands that help with the first.

    Parameters
    ----------
    result : RunResult
    given : sequence of str
        The words that the run was given and that its commands need too: parameters and the store.
    in_kernel : bool
        Whether the reader sits in the kernel of this notebook.
    """
    for line, raised in errors_of(result):
        yield f"✗ {line}"
        if raised:
            yield f"    {raised}"
    if _only_reports_failed(result):
        yield f"  {KEPT}"
    yield from (f"  {line}" for line in aligned(help_commands(result, given, in_kernel=in_kernel), header=False))


def errors_of(result: RunResult) -> Iterator[tuple[str, str]]:
    """Return a line for each error and each refusal, with the line of the cell that raised; that is empty where it is not known."""
    for name, stage in _parts(result):
        if stage.error is not None:
            yield f"{cut(name, _NAME)}: {error_text(stage.error)}", cut(raising_line(stage.error), _LINE)
        elif stage.status == "refused":
            yield from ((f"{cut(name, _NAME)}: {text}", "") for text in refusal_texts(stage))


def help_commands(result: RunResult, given: Sequence[str] = (), *, in_kernel: bool = False) -> list[tuple[str, str]]:
    """Return the commands that help with the first stage that failed, each with what it gives; none where only report cells did."""
    failed = next((stage for stage in result.stages.values() if stage.status in _FAILED), None)
    if failed is None:
        return []
    name = _quoted(failed.name, 64)
    why = ("%mlwhy",) if in_kernel else ("nbmlops", "why", _word(result.notebook))
    found = "its inputs and what it made" if failed.status == "refused" else "its inputs and its traceback"
    return [
        (" ".join((*why, name, *map(_word, given))), "what decides about it"),
        (f"%mlload {name} --run {cut(result.run_id[:8], 8)}", found if in_kernel else f"{found}, in a kernel"),
    ]


def _word(word: str) -> str:
    return _quoted(word, _WORD)


def _quoted(word: str, most: int) -> str:
    import shlex  # noqa: PLC0415 - few runs fail

    return shlex.quote(cut(word, most))


def _parts(result: RunResult) -> Iterator[tuple[str, StageResult]]:
    yield from ((stage.name, stage) for stage in result.stages.values())
    if result.report is not None:
        yield REPORT_ROW, result.report


def _only_reports_failed(result: RunResult) -> bool:
    report = result.report
    return report is not None and report.error is not None and all(stage.status in DONE for stage in result.stages.values())
