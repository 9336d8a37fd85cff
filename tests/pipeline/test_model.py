"""A pipeline as data: order, reach, and the JSON of the contract."""

from __future__ import annotations

from typing import Any

import pytest

from nbmlops.pipeline.build import build
from nbmlops.pipeline.effects import Effects
from tests.pipeline.written import cell, pipeline_of, source_of

DIAMOND = ("%%mlstage a\nx = 1", "%%mlstage b\ny = x", "%%mlstage c\nz = x", "%%mlstage d\nw = y + z", "%%mlstage e\nv = 1")


def test_order_is_that_of_the_document_among_equals() -> None:
    """Each stage stands after those it waits for; otherwise as the user wrote them."""
    pipeline = pipeline_of("%%mlstage a --after c\nx = 1", "%%mlstage b\ny = 1", "%%mlstage c\nz = 1")
    assert [stage.name for stage in pipeline.topological] == ["b", "c", "a"]


def test_cycle_is_left_out_of_the_order() -> None:
    """Stages that wait for each other have no place, nor has what hangs on them."""
    pipeline = pipeline_of("%%mlstage a --after b\nx = 1", "%%mlstage b\ny = x", "%%mlstage c\nz = y", "%%mlstage d\nw = 1")
    assert [stage.name for stage in pipeline.topological] == ["d"]


def test_downstream_is_transitive() -> None:
    """What hangs on a stage, directly or not."""
    pipeline = pipeline_of(*DIAMOND)
    assert pipeline.downstream("a") == {"b", "c", "d"}
    assert pipeline.downstream("b") == {"d"}
    assert pipeline.downstream("d") == set()


def test_edges_are_named_once() -> None:
    """Two names from one stage are one edge."""
    assert pipeline_of("%%mlstage a\nx = y = 1", "%%mlstage b --after a\nz = x + y").edges == (("a", "b"),)


def test_setup_cell_lacks_what_stages_above_it_have_made() -> None:
    """Of a name that setup binds again since then it has the value."""
    pipeline = pipeline_of(
        "K = 1",
        "%%mlstage a\nx = 1\nK = 2\nz = 3",
        cell("z = 0", "setup"),
        cell("c = eval('x')", "setup"),
        "%%mlstage b\ny = c",
        cell("d = 1", "setup"),
    )
    assert pipeline.lacking == {0: (), 2: ("K", "x", "z"), 3: ("K", "x"), 5: ("K", "x", "y")}


def test_errors_are_the_diagnostics_that_stop_a_run() -> None:
    """Warnings do not stop anything."""
    pipeline = pipeline_of("%%mlstage a\nimport os\nos.chdir('/')\nx = missing")
    assert {item.severity for item in pipeline.diagnostics} == {"warning", "error"}
    assert [item.code for item in pipeline.errors] == ["NB201"]


def test_json_has_the_fields_of_the_contract() -> None:
    """`graph --json` shows parameters, stages with their reads, edges and diagnostics."""
    data = pipeline_of(cell("n = 3  # how many", "parameters"), "%%mlstage a --seed 4\nx = n", "%%mlstage b\ny = x").to_json()
    assert data["parameters"] == [{"name": "n", "type": "int", "default": 3, "help": "how many"}]
    assert data["stages"][0] == {
        "name": "a",
        "cells": [1],
        "reads": [{"name": "n", "from": "parameters", "cell": 0, "how": "name"}],
        "writes": ["x"],
        "after": [],
        "files": {"read": [], "written": []},
        "options": {"seed": 4},
    }
    assert (data["edges"], data["diagnostics"]) == ([["a", "b"]], [])
    assert data["reasons"] == [{"from": "a", "to": "b", "why": ["x: named in its code"]}]


REASONS = [
    ("name", ["%%mlstage a\nx = 1", "%%mlstage b\ny = x"], ["x: named in its code"]),
    ("free name", ["%%mlstage a\nk = 1", cell("def f():\n    return k", "setup"), "%%mlstage b\ny = f()"], ["k: free name of f"]),
    ("--in", ["%%mlstage a\nx = 1", "%%mlstage b --in x\ny = 1"], ["x: --in"]),
    ("two", ["%%mlstage a\nx = z = 1", "%%mlstage b --after a\ny = x + z"], ["x: named in its code", "z: named in its code", "--after"]),
    ("change in place", ["%%mlstage a\nx = {}\nx['k'] = 1", "%%mlstage b\ny = x"], ["x: named in its code"]),
    ("setup changed", [cell("x = {}", "setup"), "%%mlstage a\nx['k'] = 1", "%%mlstage b\ny = x"], ["x: named in its code; changed in place by a"]),
    ("order", ["%%mlstage a\nx = 1", "%%mlstage b --after a\ny = 1"], ["--after"]),
    (
        "file",
        ["%%mlstage a\nopen('o.txt', 'w').write('')", "%%mlstage b\ny = open('o.txt').read()"],
        ["o.txt: file, named in its code"],
    ),
    ("declared file", ["%%mlstage a --writes o.txt\nx = 1", "%%mlstage b --file o.txt\ny = 1"], ["o.txt: file, --file"]),
    (
        "writer after reader",
        ["%%mlstage a\ny = open('o.txt').read()", "%%mlstage b\nopen('o.txt', 'w').write('')"],
        ["o.txt: a reads or writes it before"],
    ),
    ("pattern", ["%%mlstage a --writes o/1.txt\nx = 1", "%%mlstage b --file 'o/*.txt'\ny = 1"], ["o/1.txt: in o/*.txt, which b reads"]),
]


@pytest.mark.parametrize(("cells", "why"), [row[1:] for row in REASONS], ids=[row[0] for row in REASONS])
def test_every_edge_has_its_reasons(cells: list[Any], why: list[str]) -> None:
    """An edge says what is handed on and how that was found, or what else orders the stages."""
    (reason,) = pipeline_of(*cells).to_json()["reasons"]
    assert (reason["from"], reason["to"], reason["why"]) == ("a", "b", why)


LEARNT = [
    ("changed", {"b": Effects(mutated=("x",))}, "c", "x", ("b", "name; changed in place by b, seen in run 1a2b3c4d")),
    ("changed here", {"b": Effects(mutated=("x",))}, "b", "x", ("a", "name; changed in place here, seen in run 1a2b3c4d")),
    ("bound", {"b": Effects(writes=("x",))}, "c", "x", ("b", "name; bound by b, seen in run 1a2b3c4d")),
    ("changed by the reader", {"c": Effects(mutated=("v",))}, "c", "v", ("b", "name; changed in place here, seen when it ran")),
    ("replaced", {"b": Effects(mutated=("v",))}, "c", "v", ("b", "name")),
    ("read", {"c": Effects(reads=("w",))}, "c", "w", ("a", "learnt, seen when it ran")),
    ("alias", {"b": Effects(aliases=(("v", "x"),))}, "c", "x", ("b", "name; shares state with v of b, seen in run 1a2b3c4d")),
]


@pytest.mark.parametrize(("effects", "stage", "name", "told"), [row[1:] for row in LEARNT], ids=[row[0] for row in LEARNT])
def test_what_running_taught_is_told_as_such(effects: dict[str, Effects], stage: str, name: str, told: tuple[str, str]) -> None:
    """A read whose provider only running has shown says so, with the run."""
    source = source_of("%%mlstage a\nx = w = []", "%%mlstage b\nv = f(x)", "%%mlstage c\nz = (x, v)")
    (read,) = [item for item in build(source, None, effects, {"b": "1a2b3c4d5e6f"}).stages[stage].reads if item.name == name]
    assert (read.provider, read.how) == told


def test_files_say_how_they_are_known() -> None:
    """A file is named in the code, by an option, or was seen opened; of one that is read, who writes it."""
    effects = {"b": Effects(files_read=("s.txt",), files_absent=("none.txt",))}
    source = source_of("%%mlstage a\nopen('o.txt', 'w').write('')", "%%mlstage b --file d.txt\ny = open('o.txt').read()")
    files = build(source, None, effects, {"b": "1a2b3c4d5e6f"}).stages["b"].to_json()["files"]
    assert files["read"] == [
        {"path": "d.txt", "from": None, "how": "--file"},
        {"path": "none.txt", "from": None, "how": "seen in run 1a2b3c4d, where there was none"},
        {"path": "o.txt", "from": "a", "how": "named in its code"},
        {"path": "s.txt", "from": None, "how": "seen in run 1a2b3c4d"},
    ]
