"""Where Kale's order and the document's differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pipeline.written import cell, pipeline_of

if TYPE_CHECKING:
    from nbmlops.pipeline.model import Pipeline

F, IM, P = "functions", "imports", "pipeline-parameters"
Rows = list[tuple[str, ...]]


def pipeline(rows: Rows) -> Pipeline:
    """Build the pipeline of cells, each a source with its tags."""
    return pipeline_of(*(cell(*row) for row in rows))


# cells; the setup cells that each step's process runs, in order; codes of the diagnostics
ORDERS: list[tuple[Rows, dict[str, list[int]], list[str]]] = [
    ([("x = 1", IM), ("y = x", F), ("a = y", "step:a")], {"a": [0, 1]}, []),
    ([("x = 1", IM), ("a = x", "step:a"), ("y = 1", F), ("b = y", "step:b")], {"a": [0], "b": [0, 2]}, []),
    ([("a = x", "step:a"), ("x = 1", IM)], {"a": [1]}, []),
    ([("a = f()", "step:a"), ("def f():\n    return x", F), ("x = 1", IM)], {"a": [2, 1]}, []),
    ([("a = x", "step:a"), ("x = n + 1", F), ("n = 1", P)], {"a": [2, 1]}, []),
    ([("def f(x=n):\n    return x", F), ("n = 1", P), ("a = f()", "step:a")], {"a": [1, 0]}, []),
    ([("a = n", "step:a"), ("n = 1", P), ("n = 5", "injected-parameters")], {"a": [1, 2]}, []),
    ([("print(y)",), ("x = 1", IM), ("a = x", "step:a"), ("x = 2\ny = 2", F)], {"a": [1]}, ["NB201", "NB124"]),
    ([("a = x", "step:a"), ("x = 1", "setup")], {"a": []}, ["NB201"]),
    ([("a = x", "step:a"), ("y = 1", IM)], {"a": []}, ["NB201"]),
    ([("try:\n    a = x\nexcept NameError:\n    a = 0", "step:a"), ("x = 1", IM)], {"a": []}, []),
    ([("import math", IM), ("a = math.pi", "step:a"), ("import math", F), ("b = math.pi", "step:b")], {"a": [0], "b": [0, 2]}, []),
    ([("x = 1", IM), ("a = x", "step:a"), ("x = 2", F), ("b = x", "step:b")], {"a": [0], "b": [0, 2]}, ["NB124"]),
    ([("x = 1", F), ("x = 2", IM), ("a = x", "step:a")], {"a": [0, 1]}, ["NB124"]),
    ([("x = 1", IM), ("a = x", "step:a"), ("x = 2\ny = 1", F), ("b = y", "step:b")], {"a": [0], "b": [0, 2]}, ["NB124"]),
    ([("x = 1", IM), ("a = x + y", "step:a"), ("x = 2\ny = 1", F)], {"a": [0, 2]}, ["NB123"]),
    ([("x = 1", IM), ("a = y", "step:a"), ("x = 1\ny = 1", F), ("b = x", "step:b")], {"a": [0, 2], "b": [0, 2]}, []),
]


@pytest.mark.parametrize(("rows", "setup", "codes"), ORDERS, ids=range(len(ORDERS)))
def test_blocks_run_first_only_where_a_cell_above_cannot_do_without(rows: Rows, setup: dict[str, list[int]], codes: list[str]) -> None:
    """The document's order decides; Kale's (parameters, imports, functions, steps) where it has no value."""
    found = pipeline(rows)
    assert {stage.name: [step.cell for step in stage.steps if step.kind != "stage"] for stage in found.stages.values()} == setup
    assert [item.code for item in found.diagnostics] == codes


# what prev: says and what code says; who is told that Kale's value is another
EDGES: list[tuple[Rows, list[tuple[str, str]]]] = [
    ([("x = 1", "step:a"), ("y = x", "step:b")], []),
    ([("x = 1", "step:a"), ("y = x", "step:b", "prev:a")], []),
    ([("x = 1", "step:a"), ("z = 1", "step:b", "prev:a"), ("y = x", "step:c", "prev:b")], []),
    ([("x = 1", "step:a"), ("z = 1", "step:b"), ("y = x", "step:c", "prev:b")], []),
    ([("x = 1", "step:a"), ("x = 2", "step:b", "prev:a"), ("y = x", "step:c", "prev:b")], []),
    ([("x = 1", "step:a"), ("x = 2", "step:b", "prev:a"), ("y = x", "step:c", "prev:a")], [("c", "x")]),
    ([("x = []", "step:a"), ("x[0] = 1", "step:b", "prev:a"), ("x[1] = 1", "step:c", "prev:a")], [("c", "x")]),
    ([("n = 1", P), ("n = 2", "step:a"), ("y = n", "step:b", "prev:a")], [("b", "n")]),
    ([("def f(): pass", F), ("f = len", "step:a"), ("y = f", "step:b", "prev:a")], [("b", "f")]),
    ([("x = 1", "step:a"), ("x = 2", "step:a"), ("y = x", "step:b", "prev:a")], []),
    ([("x = 1", "step:a"), ("print(x)", "pipeline-metrics")], []),
]


@pytest.mark.parametrize(("rows", "told"), EDGES, ids=range(len(EDGES)))
def test_values_that_kale_would_take_from_elsewhere(rows: Rows, told: list[tuple[str, str]]) -> None:
    """Edges that `prev:` leaves out are added; where Kale would have another value all the same, a warning says so."""
    found = [item for item in pipeline(rows).diagnostics if item.code == "NB124"]
    assert [(item.stage, item.message.split("'")[3]) for item in found] == told
    assert {item.severity for item in found} <= {"warning"}


def test_own_dialect_has_no_such_warnings() -> None:
    """`--after` says nothing about values."""
    rows: Rows = [("%%mlstage a\nx = 1",), ("%%mlstage b --after a\nx = 2",), ("%%mlstage c --after a\ny = x",)]
    assert pipeline(rows).diagnostics == ()
