"""A pipeline as data: order, reach, and the JSON of the contract."""

from __future__ import annotations

from tests.pipeline.written import cell, pipeline_of

DIAMOND = ("%%mlstage a\nx = 1", "%%mlstage b\ny = x", "%%mlstage c\nz = x", "%%mlstage d\nw = y + z", "%%mlstage e\nv = 1")


def test_order_is_that_of_the_document_among_equals() -> None:
    """Each stage stands after those it waits for; otherwise as the user wrote them."""
    pipeline = pipeline_of("%%mlstage a --after c\nx = 1", "%%mlstage b\ny = 1", "%%mlstage c\nz = 1")
    assert [stage.name for stage in pipeline.topological()] == ["b", "c", "a"]


def test_cycle_is_left_out_of_the_order() -> None:
    """Stages that wait for each other have no place, nor has what hangs on them."""
    pipeline = pipeline_of("%%mlstage a --after b\nx = 1", "%%mlstage b\ny = x", "%%mlstage c\nz = y", "%%mlstage d\nw = 1")
    assert [stage.name for stage in pipeline.topological()] == ["d"]


def test_downstream_is_transitive() -> None:
    """What hangs on a stage, directly or not."""
    pipeline = pipeline_of(*DIAMOND)
    assert pipeline.downstream("a") == {"b", "c", "d"}
    assert pipeline.downstream("b") == {"d"}
    assert pipeline.downstream("d") == set()


def test_edges_are_named_once() -> None:
    """Two names from one stage are one edge."""
    assert pipeline_of("%%mlstage a\nx = y = 1", "%%mlstage b --after a\nz = x + y").edges == (("a", "b"),)


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
        "options": {"seed": 4},
    }
    assert (data["edges"], data["diagnostics"]) == ([["a", "b"]], [])
