"""What stages ask of files, remove and change while a run is on: the second run reuses, an edit is seen."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.test_one_pass import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.acceptance.project import Cell, Project

SETUP = "from pathlib import Path\nimport os, shutil, sqlite3"
CONNECT = "con = sqlite3.connect('db.sqlite')\n{0}\ncon.commit()\ncon.close()"


def write(project: Project, cells: list[str], files: Mapping[str, str | None] = {}) -> None:
    """Write the notebook and files."""
    for name, text in (files or {}).items():
        path = project.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    found: list[Cell | str] = [*cells]
    project.write(found)


LOOKS: dict[str, tuple[str, list[tuple[dict[str, str], str]]]] = {
    "exists": ("Path('c.bin').exists()", [({}, "False"), ({"c.bin": "1"}, "True")]),
    "size": ("os.path.getsize('d.csv')", [({"d.csv": "abc"}, "3"), ({"d.csv": "abcdef"}, "6")]),
    "kind": (
        "os.path.isfile('q'), os.access('q', os.R_OK)",
        [({}, "(False, False)"), ({"q": "1"}, "(True, True)")],
    ),
    "folder": ("os.path.isdir('d')", [({}, "False"), ({"d/x": "1"}, "True")]),
    "source as data": ("len(open('code.py').read())", [({"code.py": "V"}, "1"), ({"code.py": "V=2"}, "3")]),
}


@pytest.mark.parametrize("name", LOOKS)
def test_looking_is_reading(project: Project, name: str) -> None:
    """What code asks of a file without opening it is an input; nothing changed is nothing to do."""
    code, versions = LOOKS[name]
    for files, expected in versions:
        write(project, [SETUP, f"%%mlstage a\nx = {code}", "print(x)"], files)
        for status in ("ran", "reused"):
            assert project.run("out.ipynb").statuses == {"a": status}
            assert shown(project, "out.ipynb") == expected


# stages, and what the last cell prints in one plain process in an empty folder
CASES: dict[str, tuple[list[str], str]] = {
    "made where it is missing": (
        ["%%mlstage a\nif Path('c').exists():\n    x = 'there'\nelse:\n    x = 'made'\n    n = Path('c').write_text('1')", "print(x)"],
        "made",
    ),
    "looked for after it is made": (
        ["%%mlstage a\nn = Path(''.join('fg')).write_text('1')", "%%mlstage b\nx = Path('fg').exists()", "print(x)"],
        "True",
    ),
    "folders made": (
        ["%%mlstage a\nos.makedirs('d/e', exist_ok=True)\nPath('f').mkdir(exist_ok=True)", "%%mlstage b\nx = Path('d/e').is_dir()", "print(x)"],
        "True",
    ),
    "removed": (
        ["%%mlstage a\nn = Path('f').write_text('1')", "%%mlstage b\nos.remove('f')", "%%mlstage c\nx = Path('f').exists()", "print(x)"],
        "False",
    ),
    "moved": (
        [
            "%%mlstage a\nn = Path('f').write_text('5')",
            "%%mlstage b\nshutil.move('f', 'g')",
            "%%mlstage c\nx = Path('f').exists(), Path('g').read_text()",
            "print(x)",
        ],
        "(False, '5')",
    ),
    "copied": (
        ["%%mlstage a\nn = Path('f').write_text('5')", "%%mlstage b\nshutil.copy('f', 'g')", "%%mlstage c\nx = open('g').read()", "print(x)"],
        "5",
    ),
    "shortened": (
        ["%%mlstage a\nn = Path('f').write_text('12345')", "%%mlstage b\nos.truncate('f', 2)", "%%mlstage c\nx = os.path.getsize('f')", "print(x)"],
        "2",
    ),
    "made anew each time": (
        [
            "%%mlstage a\nshutil.rmtree('o', ignore_errors=True)\nos.makedirs('o')\nn = Path('o/z').write_text('1')",
            "%%mlstage b\nx = sorted(os.listdir('o'))",
            "print(x)",
        ],
        "['z']",
    ),
    "database": (
        [
            "%%mlstage a\n" + CONNECT.format("con.execute('create table t(x)')\nn = con.execute('insert into t values(1)').rowcount"),
            "%%mlstage b\n" + CONNECT.format("m = con.execute('insert into t values(2)').rowcount"),
            "%%mlstage c\n" + CONNECT.format("x = con.execute('select sum(x) from t').fetchone()[0]"),
            "print(x)",
        ],
        "3",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_values(project: Project, name: str) -> None:
    """Computed for the first time, and reused."""
    sources, expected = CASES[name]
    write(project, [SETUP, *sources])
    first = project.run("one.ipynb")
    assert first.code == 0, first.out
    second = project.run("two.ipynb")
    assert (shown(project, "one.ipynb"), shown(project, "two.ipynb")) == (expected, expected)
    assert set(second.statuses.values()) == {"reused"}


def test_removal_holds_for_a_stage_that_is_edited(project: Project) -> None:
    """What a reused stage wrote and another one removed is not there when a later one runs again."""
    cells = ["%%mlstage a\nn = Path('f').write_text('1')", "%%mlstage b\nos.remove('f')"]
    write(project, [SETUP, *cells, "%%mlstage c\nx = Path('f').exists()"])
    project.run()
    write(project, [SETUP, *cells, "%%mlstage c\nx = [Path('f').exists()]", "print(x)"])
    done = project.run("out.ipynb")
    assert (done.ran, shown(project, "out.ipynb")) == (["c"], "[False]")


WAIT = "open('started', 'w').close()\nend = time.time() + 60\nwhile not os.path.exists('edited') and time.time() < end:\n    time.sleep(0.02)"
EDITS = {
    "module": ("helpers.py", "def f():\n    return {0}\n", "import helpers", "helpers.f()"),
    "file": ("data.txt", "{0}", "", "int(open('data.txt').read())"),
}


@pytest.mark.parametrize("name", EDITS)
def test_edit_while_a_run_is_on(project: Project, name: str) -> None:
    """One run has one version of each module and file: what was made from the older one is made again."""
    path, text, setup, read = EDITS[name]
    (project.folder / path).write_text(text.format(1))
    hold = f"from subprocess import run\n_ = run([sys.executable, '-c', {('import os, time' + chr(10) + WAIT)!r}])"
    write(project, [f"import sys\n{setup}", f"%%mlstage a\nx = {read}\n{hold}", f"%%mlstage b\ny = x * 100 + {read}", "print(x, y)"])

    def edit() -> None:
        end = time.monotonic() + 60
        while not (project.folder / "started").exists() and time.monotonic() < end:
            time.sleep(0.02)
        (project.folder / path).write_text(text.format(2) + "\n")
        (project.folder / "edited").touch()

    editor = threading.Thread(target=edit)
    editor.start()
    done = project.run("out.ipynb")
    editor.join()
    assert done.code == 0, json.dumps(done.data["stages"])
    assert shown(project, "out.ipynb") == "2 202"
