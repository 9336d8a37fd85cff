"""What a stage changes outside its variables: right, or refused with a code, never silently lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.project import cell
from tests.acceptance.test_one_pass import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.acceptance.project import Cell, Outcome, Project

HELPERS = """
STATE, K, CONFIG = [], 1, {"a": 1}
count = 0
class Registry:
    n = 0
def bump():
    global count
    count += 1
    return count
"""
REGISTRY = "REG = []\ndef register(f):\n    REG.append(f.__name__)\n    return f\n"
FILES = {
    "helpers.py": HELPERS,
    "registry.py": REGISTRY,
    "plugins.py": "from registry import register\n@register\ndef f():\n    pass\n",
    "noisy.py": "import warnings\nwarnings.simplefilter('always')\n",
    "holder.py": "import helpers\nclass Holder:\n    def next(self):\n        return helpers.bump()\n",
}
COLLECT = "def f(v, acc=[]):\n    acc.append(v)\n    return list(acc)"

# cells, the code of the refusal, and the stage that is refused
REFUSED: dict[str, tuple[list[str], str, str]] = {
    "list of a module": (["import helpers", "%%mlstage a\nhelpers.STATE.append(1)", "%%mlstage b\ny = len(helpers.STATE)"], "NB614", "a"),
    "number of a module": (["import helpers", "%%mlstage a\nhelpers.K = 5", "%%mlstage b\ny = helpers.K"], "NB614", "a"),
    "dict of a module": (["import helpers", "%%mlstage a\nhelpers.CONFIG.update(b=2)", "%%mlstage b\ny = helpers.CONFIG"], "NB614", "a"),
    "class of a module": (["from helpers import Registry", "%%mlstage a\nRegistry.n += 1", "%%mlstage b\ny = Registry.n"], "NB614", "a"),
    "counter of a module": (["import helpers", "%%mlstage a\nx = helpers.bump()", "%%mlstage b\ny = helpers.bump()"], "NB614", "a"),
    "module imported in stages": (
        ["%%mlstage a\nimport helpers\nx = helpers.bump()", "%%mlstage b\nimport helpers\ny = helpers.bump()"],
        "NB614",
        "a",
    ),
    "module that a report cell reads": (["import helpers", "%%mlstage a\nx = helpers.bump()", "print(helpers.bump())"], "NB614", "a"),
    "module that an artifact brings": (
        ["%%mlstage p\nfrom holder import Holder\no = Holder()", "%%mlstage a\nimport helpers\nx = helpers.bump()", "%%mlstage b\ny = o.next()"],
        "NB614",
        "a",
    ),
    "module changed by another's import": (
        ["%%mlstage a\nimport registry, plugins\nx = 1", "%%mlstage b\nimport registry\ny = len(registry.REG)"],
        "NB614",
        "a",
    ),
    "default argument": ([COLLECT, "%%mlstage a\nx = f(1)", "%%mlstage b\ny = f(2)"], "NB614", "a"),
    "environment": (["import os", "%%mlstage a\nos.environ['Q'] = '1'", "%%mlstage b\ny = os.environ.get('Q')"], "NB618", "a"),
    "working directory": (["import os", "%%mlstage a\nos.makedirs('s', exist_ok=True)\nos.chdir('s')", "%%mlstage b\ny = os.getcwd()"], "NB618", "a"),
    "decimal context": (["import decimal", "%%mlstage a\ndecimal.getcontext().prec = 5", "%%mlstage b\ny = decimal.Decimal(1) / 3"], "NB618", "a"),
    "function of a library": (["import numpy as np", "%%mlstage a\nnp.mean = lambda v: 42", "%%mlstage b\ny = np.mean([1])"], "NB618", "a"),
    "method of a library": (
        ["import pandas as pd", "%%mlstage a\npd.Series.sum = lambda s: 9", "%%mlstage b\ny = pd.Series([1]).sum()"],
        "NB618",
        "a",
    ),
    "errors of numpy": (["import numpy as np", "%%mlstage a\n_ = np.seterr(all='raise')", "%%mlstage b\ny = 1"], "NB618", "a"),
    "search path": (["import sys", "%%mlstage a\nsys.path.insert(0, 'lib')", "%%mlstage b\ny = 1"], "NB618", "a"),
}

# cells whose last one prints what it would print in one process
KEPT: dict[str, tuple[list[Cell | str], str]] = {
    "module that no later cell uses": (["import helpers", "%%mlstage a\nx = helpers.bump()", "%%mlstage b\ny = x + 1", "print(x, y)"], "1 2"),
    "module set up in setup": (
        [cell("import helpers\nhelpers.K = 7", "setup"), "%%mlstage a\nx = helpers.K", "%%mlstage b\ny = helpers.K", "print(x, y)"],
        "7 7",
    ),
    "both import what registers": (
        ["%%mlstage a\nimport registry, plugins\nx = 1", "%%mlstage b\nimport registry, plugins\ny = len(registry.REG)", "print(x, y)"],
        "1 1",
    ),
    "variable that is put back": (
        ["import os", "%%mlstage a\nos.environ['Q'] = '1'\ndel os.environ['Q']\nx = 1", "%%mlstage b\ny = os.environ.get('Q')", "print(x, y)"],
        "1 None",
    ),
    "options for a while": (
        [
            "import pandas as pd, decimal",
            "%%mlstage a\nwith decimal.localcontext() as c, pd.option_context('mode.sim_interactive', True):\n    c.prec = 3\n    x = 1",
            "%%mlstage b\ny = str(decimal.Decimal(1) / 4)",
            "print(x, y)",
        ],
        "1 0.25",
    ),
    "what only shows": (
        [
            "import matplotlib.pyplot as plt, warnings",
            "%%mlstage a\nplt.rcParams['lines.linewidth'] = 3\nwarnings.filterwarnings('ignore')\nx = 1",
            "%%mlstage b\ny = x",
            "print(x, y)",
        ],
        "1 1",
    ),
}


def run(project: Project, sources: Sequence[Cell | str], *words: str) -> Outcome:
    """Run cells in a project with modules."""
    for name, text in FILES.items():
        (project.folder / name).write_text(text)
    project.write(sources)
    return project.run(*words)


@pytest.mark.parametrize("name", REFUSED)
def test_change_that_a_later_cell_would_see_is_refused(project: Project, name: str) -> None:
    """The stage fails with a code, and what was to see the change is not offered, the second time too."""
    sources, code, refused = REFUSED[name]
    for done in (run(project, sources), project.run()):
        assert done.code == 1
        assert done.stage(refused)["error"]["code"] == code
        assert done.statuses.get("b", "not-run") in {"not-run", "failed"}


@pytest.mark.parametrize("name", KEPT)
def test_change_that_no_later_cell_sees(project: Project, name: str) -> None:
    """What nobody sees, what is put back and what only shows is no reason to refuse."""
    sources, expected = KEPT[name]
    first = run(project, sources, "one.ipynb")
    assert first.code == 0, first.out
    assert shown(project, "one.ipynb") == expected
    assert set(project.run("two.ipynb").statuses.values()) == {"reused"}


def test_reader_that_comes_later(project: Project) -> None:
    """A record that nobody minded does not serve once a cell is added that would see the change."""
    cells = ["import helpers", "%%mlstage a\nx = helpers.bump()"]
    assert run(project, cells).code == 0
    assert run(project, [*cells, "%%mlstage b\ny = helpers.bump()"]).stage("a")["error"]["code"] == "NB614"


def test_report_cell_that_changes_a_module(project: Project) -> None:
    """A stage after it has not seen the change: the run fails."""
    done = run(project, ["import helpers", "print(helpers.bump())", "%%mlstage b\ny = helpers.bump()"])
    assert (done.code, "NB614" in {item["code"] for item in done.data["diagnostics"]}) == (1, True)


LATER = {
    "change in place": (["%%mlstage a\nx = [1]", "%%mlstage b\nx.append(2)\nw = 3"], ["%%mlstage c\nz = len(x)", "print(x, z)"], "[1, 2] 2"),
    "alias": (["%%mlstage a\nx = [1]", "%%mlstage b\ny = x", "%%mlstage c\ny.append(2)"], ["print(x)"], "[1, 2]"),
}


@pytest.mark.parametrize("name", LATER)
def test_cell_that_is_added_sees_what_was_changed(project: Project, name: str) -> None:
    """What a stage did to its inputs counts for cells that did not exist when it ran."""
    before, added, expected = LATER[name]
    assert run(project, before).code == 0
    assert run(project, [*before, *added], "out.ipynb").code == 0
    assert shown(project, "out.ipynb") == expected


CHANGER = {
    "refused": ("%%mlstage b --metrics m --require 'm > 5'\nx.append(2)\nm = 1", 3, "refused", "not-run"),
    "fails": ("%%mlstage b\nx.append(2)\n1 / 0", 1, "failed", "not-run"),
    "runs": ("%%mlstage b\nx.append(2)", 0, "ran", "ran"),
}


@pytest.mark.parametrize("name", CHANGER)
@pytest.mark.parametrize("words", [(), ("--stage", "c")], ids=["all", "one"])
def test_older_value_is_never_taken(project: Project, name: str, words: tuple[str, ...]) -> None:
    """A stage that is run alone waits for one that may change its input in place, and does not go on without it."""
    changer, code, status, reader = CHANGER[name]
    done = run(project, ["%%mlstage a\nx = [1]", changer, "%%mlstage c --out y\ny = list(x)"], *words)
    assert (done.code, done.statuses["b"], done.statuses["c"]) == (code, status, reader)
    if reader == "ran":
        assert project.value(done.data["run_id"], "c", "y") == [1, 2]


def test_record_made_without_a_change_is_not_taken(project: Project) -> None:
    """A skipped stage that runs now is seen by one that is asked for alone."""
    cells = ["%%mlstage a\nx = [1]", "%%mlstage b --if big\nx.append(2)", "%%mlstage c --out y\ny = list(x)"]
    project.write([cell("big = False", "parameters"), *cells])
    assert project.run("--stage", "c").statuses == {"a": "ran", "b": "skipped", "c": "ran"}
    done = project.run("--stage", "c", "-p", "big", "true")
    assert project.value(done.data["run_id"], "c", "y") == [1, 2]


CACHED = "import functools\n@functools.cache\ndef f(n):\n    return {0}"


@pytest.mark.parametrize(("returned", "codes"), [("[n]", {"NB323"}), ("n * 2", set())])
def test_cached_function_whose_values_can_be_changed(project: Project, returned: str, codes: set[str]) -> None:
    """Two stages that call it do not share what it keeps, which is said where it matters."""
    done = run(project, [CACHED.format(returned), "%%mlstage a\nx = str(f(1))", "%%mlstage b\ny = f(1)"])
    assert done.code == 0
    assert {item["code"] for item in done.data["diagnostics"]} == codes


def test_edit_of_a_module_on_a_path_of_setup(project: Project) -> None:
    """A stage depends on a module that it imports, wherever setup has put it on the path and whoever imports it too."""
    (project.folder / "lib" / "pk").mkdir(parents=True)
    for name, text in {"__init__": "", "state": "N = 1\n", "core": "from . import state\ndef run():\n    return state.N\n"}.items():
        (project.folder / "lib" / "pk" / f"{name}.py").write_text(text)
    cells = [cell('import sys\nsys.path.insert(0, "lib")\nfrom pk.core import run', "setup"), "%%mlstage a\nx = run()"]
    assert run(project, [*cells, "%%mlstage b\nfrom pk import state\ny = state.N", "print(x, y)"]).code == 0
    (project.folder / "lib" / "pk" / "state.py").write_text("N = 2\n")
    assert project.run("out.ipynb").ran == ["a", "b"]
    assert shown(project, "out.ipynb") == "2 2"


def test_text_that_does_not_tell_how_far_it_has_been_read(project: Project) -> None:
    """A file that setup has begun to iterate over may have been read further by a stage: the run says so where a later one reads it too."""
    (project.folder / "c.txt").write_text("l0\nl1\nl2\n")
    cells = [cell('F = open("c.txt")\n_ = next(F)', "setup"), "%%mlstage a\nx = next(F)"]
    assert {item["code"] for item in run(project, cells).data["diagnostics"]} == set()
    assert {item["code"] for item in run(project, [*cells, "%%mlstage b\ny = next(F)"]).data["diagnostics"]} == {"NB321"}


def test_report_cell_that_reads_a_file_of_setup(project: Project) -> None:
    """The stage below begins where setup leaves the file: the run fails."""
    (project.folder / "c.txt").write_text("l1\nl2\n")
    done = run(project, [cell('F = open("c.txt")', "setup"), "print(F.readline())", "%%mlstage b\ny = F.readline()"])
    assert (done.code, "NB614" in {item["code"] for item in done.data["diagnostics"]}) == (1, True)


LOGGERS = {
    "level of the root": ("logging.getLogger().setLevel('INFO')", {"NB210"}),
    "level of one": ("logging.getLogger('app').setLevel('INFO')", {"NB210"}),
    "all that is below": ("logging.disable(logging.ERROR)", {"NB210"}),
    "handler": ("logging.getLogger('app').addHandler(logging.FileHandler('app.log', delay=True))", {"NB210"}),
    "what the first message sets up": ("logging.warning('shown')", set()),
    "logger": ("logging.getLogger('app').info('shown')", set()),
    "filters for a while": ("import warnings\nwith warnings.catch_warnings():\n    import noisy", set()),
    "library": ("import matplotlib.pyplot, sklearn.linear_model, urllib3", set()),
}


@pytest.mark.parametrize("name", LOGGERS)
def test_logger_that_a_stage_sets_up(project: Project, name: str) -> None:
    """What other stages log is shown without it, which is said; importing and logging set nothing up that others miss."""
    code, codes = LOGGERS[name]
    done = run(project, ["import logging", f"%%mlstage a\nsaid = logging\n{code}\nx = 1", "%%mlstage b\nlogging.getLogger('app').info('b')\ny = x"])
    assert done.code == 0
    assert {item["code"] for item in done.data["diagnostics"]} == codes


WITHOUT_LOCK = """def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != 'lock'}
    def __setstate__(self, state):
        self.__dict__.update(state, lock=threading.Lock())"""
LOSSY = {
    "reduce": ("def __reduce__(self):\n        return P, (self.x,)", {"NB325"}),
    "reset": ("def __getstate__(self):\n        return {**self.__dict__, 'extra': None}", {"NB325"}),
    "all": ("def __getstate__(self):\n        return dict(self.__dict__)", set()),
    "none": ("pass", set()),
    "lock": (WITHOUT_LOCK, set()),
}


@pytest.mark.parametrize("name", LOSSY)
def test_class_that_says_what_is_stored(project: Project, name: str) -> None:
    """What an object loses on its way to a later stage is said, but not what cannot be stored anyway."""
    hook, codes = LOSSY[name]
    made = f"import threading\nclass P:\n    def __init__(self, x):\n        self.x = x\n    {hook}"
    lock = "\np.lock = threading.Lock()" if name == "lock" else ""
    cells = [made, f"%%mlstage a\np = P(1)\np.extra = 'kept'{lock}"]
    for reader in ("", "%%mlstage b\ny = p.x"):
        done = run(project, [*cells, *filter(None, [reader])])
        assert done.code == 0
        assert {item["code"] for item in done.data["diagnostics"]} == (codes if reader else set())
    assert {item["code"] for item in project.run().data["diagnostics"]} == codes


METHODS = {
    "method": ("@functools.cache\n    def load(self, n)", "o = L()\no.load(1).append(2)", "y = o.load(1)", "[n]", {"NB323"}),
    "static method": ("@staticmethod\n    @functools.cache\n    def load(n)", "L.load(1).append(2)", "y = L.load(1)", "[n]", {"NB323"}),
    "of another name": ("@functools.cache\n    def load(self, n)", "o = L()\no.load(1).append(2)", "y = o.k", "[n]", set()),
    "number": ("@functools.lru_cache(maxsize=9)\n    def load(self, n)", "o = L()\nx = o.load(1)", "y = o.load(x)", "n * 2", set()),
}


@pytest.mark.parametrize("name", METHODS)
def test_cached_method_whose_values_can_be_changed(project: Project, name: str) -> None:
    """Methods share no cache between stages either, whether they are called by their class or on an object that is handed on."""
    method, first, second, returned, codes = METHODS[name]
    made = f"import functools\nclass L:\n    k = 1\n    {method}:\n        return {returned}"
    done = run(project, [made, f"%%mlstage a\n{first}", f"%%mlstage b\n{second}"])
    assert done.code == 0
    assert {item["code"] for item in done.data["diagnostics"]} == codes
