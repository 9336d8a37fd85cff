"""Cells in the shapes that notebooks in the wild have: every one is read, and none is called wrong that runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbmlops.notebook.roles import Role
from tests.pipeline.written import cell, pipeline_of, source_of

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))

SHAPES = [
    # magics of a line
    "%matplotlib inline\n%config InlineBackend.figure_format = 'retina'\n%load_ext autoreload\n%autoreload 2",
    "%pylab inline",
    "%env TOKENS=4",
    "where = %pwd",
    "files = !ls *.csv\nprint(files)",
    "!pip install -q lightgbm==3.3.2 && echo {'done'}",
    "!echo $HOME {1 + 1} && false\n_exit_code",
    "%pip install lightgbm",
    "%store -r kept\nprint(kept)",
    "%run preparation.ipynb\nprint(made_there)",
    "%time total = sum(range(9))\nprint(total)",
    "%timeit -n 10 -r 3 sorted(range(9))",
    "best = %timeit -o sum(range(9))\nbest.best",
    "%prun -s cumulative sorted(range(9))",
    "%who_ls",
    "if True:\n    !touch here\n    %cd -q .",
    "for n in range(2):\n    %time print(n)",
    "len?",
    "sorted??",
    "%%bash\nfor f in *.csv; do echo ${f%.csv}; done",
    "%%bash --out listed\nls",
    "%%sh\n\n# only a comment\naccount=$(id -u)",
    "%%script python2\nprint 'old'",
    "%%writefile train.py\nimport argparse\n  not = python",
    "%%file Dockerfile\nFROM python:3.11\nRUN pip install x",
    "%%html\n<style>.a > .b { color: #999; }</style>",
    "%%javascript\nrequire(['a'], function (a) { a.b(); });",
    "%%latex\n\\begin{align} a &= b \\end{align}",
    "%%svg\n<svg/>",
    "%%markdown\n# it's *text*",
    "%%sql\nSELECT count(*) FROM penguins WHERE island = 'Dream'",
    "%%R -i a -o b\nb <- lm(a ~ 1)",
    "%%cython\ncdef int twice(int n):\n    return n * 2",
    "%%capture printed\nprint(1)\nvalue = 2",
    "%%capture\n!pip install x",
    "%%time\n\nrows = [n for n in range(9)]",
    "%%timeit rows = list(range(9))\ntotal = 0\nfor n in rows:\n    total += n * total",
    "%%timeit\ndef again(n):\n    return n and again(n - 1)\nagain(3)",
    # a magic without its sign, in the only line of a cell
    "ls -l",
    "pwd",
    "pip install lightgbm",
    "cd ..",
    "cat *.txt",
    # syntax
    ">>> a = 1\n>>> a + 1",
    "In [3]: a = 1\n   ...: a",
    "  a = 1\n  a",
    "a = 1; a;",
    "/len [1]",
    "async def get():\n    return 1\nawait get()",
    "[m async for m in get_ipython()]",
    "def gen():\n    got = yield 1\n    yield from (got,)\nnext(gen())",
    "lookup = {(r, c): v for r, row in enumerate([[1]]) for c, v in enumerate(row) if (w := v) > 0}\nw",
    "match [1, 2]:\n    case [first, *rest]:\n        print(first, rest)",
    "try:\n    import cPickle as pickle\nexcept ImportError:\n    import pickle\npickle.dumps(1)",
    "try:\n    unicode\nexcept NameError:\n    unicode = str\nunicode(1)",
    "import sys\nif sys.version_info < (3,):\n    text = unicode('a')",
    "try:\n    got = 1\nexcept urllib2.HTTPError:\n    got = 2",
    "class Grid:\n    size = 3\n    for n in range(size):\n        n\n    if size:\n        name = 1\n    else:\n        name = 0\n    both = name",
    "class Late:\n    try:\n        import numpy as np\n        have = np\n    except ImportError:\n        have = None",
    "def outer():\n    if True:\n        class Inner:\n            a = 1\n            b = a\n        return Inner\nouter()",
    "from pylab import *\nplot(linspace(0, 1))",
    "from fastai.vision.all import *\npath = untar_data(URLs.PETS)",
    "from utils import *\nprepare(1)",
    "import builtins\n__builtin__, __builtins__, __name__, get_ipython, display, exit, quit",
    "# only a comment",
    "'''only a docstring'''",
    "...",
    "x = '''%%bash\n!not a command\n'''",
    "print('\\d')",
    "raise SystemExit('stop here')",
]


@pytest.mark.parametrize("how", ["untagged", "tagged", "magic"])
@pytest.mark.parametrize("source", SHAPES)
def test_shape_is_read_without_an_error(source: str, how: str) -> None:
    """As a cell of its own, as a stage by tag and as one by magic."""
    made = {"untagged": source, "tagged": cell(source, "stage:one"), "magic": f"%%mlstage one\n{source}"}[how]
    assert [item for item in pipeline_of("first = 1", made).diagnostics if item.severity == "error"] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_of_ours_passes_the_check(path: Path) -> None:
    """What the project shows has no error, and no warning either."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert [item for item in pipeline_of(*cells, path=path).diagnostics if item.severity != "info"] == []


TRULY_WRONG = [
    ("print 'old Python'", "NB109"),
    ("trainer = Trainer(model=model, ...)", "NB109"),
    ("%timeit max(1,\n    2)", "NB109"),
    ("print(never_defined)", "NB201"),
    ("%timeit never_defined", "NB201"),
    ("%%timeit\nnever_defined + 1", "NB201"),
    ("class A:\n    for n in range(3):\n        pass\n    print(n)", "NB201"),
    ("total(_)", "NB212"),
    ("Out[3]", "NB212"),
    ("_3 + _i2", "NB212"),
    ("_exit_code", "NB212"),
]


@pytest.mark.parametrize(("source", "code"), TRULY_WRONG)
def test_what_would_fail_or_differ_is_an_error(source: str, code: str) -> None:
    """A stage that cannot give what the notebook gives from top to bottom is refused."""
    found = [item for item in pipeline_of("def total(n): return n", cell(source, "stage:one")).diagnostics if item.severity == "error"]
    assert code in {item.code for item in found}


def test_name_after_a_cell_that_does_not_parse_is_not_told() -> None:
    """That cell may define it, and is reported itself: nothing runs until it is mended."""
    found = pipeline_of("%%mlstage a\ntype = = 1", "%%mlstage b\ny = made_there").diagnostics
    assert [(item.code, item.severity) for item in found] == [("NB109", "error")]


def test_broken_report_cell_is_a_warning() -> None:
    """Stages do not need it."""
    found = pipeline_of("%%mlstage a\nx = 1", "x = = 1").diagnostics
    assert [(item.code, item.severity, item.cell) for item in found] == [("NB109", "warning", 1)]


HISTORY = [
    (["%%mlstage a\n1 + 1", "_"], [1]),
    (["%%mlstage a\n1 + 1", "print(Out)"], [1]),
    (["1 + 1", "_", "%%mlstage a\nx = 1"], []),
    (["1 + 1", "print(_2, In, Out)"], []),
    (["%mlrun", "_2"], [1]),
    (["%%mlstage a\nfor _ in range(3): pass", "%%mlstage b\ny = _"], []),
]


@pytest.mark.parametrize(("cells", "refused"), HISTORY)
def test_history_is_refused_where_it_is_another_process_that_remembers(cells: list[str], refused: list[int]) -> None:
    """Report cells without a stage before them run in one process, which remembers what the notebook's would."""
    assert [item.cell for item in pipeline_of(*cells).diagnostics if item.code == "NB212"] == refused


def test_notebook_without_stages_runs_whatever_its_cells_are() -> None:
    """A parameters cell may read what an untagged cell imports: all run in one process, in order."""
    cells = ["import os\nprint(os.getcwd())", "data = open('x')", cell("path = os.path.join('a', str(data))", "parameters")]
    assert [item.code for item in pipeline_of(*cells).diagnostics] == ["NB112"]


def test_decorated_function_may_use_what_a_report_cell_makes() -> None:
    """A decorator of setup mostly does not call what it is given; the stage that does is told."""
    setup = "import functools\n@functools.lru_cache\ndef f():\n    return model"
    cells = ["model = open('m')", setup, "%%mlstage a\nx = 1"]
    assert pipeline_of(*cells).diagnostics == ()
    assert [(item.code, item.stage) for item in pipeline_of(*cells, "%%mlstage b\ny = f()").diagnostics] == [("NB203", "b")]


ROLES = [
    (["from packaging import version\nimport sklearn\nassert version.parse(sklearn.__version__) >= version.parse('1.0')"], Role.SETUP),
    (["from pathlib import Path\nP = Path() / 'images'\nP.mkdir(parents=True, exist_ok=True)\ndef save(name):\n    return P / name"], Role.SETUP),
    (["import os\nos.makedirs('out', exist_ok=True)"], Role.SETUP),
    (["import os\nos.makedirs('out')"], Role.REPORT),
    (["from typing import *", "Board = List[int]\ndef at(board: Board) -> Optional[int]:\n    return 0"], Role.SETUP),
    (["Board = open('b')", "def at(board: Board):\n    return 0"], Role.REPORT),
    (["from __future__ import annotations", "Board = open('b')", "def at(board: Board):\n    return 0"], Role.SETUP),
    (["import numpy as np\nprint(np.random.rand())", "class A(np.ndarray):\n    pass"], Role.REPORT),
    (["import numpy as np", "import numpy as np\nprint(np.random.rand())", "class A(np.ndarray):\n    pass"], Role.SETUP),
    (["import functools\ncache = functools.lru_cache(None)", "@cache\ndef f(n):\n    return n"], Role.SETUP),
    (["import tensorflow as tf\ntf.get_logger().setLevel('ERROR')\ntf.random.set_seed(42)"], Role.SETUP),
    (["history"], Role.REPORT),
]


@pytest.mark.parametrize(("cells", "role"), ROLES)
def test_role_is_what_a_reader_would_say(cells: list[str], role: Role) -> None:
    """The last cell has this role."""
    assert source_of(*cells).cells[-1].role is role


def test_line_magic_of_our_name_is_a_stage_that_was_meant() -> None:
    """One sign instead of two is told, and not run as a report."""
    found = pipeline_of("%mlstage train\nx = 1").diagnostics
    assert [(item.code, item.severity) for item in found if item.cell == 0] == [("NB105", "error")]
    assert "%%mlstage" in found[0].fix
