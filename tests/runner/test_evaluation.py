"""`eval` and `exec` in a stage: their names are found, wherever they stand."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

import pytest

from nbmlops.runner.evaluation import noticed_evaluation
from nbmlops.runner.namespace import Namespace

if TYPE_CHECKING:
    from tests.runner.bench import Bench

CODE = [
    ("in a function", "def get(n):\n    return eval(n)\ny = get('x + 1')", 2),
    ("where a missing name is caught", "def get(n):\n    try:\n        return eval(n)\n    except NameError:\n        return None\ny = get('x')", 1),
    ("in a class", "class A:\n    y = eval('x')\ny = A.y", 1),
    ("in a lambda that the text makes", "def get(n):\n    return eval(n)()\ny = get(' lambda: x')", 1),
    ("beside a name of the function's own", "def get(k):\n    return eval('x + k')\ny = get(5)", 6),
    ("that binds", "def put(code):\n    exec(code, globals())\nput('y = x')", 1),
]


@pytest.mark.parametrize(("code", "expected"), [row[1:] for row in CODE], ids=[row[0] for row in CODE])
def test_evaluated_name_of_another_stage_is_found(bench: Bench, code: str, expected: int) -> None:
    """Reading does not see the name, running does."""
    done = bench.run("%%mlstage a\nx = 1", f"%%mlstage b --out y\n{code}", "%%mlstage c\nz = y")
    assert {name: item.status for name, item in done.results.items()} == {"a": "ran", "b": "ran", "c": "ran"}
    assert bench.value(done, "b", "y") == expected


def test_only_what_is_looked_up_counts() -> None:
    """Attributes, names that the code itself binds, and code of other namespaces do not."""
    space = Namespace()
    code = "y = [1]\ny.append(len(y))\ndef f(a):\n    return a.x + used"
    with space.watch(["y", "append", "x", "a", "used", "other"]):
        exec(code, space)
        eval("[1 for n in 'ab']", {"other": 1})
    assert space.observed == {"used"}


def test_evaluation_is_pythons_own_again() -> None:
    """Nothing stays behind, and what does not compile fails as ever."""
    plain = builtins.eval, builtins.exec
    with noticed_evaluation({}, lambda _name: True), pytest.raises(SyntaxError):
        eval("x = = 1")
    assert (builtins.eval, builtins.exec) == plain


def test_annotations_in_evaluated_code_are_the_callers() -> None:
    """A file that postpones annotations has no say in the code of a cell."""
    space = Namespace(T=int)
    with space.watch([]):
        exec(compile("exec('def f(a: T): pass')", "cell", "exec", dont_inherit=True), space)
    assert space["f"].__annotations__ == {"a": int}
