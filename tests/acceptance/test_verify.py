"""`nbmlops verify`: every stage twice, and why it does not come out the same."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.kernel import Kernel
from tests.acceptance.project import Cell, Outcome, Project, cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

IMPORTS = "import datetime as dt\nimport locale\nimport os\nimport time\nimport uuid\nfrom pathlib import Path\n\nimport numpy as np"

# name of the stage, its code, what differs, and words of the cause
CAUSES: tuple[tuple[str, str, list[str], list[str]], ...] = (
    ("seeded", "a = np.random.default_rng(1).random(4)\nb = np.random.rand(3)\nc = {'x', 'y', 'zz', 'w', 'v'}", [], []),
    ("unseeded", "r = np.random.default_rng().random(3)\nsteady = 1", ["r"], ["equal conditions", "randomness without a seed"]),
    ("uuid4", "u = str(uuid.uuid4())", ["u"], ["equal conditions", "randomness without a seed"]),
    ("order", "o = list({str(i) for i in range(20)})", ["o"], ["hash seed", "order of a set"]),
    ("now", "t = dt.datetime.now().isoformat()", ["t"], ["equal conditions", "date and time"]),
    ("today", "d = dt.date.today().isoformat()", ["d"], ["depends on the date"]),
    ("folder", "p = str(Path('data.csv').absolute())", ["p"], ["depends on the folder", "absolute path"]),
    ("zone", "z = dt.datetime.fromtimestamp(0).isoformat()", ["z"], ["depends on the time zone"]),
    (
        "words",
        "before = locale.setlocale(locale.LC_ALL)\nw = locale.setlocale(locale.LC_ALL, '')\nlocale.setlocale(locale.LC_ALL, before)",
        ["w"],
        ["depends on the locale"],
    ),
    ("threads", "k = os.environ['OMP_NUM_THREADS']\nf = 0.1 + 1e-17 * int(k) * 10", ["f", "k"], ["number of threads"]),
    (
        "two",
        "q = str(uuid.uuid4())\ns = list({str(i) for i in range(20)})",
        ["q", "s"],
        ["q: differs between", "s: depends on the hash seed"],
    ),
    ("after", "total = len(r) + len(u) + len(o) + len(t) + len(d) + steady + len(c) + a[0] + b[0]", [], []),
)
LAST = "print(total, p, z, w, k, f, q, s)"


def verified(project: Project, *words: object, cells: tuple[Cell | str, ...] | None = None, env: Mapping[str, str] | None = None) -> Outcome:
    """Run `nbmlops verify nb.ipynb ... --json`."""
    if cells is not None:
        project.write(cells)
    return project.call("verify", "nb.ipynb", *words, "--json", env=env)


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return what a folder holds, the store's locks and caches apart: each file's bytes and time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and inside.parts[:2] not in {(".nbmlops", "locks"), (".nbmlops", "cache")}:
            found[str(inside)] = (path.read_bytes(), path.stat().st_mtime_ns)
    return found


@pytest.fixture(scope="module")
def causes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Verify one notebook with every cause in a stage of its own."""
    project = Project(tmp_path_factory.mktemp("causes") / "project")
    project.write([IMPORTS, *(f"%%mlstage {name}\n{code}" for name, code, _, _ in CAUSES), LAST])
    done = verified(project)
    assert done.out, done.err
    yield done
    project.kill_left_over()


@pytest.mark.parametrize(("name", "differs", "words"), [(row[0], row[2], row[3]) for row in CAUSES], ids=[row[0] for row in CAUSES])
def test_the_stage_the_artifact_and_the_cause_are_named(causes: Outcome, name: str, differs: list[str], words: list[str]) -> None:
    """What differs is blamed on the stage that makes it, on nothing after it, and on the one condition that brings it about."""
    stage = causes.stage(name)
    assert (stage["same"], stage["artifacts"]) == (not differs, differs)
    for word in words:
        assert word in stage["cause"]
    assert bool(stage["cause"]) == bool(differs)


def test_numbers_say_how_far_they_are_apart(causes: Outcome) -> None:
    """Sums over another number of threads differ in their last bits: the cause tells by how much."""
    assert "f: at most 9.7e-17 apart, relative 9.7e-16" in causes.stage("threads")["cause"]


def test_the_conditions_are_told(causes: Outcome) -> None:
    """Every condition has two values, and they differ."""
    first, second = causes.data["conditions"]["first"], causes.data["conditions"]["second"]
    assert {name for name in first if first[name] == second[name]} == set()
    assert causes.code == 1


def test_the_table_names_what_differs(causes: Outcome) -> None:
    """People read stage, artifact and cause on stderr, while stdout holds the JSON alone."""
    assert "✗ differs  r" in causes.err
    assert "✗ order: depends on the hash seed" in causes.err


def test_a_clean_pipeline_is_the_same_twice(pipeline: Project) -> None:
    """Exit 0, every stage same, in document order."""
    done = verified(pipeline)
    assert done.code == 0, done.err
    assert [(item["name"], item["same"], item["artifacts"]) for item in done.data["stages"]] == [
        (name, True, []) for name in ("ingest", "features", "train", "evaluate")
    ]


def test_project_and_store_are_left_alone(project: Project) -> None:
    """Nothing in the folder changes, and a later run reuses what it reused before."""
    cells = ("%%mlstage write\nopen('out.txt', 'w').write('x')\nn = 1", "%%mlstage read\nt = open('out.txt').read()", "print(t, n)")
    project.write(cells)
    assert project.run().code == 0
    before = tree(project.folder)
    done = verified(project)
    assert done.code == 0, done.err
    assert tree(project.folder) == before
    assert project.run().statuses == {"write": "reused", "read": "reused"}
    assert list((project.folder / ".nbmlops" / "verify").iterdir()) == []


def test_a_run_that_verify_has_seen_first_is_a_first_run(pipeline: Project) -> None:
    """What verify computes is offered to no run."""
    verified(pipeline)
    assert pipeline.run().ran == ["ingest", "features", "train", "evaluate"]


def test_written_files_are_compared(project: Project) -> None:
    """A file whose bytes differ is named, and the stage that reads it is not blamed."""
    cells = (
        "import uuid",
        "%%mlstage write --writes out.txt\nopen('out.txt', 'w').write(str(uuid.uuid4()))\nopen('steady.txt', 'w').write('x')",
        "%%mlstage read\nt = open('out.txt').read()",
        "print(t)",
    )
    done = verified(project, cells=cells)
    assert (done.stage("write")["same"], done.stage("write")["files"], done.stage("write")["artifacts"]) == (False, ["out.txt"], [])
    assert done.stage("read")["same"] is True
    assert not (project.folder / "out.txt").exists()


def test_files_written_by_other_programs_are_compared(project: Project) -> None:
    """What no hook sees (a subprocess) is found in the folder, and handed on to the stages after it."""
    cells = ("%%mlstage write\n!date +%N > out.txt\nm = 1", "%%mlstage read\nm\nt = open('out.txt').read()", "print(t)")
    done = verified(project, cells=cells)
    assert (done.stage("write")["files"], done.stage("read")["same"]) == (["out.txt"], True)


def test_files_of_the_project_are_there(project: Project) -> None:
    """Data, folders, links and neighbours of the project are read by relative paths as in a run."""
    (project.folder / "data").mkdir()
    (project.folder / "data" / "a.txt").write_text("a")
    (project.folder / "link.txt").symlink_to("data/a.txt")
    (project.folder / "helpers.py").write_text("def b():\n    return 'b'\n")
    (project.folder.parent / "beside.txt").write_text("c")
    code = "import helpers\ns = open('data/a.txt').read() + open('link.txt').read() + helpers.b() + open('../beside.txt').read()"
    done = verified(project, cells=(f"%%mlstage read\n{code}", "print(s)"))
    assert (done.code, done.stage("read")["same"]) == (0, True), done.err


def test_writing_to_the_project_by_an_absolute_path_is_refused(project: Project) -> None:
    """The project is protected, and the stage says which path was meant."""
    path = project.folder / "out.txt"
    done = verified(project, cells=(f"%%mlstage write\nopen({str(path)!r}, 'w').write('x')\nm = 1", "print(m)"))
    assert (done.code, done.stage("write")["same"]) == (1, False)
    assert "relative to the notebook" in done.stage("write")["cause"]
    assert not path.exists()


def test_a_stage_that_fails_the_second_time_says_so(project: Project) -> None:
    """The error and the condition that brings it about."""
    code = "%%mlstage brittle\nimport os\nassert os.environ['PYTHONHASHSEED'] == '0', 'other seed'\nx = 1"
    stage = verified(project, cells=(code, "%%mlstage after\ny = x", "print(y)")).stage("brittle")
    assert (stage["same"], stage["artifacts"]) == (False, ["x"])
    assert "fails the second time (AssertionError in cell 0: other seed)" in stage["cause"]
    assert "hash seed" in stage["cause"]


def test_what_hangs_on_a_failure_has_no_verdict(project: Project) -> None:
    """A stage that cannot be reached is neither same nor different, and the exit code is 1."""
    done = verified(project, cells=("%%mlstage a\nx = 1 / 0", "%%mlstage b\ny = x", "%%mlstage c\nz = 1", "print(y, z)"))
    assert [(item["name"], item["same"]) for item in done.data["stages"]] == [("a", False), ("b", None), ("c", True)]
    assert "ZeroDivisionError" in done.stage("a")["cause"]
    assert "stage a failed" in done.stage("b")["cause"]
    assert done.code == 1


def test_skipped_and_refused_stages(project: Project) -> None:
    """What --if skips has no verdict and does no harm; what a gate refuses is judged, and what hangs on it is not run."""
    cells: tuple[Cell | str, ...] = (
        cell("big = False", "parameters"),
        "%%mlstage skipped --if big\nx = 1",
        '%%mlstage score --metrics m --require "auc > 0.9"\nm = {"auc": 0.5}',
        "%%mlstage deploy\nopen('deployed', 'w').write(str(m))",
    )
    done = verified(project, cells=cells)
    assert [item["same"] for item in done.data["stages"]] == [None, True, None]
    assert "--if big is false" in done.stage("skipped")["cause"]
    assert "refused" in done.stage("deploy")["cause"]
    only = verified(project, "--stage", "skipped")
    assert (only.code, [item["name"] for item in only.data["stages"]]) == (0, ["skipped"])


def test_parameters_and_stages_are_taken(pipeline: Project) -> None:
    """`-p` sets parameters; `--stage` judges one stage and runs what it needs."""
    done = verified(pipeline, "-p", "n", "4", "--stage", "features")
    assert (done.code, [item["name"] for item in done.data["stages"]]) == (0, ["features"])
    assert verified(pipeline, "-p", "m", "4").code == 2
    assert verified(pipeline, "--stage", "feature").data["error"]["code"] == "NB004"


def test_a_notebook_without_stages_is_refused(project: Project) -> None:
    """Nothing verified is not the same as everything the same."""
    done = verified(project, cells=("print(1)",))
    assert (done.code, done.data["error"]["code"]) == (2, "NB011")


@pytest.mark.thorough
def test_models_fitted_with_other_threads_are_the_same(project: Project) -> None:
    """A forest with a seed gives the same bytes with one and with two threads, in another place and time."""
    cells = (
        "from sklearn.datasets import load_iris\nfrom sklearn.ensemble import RandomForestClassifier",
        "%%mlstage load\nX, y = load_iris(return_X_y=True)",
        "%%mlstage train\nmodel = RandomForestClassifier(10, random_state=0, n_jobs=-1).fit(X, y)",
        "print(model)",
    )
    done = verified(project, cells=cells)
    assert done.code == 0, done.err


def test_ctrl_c_leaves_nothing(project: Project) -> None:
    """Interrupted, it exits 130, ends what it started and clears its copies away."""
    project.write(("%%mlstage slow\nimport time\ntime.sleep(600)\nx = 1", "print(x)"))
    process = project.start("verify", "nb.ipynb", "--json")
    project.wait_for_process("zygote")
    process.send_signal(signal.SIGINT)
    done = project.finish(process)
    assert done.code == 130
    assert project.left_after(60) == {}
    assert list((project.folder / ".nbmlops" / "verify").iterdir()) == []


def test_copies_that_a_kill_left_are_cleared_away(pipeline: Project) -> None:
    """The next verification removes them."""
    left = pipeline.folder / ".nbmlops" / "verify" / "0123456789ab"
    left.mkdir(parents=True, mode=0o700)
    (pipeline.folder / ".nbmlops").chmod(0o700)
    (left / "big").write_bytes(b"x")
    assert verified(pipeline).code == 0
    assert not left.exists()


def test_magic_and_method_give_the_same(project: Project) -> None:
    """`%mlverify` shows the table and returns the result that `notebook.verify()` returns."""
    path = project.write(("import uuid", "%%mlstage a\nu = str(uuid.uuid4())", "%%mlstage b\nv = len(u)", "print(v)"))
    kernel = Kernel(project, path)
    try:
        kernel.run("%load_ext nbmlops")
        done = kernel.run("found = %mlverify")
        assert "✗ differs  u" in done.text, done.text
        assert kernel.value("[(s.name, s.same) for s in found.stages]") == "[('a', False), ('b', True)]"
        method = "import nbmlops\nnbmlops.open('nb.ipynb').verify(stages=['b']).to_json()['stages']"
        assert kernel.value(method) == "[{'name': 'b', 'same': True, 'artifacts': [], 'files': [], 'cause': ''}]"
    finally:
        kernel.close()


@pytest.mark.thorough
def test_calls_of_trackers_stay_out_of_the_project(project: Project) -> None:
    """What a stage logs to MLflow itself goes to a database of its own, which is thrown away."""
    code = "import mlflow\nmlflow.log_metric('m', 1.0)\nuri = mlflow.get_tracking_uri().startswith('sqlite')"
    done = verified(project, cells=(f"%%mlstage a\n{code}", "print(uri)"))
    assert done.stage("a")["same"] is True, done.err
    assert not any((project.folder / name).exists() for name in ("mlflow.db", "mlruns"))


@pytest.mark.thorough
def test_sets_and_word_models_are_the_same_twice(project: Project) -> None:
    """Equal sets have equal bytes whatever their order, and a model of words does not keep addresses."""
    cells = (
        "from sklearn.feature_extraction.text import TfidfVectorizer",
        "%%mlstage load\ntexts = ['the cat sat', 'a dog ran', 'my cat ran']\nwords = {word for text in texts for word in text.split()}",
        "%%mlstage train\nmodel = TfidfVectorizer(stop_words=['the']).fit(texts)\ncount = len(words)",
        "print(model, count)",
    )
    done = verified(project, cells=cells)
    assert done.code == 0, done.err
