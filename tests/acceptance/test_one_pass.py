"""A run's values are those of the cells run once, from top to bottom, in one process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.project import cell, text_of

if TYPE_CHECKING:
    from tests.acceptance.project import Cell, Project

COUNTER = "def mk():\n    n = [0]\n    def f():\n        n[0] += 1\n        return n[0]\n    return f\n"
NUMBER = (
    "%%mlstage a\ndef mk():\n    n = 0\n    def inc():\n        nonlocal n\n        n += 1\n        return n\n"
    "    def get():\n        return n\n    return inc, get\ninc, get = mk()"
)
COLLECT = "def f(v, acc=[]):\n    acc.append(v)\n    return list(acc)"

# stages and setup cells; the last is a report cell, with what it prints in one plain process
CASES: dict[str, tuple[list[str], str]] = {
    "two names of one list": (
        ["%%mlstage a\nx = [1]\ny = x", "%%mlstage b\nx.append(2)", "%%mlstage c\nz = len(y)", "print(x, y, z)"],
        "[1, 2] [1, 2] 2",
    ),
    "list inside a dict": (
        ["%%mlstage a\nd = {'k': [1]}", "%%mlstage b\nd['k'].append(2)", "%%mlstage c\nm = d['k'][-1]", "print(d, m)"],
        "{'k': [1, 2]} 2",
    ),
    "array and its view": (
        ["import numpy as np", "%%mlstage a\nA = np.zeros(4)\nB = A[:2]", "%%mlstage b\nB += 1", "%%mlstage c\ns = A.sum()", "print(B, s)"],
        "[1. 1.] 2.0",
    ),
    "constant that a stage fills": (["CACHE = {}", "%%mlstage a\nCACHE['a'] = 1", "%%mlstage b\nn = len(CACHE)", "print(n, CACHE)"], "1 {'a': 1}"),
    "counter of a setup function": (
        [
            "count = 0\ndef bump():\n    global count\n    count += 1\n    return count",
            "%%mlstage a\nx = bump()",
            "%%mlstage b\ny = bump()",
            "print(x, y, count)",
        ],
        "1 2 2",
    ),
    "global that is bound again": (["def f():\n    return K", "%%mlstage a\nK = 1\nx = f()", "%%mlstage b\nK = 2\ny = f()", "print(x, y)"], "1 2"),
    "iterator": (["%%mlstage a\nit = iter([1, 2])", "%%mlstage b\nb = next(it)", "%%mlstage c\nc = next(it)", "print(b, c)"], "1 2"),
    "random generator": (
        ["import random", "%%mlstage a\nr = random.Random(0)", "%%mlstage b\nb = r.randrange(99)", "%%mlstage c\nc = r.randrange(99)", "print(b, c)"],
        "49 97",
    ),
    "binding that may not happen": (["%%mlstage a\nx = 1", "%%mlstage b\nif x > 5:\n    x = 99", "%%mlstage c\ny = x", "print(x, y)"], "1 1"),
    "types": (
        ["%%mlstage a\nv = (1, True, 1.0, '1', b'1', {1: 'a', '1': 'b'}, [2], float('inf'), 10**40)", "%%mlstage b\nt = v", "print(t)"],
        "(1, True, 1.0, '1', b'1', {1: 'a', '1': 'b'}, [2], inf, 10000000000000000000000000000000000000000)",
    ),
    "name bound by exec": (["%%mlstage a\nexec('hidden = 5')", "%%mlstage b\nz = globals()['hidden'] + 1", "print(z)"], "6"),
    "file between stages": (
        ["%%mlstage a\nwith open('o.txt', 'w') as f:\n    f.write('hi')", "%%mlstage b\nt = open('o.txt').read()", "print(t)"],
        "hi",
    ),
    "class of a setup cell": (
        ["class P:\n    pass", "%%mlstage a\np = P()\np.v = 1", "%%mlstage b\np.v += 1\nq = type(p) is P", "print(p.v, q)"],
        "2 True",
    ),
    "state in a closure": ([f"%%mlstage a\n{COUNTER}f = mk()", "%%mlstage b\nb1 = f()", "%%mlstage c\nc1 = f()", "print(b1, c1)"], "1 2"),
    "state in a stage's default argument": (
        [f"%%mlstage a\n{COLLECT}", "%%mlstage b\nb1 = f(1)", "%%mlstage c\nc1 = f(2)", "print(b1, c1)"],
        "[1] [1, 2]",
    ),
    "state in a stage's class": (
        ["%%mlstage a\nclass R:\n    items = []", "%%mlstage b\nR.items.append(1)", "%%mlstage c\nc1 = list(R.items)", "print(c1)"],
        "[1]",
    ),
    "number in a class": (["class R:\n    n = 0", "%%mlstage b\nR.n += 1", "%%mlstage c\nc1 = R.n", "print(c1)"], "1"),
    "two closures over one number": (
        [
            NUMBER,
            "%%mlstage b\nx = inc()",
            "%%mlstage c\ny = get()",
            "print(x, y)",
        ],
        "1 1",
    ),
    "registry that setup goes on filling": (
        [
            "REG = []\ndef register(f):\n    REG.append(f.__name__)\n    return f",
            "@register\ndef f():\n    pass",
            "%%mlstage a\nn = len(REG)",
            "@register\ndef g():\n    pass",
            "%%mlstage b\nm = len(REG)",
            "print(n, m)",
        ],
        "1 2",
    ),
    "file on a path that is computed": (
        [
            "import time",
            "%%mlstage a\ntime.sleep(1)\nwith open(''.join(['o', '.txt']), 'w') as f:\n    n = f.write('5')",
            "%%mlstage b\nt = open(''.join(['o', '.txt'])).read()",
            "print(t)",
        ],
        "5",
    ),
    "file read before another stage writes it": (
        [
            "import time",
            "%%mlstage a\nwith open('t.txt', 'w') as f:\n    n = f.write('5')",
            "%%mlstage b\ntime.sleep(0.5)\nt = open('t.txt').read()",
            "%%mlstage c\nwith open('t.txt', 'w') as f:\n    n = f.write('7')",
            "%%mlstage d\nu = open('t.txt').read()",
            "print(t, u)",
        ],
        "5 7",
    ),
    "annotations that are not evaluated": (
        ["from __future__ import annotations", "%%mlstage a\ndef f(x: Nowhere) -> Never:\n    return 1\ny = f(2)", "%%mlstage b\nz = y", "print(z)"],
        "1",
    ),
}


def shown(project: Project, name: str) -> str:
    """Return what the last cell of an executed notebook shows."""
    cells = json.loads((project.folder / name).read_text(encoding="utf-8"))["cells"]
    return "".join(text_of(item) for item in cells[-1]["outputs"]).strip()


@pytest.mark.parametrize("name", CASES)
def test_values(project: Project, name: str) -> None:
    """Computed for the first time, and reused."""
    sources, expected = CASES[name]
    cells: list[Cell | str] = [*sources]
    project.write(cells)
    first = project.run("one.ipynb")
    assert first.code == 0, first.err
    second = project.run("two.ipynb")
    assert (shown(project, "one.ipynb"), shown(project, "two.ipynb")) == (expected, expected)
    assert set(second.statuses.values()) == {"reused"}


def test_report_cell_that_changes_what_a_stage_reads(project: Project) -> None:
    """It feeds no stage: either the value is that of one pass, or a diagnostic says so."""
    project.write(["%%mlstage a\nx = [3, 1]", "x.sort()\nprint(x)", "%%mlstage b\ny = x[0]", "print(y)"])
    done = project.run("out.ipynb")
    said = [item for item in done.data["diagnostics"] if item["cell"] == 1]
    assert said or shown(project, "out.ipynb") == "1"


@pytest.mark.parametrize("seeded", [True, False])
def test_global_random_state_in_two_stages_is_diagnosed(project: Project, *, seeded: bool) -> None:
    """It differs from one pass, which a diagnostic says; each stage gives the same value every time."""
    setup = "import random\nrandom.seed(1)" if seeded else "import random"
    project.write(
        [setup, "%%mlstage a --metrics x\nx = random.random()", "%%mlstage b --metrics y\ny = random.random()", cell("# end", kind="markdown")]
    )
    first, second = project.run(), project.run("--force")
    assert [item["metrics"] for item in first.data["stages"]] == [item["metrics"] for item in second.data["stages"]]
    assert [item for item in first.data["diagnostics"] if "random" in item["message"]]


@pytest.mark.parametrize(
    "cells",
    [
        [COLLECT, "%%mlstage b\nb1 = f(1)", "%%mlstage c\nc1 = f(2)", "print(b1, c1)"],
        ["class R:\n    items = []", "%%mlstage b\nR.items.append(1)", "%%mlstage c\nc1 = list(R.items)", "print(c1)"],
    ],
    ids=["default argument", "class"],
)
def test_state_in_what_a_setup_cell_defines_is_refused(project: Project, cells: list[str]) -> None:
    """Every stage makes setup's functions and classes anew: a change that a later stage would need is refused, never lost silently."""
    project.write(cells)
    done = project.run()
    assert (done.code, done.data["status"], done.statuses["b"]) == (1, "failed", "failed")
    assert "keep that state in a variable" in done.stage("b")["error"]["message"]


EDITS: dict[str, tuple[list[Cell | str], dict[int, str], dict[str, str], str]] = {
    "file that setup reads": ([cell("CFG = open('cfg.txt').read()", "setup"), "%%mlstage a\nx = CFG", "print(x)"], {}, {"cfg.txt": "2"}, "2"),
    "file that joins a folder": (
        ["from pathlib import Path", "%%mlstage a\nn = sorted(p.name for p in Path('d').glob('*.csv'))", "print(n)"],
        {},
        {"d/b.csv": ""},
        "['a.csv', 'b.csv']",
    ),
    "file moved into place": (
        [
            "import os",
            "%%mlstage a\nwith open('t.tmp', 'w') as f:\n    n = f.write('1')\nos.replace('t.tmp', 'm.txt')",
            "%%mlstage b\ny = open('m.txt').read()",
            "print(y)",
        ],
        {1: "%%mlstage a\nwith open('t.tmp', 'w') as f:\n    n = f.write('2')\nos.replace('t.tmp', 'm.txt')"},
        {},
        "2",
    ),
    "first of two writers": (
        [
            "%%mlstage a\nwith open('r.txt', 'w') as f:\n    n = f.write('1')",
            "%%mlstage b\nwith open('r.txt', 'w') as f:\n    n = f.write('2')",
            "print(open('r.txt').read())",
        ],
        {0: "%%mlstage a\nwith open('r.txt', 'w') as f:\n    n = f.write('11')"},
        {},
        "2",
    ),
    "variable that a local module reads": (["import helpers", "%%mlstage a\nx = helpers.f()", "print(x)"], {}, {"env": "2"}, "2"),
}


@pytest.mark.parametrize("name", EDITS)
def test_values_after_an_edit(project: Project, name: str) -> None:
    """What a stage depends on without saying so is found: the second run gives what one pass gives now."""
    sources, edited, files, expected = EDITS[name]
    (project.folder / "d").mkdir()
    for path, text in {"cfg.txt": "1", "d/a.csv": "", "helpers.py": "import os\n\n\ndef f():\n    return os.environ.get('HUNT', '1')\n"}.items():
        (project.folder / path).write_text(text)
    project.write([*sources])
    assert project.run("one.ipynb").code == 0
    for path, text in files.items():
        if path != "env":
            (project.folder / path).write_text(text)
    project.write([edited.get(place, source) for place, source in enumerate(sources)])
    again = project.run("two.ipynb", env={"HUNT": "2"})
    assert again.code == 0, again.err
    assert shown(project, "two.ipynb") == expected


def test_class_that_setup_defines_again_is_refused(project: Project) -> None:
    """An instance of the first class would come back as one of the second: refused, with both names."""
    project.write(["class A:\n    v = 1", "%%mlstage a\nx = A()", "class A:\n    v = 2", "%%mlstage b\ny = x.v"])
    done = project.run()
    assert done.code == 2
    assert "NB215" in done.err
