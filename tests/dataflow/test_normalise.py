"""Equal code has one form."""

from __future__ import annotations

import ast

import pytest

from nbmlops.dataflow.normalise import fingerprint, normalise

SAME = [("x = 1", "x=1  # one"), ("f('a', 'b')", 'f(\n  "a",\n  "b",\n)'), ("x = (1)", "x = 1"), ("x = u'a'", "x = 'a'"), ("'a' 'b'", "'ab'")]
DIFFERENT = [
    ("x = 1", "x = True"),
    ("x = 1", "x = 1.0"), ("x = 'a'", "x = b'a'"), ("x = 0.0", "x = -0.0"), ("f(a, b)", "f([a, b])"), ("x = 'None'", "x = None"),
    ("def f(): 'a'", "def f(): 'b'"), ("a, b = c", "a = b = c"), ("f(')')", "f('(')"), ("x: int", "x: int = None"), ("del x", "x"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), SAME)
def test_formatting_does_not_matter(first: str, second: str) -> None:
    """Comments, layout and spelling of constants are left out."""
    assert fingerprint(ast.parse(first)) == fingerprint(ast.parse(second))


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_meaning_matters(first: str, second: str) -> None:
    """What Python tells apart is kept apart."""
    assert fingerprint(ast.parse(first)) != fingerprint(ast.parse(second))


def test_type_comments_do_not_matter() -> None:
    """A type comment is a comment."""
    assert normalise(ast.parse("x = 1 # type: int", type_comments=True)) == normalise(ast.parse("x = 1"))


def test_statements_are_taken_together() -> None:
    """A sequence of statements has a form too, and its order counts."""
    first, second = ast.parse("a = 1\nb = 2").body
    assert fingerprint([first, second]) != fingerprint([second, first])
    assert len(fingerprint([])) == 32
