"""``NB1xx``: what is wrong with cells, each by itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nbmlops.notebook.roles import Role
from nbmlops.pipeline.model import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmlops.pipeline.checks.checked import Checked

__all__ = ["duplicate_stages", "no_stages", "repaired_ids", "similar_names", "unreadable_cells"]


def unreadable_cells(checked: Checked) -> Iterator[Diagnostic]:
    """Find directives that cannot be meant (NB105) and code that does not parse (NB109)."""
    missing = {item.name for piece, unit in zip(checked.pieces, checked.links, strict=True) if piece.stage for item in unit.undefined}
    for roled in checked.cells:
        if roled.error is not None:
            shows = roled.role is Role.REPORT and missing.isdisjoint(re.findall(r"\w+", roled.cell.source))
            yield Diagnostic(
                code=roled.error.code,
                # stages run without their report cells; these show the traceback, as in the notebook
                severity="warning" if shows else "error",
                message=roled.error.message,
                fix=roled.error.fix or "mend the cell",
                cell=roled.cell.index,
                line=roled.error_line,
                stage=roled.stage,
            )


def duplicate_stages(checked: Checked) -> Iterator[Diagnostic]:
    """Find two cells that begin with the magic of one stage (NB106)."""
    first: dict[str, int] = {}
    for roled in checked.cells:
        if roled.stage is None or not roled.magic:
            continue
        if roled.stage in first:
            yield Diagnostic(
                code="NB106",
                severity="error",
                message=f"stage {roled.stage!r} is defined twice, first in cell {first[roled.stage]}",
                fix="rename one of them, or give both cells the tag stage:" + roled.stage + " to make them one stage",
                cell=roled.cell.index,
                line=1,
                stage=roled.stage,
            )
        first.setdefault(roled.stage, roled.cell.index)


def similar_names(checked: Checked) -> Iterator[Diagnostic]:
    """Find stages whose names differ in case only (NB107)."""
    seen: dict[str, str] = {}
    for roled in checked.cells:
        if roled.stage is None:
            continue
        other = seen.setdefault(roled.stage.lower(), roled.stage)
        if other != roled.stage:
            yield Diagnostic(
                code="NB107",
                severity="error",
                message=f"stages {other!r} and {roled.stage!r} differ in case only",
                fix="rename one of them",
                cell=roled.cell.index,
                line=1,
                stage=roled.stage,
            )


def repaired_ids(checked: Checked) -> Iterator[Diagnostic]:
    """Find cells whose id had to be replaced (NB108)."""
    for index in checked.document.repaired_ids:
        yield Diagnostic(
            code="NB108",
            severity="warning",
            message="the cell's id is missing, invalid or used twice; another one is used in its place",
            fix="open and save the notebook in JupyterLab, which gives it a new id",
            cell=index,
        )


def no_stages(checked: Checked) -> Iterator[Diagnostic]:
    """Tell that a notebook has no stages (NB112)."""
    if not checked.pipeline.stages:
        yield Diagnostic(
            code="NB112",
            severity="info",
            message="the notebook has no stages: its cells run in order, and nothing is reused",
            fix="begin a cell with %%mlstage NAME, or give it the tag stage:NAME",
        )
