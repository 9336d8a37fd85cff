"""What the documentation lists is what the code can say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.acceptance.project import Project
from tests.pipeline.written import cell, pipeline_of

ROOT = Path(__file__).parents[1]


def test_every_code_is_in_the_table_and_no_other() -> None:
    """A code that a user meets can be looked up."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "nbmlops").rglob("*.py")]
    raised = {code for text in sources for code in re.findall(r'"(NB\d{3})"', text)} - {"NB000"}
    table = (ROOT / "docs" / "diagnostics.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| (NB\d{3}) ", table, re.MULTILINE)) - {"NB000"} == raised


def test_every_verb_is_in_the_readme() -> None:
    """A verb that nobody can find is no verb."""
    from nbmlops.cli.main import VERBS

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if verb not in text] == []


def rows_of_diagnostics() -> dict[str, list[str]]:
    """Return the columns of each code's row: code, severity or exit, meaning, bad, good."""
    table = (ROOT / "docs" / "diagnostics.md").read_text(encoding="utf-8")
    rows = [[part.strip() for part in line.strip("|").split(" | ")] for line in table.splitlines() if line.startswith("| NB") and "xx" not in line]
    assert len({row[0] for row in rows}) == len(rows), "a code has two rows"
    return {row[0]: row for row in rows}


def test_every_check_has_a_bad_and_a_good_example() -> None:
    """Who gets a code sees what to write instead."""
    poor = [code for code, row in rows_of_diagnostics().items() if code < "NB6" and code != "NB000" and (len(row) != 5 or not all(row))]
    assert poor == []


LEARNT = {"NB302", "NB321", "NB322", "NB323", "NB324", "NB325"}  # no single piece of code shows these
CODE = [code for code, row in rows_of_diagnostics().items() if code[:3] in {"NB3", "NB5"} and row[3].startswith("`") and code not in LEARNT]


def diagnosed(example: str, good: str = "") -> set[str]:
    """Return the codes of a stage that consists of an example, or of what its good twin makes of it."""
    twin = (re.findall(r"`([^`]+)`", good) or [""])[0]
    body = example if not good or twin.startswith("%%mlstage") else twin
    header = twin if twin.startswith("%%mlstage") else "%%mlstage a"
    imports = "import datetime, os, socket, zlib, torch\nimport ipywidgets as widgets\nimport numpy as np\nimport pandas as pd"
    cells = [imports, "from sklearn.model_selection import train_test_split", cell("names = rows = []\npath = 'p'", "setup")]
    return {item.code for item in pipeline_of(*cells, f"{header}\n{body}\n0", "%%mlstage reader\nz = x").diagnostics}


@pytest.mark.parametrize("code", CODE)
def test_examples_of_the_page_are_true(code: str) -> None:
    """The bad example is found under its code, and the good one is not."""
    row = rows_of_diagnostics()[code]
    assert code in diagnosed(row[3].partition("`")[2].partition("`")[0])
    assert code not in diagnosed(row[3].partition("`")[2].partition("`")[0], row[4])


def refusals() -> list[tuple[list[str], str, str]]:
    """Return the notebooks of the README's section on checks: their cells, the command, and what it says."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## What nbmlops checks for you\n")[2].partition("\n## ")[0]
    found = []
    for part in section.split("\n**")[1:]:
        code = "\n".join(line[4:] for line in part.splitlines() if line.startswith("    ") or not line)
        notebook, _, told = code.partition("$ nbmlops ")
        command, said = told.strip().splitlines()[:2]
        found.append(([text.strip() for text in re.split("─+", notebook)], command, said))
    return found


def test_readme_shows_three_refusals() -> None:
    """Each with the code that leads to its page."""
    assert [re.findall(r"NB\d{3}", said)[0] for _, _, said in refusals()] == ["NB203", "NB612", "NB213"]


@pytest.mark.parametrize(("cells", "command", "said"), refusals(), ids=[command for _, command, _ in refusals()])
def test_readme_says_what_the_command_says(tmp_path: Path, cells: list[str], command: str, said: str) -> None:
    """The messages in the README are those of the tool, to the letter."""
    project = Project(tmp_path / "project")
    verb, name = command.split()
    project.write(cells, name)
    done = project.call(verb, name)
    assert done.code == 1
    assert said in (done.out + done.err).splitlines()
