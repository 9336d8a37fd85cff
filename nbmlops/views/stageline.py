"""The one line that a stage cell ends with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nbmlops.views.amounts import exact_value, human_seconds
from nbmlops.views.escape import cut
from nbmlops.views.states import words_of
from nbmlops.views.tables import outputs_of, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from nbmlops.runner.results import StageResult
    from nbmlops.runner.task import StageError

__all__ = ["error_text", "gate_texts", "raising_line", "stage_line"]

_ID = 8
_MESSAGE = 200
_PASSED = 120
_WARNING = 500
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = re.compile(r"^(?=Cell |File )", re.MULTILINE)
_ARROW = re.compile(r"^-+> \d+ (.*)$", re.MULTILINE)
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
        text = message  # a message of ours needs no name of a class
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


def gate_texts(result: StageResult, *, refusing: bool = False) -> Iterator[str]:
    """Return what each gate says, with what it judged and why; `refusing` leaves out those that pass."""
    for gate in result.gates:
        passed = bool(gate.get("passed"))
        if refusing and passed:
            continue
        why = gate.get("reason") or (gate.get("warning", "") if passed else "")
        told = "; ".join(filter(None, (_judged(gate), cut(why, _PASSED if passed else _MESSAGE))))
        name = cut(gate.get("name", ""), 80) + (f" ({told})" if told else "")
        mark = "✗" if not passed else "⚠" if gate.get("warning") else "✓"
        yield name if refusing else f"{mark} {name}"


def _judged(gate: Mapping[str, Any]) -> str:
    """Return the value that a gate judged, and what it stood against where the gate's name does not say that."""
    value, threshold = gate.get("value"), gate.get("threshold")
    if value is None:
        return ""
    if gate.get("judge") == "expectations":
        return f"{exact_value(value)} of {exact_value(threshold)} met"
    against = "champion." in str(gate.get("name")) and isinstance(threshold, float)
    return exact_value(value) + (f" against {exact_value(threshold)}" if against else "")


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
    refusals = list(gate_texts(result, refusing=True))
    if result.status == "refused" and refusals:
        yield from (f"{text} does not hold" for text in refusals)
    else:
        yield reason_of(result.reason, _MESSAGE)
