"""The shell that cells run in: IPython as in a kernel, seeded, its outputs recorded."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.runner.bench import Bench, cell


def outputs(bench: Bench, code: str) -> list[dict[str, Any]]:
    """Return what one stage cell shows."""
    return bench.shown(bench.outcome(f"%%mlstage a\ndisplay('-')\n{code}").cell_outputs)[0][1:]


SHOWN = [
    ("1 + 1", [("execute_result", "2")]),
    ("1 + 1;", []),
    ("None", []),
    ("display(1)\ndisplay(2)", [("display_data", "1"), ("display_data", "2")]),
    ("x = 3\nx", [("execute_result", "3")]),
    ("%time 5", [("stream", None), ("execute_result", "5")]),
    ("get_ipython().__class__.__name__", [("execute_result", "'StageShell'")]),
    ("from IPython.display import HTML\nHTML('<b>')", [("execute_result", "<IPython.core.display.HTML object>")]),
    ("__name__", [("execute_result", "'__main__'")]),
    ("import asyncio\nawait asyncio.sleep(0)\n1", [("execute_result", "1")]),
    ("'await'", [("execute_result", "'await'")]),
]


@pytest.mark.parametrize(("code", "expected"), SHOWN)
def test_cell_shows_what_a_kernel_shows(bench: Bench, code: str, expected: list[tuple[str, str | None]]) -> None:
    """Results, displays and magics give the outputs of a notebook."""
    shown = outputs(bench, code)
    assert [(item["output_type"], item.get("data", {}).get("text/plain")) for item in shown] == expected


def test_underscore_is_the_last_value(bench: Bench) -> None:
    """Between the cells of a stage, `_` and `Out` work."""
    done = bench.outcome(cell("40 + 2", "stage:a"), cell("x = _\ny = list(Out.values())[-1]", "stage:a"), "%%mlstage b\nz = x + y")
    assert (bench.value(done, "a", "x"), bench.value(done, "a", "y")) == (42, 42)


def test_capture_magic_binds_its_name(bench: Bench) -> None:
    """`x = !cmd` and `%%capture`-like magics bind what they promise."""
    done = bench.outcome("%%mlstage a\nx = !echo hello\nx = list(x)", "print(x)")
    assert bench.value(done, "a", "x") == ["hello"]


def test_traceback_names_the_cell(bench: Bench) -> None:
    """An error says which cell of which stage it stands in, and shows the line."""
    done = bench.outcome("%%mlstage a\nx = 1\nx / 0")
    assert done.error is not None
    assert (done.error.type, done.error.message, done.error.cell) == ("ZeroDivisionError", "division by zero", 0)
    traceback = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(done.error.traceback))
    assert "Cell 0 (a), line" in traceback
    assert "/nbmlops/" not in traceback


def test_syntax_error_of_a_magic_body(bench: Bench) -> None:
    """Code that only fails when it is run fails the stage, not the process."""
    done = bench.outcome("%%mlstage a\nexec('x = (')")
    assert (done.status, done.error.type if done.error else "") == ("failed", "SyntaxError")


@pytest.mark.parametrize(("code", "exit_code"), [("exit()", 0), ("quit()", 0), ("raise SystemExit(3)", 3), ("import sys\nsys.exit('no')", 1)])
def test_exit_is_a_failure_with_its_code(bench: Bench, code: str, exit_code: int) -> None:
    """A stage that leaves has no result, whatever its code."""
    done = bench.outcome(f"%%mlstage a\n{code}")
    assert (done.status, done.error.exit_code if done.error else None) == ("failed", exit_code)


RANDOM = "%%mlstage {name}\nx_{name} = [random.random(), float(np.random.rand())]"
IMPORTS = "import random\nimport numpy as np"


def draws(bench: Bench, *cells: str, names: str = "ab", **trial: Any) -> list[Any]:
    """Run stages that draw, and return what they drew."""
    done = bench.run(*cells, print_all(names), forced=frozenset(names), **trial)
    return [bench.value(done, name, f"x_{name}") for name in names]


def print_all(names: str) -> str:
    """Return a report cell that reads what the stages bind."""
    return "print(" + ", ".join(f"x_{name}" for name in names) + ")"


def test_draws_are_the_same_each_time(bench: Bench) -> None:
    """The global random states are derived from the run's seed."""
    cells = (IMPORTS, RANDOM.format(name="a"), RANDOM.format(name="b"))
    first, again, other = draws(bench, *cells), draws(bench, *cells), draws(bench, *cells, seed=1)
    assert first == again
    assert first[0] != other[0]


def test_stages_draw_different_numbers(bench: Bench) -> None:
    """Two stages do not both begin with the same numbers."""
    found = draws(bench, IMPORTS, RANDOM.format(name="a"), RANDOM.format(name="b"))
    assert found[0][0] != found[1][0]
    assert found[0][1] != found[1][1]


def test_setup_that_seeds_is_left_alone(bench: Bench) -> None:
    """`random.seed(0)` in a setup cell gives what it gives in a kernel."""
    import random

    found = draws(bench, cell(f"{IMPORTS}\nrandom.seed(0)\nnp.random.seed(0)", "setup"), RANDOM.format(name="a"), names="a")  # type: ignore[arg-type]
    import numpy as np

    assert found == [[random.Random(0).random(), float(np.random.RandomState(0).rand())]]


def test_stages_that_import_numpy_draw_different_numbers(bench: Bench) -> None:
    """Each has its own seed, and its draws are marked, wherever numpy is imported."""
    code = "%%mlstage {0}\nimport numpy as np\nx_{0} = float(np.random.rand())"
    done = bench.run(code.format("a"), code.format("b"), print_all("ab"))
    assert bench.value(done, "a", "x_a") != bench.value(done, "b", "x_b")
    assert done.finished["a"].effects.random == ("numpy",)


def test_numpy_imported_by_the_stage_is_seeded_too(bench: Bench) -> None:
    """A stage that imports numpy itself draws the same numbers each time."""
    cells = ("%%mlstage a\nimport numpy\nx_a = float(numpy.random.rand())",)
    assert draws(bench, *cells, names="a") == draws(bench, *cells, names="a")
