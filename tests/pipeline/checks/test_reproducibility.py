"""When, where and in which process: what is told of each way to depend on it."""

from __future__ import annotations

import pytest

from nbmlops.pipeline.effects import Effects
from tests.pipeline.checks.found import codes_of, stage_codes
from tests.pipeline.written import cell, pipeline_of

ROWS = [
    # the clock
    ("x = datetime.datetime.now()", ["NB303 1"]),
    ("x = datetime.date.today().isoformat()", ["NB303 1"]),
    ("from datetime import datetime as dt\nx = dt.utcnow()", ["NB303 2"]),
    ("x = pd.Timestamp.now()", ["NB303 1"]),
    ("x = pd.Timestamp('today')", ["NB303 1"]),
    ("x = pd.to_datetime('now')", ["NB303 1"]),
    ("x = np.datetime64('now')", ["NB303 1"]),
    ("x = time.time()", ["NB303 1"]),
    ("x = time.strftime('%Y')", ["NB303 1"]),
    ("x = {'made': time.ctime()}", ["NB303 1"]),
    ("x = []\nx.append(time.time_ns())", ["NB303 2"]),
    ("now = datetime.datetime.now()\nx = f'run of {now:%Y}'", ["NB303 1"]),
    ("%time x = time.time()", ["NB303 1"]),
    ("x = dict(default=time.time)", ["NB303 1"]),
    ("x = datetime.datetime.now() - datetime.timedelta(days=1)", ["NB303 1"]),
    ("while (now := time.time()) < 0:\n    pass\nx = now", ["NB303 1"]),
    ("t0 = time.time()\nx = 1\nprint(time.time() - t0)", []),
    ("t0 = time.perf_counter()\nx = 1\nelapsed = time.perf_counter() - t0\nprint(f'{elapsed:.1f} s')", []),
    ("now = datetime.datetime.now()\nprint('started', now)\nx = 1", []),
    ("log = logging.getLogger()\nlog.info('%s', time.time())\nx = 1", []),
    ("t0 = time.time()\nx = time.time() - t0", ["NB303 1", "NB303 2"]),
    ("x = pd.to_datetime('2026-01-31')", []),
    ("x = datetime.datetime(2026, 1, 31)", []),
    ("x = time.strftime('%Y', time.gmtime(0))", []),
    ("time.sleep(0)\nx = 1", []),
    # listings
    ("x = os.listdir(path)", ["NB304 1"]),
    ("x = glob.glob('*.csv')", ["NB304 1"]),
    ("x = [p.name for p in Path(path).glob('*.csv')]", ["NB304 1"]),
    ("x = pd.concat(pd.read_csv(p) for p in Path(path).rglob('*.csv'))", ["NB304 1"]),
    ("x = []\nfor p in Path(path).iterdir():\n    x.append(p)", ["NB304 2"]),
    ("x = os.listdir(path)[0]", ["NB304 1"]),
    ("x = {p.stem: 1 for p in Path(path).iterdir()}", ["NB304 1"]),
    ("x = []\nfor root, _, files in os.walk(path):\n    x += files", ["NB304 2"]),
    ("x = sorted(os.listdir(path))", []),
    ("x = sorted(p.name for p in Path(path).glob('*.csv'))", []),
    ("x = sorted([p for p in Path(path).iterdir() if p.is_file()])", []),
    ("x = len(os.listdir(path))", []),
    ("x = set(glob.glob('*'))", []),
    ("x = 'a.csv' in os.listdir(path)", []),
    ("files = os.listdir(path)\nfiles.sort()\nx = files[0]", []),
    ("files = glob.glob('*.csv')\nx = [len(p) for p in sorted(files)]", []),
    ("x = any(Path(path).glob('*.csv'))", []),
    ("for p in Path(path).glob('*.tmp'):\n    p.unlink()\nx = 1", []),
    ("for p in os.listdir(path):\n    print(p)\nx = 1", []),
    ("print(os.listdir(path))\nx = 1", []),
    ("x = max(Path(path).glob('*.csv'))", []),
    # sets
    ("x = list({'a', 'b'})", ["NB305 1"]),
    ("x = list(set(names))", ["NB305 1"]),
    ("x = tuple(frozenset(names))", ["NB305 1"]),
    ("x = ','.join(set(names))", ["NB305 1"]),
    ("x = [n for n in set(names)]", ["NB305 1"]),
    ("x = []\nfor n in set(names):\n    x.append(n)", ["NB305 2"]),
    ("keep = set(cols) - {'y'}\nx = frame[list(keep)]", ["NB305 2"]),
    ("x = dict(enumerate(set(names)))", ["NB305 1"]),
    ("x = pd.Series(list({n for n in names}))", ["NB305 1"]),
    ("x = [*{'a', 'b'}]", ["NB305 1"]),
    ("x = {n: 0 for n in set(names)}", ["NB305 1"]),
    ("x = next(iter({'a', 'b'}))", ["NB305 1"]),
    ("x = sorted(set(names))", []),
    ("x = sorted(n for n in set(names))", []),
    ("x = len(set(names))", []),
    ("x = set(names)", []),
    ("x = {n for n in set(names)}", []),
    ("x = 'a' in set(names)", []),
    ("x = list({1, 2, 3})", []),
    ("x = [i for i in set(range(5))]", []),
    ("numbers = {1, 2}\nx = list(numbers)", []),
    ("x = sum(len(n) for n in set(names))", []),
    ("for n in set(names):\n    print(n)\nx = 1", []),
    ("x = frame.drop(columns=['a']).isin(list(set(names)))", []),
    ("set = list\nx = list(set(names))", []),
    ("x = list(dict.fromkeys(names))", []),
    # the machine
    ("x = os.path.getmtime(path)", ["NB308 1"]),
    ("x = Path(path).stat().st_mtime", ["NB308 1"]),
    ("x = {'pid': os.getpid()}", ["NB308 1"]),
    ("x = socket.gethostname()", ["NB308 1"]),
    ("x = platform.platform()", ["NB308 1"]),
    ("x = getpass.getuser()", ["NB308 1"]),
    ("x = os.cpu_count()", ["NB308 1"]),
    ("x = RandomForestClassifier(n_jobs=os.cpu_count(), random_state=0)", []),
    ("workers = os.cpu_count()\nx = RandomForestClassifier(n_jobs=workers, random_state=0)", []),
    ("print(platform.platform())\nx = 1", []),
    ("if platform.system() == 'Linux':\n    print(1)\nx = 1", []),
    ("x = Path(path).stat().st_size", []),
    # hashes
    ("x = hash('text')", ["NB311 1"]),
    ("x = [hash(n) % 10 for n in names]", ["NB311 1"]),
    ("x = id(names)", ["NB311 1"]),
    ("x = hash(7)", []),
    ("print(id(names))\nx = 1", []),
    ("id = 3\nx = id", []),
    ("class P:\n    def __hash__(self):\n        return hash(self.a)\nx = P", []),
]


@pytest.mark.parametrize(("body", "codes"), ROWS, ids=[row[0] for row in ROWS])
def test_stage(body: str, codes: list[str]) -> None:
    """The diagnostic stands at its line, and nothing else is said."""
    assert stage_codes(body) == codes


def test_durations_are_no_warning() -> None:
    """How long something took is often a metric; the time of day seldom is."""
    found = pipeline_of("import time", "%%mlstage a --metrics m\nt0 = time.perf_counter()\nm = {'s': time.perf_counter() - t0}").diagnostics
    assert {(item.code, item.severity) for item in found} == {("NB303", "info")}


def test_what_only_a_report_takes_is_kept_all_the_same() -> None:
    """An artifact is stored, whoever reads it."""
    assert codes_of("import time", "%%mlstage a\nx = time.time()", "print(x)\nopen('f')") == ["NB303 1:2"]


def test_name_that_nobody_takes_is_left_alone() -> None:
    """It is no artifact."""
    assert codes_of("import time", "%%mlstage a\nx = time.time()\nz = 1", "%%mlstage b\ny = z") == []


def test_report_may_look_at_the_clock() -> None:
    """A report cell feeds no stage."""
    assert codes_of("import datetime, os", "%%mlstage a\nx = 1", "print(datetime.datetime.now(), x)\nfiles = os.listdir('.')\nfiles") == []


def test_setup_function_is_looked_at() -> None:
    """The place is the call in the function, the stage the first that uses it."""
    cells = [
        "import os\ndef load(folder):\n    return [open(n) for n in os.listdir(folder)]",
        "%%mlstage a\nx = load('d')",
        "%%mlstage b\ny = load('e')",
    ]
    found = pipeline_of(*cells, "%%mlstage c\nz = (x, y)").diagnostics
    assert [(item.code, item.cell, item.line, item.stage) for item in found] == [("NB304", 0, 3, "a")]
    assert found[0].fix == "write sorted(os.listdir(folder))"


def test_lines_below_a_cell_magic_are_looked_at() -> None:
    """What stands under ``%%time`` is code like any other."""
    assert codes_of("import os", "%%mlstage a\n%%time\nz = 1\nx = os.listdir('.')", "%%mlstage b\ny = x") == ["NB304 1:4"]


def test_accepted_finding_is_silent() -> None:
    """The author knows."""
    stage = "%%mlstage a\nx = time.time()  # nbmlops: ignore[NB303]"
    assert codes_of("import time", stage, "%%mlstage b\ny = x") == []


def test_comment_accepts_what_it_names_and_in_its_line_only() -> None:
    """Anything else is still told."""
    stage = "%%mlstage a\nx = time.time()  # nbmlops: ignore[NB304]\nz = time.time()"
    assert codes_of("import time", stage, "%%mlstage b\ny = x, z  # nbmlops: ignore[NB304, NB303]") == ["NB303 1:2", "NB303 1:3"]


def test_errors_cannot_be_accepted() -> None:
    """A run would stop all the same."""
    assert codes_of("%%mlstage a\nx = nowhere  # nbmlops: ignore[NB201]") == ["NB201 0:2"]


def test_finding_without_a_line_is_accepted_anywhere_in_its_cell() -> None:
    """That two stages were seen to share a state has no line of its own."""
    drawing = {name: Effects(random=("random",)) for name in ("a", "b")}
    told = pipeline_of("%%mlstage a\nx = 1", "%%mlstage b\n# nbmlops: ignore[NB302]\ny = x", effects=drawing)
    assert told.diagnostics == ()


def test_builtin_that_the_notebook_binds_is_its_own() -> None:
    """`hash` is a function of the notebook here."""
    assert codes_of("def hash(text):\n    return len(text)", "%%mlstage a\nx = hash('a')", "%%mlstage b\ny = x") == []


def test_tagged_setup_that_a_stage_uses_is_looked_at() -> None:
    """It runs in the process of each stage, at another time in each."""
    assert codes_of(cell("import time\nstarted = time.time()", "setup"), "%%mlstage a\nx = started", "%%mlstage b\ny = x") == ["NB303 0:2"]
