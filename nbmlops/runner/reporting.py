"""The report cells as one unit that runs last, in a process of its own."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from nbmlops.notebook.directive import Directive
from nbmlops.pipeline.model import Read, Report, Stage, Step

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from nbmlops.pipeline.model import Pipeline

__all__ = ["REPORT", "report_stage"]

REPORT = "@report"


def report_stage(pipeline: Pipeline, offered: AbstractSet[str]) -> Stage | None:
    """Return the report cells, and every setup cell, as one stage; None if there is nothing to run.

    Parameters
    ----------
    pipeline : Pipeline
    offered : set of str
        The stages whose values may be shown.
    """
    reports = _offered(pipeline, offered)
    if not reports and not pipeline.setup_steps:
        return None
    steps = sorted(
        (*pipeline.setup_steps, *(Step(kind="report", cell=item.cell, source=item.source, guards=item.guards) for item in reports)),
        key=lambda step: step.place,
    )
    reads: dict[tuple[str, str], Read] = {}
    for item in reports:
        for read in item.reads:
            reads.setdefault((read.provider, read.name), read)
    prints = tuple(f"{item.code} {' '.join(item.guards)}".rstrip() for item in reports)
    return Stage(
        name=REPORT,
        cells=tuple(step.cell for step in steps),
        directive=Directive(name=REPORT),
        code=hashlib.blake2b(repr(prints).encode(), digest_size=16).hexdigest(),
        fingerprints=prints,
        reads=tuple(reads.values()),
        wants=(),
        binds=(),
        later=(),
        setup=tuple(range(len(pipeline.setup))),
        steps=tuple(steps),
        modules=tuple(sorted({module for item in reports for module in item.modules})),
    )


def _offered(pipeline: Pipeline, offered: AbstractSet[str]) -> list[Report]:
    """Return the report cells whose stages are part of the run: not those of a stage that is not asked for, or skipped."""
    left_out: set[int] = set()
    kept: list[Report] = []
    for item in pipeline.reports:
        providers = {read.provider for read in item.reads if read.kind == "stage"}
        if providers <= offered and not left_out.intersection(item.follows):
            kept.append(item)
        else:
            left_out.add(item.cell)
    return kept
