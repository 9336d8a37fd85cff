"""One stage in its process: inputs loaded, cells run, values stored, effects observed."""

from __future__ import annotations

from typing import Any

import pytest

from nbmlops.errors import NotStorable
from nbmlops.runner.stage import derive_seed, metrics_of
from tests.runner.bench import Bench, cell

MUTATIONS = [
    ("method of a list", "x = [1]", "x.append(2)", [1, 2]),
    ("method of a dict", "x = {'a': 1}", "x.update(b=2)", {"a": 1, "b": 2}),
    ("through a function", "x = [1]", "def f(v):\n    v.append(2)\nf(x)", [1, 2]),
    ("through an alias", "x = [1]", "w = x\nw.append(2)", [1, 2]),
    ("through an inner object", "x = {'k': [1]}", "for v in x.values():\n    v.append(2)", {"k": [1, 2]}),
    ("exhausted iterator state", "import random\nx = random.Random(1)\nx = [x]", "x[0] = x[0].random() > 2", [False]),
]


@pytest.mark.parametrize(("make", "change", "expected"), [row[1:] for row in MUTATIONS], ids=[row[0] for row in MUTATIONS])
def test_changed_input_is_what_later_stages_read(bench: Bench, make: str, change: str, expected: object) -> None:
    """A change in place that reading cannot see is a new version, as from top to bottom."""
    done = bench.run(f"%%mlstage a\n{make}", f"%%mlstage b\ny = 1\n{change}", "%%mlstage c\nz = x")
    assert {name: item.status for name, item in done.results.items()} == {"a": "ran", "b": "ran", "c": "ran"}
    assert bench.value(done, "b", "x") == expected
    assert done.planner.pipeline.stages["c"].inputs == {"x": "b"}


def test_change_is_learnt(bench: Bench) -> None:
    """The effect stands in the record, and the next plan starts from it."""
    cells = ("%%mlstage a\nx = [1]", "%%mlstage b\nx.append(2)", "%%mlstage c\nz = x")
    assert bench.effects(*cells, stage="b").mutated == ("x",)
    assert bench.planner(*cells).pipeline.stages["c"].inputs == {"x": "b"}
    assert set(bench.states(*cells).values()) == {"fresh"}


def test_reading_a_frame_whose_columns_lie_apart_is_no_change(bench: Bench) -> None:
    """As a file of CSV gives it; its fingerprint is of its bytes and of how it lies in memory."""
    read = "import io\nimport pandas as pd\nframe = pd.read_csv(io.StringIO('a,b\\n1,2\\n3,4\\n'))"
    cells = (f"%%mlstage a\n{read}", "%%mlstage b\nrows = len(frame)", "frame, rows")
    assert bench.effects(*cells, stage="b").mutated == ()
    changing = (cells[0], "%%mlstage b\nframe['c'] = 1\nrows = len(frame)", cells[2])
    assert bench.effects(*changing, stage="b").mutated == ("frame",)


def test_change_that_nobody_reads_is_known(bench: Bench) -> None:
    """An input changed in place is an effect also while no later cell reads it: one may be written tomorrow."""
    assert bench.effects("%%mlstage a\nx = [1]", "%%mlstage b\nx.append(2)\ny = 1", "%%mlstage c\nz = y", stage="b").mutated == ("x",)


def test_own_copy_is_changed_and_no_other(bench: Bench) -> None:
    """Changing an input leaves the artifact of the stage that made it as it was."""
    done = bench.run("%%mlstage a\nx = [1]", "%%mlstage b\nx.append(2)", "%%mlstage c\nz = x")
    assert bench.value(done, "a", "x") == [1]


def test_changed_constant_of_setup_is_handed_on(bench: Bench) -> None:
    """A list that setup makes and a stage fills is a version of that stage."""
    done = bench.run(cell("found = []", "setup"), "%%mlstage a\nfound.append(1)", "%%mlstage b\nz = list(found)", "print(z)")
    assert bench.value(done, "b", "z") == [1]


ALIASES = [
    ("two names of one list", "x = []\ny = x"),
    ("list of lists", "x = []\ny = [x, []]"),
    ("default argument", "x = []\ndef y(held=x):\n    return held"),
    ("view of an array", "import numpy as np\nx = np.zeros(3)\ny = x[1:]"),
]


@pytest.mark.parametrize("make", [row[1] for row in ALIASES], ids=[row[0] for row in ALIASES])
def test_names_that_share_state_are_kept_together(bench: Bench, make: str) -> None:
    """Names with shared state go into one object, and are loaded together."""
    record = bench.run(f"%%mlstage a\n{make}", "%%mlstage b\nz = (x, y)").finished["a"]
    assert record.effects.aliases == (("x", "y"),)
    assert record.outputs["x"].digest == record.outputs["y"].digest
    assert record.outputs["x"].members == ("x", "y")


def test_change_of_one_name_is_seen_through_the_other(bench: Bench) -> None:
    """`both = [train, test]` still holds `train` in the stage that changes `train`."""
    done = bench.run(
        "%%mlstage a\ntrain = [1]\nboth = [train]", "%%mlstage b\ntrain.append(2)\nn = len(both[0])", "%%mlstage c\nz = (both, train, n)", "print(z)"
    )
    assert bench.value(done, "b", "n") == 2
    assert bench.value(done, "c", "z") == ([[1, 2]], [1, 2], 2)


def test_equal_values_are_no_aliases(bench: Bench) -> None:
    """Two lists that are equal, and immutable values that are one object, share nothing."""
    effects = bench.effects("%%mlstage a\nx = [1]\ny = [1]\nt = u = (1, 'a')", "%%mlstage b\nz = (x, y, t, u)", stage="a")
    assert effects.aliases == ()


def test_files_are_effects(bench: Bench) -> None:
    """Files on computed paths: read, looked for in vain, written."""
    bench.write("in.txt", "1")
    code = "names = ['in', 'conf', 'out']\na = open(names[0] + '.txt').read()\nfound = Path(names[1] + '.yml').exists() or None\n"
    code += "try:\n    open(names[1] + '.yml')\nexcept OSError:\n    pass\nopen(names[2] + '.txt', 'w').write(a)"
    effects = bench.effects("from pathlib import Path", f"%%mlstage a\n{code}", stage="a")
    assert (effects.files_read, effects.files_absent, effects.files_written) == (("in.txt",), ("conf.yml",), ("out.txt",))


def test_environment_is_an_effect(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with a computed name is an input once it has been seen."""
    cells = ("import os", "%%mlstage a\nname = 'WH' + 'O'\nx = os.environ.get(name)")
    assert bench.effects(*cells, stage="a").environment == ("WHO",)
    assert bench.states(*cells) == {"a": "fresh"}
    monkeypatch.setenv("WHO", "me")
    assert bench.states(*cells) == {"a": "stale"}


def test_module_is_an_effect(bench: Bench) -> None:
    """A local module imported by a computed name makes stale when it changes."""
    bench.write("helpers_of_test.py", "K = 1")
    cells = ("%%mlstage a\nimport importlib\nx = importlib.import_module('helpers_of' + '_test').K",)
    assert bench.effects(*cells, stage="a").modules == ("helpers_of_test.py",)
    bench.write("helpers_of_test.py", "K = 2")
    assert bench.states(*cells) == {"a": "stale"}


def test_name_bound_by_exec_is_handed_on(bench: Bench) -> None:
    """A later cell that reads a name which only running binds gets it."""
    done = bench.run("text = 'q = 5'", "%%mlstage a\nexec(text)", "%%mlstage b\ny = q", "print(y)")
    assert bench.value(done, "b", "y") == 5
    assert done.finished["a"].effects.writes == ("q",)


def test_function_sees_a_global_that_was_redefined(bench: Bench) -> None:
    """A function handed on reads its globals where it is called, as in a kernel."""
    done = bench.run("%%mlstage a\nk = 1\ndef f():\n    return k", "%%mlstage b\nk = 2", "%%mlstage c\ny = f()", "print(y)")
    assert bench.value(done, "c", "y") == 2


FAILURES = [
    ("not storable", ["%%mlstage a\nx = open('in.txt')", "%%mlstage b\ny = x"], "a", "NotStorable", "hands on 'x', which cannot be stored"),
    ("not bound", ["%%mlstage a\nif False:\n    x = 1", "%%mlstage b\ny = x"], "a", "NotStorable", "did not bind 'x'"),
    ("metric is no number", ["%%mlstage a --metrics m\nm = {'auc': [1]}"], "a", "NotStorable", "m['auc'] is a list"),
    ("raises", ["%%mlstage a\nraise KeyError('gone')"], "a", "KeyError", "'gone'"),
    ("setup raises", [cell("raise OSError('no disk')", "setup"), "%%mlstage a\nx = 1"], "a", "OSError", "no disk"),
]


@pytest.mark.parametrize(("cells", "stage", "kind", "message"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES])
def test_failure_says_what_and_where(bench: Bench, cells: list[Any], stage: str, kind: str, message: str) -> None:
    """A stage that cannot be kept has failed: type, one-line message, cell."""
    bench.write("in.txt", "1")
    result = bench.run(*cells).results[stage]
    assert (result.status, result.error.type if result.error else None) == ("failed", kind)
    assert result.error is not None
    assert message in result.error.message
    assert result.error.cell is not None


@pytest.mark.parametrize("code", ["  x = 1\n  y = 2", "\n  x = 1\n\n  y = 2", ">>> x = 1\n>>> y = 2", "x = 1; y = 2"])
def test_code_may_be_indented_or_pasted(bench: Bench, code: str) -> None:
    """The magic line above it changes nothing of what IPython takes for code."""
    done = bench.run(f"%%mlstage a\n{code}", "%%mlstage b\nz = x + y")
    assert bench.value(done, "a", "y") == 2


def test_names_of_a_star_import_in_setup_are_no_outputs(bench: Bench) -> None:
    """Reading cannot list them: the stage has not bound them, unless it binds one anew."""
    bench.write("stars.py", "made = {}\nfor name in ('one', 'two'):\n    globals()[name] = name")
    cells = ("from stars import *", "%%mlstage a\nx = one", cell("z = one, two", "setup"), "%%mlstage b\ny = z, x")
    assert bench.effects(*cells, stage="a").writes == ()
    assert bench.statuses(*cells) == {"a": "reused", "b": "reused"}


def test_magic_may_do_without_its_sign(bench: Bench) -> None:
    """In a cell of one line, unless a variable has that name."""
    cells = ("%%mlstage a\npwd", "%%mlstage b\nhistory = [1]", "%%mlstage c\nhistory")
    done = bench.run(*cells)
    shown = [bench.shown(done.finished[name].cell_outputs)[0][0]["data"]["text/plain"] for name in "ac"]
    assert shown == [repr(str(bench.folder)), "[1]"]


def test_report_cells_of_a_notebook_without_stages_remember_all_cells(bench: Bench) -> None:
    """Setup cells count as in a kernel."""
    done = bench.run("import math", "1 + 1", "print(_, _2, Out)", report=True)
    assert done.finished["@report"].cell_outputs is not None
    assert "2 2 {2: 2}" in bench.text(done.finished["@report"].cell_outputs)


def test_failed_stage_keeps_what_it_printed(bench: Bench) -> None:
    """The outputs up to the error are there, and the error is the last of them."""
    result = bench.run("%%mlstage a\nprint('before')\nraise ValueError('no')").results["a"]
    (shown,) = bench.shown(result.cell_outputs)
    assert [item["output_type"] for item in shown] == ["stream", "error"]


def test_secret_is_masked_in_outputs_and_error(bench: Bench) -> None:
    """The value of a `--secret` variable is in nothing that a stage shows."""
    code = "token = os.environ['TOKEN']\nprint('token', token)\nos.write(1, token.encode())\nraise ValueError(token)"
    done = bench.outcome("import os", f"%%mlstage a --secret TOKEN\n{code}", environment={"TOKEN": "s3cr3t-v4lue"})
    assert done.error is not None
    assert "s3cr3t" not in repr(done.to_json()) + repr(bench.shown(done.cell_outputs))
    assert done.error.message == "[secret]"


def test_secret_is_masked_whatever_it_ends_with(bench: Bench) -> None:
    """No end of it waits, as the beginning of something else, until an output has come between."""
    secrets = {f"TOKEN{letter}": f"s3cr3t-v4l{letter}" for letter in "0123456789abcdef"}
    code = "for name in sorted(os.environ):\n    if name.startswith('TOKEN'):\n        os.write(1, os.environ[name].encode())\n"
    code += "        time.sleep(0.02)\n        display(0)"
    done = bench.outcome("import os, time", f"%%mlstage a {' '.join(f'--secret {name}' for name in secrets)}\n{code}", environment=secrets)
    assert done.status == "ran"
    assert "s3cr3t" not in repr(bench.shown(done.cell_outputs))


def test_secret_parameter_is_masked(bench: Bench) -> None:
    """A parameter whose name looks secret is masked too."""
    done = bench.outcome(cell("password = 'x'", "parameters"), "%%mlstage a\nprint(password)", parameters={"password": "hunter2-long"})
    assert bench.text(done.cell_outputs) == "[secret]\n"


def test_parameters_override_the_cell(bench: Bench) -> None:
    """Values of the run win over the cell, before the setup that stands below it."""
    done = bench.run(cell("n = 1", "parameters"), cell("m = n * 10", "setup"), "%%mlstage a\nx = (n, m)", "print(x)", parameters={"n": 7})
    assert bench.value(done, "a", "x") == (7, 70)


def test_process_is_the_notebooks(bench: Bench) -> None:
    """Working directory and search path are the notebook's folder, the hash seed is fixed."""
    code = "%%mlstage a\nimport os, sys\nx = [os.getcwd(), sys.path[0], os.environ['PYTHONHASHSEED'], __name__]"
    done = bench.run(code, "print(x)")
    assert bench.value(done, "a", "x") == [str(bench.folder), str(bench.folder), "0", "__main__"]


def test_stages_share_no_state(bench: Bench) -> None:
    """What one process changes of itself, no other sees."""
    cells = ("import sys", "%%mlstage a\nsys.marked = 1\nx = 1", "%%mlstage b\ny = x + hasattr(sys, 'marked')", "print(y)")
    assert bench.value(bench.run(*cells), "b", "y") == 1


METRICS: list[tuple[dict[str, Any], tuple[str, ...], dict[str, Any]]] = [
    ({"m": {"auc": 0.5, "n": 3}}, ("m",), {"auc": 0.5, "n": 3}),
    ({"auc": 0.5, "loss": 1}, ("auc", "loss"), {"auc": 0.5, "loss": 1}),
    ({"m": {"ok": True, "who": "me", "none": None}}, ("m",), {"ok": True, "who": "me", "none": None}),
    ({"m": {}}, ("m",), {}),
]


@pytest.mark.parametrize(("namespace", "names", "expected"), METRICS)
def test_metrics_are_plain(namespace: dict[str, Any], names: tuple[str, ...], expected: dict[str, Any]) -> None:
    """A mapping gives its items, a number its own name."""
    assert metrics_of(namespace, names) == expected


def test_numpy_metrics_are_plain_numbers() -> None:
    """Scalars and 0-d arrays of numpy become Python's."""
    import numpy as np

    found = metrics_of({"m": {"a": np.float64(0.5), "b": np.int64(2), "c": np.array(1.5)}}, ["m"])
    assert [(value, type(value)) for value in found.values()] == [(0.5, float), (2, int), (1.5, float)]


@pytest.mark.parametrize("value", [[1], {"k": {}}, object(), b"x"])
def test_metric_that_is_no_number_is_refused(value: object) -> None:
    """The message names the metric and its type."""
    with pytest.raises(NotStorable, match=type(value["k"] if isinstance(value, dict) else value).__name__):
        metrics_of({"m": value}, ["m"])


def test_seed_differs_by_stage_and_run() -> None:
    """Stages of one run, and runs of one stage, draw different numbers; the same twice, the same."""
    assert len({derive_seed(seed, draw) for seed in (0, 1) for draw in ("a", "b")}) == 4
    assert derive_seed(3, "a") == derive_seed(3, "a") < 2**32


def test_file_behind_a_link_is_used_by_both_names(bench: Bench) -> None:
    """Another stage may read by its own name what this one writes through the link."""
    bench.write("real.txt", "1")
    (bench.folder / "link.txt").symlink_to("real.txt")
    cells = ("%%mlstage a\nname = 'link' + '.txt'\nopen(name, 'w').write('2')", "%%mlstage b\nname = 'real' + '.txt'\ntext = open(name).read()")
    done = bench.run(*cells, "text")
    assert done.finished["a"].effects.files_written == ("link.txt", "real.txt")
    assert done.planner.pipeline.stages["b"].files_from == {"real.txt": "a"}
    assert bench.value(done, "b", "text") == "2"
