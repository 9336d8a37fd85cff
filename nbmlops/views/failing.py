"""What a run that is not done ends with: each error with the line that raised it, and the commands that help."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from nbmlops.runner.results import DONE
from nbmlops.views.escape import cut
from nbmlops.views.stageline import error_text, raising_line, refusal_texts
from nbmlops.views.tables import REPORT_ROW, aligned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nbmlops.runner.results import RunResult, StageResult

__all__ = ["error_lines", "failure_lines", "help_commands", "raised_in"]

_NAME, _LINE, _WORD = 48, 120, 600
_FAILED = frozenset({"failed", "timed-out", "refused"})


def failure_lines(result: RunResult, given: Sequence[str] = (), *, in_kernel: bool = False) -> Iterator[str]:
    """Return each error, the line that raised the first, and the commands that help with it.

    Parameters
    ----------
    result : RunResult
    given : sequence of str
        The words that the run was given and that its commands need too: parameters and the store.
    in_kernel : bool
        Whether the reader sits in the kernel of this notebook.
    """
    yield from (f"✗ {line}" for line in error_lines(result))
    raised = raised_in(result)
    if raised:
        yield f"    {raised}"
    yield from (f"  {line}" for line in aligned(help_commands(result, given, in_kernel=in_kernel), header=False))


def error_lines(result: RunResult) -> Iterator[str]:
    """Return a line for each error and each refusal."""
    for name, stage in _parts(result):
        if stage.error is not None:
            kept = "; every stage is kept: mend the cell, and run again" if name == REPORT_ROW and _all_done(result) else ""
            yield f"{cut(name, _NAME)}: {error_text(stage.error)}{kept}"
        elif stage.status == "refused":
            yield from (f"{cut(name, _NAME)}: {text}" for text in refusal_texts(stage))


def raised_in(result: RunResult) -> str:
    """Return the line of the first failing cell that raised; empty where that is not known."""
    error = next((stage.error for _, stage in _parts(result) if stage.error is not None), None)
    return cut(raising_line(error), _LINE) if error is not None else ""


def help_commands(result: RunResult, given: Sequence[str] = (), *, in_kernel: bool = False) -> list[tuple[str, str]]:
    """Return the commands that help with the first stage that failed, each with what it gives; none where only report cells did."""
    failed = next((stage for stage in result.stages.values() if stage.status in _FAILED), None)
    if failed is None:
        return []
    name = shlex.quote(cut(failed.name, 64))
    why = ("%mlwhy",) if in_kernel else ("nbmlops", "why", _word(result.notebook))
    found = "its inputs and what it made" if failed.status == "refused" else "its inputs and its traceback"
    return [
        (" ".join((*why, name, *map(_word, given))), "what decides about it"),
        (f"%mlload {name} --run {cut(result.run_id[:8], 8)}", found if in_kernel else f"{found}, in a kernel"),
    ]


def _word(word: str) -> str:
    return shlex.quote(cut(word, _WORD))


def _parts(result: RunResult) -> Iterator[tuple[str, StageResult]]:
    yield from ((stage.name, stage) for stage in result.stages.values())
    if result.report is not None:
        yield REPORT_ROW, result.report


def _all_done(result: RunResult) -> bool:
    return all(stage.status in DONE for stage in result.stages.values())
