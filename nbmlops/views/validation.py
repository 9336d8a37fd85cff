"""What a suite says about a frame, as text for a terminal and as a still table for a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.views.amounts import exact_value, human_value
from nbmlops.views.escape import cut, escape, listed
from nbmlops.views.html import card, html_list, html_table
from nbmlops.views.tables import Table, text_table

if TYPE_CHECKING:
    from nbmlops.gates.validation import Check, Validation

__all__ = ["show_validation", "validation_html", "validation_text"]

_NAME, _WANTED, _FOUND, _SENTENCE = 60, 80, 120, 400
_MOST_ROWS = 200


def validation_text(found: Validation) -> str:
    """Return how it went, and a row for each expectation, those that are not met first."""
    blocks = [[cut(found.headline, _SENTENCE)], text_table(_table(found)), _notes(found)]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def validation_html(found: Validation) -> str:
    """Return the same for a notebook."""
    return card(f"<p>{escape(cut(found.headline, _SENTENCE))}</p>{html_table(_table(found))}{html_list(_notes(found))}")


def show_validation(found: Validation) -> None:
    """Show it in the cell that runs; a plain Python process shows nothing."""
    from IPython.core.interactiveshell import InteractiveShell  # noqa: PLC0415 - a script need not have it loaded

    if InteractiveShell.initialized():
        InteractiveShell.instance().display_pub.publish({"text/plain": validation_text(found), "text/html": validation_html(found)})


def _table(found: Validation) -> Table:
    # stable: within each kind the suite's order
    ordered = sorted(found.checks, key=lambda check: (check.met and not check.reason, check.met, check.severity in {"warning", "info"}))
    rows = tuple(_row(check) for check in ordered[:_MOST_ROWS])
    return Table(header=("expectation", "of", "verdict", "wanted", "found", "note"), rows=rows)


def _row(check: Check) -> tuple[str, ...]:
    wanted = ", ".join(f"{name}={exact_value(value, _WANTED)}" for name, value in check.wanted.items())
    return cut(check.expectation, _NAME), cut(check.about, _NAME), _verdict(check), cut(wanted, _WANTED), _found(check), cut(check.notes, _NAME)


def _verdict(check: Check) -> str:
    if check.met:
        return "! met" if check.reason else "✓ met"
    return {"warning": "! warning", "info": "· noted"}.get(check.severity, "✗ not met")


def _found(check: Check) -> str:
    if check.reason:
        return cut(check.reason, _FOUND)
    if check.unexpected is None or check.looked_at is None:
        return "" if check.observed is None else human_value(check.observed, _FOUND)
    if not check.unexpected:
        return f"0 of {check.looked_at:,} fail"
    share = f" ({100 * check.unexpected / check.looked_at:.2g}%)" if check.looked_at else ""
    return f"{check.unexpected:,} of {check.looked_at:,} fail{share}: {listed(map(str, dict.fromkeys(check.examples)), 5)}"


def _notes(found: Validation) -> list[str]:
    more = len(found.checks) - _MOST_ROWS
    return [cut(found.reason, _SENTENCE)] * bool(found.reason) + ([f"… {more} more expectations"] if more > 0 else [])
