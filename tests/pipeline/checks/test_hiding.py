"""Code that hides names from reading."""

from __future__ import annotations

import pytest

from tests.pipeline.checks.found import codes_of
from tests.pipeline.written import cell, pipeline_of

CODE = cell("code = 'q = 1'", "parameters")

HIDDEN = [
    "exec(code)",
    "exec(code, globals())",
    "exec(f'q = {code}')",
    "v = eval(code)",
    "globals()[code] = 1",
    "globals().update(q=1)",
    "locals()['q'] = 1",
    "vars()[code] = 1",
    "v = globals()[code]",
    "def f():\n    exec(code)\nf()",
    "import builtins\nbuiltins.exec(code)",
    "from builtins import exec as run\nrun(code)",
    "v = list(map(eval, [code]))",
    "get_ipython().user_ns['q'] = 1",
    "get_ipython().push({'q': 1})",
    "get_ipython().run_cell(code)",
    "import runpy\nv = runpy.run_path('other.py')",
    "%run other.py",
    "import sys\nsys._getframe().f_globals['q'] = 1",
]


@pytest.mark.parametrize("body", HIDDEN)
def test_hidden_names_ask_for_options(body: str) -> None:
    """Every way to run code from a string, or to reach the namespace, asks for --in and --out."""
    found = [item for item in pipeline_of(CODE, f"%%mlstage a\n{body}").diagnostics if item.code == "NB211"]
    assert found
    assert found[0].fix.startswith("name them all: %%mlstage a --in '' --out ")


OPEN = ["exec('q = 1')", "v = eval('code + code')", "globals()['q'] = 1", "v = compile(code, '', 'exec')"]


@pytest.mark.parametrize("body", OPEN)
def test_names_that_are_written_out_are_read(body: str) -> None:
    """A literal hides nothing."""
    assert codes_of(CODE, f"%%mlstage a\n{body}") == []


def test_function_of_a_setup_cell_is_told_for_its_stage() -> None:
    """The place is in the setup cell; the stage that calls it gets the options."""
    found = pipeline_of(CODE, "def f():\n    exec(code, globals())", "%%mlstage a\nf()").diagnostics
    assert {(item.code, item.cell, item.line, item.stage) for item in found} == {("NB211", 1, 2, "a")}
    assert found[0].message.startswith("setup code of stage 'a': ")


def test_out_may_name_what_a_setup_function_binds() -> None:
    """The fix that is asked for is not refused."""
    cells = [CODE, "def f():\n    exec(code, globals())", "%%mlstage a --in '' --out q\nf()", "%%mlstage b\ny = q"]
    assert codes_of(*cells) == []
