"""What setup cells define, and what others change."""

from __future__ import annotations

import ast

from nbmlops.notebook.known import Changes, Known


def test_every_kind_of_binding_counts() -> None:
    """Names of statements, patterns, handlers and walruses count; inner scopes do not."""
    source = """
import a.b, c as d
from e import f
g = h.i = j[0] = 1
for k in l: pass
with m as n: pass
try: pass
except o as p: pass
def q(r):
    global s
    t = 1
class u: v = 1
[w for x in y if (z := x)]
match a0:
    case {"k": a1, **a2}: pass
    case [a3, *a4]: pass
"""
    changes = Changes.of(ast.parse(source))
    assert changes.bound == set("gknpqsuz") | {"a1", "a2", "a3", "a4"}
    assert changes.imported == set("adf")
    assert changes.mutated == set("hj")


def test_changes_by_methods_count_in_functions_too() -> None:
    """What a function of the cell may do to a global is a change of it."""
    changes = Changes.of(ast.parse("def f(x):\n    a.b[0].append(x)\n    c.upper()\n    d.e = 1"))
    assert changes.mutated == {"a", "d"}
    assert changes.bound == {"f"}


def test_a_name_is_of_one_kind_only() -> None:
    """A later binding takes the place of the earlier one."""
    known = Known()
    known.learn(ast.parse("import x"))
    known.bind("x", known.code)
    assert (known.imports, known.values, known.code) == ({}, set(), {"x"})


def test_imports_are_known_by_their_full_names() -> None:
    """Aliases stand for what they import."""
    known = Known()
    known.learn(ast.parse("import a.b, c.d as e\nfrom f import g as h\nfrom . import i\ntry:\n    import j\nexcept ImportError:\n    j = 0"))
    assert known.imports == {"a": "a", "e": "c.d", "h": "f.g", "i": ".i"}
    assert known.values == {"j"}
