"""Cells that stand between those of one stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pipeline.written import cell, pipeline_of

if TYPE_CHECKING:
    from tests.acceptance.project import Cell


def written(row: str) -> Cell | str:
    """Make a cell of `stage: code`; without a stage it is a report cell."""
    stage, _, source = row.partition(": ")
    return cell(source, f"stage:{stage}") if stage else source


# cells; the code of the diagnostic; the names that each cell of stage a must leave as they are
ROWS: list[tuple[tuple[str, ...], list[str], list[tuple[str, ...]]]] = [
    (("a: x = f()", "b: y = x", "a: z = 1"), [], [(), ("x",)]),
    (("a: x = f()", "b: y = x", "a: x = 2"), ["NB202"], [(), ("x",)]),
    (("a: x = f()", "b: y = x", "a: x[0] = 2"), ["NB202"], [(), ("x",)]),
    (("a: x = f()", "b: y = x", "a: z = 1", "a: x += 2"), ["NB202"], [(), ("x",), ("x",)]),
    (("a: x = f()", ": print(x)", "a: x = 2"), ["NB202"], [(), ("x",)]),
    (("a: x = f()", "a: x = 2", "b: y = x"), [], [(), ()]),
    (("a: x = f()", "b: x = 3", "a: x = 2"), [], [(), ()]),
    (("c: x = f()", "a: y = x", "b: z = x", "a: w = 2"), [], [(), ()]),
    (("a: x = f()", "b: y = x", "a: z = y"), ["NB202"], [(), ("x",)]),
]


@pytest.mark.parametrize(("rows", "codes", "held"), ROWS, ids=[" / ".join(rows) for rows, _, _ in ROWS])
def test_what_others_read_of_an_earlier_cell_is_held(rows: tuple[str, ...], codes: list[str], held: list[tuple[str, ...]]) -> None:
    """A visible change is an error at once; for any other the cell is watched when it runs."""
    found = pipeline_of(*map(written, rows))
    assert [item.code for item in found.diagnostics if item.severity == "error" and item.code != "NB201"] == codes
    assert [step.guards for step in found.stages["a"].steps if step.kind == "stage"] == held
