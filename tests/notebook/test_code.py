"""Notebook code as Python."""

from __future__ import annotations

import ast

import pytest

from nbmlops.notebook.code import parse_code, to_python


@pytest.mark.parametrize(
    "source",
    ["", "x = 1\n", "x = y / 2\nz %= 3\nif a != b:\n    pass", "s = 'a = %d' + 'why?'", "async def f():\n    await g()"],
)
def test_plain_python_stays_as_it_is(source: str) -> None:
    """Nothing is changed where no line needs it."""
    assert to_python(source).strip() == source.strip()


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("%matplotlib inline", "run_line_magic('matplotlib', 'inline')"),
        ("if x:\n    %time y = 1", "run_line_magic('time', 'y = 1')"),
        ("!ls {x}", "system('ls {x}')"),
        ("files = !ls", "files = get_ipython().getoutput('ls')"),
        ("t = %timeit -o f()", "t = get_ipython().run_line_magic('timeit'"),
        ("%%capture out\nx = 1", "run_cell_magic('capture', 'out', 'x = 1"),
        ("x?", "run_line_magic('pinfo', 'x')"),
        ("x = 1\r\nx??\r\n", "run_line_magic('pinfo2', 'x')"),
        (">>> x = 1\n>>> y = 2", "y = 2"),
        ("  x = 1\n  y = 2", "x = 1\ny = 2"),
        ("/f 1", "f(1)"),
    ],
)
def test_ipython_syntax_becomes_calls(source: str, part: str) -> None:
    """Magics, shell commands, help and pasted prompts parse."""
    assert part in to_python(source)
    assert parse_code(source).body


@pytest.mark.parametrize(("source", "line"), [("\n\n%ls\nx = 1", 4), ("\n  \n\n  x = 1", 4), ("\n\n\n%%capture out\nx", 4), ("\nx = 1\n%ls", 2)])
def test_lines_keep_their_numbers(source: str, line: int) -> None:
    """Empty lines at the top, such as the magic line leaves, still count."""
    last = [node for node in parse_code(source).body if not isinstance(node, ast.Expr)] or parse_code(source).body
    assert last[0].lineno == line


@pytest.mark.parametrize("source", ["x = (", "x = [1,\n%ls", "def f(:", "\0", "(" * 1000, "-" * 20_000 + "1", "  x\n y", "'''"])
def test_what_does_not_parse_is_a_syntax_error(source: str) -> None:
    """Every way of not being Python is a SyntaxError."""
    with pytest.raises(SyntaxError):
        parse_code(source)


def test_invalid_escapes_do_not_warn() -> None:
    """Reading is silent about what the kernel warns of when it runs the cell."""
    assert parse_code("x = '\\d'").body
