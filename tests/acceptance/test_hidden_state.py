"""Hidden state of a live kernel: it is told on the cell that used it, batch never reuses it, and the way back leads back."""

from __future__ import annotations

import os
import py_compile
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.notebook_in_kernel import Live
from tests.acceptance.project import cell

if TYPE_CHECKING:
    from tests.acceptance.project import Cell, Project

Opener = Callable[..., Live]

# a makes X, b reads it, c changes it in place
CELLS = (
    "n = 3",
    "def square(v):\n    return v * v",
    "%%mlstage a\nX = [square(v) for v in range(n)]",
    "%%mlstage b\ny = sum(X)",
    "%%mlstage c\nX.append(9)\nz = len(X)",
)
PARAMETERS, HELPER, A, B, C = range(1, 6)
B_EDITED = "%%mlstage b\ny = sum(X) + 0"


@pytest.fixture
def open_live(project: Project) -> Iterator[Opener]:
    """Open notebooks whose kernels end with the test."""
    opened: list[Live] = []

    def begin(cells: Sequence[Cell | str] = CELLS, files: dict[str, str] | None = None, *, known: bool = True, run: bool = True) -> Live:
        live = Live(project, cells, files, known=known)
        opened.append(live)
        if run:
            live.run_all()
        return live

    yield begin
    for live in opened:
        live.close()


def assert_warns(text: str, code: str, *parts: str) -> None:
    """Check that a cell ends with a line that names a code and the parts, and the way back."""
    line = text.strip().splitlines()[-1]
    assert line.startswith(f"  ! not reproducible, {code}: "), text
    assert all(part in line for part in (*parts, "this cell")), line


def in_batch(live: Live, stage: str) -> str:
    """Save, run in batch, and return a stage's status."""
    live.save()
    done = live.project.run()
    assert done.code == 0, done.err
    return done.statuses[stage]


@pytest.mark.parametrize(
    ("hand", "where"),
    [
        pytest.param("X = X * 2", ", in [6]", id="bound anew"),
        pytest.param("X.append(1)", "perhaps in [6]", id="method"),
        pytest.param("X[0] = 5", ", in [6]", id="item"),
        pytest.param("Z = X\nZ += [1]", ", in [6]", id="alias"),
        pytest.param("def grow():\n    X.append(5)\n\ngrow()", "perhaps in [6]", id="function"),
        pytest.param("import threading\nt = threading.Timer(0, X.clear)\nt.start()\nt.join()", "perhaps in [6]", id="thread"),
        pytest.param("del X\nX = [7]", ", in [6]", id="deleted and made"),
        pytest.param("%run -i other.py", "NB403", id="run"),
    ],
)
def test_value_changed_by_hand(open_live: Opener, hand: str, where: str) -> None:
    """The reader says which value, after which stage, in which cell; batch computes its own; the way back leads back."""
    live = open_live(CELLS[:4], {"other.py": "X = [100]\n"})
    live.type(hand)
    done = live.run(B, B_EDITED)
    assert_warns(done.text, "NB403", "'X' was changed after stage a [4] made it", where, "run [4] again")
    assert "'X' was changed" in live.check()
    assert in_batch(live, "b") == "ran"
    assert "not reproducible" not in live.run(A).text + live.run(B).text
    assert live.check() == ""
    assert in_batch(live, "b") == "reused"


def test_equal_value_is_no_change(open_live: Opener) -> None:
    """What counts is the value."""
    live = open_live(CELLS[:4])
    live.type("X = list(X)")
    assert "not reproducible" not in live.run(B, B_EDITED).text
    assert live.check() == ""


def test_restored_with_store_magic(open_live: Opener) -> None:
    """`%store -r` brings a value of another time."""
    live = open_live(CELLS[:4])
    live.type("X = [1]\n%store X")
    live.run(A)
    live.type("%store -r X")
    assert_warns(live.run(B, B_EDITED).text, "NB403", "'X' was changed")


def test_name_that_is_gone_is_brought_back(open_live: Opener) -> None:
    """`del` and `%reset` take what the store still has; what setup made is asked for."""
    live = open_live(CELLS[:4])
    live.type("del X")
    done = live.run(B, B_EDITED)
    assert "with X as stage a made it" in done.last_line
    live.type("%reset -f")
    assert live.run(B, "%%mlstage b\ny = sum(X) + 1").ok
    assert live.value("y") == "6"
    failed = live.run(A, "%%mlstage a\nX = [square(v) for v in range(n + 1)]")
    assert not failed.ok
    assert "NB403: " in failed.text
    assert "run [2] again" in failed.text


def test_stage_edited_and_not_run_again(open_live: Opener) -> None:
    """Once the edit is saved, what reads the stage says so and names the cells to run."""
    live = open_live()
    live.edit(A, "%%mlstage a\nX = [square(v) + 1 for v in range(n)]")
    done = live.run(B, B_EDITED)
    assert_warns(done.text, "NB404", "stage a [4] was edited after it ran", "run [4] again, then this cell")
    assert "it reaches stages b, c; run [4], [7], [6] again, in this order" in live.check()
    assert in_batch(live, "b") == "ran"
    for index in (A, B, C):
        assert "not reproducible" not in live.run(index).text
    assert live.check() == ""
    assert set(live.project.run().statuses.values()) == {"reused"}


def test_edit_that_is_not_saved_is_not_known_and_one_that_ran_is_no_edit(open_live: Opener) -> None:
    """The file is older than what ran: no alarm."""
    live = open_live()
    assert "not reproducible" not in live.run(A, "%%mlstage a\nX = [square(v) + 1 for v in range(n)]").text
    assert "not reproducible" not in live.run(B).text
    live.run(C)
    assert live.check() == ""


def test_comment_is_no_edit_that_matters(open_live: Opener) -> None:
    """The reader is not warned of an edit that changes no code."""
    live = open_live(CELLS[:4])
    live.edit(A, f"{CELLS[2]}  # squares")
    assert "not reproducible" not in live.run(B, B_EDITED).text


def test_setup_edited_and_not_run_again(open_live: Opener) -> None:
    """The stage that runs on the older function says so, and what reads it too."""
    live = open_live(CELLS[:4])
    live.edit(HELPER, "def square(v):\n    return v * v * v")
    assert_warns(live.run(A, "%%mlstage a\nX = [square(v) for v in range(n)] + []").text, "NB404", "[3], which makes 'square', was edited")
    assert_warns(live.run(B, B_EDITED).text, "NB404", "stage a [6] is not reproducible", "run [3], [6] again, in this order")
    live.run(HELPER)
    assert "not reproducible" not in live.run(A).text + live.run(B).text
    assert live.value("X, y") == "([0, 1, 8], 9)"
    assert live.check() == ""


def test_setup_run_again_after_a_stage(open_live: Opener) -> None:
    """The stage's values were made with the older function, or not: the same text run again changes nothing."""
    live = open_live(CELLS[:4])
    live.run(HELPER)
    assert live.check() == ""
    live.run(HELPER, "def square(v):\n    return -v")
    assert_warns(live.run(B, B_EDITED).text, "NB406", "stage a [4] ran before this change: definition square changed", "run [4] again")
    live.run(A)
    assert "not reproducible" not in live.run(B).text


def test_parameter_changed_and_stage_not_run_again(open_live: Opener) -> None:
    """The reader names the parameter."""
    live = open_live(CELLS[:4])
    live.run(PARAMETERS, "n = 4")
    assert_warns(live.run(B, B_EDITED).text, "NB406", "n 3 -> 4", "run [4] again")
    live.run(A)
    assert "not reproducible" not in live.run(B).text
    assert live.value("y") == "14"
    assert live.check() == ""


def test_parameter_typed_by_hand(open_live: Opener) -> None:
    """A value of a console is not the notebook's."""
    live = open_live(CELLS[:4])
    live.type("n = 7")
    assert_warns(live.run(A, f"{CELLS[2]} + []").text, "NB403", "'n' is 7, not the 3 of [2]", "run [2] again")
    live.run(PARAMETERS)
    assert "not reproducible" not in live.run(A).text


def test_secret_is_not_shown(open_live: Opener) -> None:
    """A value that looks secret is told without it."""
    live = open_live(("api_token = 'tok-old-1234567890'", "%%mlstage a\nx = len(api_token)"))
    live.type("api_token = 'tok-new-0987654321'")
    text = live.run(2, "%%mlstage a\nx = len(api_token) + 0").text + live.check()
    assert "'api_token' is" in text
    assert "tok-" not in text


def test_stage_that_changes_its_input_is_given_it_as_it_was(open_live: Opener) -> None:
    """Run twice, or run after a later stage has changed a name, a stage starts from what the notebook's order gives it."""
    live = open_live()
    done = live.run(C, "%%mlstage c\nX.append(10)\nz = len(X)")
    assert "with X as stage a made it" in done.last_line
    assert live.value("X, z") == "([0, 1, 4, 10], 4)"
    live.run(B, B_EDITED)
    assert live.value("y") == "5"
    assert live.value("X") == "[0, 1, 4, 10]"
    assert live.check() == ""
    assert in_batch(live, "c") == "reused"


def test_setup_value_that_a_stage_changes_in_place(open_live: Opener) -> None:
    """The stage that runs again starts from the constant of the cell above it."""
    live = open_live(("counts = []", "%%mlstage a\ncounts.append(1)", "%%mlstage b\ny = len(counts)"))
    live.run(2, "%%mlstage a\ncounts.append(2)")
    assert live.value("counts") == "[2]"
    assert "not reproducible" not in live.run(3).text
    assert live.check() == ""


def test_failed_stage_leaves_its_inputs_known_as_changed(open_live: Opener) -> None:
    """What it half made is nothing to build on; run again after it was mended, it starts from what its input was."""
    live = open_live()
    assert not live.run(C, "%%mlstage c\nX.append(11)\nz = 1 / 0").ok
    assert "NB410: stage c [7] did not run to its end" in live.check().replace("warning ", "")
    live.run(C, "%%mlstage c\nX.append(12)\nz = len(X)")
    assert live.value("X, z") == "([0, 1, 4, 12], 4)"
    assert live.check() == ""


def test_reader_of_a_failed_stage(open_live: Opener) -> None:
    """It runs on what is there, and says so."""
    live = open_live(CELLS[:4])
    live.run(A, "%%mlstage a\nX = [5]\nraise ValueError")
    assert_warns(live.run(B, B_EDITED).text, "NB410", "stage a [6] did not run to its end", "run [6] again")
    assert in_batch_after_mending(live) == "ran"


def in_batch_after_mending(live: Live) -> str:
    """Give stage a its code again and run in batch."""
    live.edit(A, str(CELLS[2]))
    return in_batch(live, "b")


def test_cells_run_bottom_up(open_live: Opener) -> None:
    """A stage whose input is not there says which stage makes it; in the right order all is well."""
    live = open_live(CELLS[:4], run=False)
    live.run(0)
    failed = live.run(B)
    assert "NB406: 'X' is not there: stage a has not run in this kernel; run [ ] (cell 3), then this cell" in failed.text
    for index in (HELPER, PARAMETERS, A, B):
        assert "not reproducible" not in live.run(index).text
    assert live.check() == ""


def test_cell_below_defines_what_a_stage_reads(open_live: Opener) -> None:
    """Run from top to bottom, the stage would not have it."""
    live = open_live(("%%mlstage a\nx = offset", "offset = 5"), run=False)
    live.run(0)
    live.run(2)
    assert_warns(live.run(1).text, "NB406", "'offset' was made by [2], which stands below", "move [2] above this cell")


def test_name_that_a_cell_below_binds_again(open_live: Opener) -> None:
    """A stage that runs again sees its own constant, and leaves the later one; a function cannot be put back so."""
    live = open_live(("K = 1\ndef f():\n    return 1", "%%mlstage a\nx = [K]", "%%mlstage g\nw = f()", "K = 2\ndef f():\n    return 2"))
    done = live.run(2, "%%mlstage a\nx = [K, 0]")
    assert "with K = 1 as above it" in done.last_line
    assert live.value("x, K") == "([1, 0], 2)"
    assert live.check() == ""
    assert_warns(live.run(3, "%%mlstage g\nw = f() + 0").text, "NB406", "'f' is what [5] made")


def test_cell_above_has_not_run(open_live: Opener) -> None:
    """The notebook's file tells of cells that bind or change what a stage reads and have not run here."""
    live = open_live(("K = 1", "K = 2", "%%mlstage a\nx = [K]", "%%mlstage a2\nx.append(7)", "%%mlstage b\ny = list(x)"), run=False)
    for index in (0, 1):
        live.run(index)
    assert_warns(live.run(3).text, "NB406", "'K' is 1, and [ ] (cell 2), which makes it 2, has not run", "run [ ] (cell 2)")
    assert_warns(live.run(5).text, "NB406", "stage a [3] is not reproducible")
    for index in (2, 3, 4, 5):
        assert "not reproducible" not in live.run(index).text
    assert live.value("x, y") == "([2, 7], [2, 7])"
    assert live.check() == ""


def test_derived_setup_value_is_older_than_what_it_was_made_of(open_live: Opener) -> None:
    """`twice = K * 2` ran before `K` changed; so did a function that keeps results."""
    cells = (
        "K = 2",
        "twice = K * 2",
        "from functools import lru_cache\n\n@lru_cache\ndef f(v):\n    return v * K",
        "%%mlstage a\nx = twice",
        "%%mlstage g\nw = f(3)",
    )
    live = open_live(cells)
    live.run(1, "K = 5")
    assert_warns(live.run(4).text, "NB406", "'twice' of [3] was made before 'K' changed", "run [3] again")
    assert_warns(live.run(5).text, "NB406", "'f' of [4] was made before 'K' changed")
    for index in (2, 3, 4, 5):
        assert "not reproducible" not in live.run(index).text
    assert live.value("x, w") == "(10, 15)"
    assert live.check() == ""
    assert in_batch(live, "g") == "reused"


@pytest.mark.parametrize("saved", [True, False], ids=["saved", "told"])
def test_cell_deleted(open_live: Opener, *, saved: bool) -> None:
    """What its names are used for is told, whether the file or the front end says that it was deleted."""
    live = open_live(("K = 2", "%%mlstage a\nx = [K]"))
    cell = live.delete(1)
    if not saved:
        live.insert(1, cell)
        live.delete(1)
    done = live.run(1, "%%mlstage a\nx = [K] + []", **({} if saved else {"deletedCells": [cell["id"]]}))
    assert_warns(done.text, "NB405", "'K' was made by [2], which is not in the notebook", "put it back")
    live.insert(1, cell)
    live.run(1)
    assert "not reproducible" not in live.run(2).text
    assert live.check() == ""


def test_stage_deleted(open_live: Opener) -> None:
    """The same for what a deleted stage made, before the file is saved."""
    live = open_live(("%%mlstage a\nx = [1]", "%%mlstage b\ny = x"))
    done = live.run(2, "%%mlstage b\ny = x + []", deletedCells=["cell-1"])
    assert_warns(done.text, "NB405", "'x' was made by [2], which is not in the notebook")


def test_new_cell_that_is_not_saved(open_live: Opener) -> None:
    """A setup cell put between others and run is above the stage that runs next."""
    live = open_live(CELLS[:4])
    live.kernel.run("extra = 5", {}, "new-cell")
    assert "not reproducible" not in live.run(B, "%%mlstage b\ny = sum(X) + extra").text
    assert live.value("y") == "10"


HELPERS = "def f(x):\n    return x + 1\n"
EDITED_HELPERS = "def f(x):\n    return x + 100\n"
MODULE = ("import helpers", "%%mlstage a\nx = helpers.f(2)", "%%mlstage b\ny = x + 1")


def test_module_edited_after_it_was_imported(open_live: Opener) -> None:
    """The stage runs the older code: batch must not take that for the result of the newer; after a reload all is well."""
    live = open_live(MODULE, {"helpers.py": HELPERS})
    live.write("helpers.py", EDITED_HELPERS)
    assert_warns(live.run(2).text, "NB407", "helpers.py was changed after this kernel imported it", "importlib.reload")
    assert_warns(live.run(3).text, "NB407", "stage a [5] is not reproducible")
    assert (live.value("x"), in_batch(live, "a")) == ("3", "ran")
    live.type("import importlib\nimportlib.reload(helpers)")
    assert "reused" in live.run(2).last_line
    live.run(3)
    assert live.value("x, y") == "(102, 103)"
    assert live.check() == ""


def test_name_imported_from_a_module_that_was_reloaded(open_live: Opener) -> None:
    """The name is still the older function."""
    live = open_live(("from helpers import f", "%%mlstage a\nx = f(2)"), {"helpers.py": HELPERS})
    live.write("helpers.py", EDITED_HELPERS)
    live.type("import helpers, importlib\nimportlib.reload(helpers)")
    assert_warns(live.run(2).text, "NB407", "'f' was imported from helpers before that was reloaded", "run [2] again")
    live.run(1)
    live.run(2)
    assert live.value("x") == "102"
    assert live.check() == ""


@pytest.mark.parametrize("form", ["import helpers", "from helpers import f"])
def test_autoreload(open_live: Opener, form: str) -> None:
    """`%autoreload 2` brings modules up to date before each cell: nothing is stale, and the key is that of the newer code."""
    call = "helpers.f" if "from" not in form else "f"
    live = open_live(("%load_ext autoreload\n%autoreload 2", form, f"%%mlstage a\nx = {call}(2)"), {"helpers.py": HELPERS})
    live.write("helpers.py", EDITED_HELPERS)
    assert "not reproducible" not in live.run(3).text
    assert live.value("x") == "102"
    assert live.check() == ""
    assert in_batch(live, "a") == "reused"


def test_comment_in_a_module_changes_nothing(open_live: Opener) -> None:
    """Code is compared as keys compare it."""
    live = open_live(MODULE, {"helpers.py": HELPERS})
    live.write("helpers.py", f"# adds one\n{HELPERS}")
    assert "not reproducible" not in live.run(2, "%%mlstage a\nx = helpers.f(2) + 0").text
    assert live.check() == ""


@pytest.mark.parametrize("before", [False, True])
def test_module_whose_byte_code_is_older_than_it_looks(project: Project, open_live: Opener, before: bool) -> None:  # noqa: FBT001
    """Python takes byte code for that of any source of the same size and second: the key of the newer source never holds what the older gave.

    Where the module was imported before nbmlops was there, it is told.
    """
    helper = project.folder / "helpers.py"
    for value in (1, 2):
        helper.write_text(f"value = {value}\n", encoding="utf-8")
        os.utime(helper, (1_700_000_000, 1_700_000_000))
        if value == 1:
            py_compile.compile(str(helper), doraise=True)
    live = open_live(("import helpers", "%%mlstage a\nx = helpers.value"), run=False)
    if before:
        assert live.value("__import__('helpers').value") == "1"  # the case is there at all
    shown = live.run_all()[-1].text
    assert live.value("x") == ("1" if before else "2")
    if before:
        assert_warns(shown, "NB407", "helpers.py was changed after this kernel imported it", "restart the kernel")
    assert in_batch(live, "a") == ("ran" if before else "reused")


def test_module_imported_by_the_stage_itself(open_live: Opener) -> None:
    """A module that is loaded already is not loaded again."""
    live = open_live(("%%mlstage a\nimport helpers\nx = helpers.f(2)",), {"helpers.py": HELPERS})
    live.write("helpers.py", EDITED_HELPERS)
    assert_warns(live.run(1).text, "NB407", "helpers.py was changed")


def test_package_upgraded_while_the_kernel_runs(open_live: Opener) -> None:
    """The version on disk is not the one that is imported."""
    files = {
        "site-packages/tinypkg.py": "__version__ = '1.0'\ndef f():\n    return 1\n",
        "site-packages/tinypkg-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tinypkg\nVersion: 1.0\n",
        "site-packages/tinypkg-1.0.dist-info/top_level.txt": "tinypkg\n",
    }
    path = "import sys\nsys.path.insert(0, 'site-packages')"
    live = open_live((path, "import tinypkg", "%%mlstage a\nx = tinypkg.f()"), files)
    assert live.check() == ""
    folder = live.project.folder / "site-packages"
    live.write("site-packages/tinypkg.py", "__version__ = '2.0'\ndef f():\n    return 2\n")
    live.write("site-packages/tinypkg-2.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinypkg\nVersion: 2.0\n")
    live.write("site-packages/tinypkg-2.0.dist-info/top_level.txt", "tinypkg\n")
    for item in (folder / "tinypkg-1.0.dist-info").iterdir():
        item.unlink()
    (folder / "tinypkg-1.0.dist-info").rmdir()
    assert_warns(live.run(3).text, "NB407", "tinypkg: 1.0 is imported, 2.0 is installed", "restart the kernel")


def test_environment_variable_changed_by_hand(open_live: Opener) -> None:
    """One that the stage reads; what setup cells set is as it should be."""
    live = open_live(("import os\nos.environ['A'] = '1'", "%%mlstage a\nx = os.environ['A'], os.environ.get('B')", "%%mlstage b\ny = x"))
    assert live.check() == ""
    live.type("os.environ['B'] = '7'\nprint()")
    assert_warns(live.run(2).text, "NB408", "the environment variable B was changed in [6], not by a setup cell")
    assert_warns(live.run(3).text, "NB408", "stage a [7] is not reproducible")
    live.type("%env A=5")
    live.type("del os.environ['B']\nprint()")
    assert_warns(live.run(2).text, "NB408", "environment variable A was changed in [9]")
    live.run(1)
    assert "not reproducible" not in live.run(2).text + live.run(3).text
    assert live.check() == ""


@pytest.mark.parametrize(
    ("change", "back", "what"),
    [
        pytest.param("import os\nold = os.getcwd()\nos.chdir('/')\nprint()", "os.chdir(old)\nprint()", "working directory", id="folder"),
        pytest.param(
            "import decimal\ndecimal.getcontext().prec = 5\nprint()", "decimal.getcontext().prec = 28\nprint()", "decimal context", id="decimal"
        ),
        pytest.param("import numpy as np\nold = np.seterr(all='ignore')\nprint()", "np.seterr(**old)\nprint()", "numpy error handling", id="numpy"),
    ],
)
def test_process_changed_by_hand(open_live: Opener, change: str, back: str, what: str) -> None:
    """Batch begins each stage in a process that only setup has touched."""
    live = open_live(CELLS[:4])
    live.type(change)
    assert_warns(live.run(B, B_EDITED).text, "NB408", f"the {what} was changed in [6]")
    live.type(back)
    assert "not reproducible" not in live.run(B).text
    assert live.check() == ""


def test_state_that_does_not_reach_a_stage_is_no_alarm(open_live: Opener) -> None:
    """Each stage has a random state of its own, and how pandas shows tables changes none."""
    live = open_live(("import numpy as np\nimport pandas as pd", "%%mlstage a\nx = np.random.rand(2)", "%%mlstage b\ny = x + 1"))
    live.type("np.random.seed(5)\nnp.random.rand()\npd.set_option('display.max_rows', 5)\nprint()")
    assert "reused" in live.run(2).last_line
    assert "not reproducible" not in live.run(3, "%%mlstage b\ny = x + 2").text
    assert live.check() == ""


@pytest.mark.parametrize(
    ("patch", "what", "back"),
    [
        pytest.param("helpers.f = lambda x: 5\nprint()", "helpers.f was replaced in [4]", "import importlib\nimportlib.reload(helpers)", id="module"),
        pytest.param("setattr(A, 'm', lambda self: 3)\nprint()", "A.m was replaced in [4]", None, id="class"),
        pytest.param("A().m.__func__.__defaults__ = (8,)\nprint()", "", None, id="defaults"),
        pytest.param("double.__code__ = (lambda v: v).__code__\nprint()", "double.__code__ was replaced in [4]", None, id="function"),
    ],
)
def test_code_patched_by_hand(open_live: Opener, patch: str, what: str, back: str | None) -> None:
    """A function, class or module that was changed by a cell that is no setup."""
    setup = "import helpers\nclass A:\n    def m(self, k=1):\n        return k\ndef double(v):\n    return 2 * v"
    live = open_live((setup, "%%mlstage a\nx = helpers.f(2), A().m(), double(4)"), {"helpers.py": HELPERS})
    live.type(patch)
    done = live.run(2, "%%mlstage a\nx = helpers.f(2), A().m(), double(4), 0")
    assert_warns(done.text, "NB409" if "replaced" in what else "NB403", what)
    live.type(back) if back else live.run(1)
    assert "not reproducible" not in live.run(2).text
    assert live.value("x") == "(3, 1, 8, 0)"
    assert live.check() == ""


def test_why_and_store_show_tell_it(open_live: Opener) -> None:
    """The record keeps what was said, for those who ask in batch."""
    live = open_live(MODULE, {"helpers.py": HELPERS})
    live.write("helpers.py", EDITED_HELPERS)
    live.run(2)
    assert "NB407: helpers.py was changed" in live.project.call("why", "nb.ipynb", "a").out


def test_hidden_reads_are_told(open_live: Opener) -> None:
    """A kernel cannot watch what `exec` reads: batch runs it, and then the kernel reuses that."""
    live = open_live(("text = 'y = x'", "%%mlstage a\nx = [1]", "%%mlstage b\nexec(text)\nw = 1"))
    assert "NB411: exec may read and bind names" in live.check().replace("warning ", "")
    assert in_batch(live, "b") == "ran"
    assert "reused" in live.run(3).last_line
    assert live.check() == ""


def test_unstorable_value_of_a_stage(open_live: Opener) -> None:
    """The kernel can hand it on, batch cannot."""
    live = open_live(("%%mlstage a\nimport threading\nlock = threading.Lock()", "%%mlstage b\nx = lock.locked()"))
    assert "'lock' of stage a cannot be stored" in live.check()


def test_cells_of_one_stage_run_out_of_order(open_live: Opener) -> None:
    """The second cell run twice is not the stage; all of its cells in order are."""
    tagged = {"cell_type": "code", "metadata": {"tags": ["stage:a"]}, "outputs": [], "execution_count": None}
    live = open_live(({**tagged, "source": "x = 1"}, {**tagged, "source": "x = x + 1"}, "%%mlstage b\ny = x"))
    assert live.check() == ""
    live.run(2)
    assert_warns(
        live.run(3, "%%mlstage b\ny = x + 0").text, "NB406", "the cells of stage a did not run once each, in their order", "run [2], [6] again"
    )
    live.run(1)
    live.run(2)
    assert "not reproducible" not in live.run(3).text
    assert live.value("y") == "2"
    assert live.check() == ""


def test_names_that_share_state_are_shared_again(open_live: Opener) -> None:
    """After a reuse, between outputs, with inputs, in views and closures; and after somebody has torn them apart."""
    cells = (
        "import numpy as np",
        "%%mlstage a\nd = np.arange(6.0)\nv = d[:3]\nboth = [d, v]",
        "%%mlstage b\ne = d\ndef get():\n    return float(e[0])",
        "%%mlstage c\nd[0] = 42",
        "%%mlstage r\nw = float(v[0]), float(both[0][0]), float(e[0]), get()",
    )
    open_live(cells).close()
    live = open_live(cells)
    assert live.value("w, np.shares_memory(v, d), both[0] is d, e is d") == "((42.0, 42.0, 42.0, 42.0), True, True, True)"
    live.run(2)
    live.run(4, "%%mlstage c\nd[0] = 43")
    live.run(5)
    assert live.value("w") == "(43.0, 43.0, 43.0, 43.0)"
    live.type("e = d.copy()")
    live.run(4, "%%mlstage c\nd[0] = 44")
    live.run(5)
    assert live.value("w, e is d") == "((44.0, 44.0, 44.0, 44.0), True)"
    assert live.check() == ""


def test_instances_of_a_class_whose_cell_ran_again(open_live: Opener) -> None:
    """They are instances of the class of now for the stage that reads them, as in a run from top to bottom."""
    live = open_live(("class A:\n    pass", "%%mlstage a\nx = A()", "%%mlstage b\ny = isinstance(x, A)"))
    live.run(1)
    assert "not reproducible" not in live.run(3, "%%mlstage b\ny = isinstance(x, A), 0").text
    assert live.value("y") == "(True, 0)"
    assert live.check() == ""


def test_reuse_deletes_what_the_stage_deletes(open_live: Opener) -> None:
    """As running it would."""
    cells = ("%%mlstage a\nx = [1]\ntmp = 5", "%%mlstage b\ny = x + [tmp]\ndel tmp")
    open_live(cells).close()
    live = open_live(cells)
    assert "reused" in live.run(2).last_line
    assert live.value("'tmp' in globals(), y") == "(False, [1, 5])"
    assert live.check() == ""


def test_ordinary_work_raises_no_alarm(open_live: Opener) -> None:
    """Twice from top to bottom, setup again, cells that show, values that keep what they have computed, the history of outputs."""
    lazy = "class Lazy:\n    @functools.cached_property\n    def big(self):\n        return 11"
    setup = f"import functools\nimport pandas as pd\nfrom sklearn.neighbors import KNeighborsClassifier\n{lazy}"
    cells = (
        setup,
        "%%mlstage a\ndf = pd.DataFrame({'a': range(20), 'b': list('xy') * 10})\nlazy = Lazy()",
        "%%mlstage b\nmodel = KNeighborsClassifier(3, algorithm='kd_tree').fit(df[['a']], df['b'])",
        "df.head()",
        "df.columns, df.loc[3], df.groupby('b').a.mean(), df.index.is_unique, model.predict(df[['a']])",
        "%%mlstage c\ns = model.score(df[['a']], df['b']) + lazy.big",
    )
    live = open_live(cells)
    assert "not reproducible" not in "".join(item.text for item in live.run_all())
    live.type("lazy.big")
    live.type("_, Out")
    live.run(1)
    assert "not reproducible" not in live.run(6, f"{cells[5]} + 0").text
    assert live.check() == ""
    assert in_batch(live, "c") == "reused"


def test_terminal_without_a_file(open_live: Opener) -> None:
    """What is typed again replaces what it replaces; a value changed by hand is told all the same."""
    live = open_live(CELLS[:4], known=False)
    live.type("n = 4")
    assert "n 3 → 4" in live.run(A).last_line
    assert "not reproducible" not in live.run(B).text
    live.type("X.append(1)")
    assert_warns(live.run(B, B_EDITED).text, "NB403", "'X' was changed after stage a [7] made it, perhaps in [9]")
    live.run(A)
    assert "not reproducible" not in live.run(B).text
    assert live.check() == ""


def test_check_shows_a_table_with_its_text(open_live: Opener) -> None:
    """Names that hold markup are escaped; the text says the same."""
    live = open_live(("class A:\n    pass", "%%mlstage a\nx = ['<b>']", "%%mlstage b\ny = len(x)"))
    live.type("x = ['<script>']")
    live.run(3, "%%mlstage b\ny = len(x[0]) + len('<img src=x>')")
    shown = live.kernel.run("%mlcheck").outputs[-1]["data"]
    assert "'x' was changed after stage a [3] made it, in [5]" in shown["text/plain"]
    assert "<td" in shown["text/html"]
    assert "<script>" not in shown["text/html"]
    assert "run [3]" in shown["text/html"]


@pytest.mark.parametrize(
    "maybe",
    [
        pytest.param("x = 1\nif flag:\n    tmp = 2", id="if"),
        pytest.param("x = 1\nfor tmp in rows:\n    x += tmp", id="for"),
        pytest.param("try:\n    import nosuchmodule as tmp\nexcept ImportError:\n    x = 1", id="import"),
    ],
)
def test_reuse_leaves_a_variable_that_the_stage_only_might_bind(open_live: Opener, maybe: str) -> None:
    """As running it would; what the stage itself has made before goes."""
    live = open_live(("flag = 0\nrows = []", f"%%mlstage a\n{maybe}"))
    live.type("tmp = 'precious'")
    assert "reused" in live.run(2).last_line
    assert live.value("tmp") == "'precious'"


def test_reuse_takes_back_what_an_earlier_run_of_the_stage_made(open_live: Opener) -> None:
    """Of a branch that is not taken any more nothing is left."""
    live = open_live(("flag = 0", "%%mlstage a\nx = 1\nif flag:\n    tmp = 2"))
    live.run(1, "flag = 1")
    live.run(2)
    assert live.value("tmp") == "2"
    live.run(1, "flag = 0")
    assert "reused" in live.run(2).last_line
    assert live.value("'tmp' in globals()") == "False"


def test_name_bound_again_after_an_alias(open_live: Opener) -> None:
    """What held the older object changes it; the name keeps the newer one, here and in batch."""
    cells = (
        "%%mlstage a\ntrain = [1]\nboth = {'t': train}",
        "%%mlstage b\ntrain = [2]",
        "%%mlstage p\ny = train + both['t']",
        "%%mlstage c\nboth['t'].append(3)",
        "%%mlstage d\nz = train, both",
    )
    live = open_live(cells)
    assert live.value("train, both, y, z") == "([2], {'t': [1, 3]}, [2, 1], ([2], {'t': [1, 3]}))"
    assert live.check() == ""
    assert in_batch(live, "d") == "reused"
    assert "not reproducible" not in live.run(4, "%%mlstage c\nboth['t'].append(4)").text + live.run(5).text
    assert live.value("train, both, z") == "([2], {'t': [1, 4]}, ([2], {'t': [1, 4]}))"
    live.edit(4, "%%mlstage c\nboth['t'].append(5)")
    assert in_batch(live, "d") == "ran"


def test_stage_that_awaits(open_live: Opener) -> None:
    """As an ordinary cell may; batch gives the same, and reuses it."""
    body = "import asyncio\n\nasync def slow(v):\n    await asyncio.sleep(0.01)\n    return v\n\nx = sum(await asyncio.gather(slow(1), slow(3)))"
    live = open_live((f"%%mlstage a\n{body}", "import asyncio\nawait asyncio.sleep(0)\nasyncio.get_running_loop().is_running()"))
    assert live.value("x") == "4"
    assert in_batch(live, "a") == "reused"
    assert "ZeroDivisionError" in live.run(1, f"%%mlstage a\n{body}\n1 / 0").text
    assert live.run(2).ok


def tagged_setup(source: str) -> Cell:
    """Give a cell with the tag `setup`."""
    return cell(source, "setup")


@pytest.mark.parametrize(
    ("made", "change", "read", "again"),
    [
        pytest.param("L = [3, 1, 2]", "L.sort()", "L[0]", False, id="sort"),
        pytest.param("L = [3]", "L.append(1)", "list(L)", True, id="append"),
        pytest.param("L = {'k': 1}", "L.update(a=1)", "dict(L)", False, id="update"),
        pytest.param("L = []\ndef add():\n    L.append(1)", "add()", "list(L)", True, id="function"),
        pytest.param("L = []\ndef reg(f):\n    L.append(f.__name__)\n    return f", "@reg\ndef g():\n    return 1", "len(L)", True, id="decorator"),
    ],
)
def test_setup_cell_that_changes_in_place_what_another_made(open_live: Opener, made: str, change: str, read: str, again: bool) -> None:  # noqa: FBT001
    """Run in their order there is nothing to say, and batch shares the result; one of them alone is told with all that lead back."""
    live = open_live((tagged_setup(made), tagged_setup(change), f"%%mlstage a\nx = {read}"))
    assert live.check() == ""
    value = live.value("x")
    assert in_batch(live, "a") == "reused"
    live.run(2)
    done = live.run(3, f"%%mlstage a\nx = {read} if True else 0")
    if again:
        assert_warns(done.text, "NB406", "'L' was not made by", ", one run of each in this order", "run [2], ")
        assert in_batch(live, "a") == "ran"
    else:
        assert "not reproducible" not in done.text
    live.run(1)
    assert_warns(live.run(3, f"%%mlstage a\nx = {read} if 1 else 0").text, "NB406", "'L' was not made by", "in this order")
    assert in_batch(live, "a") == "ran"
    live.run(1)
    live.run(2)
    assert "not reproducible" not in live.run(3).text
    assert live.value("x") == value
    assert live.check() == ""


def test_setup_cell_that_changes_what_it_makes(open_live: Opener) -> None:
    """All in one cell: the literal is not the whole of it."""
    live = open_live((tagged_setup("L = [3, 1, 2]\nL.sort()"), "%%mlstage a\nx = L[0]"))
    assert live.check() == ""
    live.run(1)
    assert "not reproducible" not in live.run(2, "%%mlstage a\nx = L[0] + 0").text
    assert live.value("x") == "1"
    live.type("L.append(0)")
    assert_warns(live.run(2, "%%mlstage a\nx = L[-1]").text, "NB403", "'L' was changed after [5] made it", "run [5] again")


def test_setup_value_that_is_changed_further_down(open_live: Opener) -> None:
    """What was derived from it before is not older than it."""
    live = open_live((tagged_setup("L = [3]"), tagged_setup("first = L[0], len(L)"), tagged_setup("L.append(1)"), "%%mlstage a\nx = first, len(L)"))
    assert live.check() == ""
    live.run(2)
    assert_warns(live.run(4).text, "NB406", "'first' of [7] was made when 'L' was not what the cells above it make", "run [2], [7], [4] again")
    for index in (1, 2, 3, 4):
        done = live.run(index)
    assert "not reproducible" not in done.text
    assert live.value("x") == "((3, 1), 2)"
    assert live.check() == ""


def test_setup_cell_edited_to_change_in_place_something_else(open_live: Opener) -> None:
    """All cells that make the name are named: running them in order leads back."""
    live = open_live(("cfg = {}", "cfg['a'] = 1", "%%mlstage a\nx = dict(cfg)"))
    live.run(2, "cfg['b'] = 1")
    assert_warns(live.run(3).text, "NB406", "'cfg' was not made by [2], [5], one run of each in this order", "run [2], [5] again, in this order")
    for index in (1, 2, 3):
        done = live.run(index)
    assert "not reproducible" not in done.text
    assert live.value("x") == "{'b': 1}"
    assert live.check() == ""


def test_setup_cell_run_on_what_a_stage_has_made_of_a_name(open_live: Opener) -> None:
    """What it then makes is not what a run from top to bottom gives."""
    live = open_live(("counts = []", tagged_setup("m = len(counts)"), "%%mlstage a\ncounts.append(1)", "%%mlstage b\ny = m"))
    assert live.check() == ""
    live.run(2)
    assert_warns(live.run(4, "%%mlstage b\ny = m + 0").text, "NB406", "'m' of [7] was made when 'counts' was not", "run [2], [7] again")
    live.run(1)
    live.run(2)
    assert "not reproducible" not in live.run(4).text
    assert live.value("y") == "0"


TRIES = "%%mlstage a\ntry:\n    depth = max_depth\nexcept NameError:\n    depth = 3"


@pytest.mark.parametrize(
    ("cells", "hand", "edited", "what"),
    [
        pytest.param((TRIES,), "max_depth = 9", f"{TRIES} + 0", "'max_depth', which no cell above makes", id="guarded"),
        pytest.param(
            ("%%mlstage a\nx = 'debug' in globals()",), "debug = 1", "%%mlstage a\nx = 'debug' in globals(), 0", "'debug', which no", id="globals"
        ),
        pytest.param(("%%mlstage a\ny = sum([3, 4])",), "sum = lambda v: 0", "%%mlstage a\ny = sum([3, 4]) * 1", "the builtin 'sum'", id="builtin"),
        pytest.param(
            ("def total(v):\n    return sum(v)", "%%mlstage a\ny = total([3, 4])"),
            "sum = lambda v: 0",
            "%%mlstage a\ny = total([3, 4]) * 1",
            "the builtin 'sum' is hidden by what",
            id="helper",
        ),
    ],
)
def test_name_that_is_not_to_be_there(open_live: Opener, cells: tuple[str, ...], hand: str, edited: str, what: str) -> None:
    """What a console has made is told, batch computes its own, and taking it away leads back."""
    live = open_live(cells)
    index = len(cells)
    live.type(hand)
    done = live.run(index, edited)
    assert_warns(done.text, "NB405", what, f"[{index + 2}] made, which is not in the notebook", f"or del {hand.partition(' ')[0]}")
    assert in_batch(live, "a") == "ran"
    live.type(f"del {hand.partition(' ')[0]}")
    assert "not reproducible" not in live.run(index).text
    assert live.check() == ""
    assert in_batch(live, "a") == "reused"


def test_name_that_only_a_cell_below_makes(open_live: Opener) -> None:
    """A stage that runs again does not find what stages below have made, nor what it has made itself; they are there afterwards."""
    cache = "%%mlstage c\nif 'cache' not in globals():\n    cache = {}\ncache[1] = len(cache)"
    live = open_live((TRIES, "%%mlstage b\ny = sum([3, 4])", cache, "%%mlstage d\nmax_depth = 9\nsum = 5\nz = dict(cache)"))
    done = live.run(1, f"{TRIES} + 0")
    assert "without max_depth, which no cell above it makes" in done.last_line
    live.run(2, "%%mlstage b\ny = sum([3, 4]) * 1")
    live.run(3, cache.replace("[1]", "[2]"))
    live.run(4)
    assert live.value("depth, y, cache, z, max_depth, sum") == "(3, 7, {2: 0}, {2: 0}, 9, 5)"
    assert live.check() == ""
    assert in_batch(live, "d") == "reused"


def test_name_of_a_deleted_cell_or_one_that_a_stage_deletes(open_live: Opener) -> None:
    """Neither is there in a run from top to bottom."""
    live = open_live(("max_depth = 9", TRIES))
    live.delete(1)
    assert_warns(live.run(1, f"{TRIES} + 0").text, "NB405", "'max_depth', which no cell above makes, is what [2] made, which is not in the notebook")
    live = open_live(("%%mlstage m\nmax_depth = 9", "%%mlstage e\nk = max_depth\ndel max_depth", TRIES))
    assert live.value("depth") == "3"
    live.run(1)
    assert "without max_depth" in live.run(3, f"{TRIES} + 0").last_line
    assert live.value("depth, max_depth") == "(3, 9)"


def test_name_that_a_stage_only_might_bind_is_not_kept_as_its_own(open_live: Opener) -> None:
    """It runs beside a variable of the user's: that stays, and is no result."""
    live = open_live(("flag = 0", "%%mlstage a\nx = 1\nif flag:\n    tmp = 2", "print('tmp' in globals())"))
    live.type("tmp = 'precious'")
    assert "not reproducible" not in live.run(2, "%%mlstage a\nx = 2\nif flag:\n    tmp = 2").text
    assert live.value("tmp") == "'precious'"
    live.type("for row in [1]:\n    pass")
    assert "not reproducible" not in live.run(2, "%%mlstage a\nfor row in [5]:\n    x = row\nx = row").text
    assert live.value("x, row") == "(5, 5)"
    assert live.check() == ""


@pytest.mark.parametrize(
    ("made", "changer"),
    [
        pytest.param("X = [1]", "X.append(2)", id="method"),
        pytest.param("X = [1]\nY = X", "Y.append(2)", id="alias"),
        pytest.param("X = [1]\ndef add(v):\n    v.append(2)", "add(X)", id="function"),
    ],
)
def test_stage_above_that_may_change_an_input_has_not_run(open_live: Opener, made: str, changer: str) -> None:
    """One that was put in, or edited to do so, and saved."""
    live = open_live((f"%%mlstage a\n{made}", "%%mlstage m\nw = 1", "%%mlstage c\ny = list(X)"))
    live.edit(2, f"%%mlstage m\n{changer}")
    edited = "%%mlstage c\ny = list(X) + []"
    assert_warns(live.run(3, edited).text, "NB404", "stage m [3], which stands above and may change in place", "was edited", "run [3] again")
    assert in_batch(live, "c") == "ran"
    for index in (2, 3):
        done = live.run(index)
    assert "not reproducible" not in done.text
    assert live.value("y") == "[1, 2]"
    assert live.check() == ""


def test_new_stage_above_has_not_run(open_live: Opener) -> None:
    """One that only reads is no matter; one that batch skips neither."""
    live = open_live((cell("flag = 0", "parameters"), "%%mlstage a\nX = [1]", "%%mlstage c\ny = list(X)"))
    live.insert(3, {**cell("%%mlstage r\nw = len(X) + sum(X)"), "id": "reads"})
    live.insert(4, {**cell("%%mlstage s --if flag\nX.append(3)"), "id": "skipped"})
    assert "not reproducible" not in live.run(5, "%%mlstage c\ny = list(X) * 1").text
    live.insert(4, {**cell("%%mlstage m\nX.append(2)"), "id": "changes"})
    assert_warns(live.run(6, "%%mlstage c\ny = list(X) * 2").text, "NB406", "stage m [ ] (cell 4), which stands above", "has not run")
    live.run(4)
    assert "not reproducible" not in live.run(6).text
    assert live.value("y") == "[1, 2, 1, 2]"


def test_file_that_a_setup_cell_read(open_live: Opener) -> None:
    """What it holds now is known when the cell has run again; a cell that reads another one by then does not count for the first."""
    live = open_live((tagged_setup("conf = open('conf.txt').read()"), "%%mlstage a\nx = conf"), {"conf.txt": "one", "other.txt": "three"})
    live.write("conf.txt", "two")
    assert_warns(live.run(2).text, "NB413", "the file conf.txt was changed after [2] read it", "run [2] again")
    assert "the file conf.txt was changed" in live.check()
    assert in_batch(live, "a") == "ran"
    assert "is gone" not in live.run(2, "%%mlstage a\nx = conf * 1").text
    live.run(1)
    done = live.run(2)
    assert "not reproducible" not in done.text
    assert live.value("x") == "'two'"
    assert live.check() == ""
    assert in_batch(live, "a") == "reused"
    live.run(1, "conf = open('other.txt').read()")
    live.run(2)
    live.write("conf.txt", "four")
    assert "not reproducible" not in live.run(2).text
    assert live.value("x") == "'three'"
    assert live.check() == ""
    assert in_batch(live, "a") == "reused"


@pytest.mark.parametrize("where", ["setup", "stage"])
def test_file_that_a_module_read_as_it_was_imported(open_live: Opener, where: str) -> None:
    """Only a reload reads it again."""
    body = "x = helpers.CONF"
    cells = ("import helpers", f"%%mlstage a\n{body}") if where == "setup" else (f"%%mlstage a\nimport helpers\n{body}",)
    live = open_live(cells, {"helpers.py": "CONF = open('conf.txt').read()\n", "conf.txt": "one"})
    index = len(cells)
    live.run(index, f"{cells[-1]} * 1")
    live.write("conf.txt", "two")
    assert_warns(live.run(index).text, "NB413", "conf.txt was changed after helpers.py read it, as it was imported", "importlib.reload")
    assert in_batch(live, "a") == "ran"
    live.type("import helpers, importlib\nimportlib.reload(helpers)")
    assert "not reproducible" not in live.run(index).text
    live.run(index, f"{cells[-1]} * 1 * 1")
    assert live.value("x") == "'two'"
    assert live.check() == ""
    assert in_batch(live, "a") == "reused"


def test_stage_whose_upstream_stage_is_skipped(open_live: Opener) -> None:
    """It runs on what an earlier run has left, and says so: batch skips it."""
    live = open_live((cell("flag = True", "parameters"), "%%mlstage a --if flag\nx = 5", "%%mlstage b\ny = x", "%%mlstage c --after a\nz = 1"))
    live.run(1, "flag = False")
    assert_warns(live.run(3, "%%mlstage b\ny = x + 0").text, "NB410", "stage a [3] is skipped, since --if flag is false", "make it true")
    assert "skipped" in live.run(2).last_line
    assert_warns(live.run(3).text, "NB410", "is skipped, since --if flag is false")
    assert_warns(live.run(4, "%%mlstage c --after a\nz = 2").text, "NB410", "is skipped")
    assert "is skipped" in live.check()
    assert in_batch(live, "b") == "skipped"
    live.run(1, "flag = True")
    live.run(2)
    assert "not reproducible" not in live.run(3).text + live.run(4).text
    assert live.check() == ""


def test_stage_whose_upstream_stage_was_refused(open_live: Opener) -> None:
    """Batch offers it to nobody."""
    live = open_live(("floor = 0.5", '%%mlstage a --metrics m --require "m >= 0.6"\nm = floor + 0.2', "%%mlstage b\ny = m"))
    live.run(1, "floor = 0.1")
    assert "refused" in live.run(2).last_line
    assert_warns(live.run(3, "%%mlstage b\ny = m + 0").text, "NB410", "stage a [6] was refused, since --require m >= 0.6", "run [6] again")
    live.run(1, "floor = 0.5")
    live.run(2)
    assert "not reproducible" not in live.run(3).text
    assert live.check() == ""


@pytest.mark.parametrize("computed", [False, True], ids=["literal", "computed"])
def test_file_that_a_stage_wrote_and_that_is_another_by_now(open_live: Opener, *, computed: bool) -> None:
    """By hand, by the reader itself, by a stage below."""
    name = "'o' + '.txt'.lower()" if computed else "'o.txt'"
    live = open_live((f"%%mlstage a\nprint(open({name}, 'w').write('q'))\nx = 1", f"%%mlstage b\ny = open({name}).read()"))
    assert live.check() == ""
    live.write("o.txt", "hand")
    told = "the file o.txt is not what stage a [2] wrote"
    assert_warns(live.run(2).text, "NB413", told, "run [2] again")
    assert told in live.check()
    assert in_batch(live, "b") in {"ran", "reused"}
    live.write("o.txt", "hand")
    live.run(1)
    assert "not reproducible" not in live.run(2).text
    assert live.value("y") == "'q'"
    assert live.check() == ""
    live.run(2, f"%%mlstage b\nwith open({name}, 'a') as f:\n    print(f.write('+'))\ny = open({name}).read()")
    assert_warns(live.run(2).text, "NB413", "the file o.txt is not what stage a", "again")
    live.run(1)
    assert "not reproducible" not in live.run(2).text
    live.edit(1, f"%%mlstage a\nprint(open({name}, 'w').write('r'))\nx = 1")
    assert_warns(live.run(2).text, "NB404", "was edited after it ran")


@pytest.mark.parametrize(
    ("imports", "patch", "what"),
    [
        pytest.param("import math", "math.pi = 3", "math.pi", id="constant"),
        pytest.param("import string", "string.Template.delimiter = '%'", "string.Template.delimiter", id="class attribute"),
        pytest.param("import fractions", "fractions.Fraction.half = property(lambda s: s / 2)", "fractions.Fraction.half", id="new attribute"),
        pytest.param("import fractions", "setattr(fractions.Fraction, '__add__', None)", "fractions.Fraction.__add__", id="setattr"),
    ],
)
def test_library_patched_by_hand(open_live: Opener, imports: str, patch: str, what: str) -> None:
    """Whatever of a module or class is set; put back it is as it should be, and setup may do it."""
    live = open_live((imports, "%%mlstage a\nx = [1]", "%%mlstage b\ny = sum(x)"))
    owner, _, name = what.rpartition(".")
    live.type(f"print(old := vars({owner}).get('{name}'))")
    live.type(f"{patch}\nprint()")
    assert_warns(live.run(3, "%%mlstage b\ny = sum(x) + 0").text, "NB409", f"the attribute {what} was changed in [6]", "put it back")
    assert f"the attribute {what} was changed" in live.check()
    assert in_batch(live, "b") == "ran"
    live.type(f"{owner}.{name} = old\nprint()" if "half" not in what else f"del {owner}.{name}\nprint()")
    assert "not reproducible" not in live.run(3, "%%mlstage b\ny = sum(x) + 0 + 0").text
    assert live.check() == ""


def test_library_patched_by_an_earlier_text_of_a_cell(open_live: Opener) -> None:
    """What setup does no more is still in force; so is what a stage has once done."""
    setup = "import fractions\nfractions.Fraction.half = 1"
    live = open_live((tagged_setup("import fractions"), tagged_setup(setup), "%%mlstage a\nx = [1]"))
    assert live.check() == ""
    live.run(2, "import fractions")
    assert_warns(live.run(3, "%%mlstage a\nx = [1] * 1").text, "NB409", "Fraction.half is what a setup cell made it that is gone")
    live.type("del fractions.Fraction.half\nprint()")
    assert "not reproducible" not in live.run(3).text
    live.run(3, "%%mlstage a\nfractions.Fraction.half = 1\nx = [1]")
    assert_warns(live.run(3, "%%mlstage a\nx = [1] * 2").text, "NB409", "the attribute fractions.Fraction.half was changed in [10]")


@pytest.mark.parametrize(
    ("library", "change", "back", "what"),
    [
        pytest.param("sys", "sys.path.insert(0, 'lib')\nprint()", "sys.path.remove('lib')\nprint()", "sys.path", id="path"),
        pytest.param(
            "sklearn",
            "sklearn.set_config(transform_output='pandas')\nprint()",
            "sklearn.set_config(transform_output='default')\nprint()",
            "scikit-learn option transform_output",
            id="sklearn",
        ),
        pytest.param("sys", "sys.setrecursionlimit(500)\nprint()", "sys.setrecursionlimit(old)\nprint()", "recursion limit", id="recursion"),
    ],
)
def test_process_changed_by_hand_or_by_setup_that_is_gone(open_live: Opener, library: str, change: str, back: str, what: str) -> None:
    """Both stay in force in this kernel only."""
    live = open_live((f"import sys\nimport {library}", "%%mlstage a\nx = [1]"))
    live.type("print(old := sys.getrecursionlimit())")
    live.type(change)
    assert_warns(live.run(2, "%%mlstage a\nx = [1] * 1").text, "NB408", f"the {what} was changed in [5]")
    live.type(back)
    assert "not reproducible" not in live.run(2).text
    assert live.check() == ""
    line = change.partition("\n")[0]
    live.run(1, f"import sys\nimport {library}\n{line}")
    assert "not reproducible" not in live.run(2, "%%mlstage a\nx = [1] * 3").text
    live.run(1, f"import sys\nimport {library}")
    assert_warns(live.run(2, "%%mlstage a\nx = [1] * 4").text, "NB408", f"the {what} is what a setup cell made it that is gone")
    assert in_batch(live, "a") == "ran"
    live.type(back)
    assert "not reproducible" not in live.run(2).text
    assert live.check() == ""


def test_stage_typed_in_a_console(open_live: Opener) -> None:
    """Other code under the notebook's stage name does not run, and that is said; the same code is the stage."""
    live = open_live(("%%mlstage a\nX = [1]", "%%mlstage b\ny = list(X)"))
    done = live.type("%%mlstage a\nX = [1, 5]")
    assert not done.ok
    assert "NB405: stage 'a' is [2] of the notebook, and the code that was typed here is another: it has not run; edit [2] and run it" in done.text
    assert live.value("X") == "[1]"
    assert "reused" in live.type("%%mlstage a\nX = [1]").last_line
    assert live.check() == ""


@pytest.mark.parametrize(
    ("files", "changed", "again"),
    [
        pytest.param(
            {"util.py": "def f(x):\n    return x + 1\n", "helpers.py": "from util import f\ndef g(x):\n    return f(x)\n"},
            {"util.py": "def f(x):\n    return x + 100\n"},
            ("util", "helpers"),
            id="function",
        ),
        pytest.param(
            {"util.py": "K = 1\n", "helpers.py": "try:\n    from util import K\nexcept ImportError:\n    K = 0\ndef g(x):\n    return x + K\n"},
            {"util.py": "K = 100\n"},
            ("util", "helpers"),
            id="constant",
        ),
        pytest.param(
            {"helpers/sub.py": "def g(x):\n    return x + 1\n", "helpers/__init__.py": "from .sub import g\n"},
            {"helpers/sub.py": "def g(x):\n    return x + 100\n"},
            ("helpers.sub", "helpers"),
            id="package",
        ),
    ],
)
def test_module_that_holds_what_another_had_before_a_reload(
    open_live: Opener, files: dict[str, str], changed: dict[str, str], again: tuple[str, str]
) -> None:
    """Reloading the one that was edited is not enough: the message goes on until the other is reloaded too."""
    live = open_live(("import helpers", "%%mlstage a\nx = helpers.g(2)"), files)
    for name, text in changed.items():
        live.write(name, text)
    assert_warns(live.run(2).text, "NB407", "was changed after this kernel imported it")
    live.type(f"import importlib, sys\nimportlib.reload(sys.modules['{again[0]}'])")
    assert_warns(live.run(2).text, "NB407", f"as {again[0]} had it before it was reloaded", "reload helpers")
    live.type(f"importlib.reload(sys.modules['{again[1]}'])")
    assert "not reproducible" not in live.run(2).text
    assert live.value("x") == "102"
    assert live.check() == ""
    assert in_batch(live, "a") == "reused"


def test_star_import_of_a_module_that_was_reloaded(open_live: Opener) -> None:
    """The names are still those of the older module; equal data is no matter."""
    live = open_live(("from helpers import *", "%%mlstage a\nx = f(2) + len(LIST)"), {"helpers.py": f"LIST = [1]\n{HELPERS}"})
    live.write("helpers.py", f"LIST = [1]\n{EDITED_HELPERS}")
    live.type("import helpers, importlib\nimportlib.reload(helpers)")
    assert_warns(live.run(2).text, "NB407", "'f' was imported from helpers before that was reloaded", "run [2] again")
    live.run(1)
    live.run(2)
    assert live.value("x") == "103"
    assert live.check() == ""


@pytest.mark.parametrize("where", ["module", "notebook"])
def test_file_that_a_function_with_a_cache_read(open_live: Opener, where: str) -> None:
    """It does not read it again: the record holds the file all the same, and what the function keeps may be of another one."""
    code = "from functools import lru_cache\n\n@lru_cache\ndef load():\n    return open('d.txt').read()\n"
    setup, call = ("import helpers", "helpers.load") if where == "module" else (code, "load")
    live = open_live((setup, f"%%mlstage a\nx = {call}()", f"%%mlstage b\ny = {call}()"), {"helpers.py": code, "d.txt": "one"})
    assert live.check() == ""
    live.write("d.txt", "two")
    assert_warns(live.run(3).text, "NB413", "the file d.txt was changed after load read it, which keeps what it gave", "load.cache_clear()")
    assert in_batch(live, "b") == "ran"
    live.type(f"{call}.cache_clear()")
    live.run(2)
    assert "not reproducible" not in live.run(3).text
    assert live.value("x, y") == "('two', 'two')"
    assert live.check() == ""
    live.write("d.txt", "three")
    assert in_batch(live, "b") == "ran"


def test_way_back_of_a_stage_that_changes_two_names_of_one_object(open_live: Opener) -> None:
    """It names all that makes them, since the stage has changed both once more: followed once, it leads back."""
    live = open_live((tagged_setup("a = [1]"), tagged_setup("b = a"), "%%mlstage s\na.append(3)\nx = list(b)"))
    live.run(1)
    assert_warns(
        live.run(3, "%%mlstage s\na.append(4)\nx = list(b)").text, "NB406", "'b' is what stage s made of it", "run [5], [3] again, in this order"
    )
    for index in (1, 2, 3):
        done = live.run(index)
    assert "not reproducible" not in done.text
    assert live.value("x") == "[1, 4]"
    assert in_batch(live, "s") == "reused"
