"""What a stage is seen to do to the world outside its namespace."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nbmlops.runner.environment import file_digest
from tests.runner.bench import Bench, cell

WATCHED = """
import json, os, sys
from pathlib import Path
from nbmlops.runner.watching.observation import Observation
from nbmlops.runner.watching.observe import observing
folder = Path.cwd()
namespace = {}
observation = Observation(folder, folder, (str(folder / ".nbmlops"),))
with observing(observation, namespace):
    exec(sys.argv[1], namespace)
print(json.dumps([observation.files_read(), observation.files_written(), sorted(observation.environment), observation.modules()]))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a folder with a file, a store and a module; it is no temporary folder to the watched process."""
    (tmp_path / "in.txt").write_text("1")
    (tmp_path / ".nbmlops").mkdir()
    (tmp_path / ".nbmlops" / "x").write_text("ours")
    (tmp_path / "helpers.py").write_text("K = 1")
    return tmp_path


def watch(project: Path, code: str) -> list[Any]:
    """Run code in a process that watches it: files read, files written, variables, modules."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "WHO": "me"}
    done = subprocess.run([sys.executable, "-c", WATCHED, code], cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


FILES = [
    ("read", "open('in.txt').read()", ["in.txt"], []),
    ("path object", "from pathlib import Path\nPath('in.txt').read_bytes()", ["in.txt"], []),
    ("computed path", "open('i' + 'n.txt')", ["in.txt"], []),
    ("descriptor", "import os\nos.close(os.open('in.txt', os.O_RDONLY))", ["in.txt"], []),
    ("absent", "try:\n    open('conf.yml')\nexcept OSError:\n    pass", ["conf.yml"], []),
    ("write", "open('out.txt', 'w').close()", [], ["out.txt"]),
    ("append", "open('in.txt', 'a').close()", ["in.txt"], ["in.txt"]),
    ("write, then read", "open('out.txt', 'w').close()\nopen('out.txt').read()", [], ["out.txt"]),
    ("written and removed", "import os\nopen('out.txt', 'w').close()\nos.remove('out.txt')", [], []),
    ("the store", "open('.nbmlops/x').read()", [], []),
    ("a module", "import helpers", [], []),
    ("the library", "import wave, email.policy", [], []),
    (
        "installed distributions",
        "import sys, importlib.metadata\nsys.path.insert(0, '.')\nlist(importlib.metadata.distributions())\nimportlib.metadata.version('pytest')",
        [],
        [],
    ),
    ("work of our own", "from nbmlops.runner.watching.observe import unobserved\nwith unobserved():\n    open('in.txt')", [], []),
    ("a database", "import sqlite3\nsqlite3.connect('db.sqlite').close()", ["db.sqlite"], ["db.sqlite"]),
    ("another folder", "import os\nos.mkdir('sub')\nos.chdir('sub')\nopen('../in.txt')", ["in.txt"], ["sub/"]),
]


@pytest.mark.parametrize(("code", "read", "written"), [row[1:] for row in FILES], ids=[row[0] for row in FILES])
def test_files(project: Path, code: str, read: list[str], written: list[str]) -> None:
    """Paths relative to the notebook's folder, reads and writes apart; our own and Python's files are left out."""
    found = watch(project, code)
    assert (list(found[0]), found[1]) == (read, written)


def test_digest_is_that_of_what_was_read(project: Path) -> None:
    """A file that is read and then overwritten counts with what it held before."""
    before = file_digest(project / "in.txt")
    assert watch(project, "open('in.txt').read()\nopen('in.txt', 'w').write('2')")[0] == {"in.txt": before}
    assert file_digest(project / "in.txt") != before


VARIABLES = [
    ("import os\nos.environ['WHO']", ["WHO"]),
    ("import os\nos.environ.get('WHO')", ["WHO"]),
    ("import os\nos.getenv('NOT_SET', 'x')", ["NOT_SET"]),
    ("import os\n'WHO' in os.environ", ["WHO"]),
    ("import os\nname = 'W' + 'HO'\nos.environ[name]", ["WHO"]),
    ("import os\ndef f():\n    return os.environ['WHO']\nf()", ["WHO"]),
    ("import tempfile\ntempfile.gettempdir()", []),
]


@pytest.mark.parametrize(("code", "expected"), VARIABLES)
def test_variables(project: Path, code: str, expected: list[str]) -> None:
    """The variables that the notebook's own code looks up, and not those of the libraries it calls."""
    assert watch(project, code)[2] == expected


def test_environ_is_an_ordinary_mapping_afterwards(project: Path) -> None:
    """Watching leaves `os.environ` as it was."""
    assert watch(project, "import os\nkind = type(os.environ).__mro__[1].__name__\nassert kind == '_Environ'")[2] == []
    assert type(os.environ).__name__ == "_Environ"


def test_modules(project: Path) -> None:
    """A module of the project that was imported by a computed name is seen."""
    assert watch(project, "import importlib\nimportlib.import_module('help' + 'ers')")[3] == ["helpers.py"]


DRAWS = [
    ("random.random()", ["random"]),
    ("random.Random(1).random()", []),
    ("np.random.rand()", ["numpy"]),
    ("np.random.default_rng(1).random()", []),
    ("1", []),
]


@pytest.mark.parametrize(("code", "expected"), DRAWS)
def test_draws_from_the_global_state(bench: Bench, code: str, expected: list[str]) -> None:
    """Drawing from a global random state is marked, from one's own generator is not."""
    effects = bench.effects("import random\nimport numpy as np", f"%%mlstage a\nx = float({code})", stage="a")
    assert list(effects.random) == expected


def test_states_are_equal_until_something_draws() -> None:
    """The states can be compared cheaply."""
    from nbmlops.runner.randomness import random_states

    before = random_states()
    assert random_states() == before
    random.random()
    assert random_states() != before


HIDDEN: list[tuple[str, list[Any], tuple[str, ...]]] = [
    ("eval of a computed text", ["text = 't'", "%%mlstage a\nt = 1", "%%mlstage b\ny = eval(text)"], ("t",)),
    ("globals()", ["key = 't'", "%%mlstage a\nt = 1", "%%mlstage b\ny = globals()[key]"], ("t",)),
    ("constant of setup", ["key = 't'\nt = 5", "%%mlstage b\ny = globals()[key]"], ("t",)),
    ("two, one after the other", ["key = 't'", "%%mlstage a\nt = 1\nu = 2", "%%mlstage b\ny = globals()[key]\nz = globals()[chr(117)]"], ("t", "u")),
]


@pytest.mark.parametrize(("cells", "expected"), [row[1:] for row in HIDDEN], ids=[row[0] for row in HIDDEN])
def test_hidden_reads_are_learnt(bench: Bench, cells: list[Any], expected: tuple[str, ...]) -> None:
    """The stage is run again with what it was seen to look for, and the next plan knows."""
    assert bench.effects(*cells, stage="b").reads == expected
    assert set(bench.states(*cells).values()) == {"fresh"}


def test_hidden_read_makes_stale(bench: Bench) -> None:
    """A constant that only `globals()` reaches counts once it has been seen."""
    bench.run("key = 't'\nt = 5", "%%mlstage b\ny = globals()[key]")
    assert bench.states("key = 't'\nt = 6", "%%mlstage b\ny = globals()[key]") == {"b": "stale"}
    assert bench.states(cell("key = 't'\nt = 5\nu = 1", "setup"), "%%mlstage b\ny = globals()[key]") == {"b": "fresh"}
