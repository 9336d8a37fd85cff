"""What `verify` found, as text for a terminal and as a still card for a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.views.amounts import human_seconds
from nbmlops.views.escape import cut, escape, listed
from nbmlops.views.html import card, html_list, html_table
from nbmlops.views.tables import Table, text_table

if TYPE_CHECKING:
    from nbmlops.session.verifying.verdict import StageVerdict, VerifyResult

__all__ = ["verify_html", "verify_text"]

_NAME, _CAUSE = 40, 600


def verify_text(result: VerifyResult) -> str:
    """Return a table of the stages, the causes below it, and what was changed."""
    blocks = [text_table(_table(result)), [f"✗ {line}" for line in _causes(result)], [*_conditions(result), *result.remarks], [_headline(result)]]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def verify_html(result: VerifyResult) -> str:
    """Return the same for a notebook."""
    return card(
        f"<p>{escape(_headline(result))}</p>{html_table(_table(result))}{html_list([*_causes(result), *_conditions(result), *result.remarks])}"
    )


def _headline(result: VerifyResult) -> str:
    took = human_seconds(result.seconds)
    if result.same:
        return f"{cut(result.notebook, 120)}: every stage gives the same twice ({took})"
    names = listed((stage.name for stage in result.stages if stage.same is False), 8)
    return f"{cut(result.notebook, 120)}: not the same twice: {names} ({took})"


def _table(result: VerifyResult) -> Table:
    rows = tuple((cut(stage.name, _NAME), _state(stage), listed((*stage.artifacts, *stage.files), 8)) for stage in result.stages)
    return Table(header=("stage", "verdict", "differs"), rows=rows)


def _state(stage: StageVerdict) -> str:
    if stage.same is None:
        return "» skipped" if stage.skipped else "○ not verified"
    return "✓ same" if stage.same else "✗ differs"


def _causes(result: VerifyResult) -> list[str]:
    return [f"{cut(stage.name, _NAME)}: {cut(stage.cause, _CAUSE)}" for stage in result.stages if stage.cause and not stage.skipped]


def _conditions(result: VerifyResult) -> list[str]:
    first, second = result.conditions["first"], result.conditions["second"]
    changed = [f"{name.replace('_', ' ')} {cut(first[name], 40)} and {cut(second[name], 40)}" for name in first if name != "folder"]
    return [f"twice: in two folders, with {', '.join(changed)}"]
