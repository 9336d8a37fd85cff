"""Small pipelines in Kale's tags, of the kind whose data Kale loses or confuses: right here, or refused with a code."""

from __future__ import annotations

import pytest

from tests.acceptance.project import Cell, Project, cell
from tests.acceptance.top_to_bottom import printed, printed_in

IMPORTS, FUNCTIONS, PARAMETERS = "imports", "functions", "pipeline-parameters"


def steps(*sources: str) -> tuple[Cell, ...]:
    """Make steps in a row, each after the one before."""
    names = "abcdefg"
    return tuple(cell(source, f"step:{names[place]}", *([f"prev:{names[place - 1]}"] if place else ())) for place, source in enumerate(sources))


RIGHT: dict[str, tuple[Cell | str, ...]] = {
    "changed in place by a method": steps("data = [3, 1, 2]", "data.sort()", "print(data)"),
    "changed in place by two steps": steps("data = [1]", "data.append(2)", "data.append(3)", "print(data)"),
    "changed through an alias": steps("train, test = [1], [2]\nboth = [train, test]", "for part in both:\n    part.append(0)", "print(train, test)"),
    "changed through a view": (cell("import numpy as np", IMPORTS), *steps("a = np.arange(4)\nv = a[1:]", "v[0] = 99", "print(a)")),
    "a frame under two names": (
        cell("import pandas as pd", IMPORTS),
        *steps("df = pd.DataFrame({'a': [1, 2]})\ntrain = df", "train['b'] = train['a'] * 2", "print(list(df.columns))"),
    ),
    "a function that reads a global of a step": (
        cell("def scaled(x):\n    return x * FACTOR", FUNCTIONS),
        *steps("FACTOR = 10", "print(scaled(2))", "FACTOR = 3", "print(scaled(2))"),
    ),
    "a function that calls one of an earlier step": steps("def one():\n    return 1", "def two():\n    return one() + 1", "print(two())"),
    "a lambda bound late": steps("k = 2\ntimes = lambda x: x * k", "k = 5", "print(times(1))"),
    "nested functions with state": steps(
        "def make():\n    count = 0\n    def step():\n        nonlocal count\n        count += 1\n        return count\n    return step",
        "counter = make()\nfirst = counter()",
        "print(counter())",
        "print(counter())",
    ),
    "a function that binds a global": (
        cell("def bump():\n    global n\n    n += 1", FUNCTIONS),
        *steps("n = 0", "bump()\nbump()", "print(n)"),
    ),
    "a function that fills a container of the functions cell": (
        cell("registry = {}\n\n\ndef register(name):\n    registry[name] = len(registry)", FUNCTIONS),
        *steps("register('a')", "register('b')", "print(registry)"),
    ),
    "shell lines and magics": steps("lines = !printf 'a\\nb\\n'\nwhere = %pwd", "!echo from the shell\nprint(list(lines))"),
    "a cell magic that captures": steps("%%capture captured\nprint('hidden')\nx = 1", "print(x)"),
    "a star import": (cell("from math import *", IMPORTS), *steps("x = floor(2.5)", "print(x, ceil(x / 3))")),
    "a name deleted": steps("x = 1", "del x", "try:\n    print(x)\nexcept NameError:\n    print('gone')"),
    "an iterator half read": steps("it = iter([1, 2, 3])\nfirst = next(it)", "print(next(it))", "print(next(it))"),
    "a generator of random numbers": (
        cell("import random", IMPORTS),
        *steps("rng = random.Random(7)", "x = rng.random()", "print(x, rng.random())"),
    ),
    "files on computed paths": steps(
        "name = '-'.join(['part', '1']) + '.txt'\nwith open(name, 'w') as file:\n    file.write('one')",
        "with open(name, 'a') as file:\n    file.write(' two')",
        "print(open(name).read())",
    ),
    "redefined step after step": steps("x = 1", "x = x + 1", "x *= 10", "print(x)"),
    "a parameter that a step changes": (cell("n = 1", PARAMETERS), *steps("n = n + 1", "n += 1", "print(n)")),
    "an optional import": (
        cell("try:\n    import nosuchmodule\n    HAS = True\nexcept ImportError:\n    HAS = False", IMPORTS),
        *steps("x = 1 if HAS else 2", "print(x, HAS)"),
    ),
    "instances of a class of the functions cell": (
        cell("class Point:\n    def __init__(self, x):\n        self.x = x", FUNCTIONS),
        *steps("p = Point(1)\nq = p", "p.x += 1", "print(q.x, isinstance(q, Point))"),
    ),
    "instances of a class of a step": steps(
        "class Model:\n    def fit(self, data):\n        self.best = max(data)\n        return self",
        "m = Model().fit([1, 3])",
        "print(m.best, type(m) is Model)",
    ),
    "names that comprehensions hide": steps("x = 5\nsquares = [x * x for x in range(3)]", "print(x, squares)"),
    "a walrus in a comprehension": steps("values = [last := v * 2 for v in range(3)]", "print(last, values)"),
    "a read inside text": (
        cell("import pandas as pd", IMPORTS),
        *steps("t = 1\ndf = pd.DataFrame({'a': [1, 2, 3]})", "t = 2", "print(df.query('a > @t')['a'].tolist())"),
    ),
    "a match that captures": steps("point = (0, 7)", "match point:\n    case (0, y):\n        pass", "print(y)"),
    "a function's own name in a step": (cell("def f():\n    return 1", FUNCTIONS), *steps("g = f", "f = len", "print(f('abc'), g())")),
    "a branch not taken": steps("x = 1", "if x > 5:\n    x = 100", "print(x)"),
}

REFUSED: dict[str, tuple[Cell | str, ...]] = {
    "lock": (cell("import threading", IMPORTS), *steps("lock = threading.Lock()", "with lock:\n    print('held')")),
    "log": steps("log = open('log.txt', 'w')", "log.write('x')"),
    "squares": steps("squares = (x * x for x in range(3))\nfirst = next(squares)", "print(list(squares))"),
    "collect": (cell("def collect(x, found=[]):\n    found.append(x)\n    return found", FUNCTIONS), *steps("collect(1)", "print(collect(2))")),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_steps_print_is_what_the_notebook_prints(project: Project, name: str) -> None:
    """Run as a pipeline, each cell prints what it prints when the notebook runs from top to bottom; a second run reuses that."""
    cells = RIGHT[name]
    project.write(cells)
    expected = printed(cells, project.folder / "oracle")
    assert any(expected)
    for _ in range(2):
        done = project.run("out.ipynb")
        assert done.code == 0, done.err
        assert printed_in(project.folder / "out.ipynb") == expected
    assert "ran" not in done.statuses.values()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_handed_on_is_refused(project: Project, name: str) -> None:
    """A value that another process cannot have fails its step, which names it, and the step that wants it does not run."""
    project.write(REFUSED[name])
    done = project.run()
    assert done.code == 1, done.err
    assert done.statuses == {"a": "failed", "b": "not-run"}
    error = done.stage("a")["error"]
    assert error["code"] == ("NB614" if name == "collect" else "NB612")
    assert repr(name) in error["message"]
