"""Which untagged cells are setup."""

from __future__ import annotations

import pytest

from nbmlops.notebook.code import parse_code
from nbmlops.notebook.constants import is_setup
from nbmlops.notebook.known import Known

IMPORTS = """
import datetime, decimal, enum, functools, itertools, logging, math, os, random, re, sys, time, warnings
import matplotlib.pyplot as plt
import matplotlib as mpl
import mlflow
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from collections import Counter, defaultdict, namedtuple
from datetime import datetime as dt, timedelta
from dotenv import load_dotenv
from pathlib import Path
from types import MappingProxyType
def clean(x): return x
class Model: pass
C = 0.5
COLUMNS = ["a", "b"]
CONFIG = {"a": 1}
"""

SETUP = """
import os
from a import *
from __future__ import annotations
def f(x=C): return df.mean()
@functools.lru_cache(maxsize=8)\\ndef f(): ...
class A(Model):\\n    x = C
async def f(): ...
'docstring'
X = 1
X: int = 3
X: dict[str, int] = {}
X = Y = -1.5e3
a, (b, *c) = 1, (2, 3)
X = C * 2 + len(COLUMNS)
X = f"{C:.2f} of {max(COLUMNS)!r}"
X = [c.upper() for c in COLUMNS if c != "a"]
X = {k: v for k, v in CONFIG.items()}
X = {x for y in [[1]] for x in y}
X = sum(i for i in range(3))
X = lambda x: x + C
X = Path("data") / "raw"
X = (Path("data") / "raw").resolve()
X = Path("data").joinpath("x").parent
X = Path.cwd() / f"{C}"
X = re.compile("a")
X = datetime.datetime(2013, 1, 1) + timedelta(days=3)
X = dt.strptime("2013", "%Y")
X = decimal.Decimal("1.0")
X = functools.partial(clean, 1)
X = namedtuple("P", "x y")
X = logging.getLogger(__name__)
X = os.getenv("HOME", "x")
X = os.environ.get("HOME")
X = os.environ["HOME"]
X = os.path.join("a", "b")
X = np.linspace(0, 1, 5)
X = np.random.default_rng(42)
X = np.pi * math.sqrt(2)
X = pd.Timestamp("2013-01-01")
X = MappingProxyType({"a": 1})
X = defaultdict(list)
X = Counter("abc").most_common(1)
X = "a,b".split(",")
X = ", ".join(COLUMNS)
X = sorted(COLUMNS, key=len, reverse=True)
X = sorted(COLUMNS, key=lambda c: c.lower())
X = max(COLUMNS, key=str.lower)
X = list(map(str.upper, COLUMNS))
X = COLUMNS[0] if C > 1 else COLUMNS[-1:]
X = {**CONFIG, "b": [*COLUMNS]}
X = "cuda" if torch.cuda.is_available() else "cpu"
X = Model.name
RETRY = (OSError, TimeoutError)
C += 1
COLUMNS.append("c")
CONFIG["b"] = 2
CONFIG.update(b=3)
del C
%matplotlib inline
%load_ext autoreload\\n%autoreload 2
%config InlineBackend.figure_format = "retina"
%env X=1
random.seed(0)
np.random.seed(int(C))
pd.set_option("display.max_rows", 5)
pd.options.display.max_rows = 5
plt.style.use("ggplot")
plt.rcParams["figure.figsize"] = (8, 4)
plt.rcParams.update({"font.size": 12})
mpl.use("Agg")
sns.set_theme()
sns.set_theme(style="white", rc={"a": C})
warnings.filterwarnings("ignore")
warnings.simplefilter("ignore", category=DeprecationWarning)
logging.basicConfig(level=logging.INFO)
logging.getLogger("x").setLevel(logging.WARNING)
sys.path.append("..")
sys.path.insert(0, str(Path.cwd().parent))
os.environ["X"] = "1"
os.environ.setdefault("X", "1")
os.chdir("..")
np.set_printoptions(precision=3)
torch.manual_seed(0)
load_dotenv()
_ = load_dotenv()
mlflow.set_tracking_uri("sqlite:///x.db")
mlflow.set_experiment("x")
mlflow.sklearn.autolog()
decimal.getcontext().prec = 30
if C > 1:\\n    X = 1\\nelse:\\n    X = 2
if "X" not in os.environ:\\n    os.environ["X"] = "1"
try:\\n    import foo\\nexcept ImportError as error:\\n    foo = None
try:\\n    import foo\\nexcept ImportError:\\n    raise ImportError("install foo")
with warnings.catch_warnings():\\n    warnings.simplefilter("ignore")\\n    import foo
import foo\\nprint(foo.__version__)
X = 1\\nX
import foo\\nassert C > 0
"""

REPORT = """
print(C)
C
X = df.mean()
X = unknown
X = unknown + 1
X = clean(C)
X = Model()
X = pd.read_csv("a.csv")
X = open("a").read()
X = Path("a").read_text()
X = Path("a").exists()
X = time.time()
X = dt.now()
X = datetime.date.today()
X = np.random.rand(3)
X = np.random.default_rng()
X = random.random()
X = [clean(c) for c in COLUMNS]
X = list(map(clean, COLUMNS))
X = list(map(lambda c: open(c), COLUMNS))
X = list(map(pd.read_csv, COLUMNS))
X = sorted(COLUMNS, key=clean)
X = sorted(COLUMNS, key=lambda c: clean(c))
X = input()
X = eval("1")
X = __import__("os")
X = re.sub("a", "b", "c") + input()
X = (Y := 3)
X = !ls
!ls
%time X = 1
%timeit clean(1)
%run other.py
%pip install x
%%capture out\\nX = 1
plt.plot([1])
plt.show()
df.head()
unknown["x"] = 1
unknown.x = 1
unknown += 1
np.x = 1
del unknown
os.environ["X"] = input()
os.makedirs("x")
sys.exit()
mlflow.start_run()
logging.info("x")
for c in COLUMNS:\\n    X = c
while C:\\n    pass
with open("x") as f:\\n    X = 1
if clean(C):\\n    X = 1
if C:\\n    print(clean(1))
try:\\n    import foo\\nexcept ImportError:\\n    !pip install foo
import foo\\nfoo.run()
import foo\\nprint(clean(1))
await clean()
len = clean\\nX = len(COLUMNS)
match C:\\n    case 1:\\n        X = 1
"""


def rows(table: str) -> list[str]:
    """Give the sources of a table, one in each line."""
    return [row.replace("\\n", "\n") for row in table.strip().splitlines()]


def known() -> Known:
    """Give what the imports and definitions above make known."""
    found = Known()
    assert is_setup(parse_code(IMPORTS), found)
    return found


@pytest.mark.parametrize("source", rows(SETUP))
def test_cell_without_side_effect_is_setup(source: str) -> None:
    """Imports, definitions, constants and settings run in every stage process."""
    assert is_setup(parse_code(source), known())


@pytest.mark.parametrize("source", rows(REPORT))
def test_cell_that_computes_or_shows_is_no_setup(source: str) -> None:
    """What calls unknown code, reads a file, a clock or chance, or only shows, is left to its author to tag."""
    assert not is_setup(parse_code(source), known())


def test_constants_may_use_those_of_earlier_cells() -> None:
    """Each setup cell adds to what the next may use."""
    found = Known()
    assert is_setup(parse_code("A = 1"), found)
    assert is_setup(parse_code("B = A + 1"), found)
    assert not is_setup(parse_code("D = B + other"), found)


def test_refused_cell_leaves_no_trace() -> None:
    """The names of a cell that is no setup do not become known."""
    found = Known()
    assert not is_setup(parse_code("A = 1\nprint(unknown)"), found)
    assert not is_setup(parse_code("B = A"), found)


@pytest.mark.parametrize(
    "stage",
    [
        "C = fit()",
        "C.x = 1",
        "C['x'] = 1",
        "C.append(1)",
        "for C in x: pass",
        "def C(): pass",
        "def f():\n    global C\n    C = 1",
        "from x import C",
    ],
)
def test_names_that_a_stage_changes_are_no_longer_constants(stage: str) -> None:
    """A setup cell must not use what only a stage process has."""
    found = known()
    found.forget(parse_code(stage))
    assert not is_setup(parse_code("X = [C]"), found)
    assert not is_setup(parse_code("def f(x=C): ..."), found)


@pytest.mark.parametrize("stage", ["[C for C in x]", "f = lambda C: C", "def f():\n    C = 1", "class A:\n    C = 1", "x = C", "import os"])
def test_names_of_inner_scopes_stay_constants(stage: str) -> None:
    """A local name of the same spelling is another name."""
    found = known()
    found.forget(parse_code(stage))
    assert is_setup(parse_code("X = [C, os.sep]"), found)


def test_changed_modules_stay_known() -> None:
    """Setting an option in a report cell does not make the module unknown."""
    found = known()
    found.forget(parse_code("pd.options.mode.x = 1\nsys.path.append('x')"))
    assert is_setup(parse_code("X = pd.Timestamp('2013')\nsys.path.append('y')"), found)


def test_tagged_cells_make_their_names_known() -> None:
    """What a cell tagged setup computes may be used like a constant."""
    found = Known()
    found.learn(parse_code("import numpy as np\ncfg = load()\ndef f(): ..."))
    assert is_setup(parse_code("lr = cfg['lr'] * np.float64(2)"), found)
