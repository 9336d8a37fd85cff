"""What is kept of equal code is what it tells by itself."""

from __future__ import annotations

import ast

from nbmlops.notebook.code import parse_code
from nbmlops.pipeline.code import flow_of, statement_trees


def test_equal_code_is_read_once() -> None:
    """A kernel reads every cell again around each cell that runs."""
    assert flow_of(parse_code("y = x"), None, postponed=False) is flow_of(parse_code("y = x"), None, postponed=False)


def test_names_of_a_star_import_are_asked_for_each_time() -> None:
    """The file that says them may have changed."""
    tree = parse_code("from helper import *")
    assert set(flow_of(tree, lambda _module: {"a": True}, postponed=False).binds) == {"a"}
    assert set(flow_of(tree, lambda _module: {"b": True}, postponed=False).binds) == {"b"}


def test_annotations_read_nothing_where_they_are_postponed() -> None:
    """What was read of the code before `from __future__` is not taken for what holds below it."""
    tree = parse_code("def f(x: Frame): pass")
    assert "Frame" in flow_of(tree, None, postponed=False).reads
    assert "Frame" not in flow_of(tree, None, postponed=True).reads


def test_reading_leaves_the_code_as_it_is() -> None:
    """The tree of equal cells is one."""
    source = "from a import b, c\ndef f(x: int = d) -> e: return x\n!ls {d}\n%time y = f(eval('b'))\nexec('z = 1')"
    tree = parse_code(source)
    before = ast.dump(tree, include_attributes=True)
    for part in (tree, *statement_trees(tree)):
        flow_of(part, None, postponed=True)
    assert ast.dump(tree, include_attributes=True) == before
