"""State that several names share: between setup objects, through classes, and in cells that are written later."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.project import text_of

if TYPE_CHECKING:
    from tests.acceptance.project import Cell, Project

COUNTED = "class A:\n    n = 0\n    items = []\n    def __init__(self):\n        A.n += 1\n        self.items.append(A.n)"
CONFIG = "class Config:\n    columns = ['a', 'b']\n    rows = 3"
DEFAULT = "cfg = {'k': 1}\ndef f(c=cfg):\n    return c['k']"

# cells, the last one a report cell, with what it prints in one plain process
CASES: dict[str, tuple[list[Cell | str], str]] = {
    "class attribute of a stage's class": (
        [f"%%mlstage a\n{COUNTED}\nx = A()", "%%mlstage b\ny = A()", "%%mlstage c\nz = A()", "print(A.n, x.items, y.items is z.items, x.n)"],
        "3 [1, 2, 3] True 3",
    ),
    "class attribute of a setup class": (
        [COUNTED, "%%mlstage a\nx = A()", "%%mlstage b\ny = A()", "print(A.n, x.items, type(x) is A, y.items is A.items)"],
        "2 [1, 2] True True",
    ),
    "attribute of a base class": (
        [
            "%%mlstage a\nclass B:\n    log = []\nclass D(B):\n    pass\nd = D()\nb = B()",
            "%%mlstage b\nd.log.append(1)",
            "print(b.log, B.log, D.log)",
        ],
        "[1] [1] [1]",
    ),
    "default argument of a method": (
        [
            "%%mlstage a\nclass B:\n    def f(self, acc=[]):\n        acc.append(1)\n        return len(acc)\nx, y = B(), B()\nr = x.f()",
            "%%mlstage b\ns = y.f()",
            "%%mlstage c\nt = x.f()",
            "print(r, s, t)",
        ],
        "1 2 3",
    ),
    "method put into a class": (
        [
            "class B:\n    def f(self):\n        return 1",
            "%%mlstage a\nx = B()",
            "%%mlstage b\nB.f = lambda self: 2",
            "%%mlstage c\nr = x.f()",
            "print(r)",
        ],
        "2",
    ),
    "container of setup over a list of setup": (
        ["lst = []\nholder = {'l': lst}", "%%mlstage a\nlst.append(1)", "%%mlstage b\nr = list(holder['l'])", "print(r, holder)"],
        "[1] {'l': [1]}",
    ),
    "partial of setup": (
        [
            "import functools\ncfg = dict(a=1)\ndef f(c):\n    return c['a']\ng = functools.partial(f, cfg)",
            "%%mlstage a\ncfg['a'] = 5",
            "%%mlstage b\nr = g()",
            "print(r)",
        ],
        "5",
    ),
    "view of an array of setup": (
        ["import numpy as np\nbase = np.zeros(4)\nv = base[1:3]", "%%mlstage a\nbase[:] = 7", "%%mlstage b\nr = v.tolist()", "print(r)"],
        "[7.0, 7.0]",
    ),
    "second name of a list of setup": (["P = [1]\nQ = P", "%%mlstage a\nP += [2]", "%%mlstage b\nr = Q", "print(r)"], "[1, 2]"),
    "second name that keeps the older list": (["P = [1]\nQ = P", "%%mlstage a\nP = P + [2]", "%%mlstage b\nr = Q, P", "print(r)"], "([1], [1, 2])"),
    "class attribute handed on and not changed": (
        [CONFIG, "%%mlstage a\nf = Config.columns", "%%mlstage b\nr = len(f) + Config.rows", "print(r)"],
        "5",
    ),
    "default argument handed on and not changed": ([DEFAULT, "%%mlstage a\nx = cfg", "%%mlstage b\nr = f() + x['k']", "print(r)"], "2"),
    "list in a column of a frame": (
        [
            "import pandas as pd",
            "%%mlstage a\ntags = ['x']\ndf = pd.DataFrame({'n': [1], 't': [tags]})",
            "%%mlstage b\ntags.append('y')",
            "%%mlstage c\nr = df.t[0]",
            "print(r)",
        ],
        "['x', 'y']",
    ),
    "names found by listing the namespace": (
        ["c = 3", "%%mlstage a\nq = 5", "%%mlstage b\nv = sorted(k for k in globals() if k in ('c', 'q'))", "print(v)"],
        "['c', 'q']",
    ),
    "names asked for one by one": (["c = 3", "%%mlstage a\nq = 5", "%%mlstage b\nv = [globals().get(n) for n in 'cqz']", "print(v)"], "[3, 5, None]"),
    "names that code in a function's string uses": (
        [
            "c = 3\ndef get(name):\n    try:\n        return eval(name)\n    except NameError:\n        return None",
            "%%mlstage a\nq = 5",
            "%%mlstage b\nv = [get(n) for n in ('c', 'q + 1', 'z')]",
            "print(v)",
        ],
        "[3, 6, None]",
    ),
    "function with a default inside a value": (
        [
            "def sq(x, acc=[]):\n    return x * x",
            "%%mlstage a\nsteps = {'sq': sq}",
            "%%mlstage b\nr = steps['sq'](3)",
            "%%mlstage c\nq = sq(2)",
            "print(r, q)",
        ],
        "9 4",
    ),
}


def shown(project: Project, name: str) -> str:
    """Return what the last cell of an executed notebook shows."""
    cells = json.loads((project.folder / name).read_text(encoding="utf-8"))["cells"]
    return "".join(text_of(item) for item in cells[-1]["outputs"]).strip()


@pytest.mark.parametrize("name", CASES)
def test_values(project: Project, name: str) -> None:
    """Computed for the first time, and reused."""
    cells, expected = CASES[name]
    project.write(cells)
    first = project.run("one.ipynb")
    assert first.code == 0, first.err
    second = project.run("two.ipynb")
    assert (shown(project, "one.ipynb"), shown(project, "two.ipynb")) == (expected, expected)
    assert set(second.statuses.values()) == {"reused"}


# cells, and the stage that is refused with its code
REFUSED: dict[str, tuple[list[Cell | str], str, str]] = {
    "base class of another setup class": (
        ["class A:\n    n = 0\nclass B(A):\n    pass", "%%mlstage a\nA.n = 3", "%%mlstage b\nr = B.n"],
        "a",
        "NB616",
    ),
    "default argument": ([DEFAULT, "%%mlstage a\ncfg['k'] = 5", "%%mlstage b\nr = f()"], "a", "NB616"),
    "default argument, through a value": ([DEFAULT, "%%mlstage a\nx = cfg", "%%mlstage b\nx['k'] = 5", "%%mlstage c\nr = f()"], "b", "NB616"),
    "class attribute, through a value": (
        [CONFIG, "%%mlstage a\nf = Config.columns", "%%mlstage b\ng = f", "%%mlstage c\ng.append('c')", "%%mlstage d\nr = len(Config.columns)"],
        "c",
        "NB616",
    ),
    "method's default argument": (
        [
            "class B:\n    def f(self, acc=[]):\n        acc.append(1)\n        return len(acc)",
            "%%mlstage a\nr = B().f()",
            "%%mlstage b\ns = B().f()",
        ],
        "a",
        "NB614",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal(project: Project, name: str) -> None:
    """What setup makes anew in every stage cannot follow a change: the stage is refused, with a code."""
    cells, stage, code = REFUSED[name]
    project.write(cells)
    done = project.run()
    assert (done.code, done.statuses[stage]) == (1, "failed")
    error = done.stage(stage)["error"]
    assert error["code"] == code
    assert error["message"].startswith(f"{code}: ")


# a notebook that has run, the cell that is written afterwards, and what that cell prints in one plain process
GROWN: dict[str, tuple[list[Cell | str], list[Cell | str], str]] = {
    "reads an input that was changed in place": (["%%mlstage l\nx = [1]", "%%mlstage a\nx.append(2)\ny = len(x)"], ["print(x)"], "[1, 2]"),
    "reads a constant that was changed": (["X = [1]", "%%mlstage a\nX.append(2)\ny = len(X)"], ["print(X)"], "[1, 2]"),
    "changes what an output holds": (
        ["%%mlstage l\nx = [1]", "%%mlstage a\nd = {'x': x}"],
        ["%%mlstage b\nx.append(5)", "print(d)"],
        "{'x': [1, 5]}",
    ),
    "reads what exec bound": (["%%mlstage a\nexec('q = 3')"], ["%%mlstage b\nr = q", "print(r)"], "3"),
}


@pytest.mark.parametrize("name", GROWN)
def test_cell_that_is_written_later(project: Project, name: str) -> None:
    """A record made before anybody read a name does not hide what its stage did to it."""
    cells, more, expected = GROWN[name]
    project.write(cells)
    assert project.run("one.ipynb").code == 0
    project.write([*cells, *more])
    done = project.run("two.ipynb")
    assert done.code == 0, done.err
    assert shown(project, "two.ipynb") == expected


def test_definition_changed_before_anybody_read_it(project: Project) -> None:
    """A record of a stage that changed a setup class does not serve once a later cell reads the class."""
    cells: list[Cell | str] = ["class K:\n    n = []\ndef go():\n    K.n.append(1)", "%%mlstage a\ngo()\nr = 1"]
    project.write(cells)
    assert project.run().code == 0
    project.write([*cells, "%%mlstage b\ns = len(K.n)"])
    done = project.run()
    assert (done.code, done.stage("a")["error"]["code"]) == (1, "NB614")


def test_edit_of_what_holds_a_changed_list(project: Project) -> None:
    """The setup object that shares state with a changed one is part of what the stage depends on."""
    stages: list[Cell | str] = ["%%mlstage a\nlst.append(2)", "%%mlstage b\nr = len(h['l'])", "print(r)"]
    for number, (holder, expected) in enumerate([("{'l': lst}", "2"), ("{'l': []}", "0"), ("{'l': lst, 'k': lst}", "2")]):
        project.write([f"lst = [1]\nh = {holder}", *stages])
        assert project.run(f"{number}.ipynb").code == 0
        assert shown(project, f"{number}.ipynb") == expected


def test_stage_asked_for_brings_what_may_change_its_input(project: Project) -> None:
    """A stage in between that nobody has seen run yet is run too where its code may change what is read, and only there."""
    project.write(["%%mlstage a\nx = [1]", "%%mlstage b\nx.append(2)", "%%mlstage look\nn = len(x)", "%%mlstage c\ny = list(x)", "print(y)"])
    done = project.run("--stage", "c", "out.ipynb")
    assert shown(project, "out.ipynb") == "[1, 2]"
    assert set(done.statuses) == {"a", "b", "c"}
