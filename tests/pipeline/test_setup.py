"""Setup and parameters cells, statement by statement."""

from __future__ import annotations

from typing import Any

import pytest

from nbmlops.pipeline.model import Parameter
from nbmlops.pipeline.setup import Statement, line_comments, read_parameters, statements
from tests.pipeline.written import cell, pipeline_of, source_of


def split(source: str) -> list[Statement]:
    """Return the statements of one setup cell."""
    return list(statements(source_of(cell(source, "setup")).cells[0]))


def parameters(*cells: Any) -> dict[str, Parameter]:
    """Return what parameters cells declare."""
    return read_parameters(source_of(*cells).cells)


def test_every_statement_is_one() -> None:
    """The grain is the statement: editing one leaves the users of the others alone."""
    assert [item.line for item in split("a = 1\n\ndef f():\n    return a\n\nb = 2")] == [1, 3, 6]


@pytest.mark.parametrize("source", ["import os, sys", "from os import path, sep"])
def test_import_of_two_names_is_two_statements(source: str) -> None:
    """Who uses one of the names does not use the other."""
    assert [len(item.flow.binds) for item in split(source)] == [1, 1]


def test_relative_import_keeps_its_level() -> None:
    """Splitting an import does not make it an absolute one."""
    assert [item.tree.body[0].level for item in split("from . import a, b")] == [1, 1]  # type: ignore[attr-defined]


LITERALS = [
    ("n = 3", {"n": 3}),
    ("n: int = 3", {"n": 3}),
    ("a = b = 3", {"a": 3, "b": 3}),
    ("a = b = []", {}),
    ("x = [1, {'k': (2.0, None)}]", {"x": [1, {"k": (2.0, None)}]}),
    ("x = -1", {"x": -1}),
    ("x = 1 + n", {}),
    ("x: int", {}),
    ("a, b = 1, 2", {}),
    ("x[0] = 1", {}),
]


@pytest.mark.parametrize(("source", "expected"), LITERALS)
def test_literals_are_known_by_value(source: str, expected: dict[str, Any]) -> None:
    """A plain literal is known without running; one list under two names is not plain."""
    assert split(source)[0].literals == expected


CONFIGURES = [
    ("import numpy as np", False),
    ("n = 3", False),
    ("def f():\n    print('x')", False),
    ('"""What this notebook is about."""', False),
    ("%load_ext nbmlops", False),
    ("%load_ext autoreload", True),
    ("%matplotlib inline", True),
    ("random.seed(0)", True),
    ("os.environ['A'] = '1'", True),
    ("pd.options.display.width = 100", True),
    ("sys.path.append('src')", True),
    ("from helpers import *", True),
]


@pytest.mark.parametrize(("source", "expected"), CONFIGURES)
def test_what_configures_the_process(source: str, expected: bool) -> None:  # noqa: FBT001 - a table row
    """A statement run for what it does counts for every stage after it."""
    assert split(source)[0].configures is expected


@pytest.mark.parametrize(
    ("source", "expected"), [("def f(): pass", True), ("async def f(): pass", True), ("class C: pass", True), ("f = len", False)]
)
def test_what_defines_code(source: str, expected: bool) -> None:  # noqa: FBT001 - a table row
    """Artifacts refer to functions and classes by name."""
    assert split(source)[0].defines_code is expected


def test_fingerprint_is_that_of_the_meaning() -> None:
    """Comments and layout do not show; a change of code does."""
    plain, commented, changed = (split(text)[0].fingerprint for text in ("f(1, 2)", "f(1,\n  2)  # why", "f(1, 3)"))
    assert plain == commented != changed


def test_cell_that_does_not_parse_has_no_statements() -> None:
    """The error is a diagnostic; nothing else breaks."""
    assert split("def f(:") == []


DECLARED = [
    ("n = 3  # how many", Parameter(name="n", type="int", default=3, literal=True, help="how many", cell=0, line=1)),
    ("C: float = 0.5", Parameter(name="C", type="float", default=0.5, literal=True, help="", cell=0, line=1)),
    ("day = date.today()", Parameter(name="day", type="expression", default=None, literal=False, help="", cell=0, line=1)),
    ("x = [  # first\n 1,\n]  # last", Parameter(name="x", type="list", default=[1], literal=True, help="last", cell=0, line=1)),
    ("flag = None", Parameter(name="flag", type="NoneType", default=None, literal=True, help="", cell=0, line=1)),
]


@pytest.mark.parametrize(("source", "expected"), DECLARED)
def test_parameter_is_read(source: str, expected: Parameter) -> None:
    """Name, type, default, and the comment at the end of the line as help."""
    assert parameters(cell(source, "parameters")) == {expected.name: expected}


def test_injected_value_keeps_the_authors_help() -> None:
    """The cell that papermill adds overrides the value, and says nothing about the meaning."""
    found = parameters(cell("n = 3  # how many", "parameters"), cell("# Parameters\nn = 5\nextra = 1", "injected-parameters"))
    assert (found["n"].default, found["n"].help, found["n"].cell) == (5, "how many", 1)
    assert found["extra"].default == 1


def test_comment_inside_a_string_is_no_comment() -> None:
    """The tokenizer tells a comment from a text that looks like one."""
    assert line_comments("x = 'a # b'\ny = 1  # c\nz = (") == {2: "c"}


ACTS = [
    ("STEPS = []\ndef step(f):\n    STEPS.append(f)\n    return f\n@step\ndef two(x): return x", ["two"]),
    (
        "REG = {}\ndef reg(name):\n    def keep(f):\n        REG[name] = f\n        return f\n    return keep\n@reg('a')\ndef two(x): return x",
        ["two"],
    ),
    ("class Steps:\n    def add(self, f):\n        return f\nsteps = Steps()\n@steps.add\ndef two(x): return x", ["two"]),
    ("class Step:\n    kept = []\n    def __init__(self, f):\n        Step.kept.append(f)\n@Step\ndef two(x): return x", ["two"]),
    ("T = []\ndef timed(f):\n    def run(*a):\n        T.append(1)\n        return f(*a)\n    return run\n@timed\ndef two(x): return x", []),
    ("def named(f):\n    f.label = 'x'\n    print(f)\n    return f\n@named\ndef two(x): return x", []),
    ("from functools import cache\n@cache\ndef two(x): return x", []),
    ("from decimal import getcontext\ngetcontext().prec = 8", [""]),
    ("import logging\nlogging.getLogger('app').disabled = True", [""]),
    ("x = {}\nx['a'] = 1", []),
]


@pytest.mark.parametrize(("source", "expected"), ACTS)
def test_what_changes_others_counts_for_every_stage(source: str, expected: list[str]) -> None:
    """A decorator that registers, a setting on what a call gives: nothing that the stage names tells that it depends on these."""
    pipeline = pipeline_of(cell(source, "setup"), "%%mlstage a\ny = 1")
    acting = [item for item in pipeline.setup if item.configures]
    assert [name for item in acting for name in (item.names or ("",)) if name in {"", "two"}] == expected
    assert [pipeline.setup[position] for position in pipeline.stages["a"].setup if pipeline.setup[position].configures] == acting
