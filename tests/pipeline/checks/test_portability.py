"""Shells, installations, widgets, questions, and marks of text notebooks."""

from __future__ import annotations

import pytest

from tests.pipeline.checks.found import codes_of, stage_codes
from tests.pipeline.written import cell, pipeline_of

ROWS = [
    ("x = 1\n# %%\ny = 2", ["NB501 2"]),
    ("x = 1\n#%% next\ny = 2", ["NB501 2"]),
    ("x = 1\n# In[3]:\ny = 2", ["NB501 2"]),
    ("x = '''\n# %%\n'''", []),
    ("x = 1  # %% of all", []),
    ("x = 1\n# %%time", []),
    ("x = 1\n# 100 %% sure", []),
    ("!sort in.txt > out.txt\nx = 1", ["NB502 1"]),
    ("x = !ls", ["NB502 1"]),
    ("%sx sort in.txt\nx = 1", ["NB502 1"]),
    ("subprocess.run(['sort', 'in.txt'])\nx = 1", ["NB502 1"]),
    ("os.system('sort in.txt')\nx = 1", ["NB502 1"]),
    ("!ls data\nx = 1", []),
    ("!nvidia-smi\nx = 1", []),
    ("!ls > files.txt\nx = 1", ["NB502 1"]),
    ("%pip install pandas\nx = 1", ["NB503 1"]),
    ("!pip install -q pandas\nx = 1", ["NB503 1"]),
    ("!apt-get install -y graphviz\nx = 1", ["NB503 1"]),
    ("!pip list\nx = 1", []),
    ("x = widgets.IntSlider()", ["NB504 1"]),
    ("widgets.interact(print, n=3)\nx = 1", ["NB504 1"]),
    ("%matplotlib widget\nx = 1", ["NB504 1"]),
    ("%matplotlib inline\nx = 1", []),
    ("x = input('name? ')", ["NB506 1"]),
    ("x = getpass.getpass()", ["NB506 1"]),
    ("breakpoint()\nx = 1", ["NB506 1"]),
    ("def input(text):\n    return text\nx = input('a')", []),
    ("import asyncio\nx = await asyncio.sleep(0)", []),
]


@pytest.mark.parametrize(("body", "codes"), ROWS, ids=[row[0] for row in ROWS])
def test_stage(body: str, codes: list[str]) -> None:
    """The diagnostic stands at its line, and nothing else is said."""
    assert stage_codes(body) == codes


def test_cell_of_a_shell_is_a_command() -> None:
    """What a whole cell of bash does is not seen either."""
    assert codes_of("%%mlstage a\n%%bash\nsort in.txt > out.txt") == ["NB502 0:2"]


def test_files_that_are_named_accept_a_command() -> None:
    """They are what the stage depends on then."""
    assert codes_of("%%mlstage a --file in.txt --writes out.txt\n!sort in.txt > out.txt") == []


def test_report_may_start_commands_but_not_ask() -> None:
    """Nothing hangs on a report; a question stops it in batch."""
    assert codes_of("%%mlstage a\nx = 1", "!sort in.txt\nprint(x)") == []
    assert codes_of("%%mlstage a\nx = 1", "print(x, input())") == ["NB506 1:1"]


def test_installation_in_a_cell_of_its_own_is_told() -> None:
    """In batch it would run after the stages that need it."""
    found = pipeline_of("!pip install tqdm", "%%mlstage a\nx = 1").diagnostics
    assert [(item.code, item.cell, item.severity) for item in found] == [("NB503", 0, "warning")]
    assert "after the stages" in found[0].message
    assert codes_of(cell("!pip install tqdm", "skip"), "%%mlstage a\nx = 1") == []


def test_mark_in_a_markdown_cell_is_text() -> None:
    """It is commented out as a whole."""
    assert codes_of(cell("# %%\ntext", kind="markdown"), "%%mlstage a\nx = 1") == []


def test_arguments_of_a_command_are_not_shown() -> None:
    """One of them may be a password."""
    message = pipeline_of("%%mlstage a\n!mysql -psecret < in.sql").diagnostics[0].message
    assert "starts a command, mysql: " in message
