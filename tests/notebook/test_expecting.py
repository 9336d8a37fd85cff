"""Cells of `%%mlexpect` as stages."""

from __future__ import annotations

import ast

import pytest

from nbmlops.notebook.directive import split_magic
from nbmlops.notebook.document import parse_document
from nbmlops.notebook.expecting import split_expecting
from nbmlops.notebook.roles import Role, RoledCell, assign_roles


def role_of(source: str) -> RoledCell:
    """Return what a cell is for."""
    cells = [{"cell_type": "code", "id": "a", "metadata": {}, "source": source, "outputs": [], "execution_count": None}]
    return assign_roles(parse_document({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}))[0]


def test_the_cell_is_a_stage_that_writes_its_suite() -> None:
    """It has a name of its own, and its file is declared."""
    found = role_of("%%mlexpect flights --on df\nexpect_column_to_exist a")
    assert (found.role, found.stage, found.error) == (Role.STAGE, "expect-flights", None)
    assert found.directive is not None
    assert found.directive.writes == ("expectations/flights.json",)


def test_its_text_stays_text() -> None:
    """Whatever stands in the cell is one literal of the code that runs, and the lines keep their numbers."""
    hostile = "'''\"\"\")\nimport os; os.system('x')\n\\"
    magic = split_magic(f"\n%%mlexpect flights\n{hostile}")
    assert magic is not None
    (statement,) = ast.parse(magic[1]).body
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Call)
    assert [ast.literal_eval(item) for item in statement.value.args] == ["flights", hostile]
    assert [ast.literal_eval(item.value) for item in statement.value.keywords] == [3]


@pytest.mark.parametrize("line", ["", "1x", "a b", "a --on", "a --on 1x", "a --on class", "a --on f()", "../x", "a 'b", "x" * 60])
def test_a_first_line_that_cannot_be_meant_is_told(line: str) -> None:
    """The message is about this magic, and the cell is no report that would run."""
    found = role_of(f"%%mlexpect {line}\nexpect_column_to_exist a")
    assert found.role is Role.STAGE
    assert found.error is not None
    assert found.error.message.startswith("%%mlexpect ")


@pytest.mark.parametrize("source", ["%mlexpect a", "%%mlexpct a", "%%time\n%%mlexpect a\nx"])
def test_a_slip_of_the_pen_is_told(source: str) -> None:
    """One sign too few, a letter too few, a line too late."""
    found = role_of(source)
    assert found.error is not None
    assert "%%mlexpect" in str(found.error)


def test_other_cells_are_none() -> None:
    """A cell that only mentions it is an ordinary one."""
    assert split_expecting("x = '%%mlexpect a'") is None
    assert split_magic("%%mlexpectation a") is None
