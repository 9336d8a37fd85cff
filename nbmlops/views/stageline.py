"""The one line that a stage cell ends with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nbmlops.pattern import pattern
from nbmlops.views.amounts import exact_value, human_seconds
from nbmlops.views.escape import cut
from nbmlops.views.states import words_of
from nbmlops.views.tables import outputs_of, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nbmlops.runner.results import StageResult
    from nbmlops.runner.task import StageError

__all__ = ["error_text", "gate_texts", "raising_line", "refusal_texts", "stage_line"]

_ID = 8
_MESSAGE = 200
_REMEDY = 800  # of a message of ours, whose end says what to do
_WARNING = 500
_COLOURS = pattern(r"\x1b\[[0-9;]*m")
_FRAME = pattern(r"^(?=Cell |File )", re.MULTILINE)
_ARROW = pattern(r"^-+> \d+ (.*)$", re.MULTILINE)
_AFTER = frozenset({"failed", "refused", "timed-out", "cancelled"})


def stage_line(result: StageResult, remarks: tuple[str, ...] = (), warning: str = "") -> str:
    """Return what became of a stage in one line, and below it what makes it less than it looks.

    Parameters
    ----------
    result : StageResult
    remarks : tuple of str
        What else the reader must know, such as what could not be stored.
    warning : str
        Why the result is not reproducible, and the way back.

    Examples
    --------
    ::

        train  ran 4.2 s  → model (1.3 MB)  · parameter C 0.5 → 1.0
        train  reused from run 8f3a0c11 (saved 4.2 s)
        train  failed after 4.2 s · ValueError: no rows (cell 7)
        train  ran 4.2 s  → model (1.3 MB)
          ! not reproducible, NB403: 'X' was changed after stage load [3] made it in [5]; run [3] again, then this cell
    """
    head = f"{cut(result.name, 64)}  {_happened(result)}"
    separator = " · "
    if result.outputs and result.status == "ran":
        head += f"  → {outputs_of(result.outputs)}"
        separator = "  · "
    parts = [*_causes(result), *(cut(remark, _MESSAGE) for remark in remarks)]
    line = separator.join([head, *filter(None, parts)])
    return f"{line}\n  ! {cut(warning, _WARNING)}" if warning else line


def error_text(error: StageError) -> str:
    """Return an error in one line: its type or code, its message and the cell that raised it."""
    message, kind = cut(error.message, _MESSAGE), cut(error.type, 60)
    text = f"{kind}: {message}" if message else kind
    if error.code is not None and message.startswith(f"{error.code}: "):
        text = cut(error.message, _REMEDY)  # a message of ours needs no name of a class
    return f"{text} (cell {error.cell})" if error.cell is not None else text


def raising_line(error: StageError) -> str:
    """Return the line of the failing cell that raised, from the traceback that IPython wrote; empty where it does not show.

    Examples
    --------
    >>> raising_line(StageError(type="E", message="", cell=3, traceback=("Cell 3 (train), line 2", "      1 x = 1", "----> 2 y = 1 / 0")))
    'cell 3: y = 1 / 0'
    """
    frames = _FRAME.split(_COLOURS.sub("", "\n".join(error.traceback)))
    arrow = next((arrow for frame in frames if frame.startswith(f"Cell {error.cell}") for arrow in _ARROW.findall(frame)), None)
    return f"cell {error.cell}: {arrow.strip()}" if arrow else ""


def gate_texts(result: StageResult) -> Iterator[str]:
    """Return what each gate says, with the value that it judged; one that passes with a mark has a sign of its own, and its warning."""
    for gate in result.gates:
        sign = "✗" if not gate.get("passed") else "!" if gate.get("warning") else "✓"
        yield f"{sign} {_gate(gate)}"


def refusal_texts(result: StageResult) -> Iterator[str]:
    """Return which gates refuse, and why."""
    for gate in result.gates:
        if not gate.get("passed"):
            yield f"{'--require ' if gate.get('judge', 'require') == 'require' else ''}{_gate(gate)} does not hold"


def _gate(gate: Mapping[str, Any]) -> str:
    told = "; ".join(filter(None, (_judged(gate), _said(gate))))
    return cut(gate.get("name", ""), 80) + (f" ({told})" if told else "")


def _judged(gate: Mapping[str, Any]) -> str:
    if gate.get("value") is None:
        return ""
    value, threshold = exact_value(gate["value"]), gate.get("threshold")
    if gate.get("judge") == "expectations":
        return f"{value} of {exact_value(threshold)}"  # it counts its expectations
    # what a comparison compares with stands in its name, but for what the champion has
    return f"{value} against {exact_value(threshold)}" if "champion." in str(gate.get("name")) and isinstance(threshold, float) else value


def _said(gate: Mapping[str, Any]) -> str:
    return cut(gate.get("warning") or gate.get("reason") or "", _MESSAGE)


def _happened(result: StageResult) -> str:
    took = human_seconds(result.seconds) if result.seconds else ""
    if result.status == "reused":
        source = f" from run {cut(result.run_id[:_ID], _ID)}" if result.run_id else ""
        return f"reused{source}" + (f" (saved {took})" if took else "")
    words = cut(words_of(result.status), 20)
    if not took:
        return words
    return f"{words} after {took}" if result.status in _AFTER else f"{words} {took}"


def _causes(result: StageResult) -> Iterator[str]:
    if result.status == "reused":
        return
    if result.error is not None:
        yield error_text(result.error)
        return
    refusals = list(refusal_texts(result))
    if result.status == "refused" and refusals:
        yield from refusals
    else:
        yield reason_of(result.reason, _MESSAGE)
