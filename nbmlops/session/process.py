"""The state of the kernel's process, and who made it: a stage sees in batch only what setup cells make."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ProcessState", "snapshot"]

_VARIABLE = "environment variable "
# what changes how values look, and not what they are
_SHOWS = ("display.", "plotting.", "styler.")
_DECIMAL = "(28, 'ROUND_HALF_EVEN', -999999, 999999, 1, 0)"
_NUMPY = "[('divide', 'warn'), ('invalid', 'warn'), ('over', 'warn'), ('under', 'ignore')]"


def snapshot() -> dict[str, str]:
    """Return the state of this process that results may depend on, by name."""
    found = {f"{_VARIABLE}{name}": value for name, value in os.environ.items()}
    found["working directory"] = _folder()
    decimal, locale, numpy = (sys.modules.get(name) for name in ("decimal", "locale", "numpy"))
    if locale is not None:
        found["locale"] = str(locale.setlocale(locale.LC_ALL))
    # a cell that imports these and changes them at once has no state before
    found["decimal context"] = _decimal_context(decimal) if decimal is not None else _DECIMAL
    found["numpy error handling"] = repr(sorted(numpy.geterr().items())) if numpy is not None and hasattr(numpy, "geterr") else _NUMPY
    return found | _pandas_options()


def _decimal_context(decimal: Any) -> str:  # noqa: ANN401 - the module
    context = decimal.getcontext()
    return repr((context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp))


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - a name, no path to work with
    except OSError:
        return ""  # it was deleted


def _pandas_options() -> dict[str, str]:
    config = sys.modules.get("pandas._config.config")
    options: Any = getattr(config, "_global_config", None)
    found: dict[str, str] = {}
    pending = [("", options)] if isinstance(options, dict) else []
    while pending:
        prefix, level = pending.pop()
        for name, value in level.items():
            full = f"{prefix}{name}"
            if isinstance(value, dict):
                pending.append((f"{full}.", value))
            elif not full.startswith(_SHOWS):
                found[f"pandas option {full}"] = repr(value)
    return found


@dataclass(frozen=True, slots=True)
class _Made:
    value: str | None
    cell: str | None
    statements: frozenset[str]


class ProcessState:
    """What the process should be like.

    Parameters
    ----------
    baseline : dict of str to str
        The state before the first cell.
    """

    def __init__(self, baseline: dict[str, str]) -> None:
        self._expected = {name: _Made(value, None, frozenset()) for name, value in baseline.items()}
        self._changed_by: dict[str, str] = {}

    def changed(self, before: dict[str, str], label: str, *, setup: str | None = None, statements: Iterable[str] = ()) -> None:
        """Take note of what a cell has changed.

        Parameters
        ----------
        before : dict
            The state before it ran.
        label : str
            How users find the cell.
        setup : str or None
            Of a setup cell its id: then what it made is what should be.
        statements : iterable of str
            The fingerprints of its statements.
        """
        now = snapshot()
        made = frozenset(statements)
        for name in before.keys() | now.keys():
            if before.get(name) == now.get(name):
                continue
            # a library that has just been imported brings its state along
            brought = name not in before and not name.startswith(_VARIABLE)
            if setup is not None or brought:
                self._expected[name] = _Made(now.get(name), None if brought else setup, frozenset() if brought else made)
                self._changed_by.pop(name, None)
            else:
                self._changed_by[name] = label

    def differences(self, now: dict[str, str], variables: Iterable[str], here: dict[str, frozenset[str]]) -> dict[str, str | None]:
        """Return what is not as it should be, with the cell that changed it where that is known.

        Parameters
        ----------
        now : dict of str to str
            From `snapshot`.
        variables : iterable of str
            The environment variables that count.
        here : dict of str to frozenset of str
            Of each setup cell of the notebook, by id, the fingerprints of its statements.
        """
        wanted = {f"{_VARIABLE}{name}" for name in variables}
        found: dict[str, str | None] = {}
        for name in sorted(wanted | {name for name in now.keys() | self._expected.keys() if not name.startswith(_VARIABLE)}):
            expected = self._expected.get(name)
            if expected is None and not name.startswith(_VARIABLE):
                continue  # of a library that nobody has looked at since it was imported
            if now.get(name) != (expected.value if expected else None):
                found[name] = self._changed_by.get(name)
            elif expected is not None and expected.cell is not None and not expected.statements <= here.get(expected.cell, frozenset()):
                found[name] = "a setup cell that is no longer there"
        return found
