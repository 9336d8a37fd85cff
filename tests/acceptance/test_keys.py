"""A stage runs again when something that its result hangs on has changed, however it is reached, and when nothing else has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.project import cell, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.acceptance.project import Cell, Project


@dataclass(frozen=True)
class Case:
    """A notebook that runs, is edited or surrounded by something else, and runs again.

    Parameters
    ----------
    cells : list of (Cell or str)
    before, after : mapping of str to str
        Files of the project, first and when they have changed.
    edit : tuple of (str, str)
        What is replaced in the cells.
    env : mapping of str to str
        The environment of the second run.
    ran : set of str
        The stages that the second run computes.
    shown : str
        What the last cell shows then: what one pass from top to bottom gives.
    """

    cells: list[Cell | str]
    ran: set[str]
    shown: str
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    edit: tuple[str, str] = ("", "")
    env: Mapping[str, str] = field(default_factory=dict)


HELPERS = "class M:\n    def f(self):\n        return K\nK = 1\n"
TWICE = HELPERS.replace("K = 1", "K = 2")
PATCH = "import json\njson.extra = 1\n"
MODULE_FILE = "import pathlib\nD = pathlib.Path(__file__).with_name('d.txt').read_text()\n"
READ_BACK = "import pyarrow.parquet as pq\nimport pyarrow as pa\ndef put(n):\n    pq.write_table(pa.table({'x': [n]}), ''.join(['o', '.pq']))"

CASES: dict[str, Case] = {
    "method of a local class": Case(
        ["from helpers import M", "%%mlstage a\nm = M()", "%%mlstage b\ny = m.f()", "%%mlstage c\nz = 1", "print(y, z)"],
        {"a", "b"}, "2 1", {"helpers.py": HELPERS}, {"helpers.py": TWICE},
    ),
    "base class in a local module": Case(
        ["from helpers import M\nclass N(M):\n    pass\nR = {'n': N}", "%%mlstage a\nm = R['n']()", "%%mlstage b\ny = m.f()", "print(y)"],
        {"a", "b"}, "2", {"helpers.py": HELPERS}, {"helpers.py": TWICE},
    ),
    "exception whose class only the value names": Case(
        ["class E(Exception):\n    def f(self):\n        return 1", "%%mlstage a\ntry:\n    raise E\nexcept E as caught:\n    e = caught",
         "%%mlstage b\ny = e.f()", "print(y)"],
        {"a", "b"}, "2", edit=("return 1", "return 2"),
    ),
    "combination of flags": Case(
        ["import enum\nclass F(enum.Flag):\n    A = 1\n    B = 2", "%%mlstage a\nf = F.A | F.B", "%%mlstage b\ny = F.A in f", "print(y)"],
        {"a", "b"}, "True", edit=("B = 2", "B = 4"),
    ),
    "local module that a stage does not use": Case(
        ["import helpers", "%%mlstage a\nx = 1", "%%mlstage b\ny = helpers.M().f()", "print(x, y)"],
        {"b"}, "1 2", {"helpers.py": HELPERS}, {"helpers.py": TWICE},
    ),
    "local module that patches a library": Case(
        ["import patches", "%%mlstage a\nimport json\nx = json.extra", "print(x)"],
        {"a"}, "2", {"patches.py": PATCH}, {"patches.py": PATCH.replace("1", "2")},
    ),
    "decorator that registers with a library": Case(
        ["import pandas as pd\n@pd.api.extensions.register_dataframe_accessor('zz')\nclass Z:\n    def __init__(s, f):\n        pass\n    v = 1",
         "%%mlstage a\nx = pd.DataFrame().zz.v", "print(x)"],
        {"a"}, "2", edit=("v = 1", "v = 2"),
    ),
    "subclasses that are looked for": Case(
        ["class B:\n    pass\nclass X(B):\n    v = 1", "%%mlstage a\nx = [c.v for c in B.__subclasses__()]", "print(x)"],
        {"a"}, "[2]", edit=("v = 1", "v = 2"),
    ),
    "block of calls in setup": Case(
        [cell("import codecs\nfor name in ['zz']:\n    codecs.register_error(name, lambda e: ('?', e.end))", "setup"),
         "%%mlstage a\nx = '\\u1234'.encode('ascii', 'zz').decode()", "print(x)"],
        {"a"}, "!", edit=("'?'", "'!'"),
    ),
    "file that a module reads when it is imported": Case(
        ["import helpers", "%%mlstage a\nx = 1", "%%mlstage b\ny = helpers.D", "print(x, y)"],
        {"b"}, "1 2", {"helpers.py": MODULE_FILE, "d.txt": "1"}, {"d.txt": "2"},
    ),
    "file that one statement of setup reads": Case(
        [cell("from pathlib import Path\nT = Path('t.txt').read_text()", "setup"), "%%mlstage a\nx = T", "%%mlstage b\ny = 1", "print(x, y)"],
        {"a"}, "2 1", {"t.txt": "1"}, {"t.txt": "2"},
    ),
    "module that was not there": Case(
        ["import importlib", "%%mlstage a\ntry:\n    x = importlib.import_module('fa' + 'st').V\nexcept ImportError:\n    x = 0", "print(x)"],
        {"a"}, "2", {}, {"fast.py": "V = 2"},
    ),
    "source that is run": Case(
        ["import runpy", "%%mlstage a\nx = runpy.run_path('s.py')['V']", "print(x)"], {"a"}, "2", {"s.py": "V = 1"}, {"s.py": "V = 2"},
    ),
    "names that a file's code binds": Case(
        ["%%mlstage a\ncode = open('s.txt').read()\nexec(code)", "%%mlstage b\ny = globals()['h'] + 1", "print(y)"],
        {"a", "b"}, "3", {"s.txt": "h = 1"}, {"s.txt": "h = 2"},
    ),
    "the whole environment": Case(
        ["import os", "%%mlstage a\nx = [k for k in dict(os.environ) if k == 'HUNT']", "print(x)"], {"a"}, "['HUNT']", env={"HUNT": "1"},
    ),
    "variables in a path": Case(
        ["import os", "%%mlstage a\nx = os.path.expandvars('$HUNT/x')", "%%mlstage b\ny = 1", "print(x, y)"], {"a"}, "1/x 1", env={"HUNT": "1"},
    ),
    "local time": Case(
        ["import time", "%%mlstage a\nx = time.localtime(0).tm_hour", "%%mlstage b\ny = 1", "print(x, y)"], {"a"}, "9 1", env={"TZ": "Asia/Tokyo"},
    ),
    "file that a native reader opens": Case(
        [READ_BACK, "%%mlstage a\nput(1)", "%%mlstage b\ny = pq.read_table(''.join(['o', '.pq']))['x'].to_pylist()", "print(y)"],
        {"a", "b"}, "[2]", edit=("put(1)", "put(2)"),
    ),
    "file that a forked worker reads": Case(
        ["import multiprocessing\ndef read(path):\n    with open(path) as f:\n        return f.read()",
         "%%mlstage a\nwith multiprocessing.get_context('fork').Pool(1) as pool:\n    x = pool.map(read, ['d.txt'])", "print(x)"],
        {"a"}, "['2']", {"d.txt": "1"}, {"d.txt": "2"},
    ),
    "file that a program is given": Case(
        ["import subprocess", "%%mlstage a\nx = subprocess.run(['cat', 'd.txt'], capture_output=True, text=True).stdout", "print(x)"],
        {"a"}, "2", {"d.txt": "1"}, {"d.txt": "2"},
    ),
    "hidden file in a folder": Case(
        ["import os", "%%mlstage a\nx = sorted(os.listdir('d'))", "print(x)"], {"a"}, "['.b', 'a']", {"d/a": ""}, {"d/.b": ""},
    ),
    "comment in a local module": Case(
        ["import helpers", "%%mlstage a\nx = helpers.M().f()", "print(x)"], set(), "1", {"helpers.py": HELPERS}, {"helpers.py": f"# note\n{HELPERS}"},
    ),
    "local module in a folder of the search path": Case(
        [cell("import sys\nsys.path.insert(0, 'src')\nimport inner", "setup"), "%%mlstage a\nx = inner.K", "%%mlstage b\ny = 1", "print(x, y)"],
        {"a"}, "2 1", {"src/inner.py": "K = 1"}, {"src/inner.py": "K = 2"},
    ),
}  # fmt: skip


def write(project: Project, files: Mapping[str, str]) -> None:
    """Write files of the project."""
    for name, text in files.items():
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_text(text)


def edited(item: Cell | str, edit: tuple[str, str]) -> Cell | str:
    """Return a cell with a text replaced."""
    if isinstance(item, str):
        return item.replace(*edit) if edit[0] else item
    return {**item, "source": item["source"].replace(*edit)} if edit[0] else item


@pytest.mark.parametrize("name", CASES)
def test_what_runs_after_a_change(project: Project, name: str) -> None:
    """The second run computes what the change reaches, and its values are those of one pass."""
    case = CASES[name]
    write(project, case.before)
    project.write(case.cells)
    first = project.run("one.ipynb", env={"TZ": "UTC"})
    assert first.code == 0, first.err
    write(project, case.after)
    project.write([edited(item, case.edit) for item in case.cells])
    again = project.run("two.ipynb", env={"TZ": "UTC", **case.env})
    assert again.code == 0, again.err
    cells = json.loads((project.folder / "two.ipynb").read_text(encoding="utf-8"))["cells"]
    assert (set(again.ran), "".join(text_of(item) for item in cells[-1]["outputs"]).strip()) == (case.ran, case.shown)


def test_module_edited_within_a_second_is_imported_as_it_is(project: Project) -> None:
    """Python takes byte code for that of any source of the same size and second; a stage is computed from the source."""
    kept = {"PYTHONDONTWRITEBYTECODE": ""}
    helper = project.folder / "helper.py"
    project.write(["import helper", "%%mlstage a\nx = helper.value", "print(x)"])
    for value in ("1", "2"):
        helper.write_text(f"value = {value}\n")
        os.utime(helper, (1_700_000_000, 1_700_000_000))
        subprocess.run([sys.executable, "-c", "import helper"], cwd=project.folder, env={**os.environ, **kept}, check=True)
        done = project.run("out.ipynb", env=kept)
        assert done.code == 0, done.err
        cells = json.loads((project.folder / "out.ipynb").read_text(encoding="utf-8"))["cells"]
        assert "".join(text_of(item) for item in cells[-1]["outputs"]).strip() == value


def test_processes_whose_files_nobody_sees_are_told(project: Project) -> None:
    """Workers of another kind than forked ones tell nothing: a diagnostic says so, and a declared file settles it."""
    read = "import joblib\ndef read(path):\n    with open(path) as f:\n        return f.read()"
    stage = "x = joblib.Parallel(n_jobs=2)(joblib.delayed(read)(p) for p in ['d.txt', 'd.txt'])"
    (project.folder / "d.txt").write_text("1")
    project.write([read, f"%%mlstage a\n{stage}", "print(x)"])
    assert [item["code"] for item in project.run().data["diagnostics"]] == ["NB322"]
    project.write([read, f"%%mlstage a --file d.txt\n{stage}", "print(x)"])
    assert not project.run().data["diagnostics"]


def test_source_outside_the_project_that_nobody_installed(project: Project) -> None:
    """No version stands for it, so its source does."""
    shared = project.folder.parent / "shared"
    shared.mkdir()
    (shared / "mine.py").write_text(HELPERS)
    project.write(["import mine", "%%mlstage a\nm = mine.M()", "%%mlstage b\ny = m.f()", "%%mlstage c\nz = 1", "print(y)"])
    path = {"PYTHONPATH": f"{shared}:{project.environment().get('PYTHONPATH', '')}"}
    assert project.run(env=path).code == 0
    (shared / "mine.py").write_text(TWICE)
    assert project.run(env=path).ran == ["a", "b"]
