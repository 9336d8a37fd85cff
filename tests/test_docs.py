"""What the documentation lists is what the code can say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.acceptance.project import Project
from tests.acceptance.project import cell as tagged
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


NAMED_BY_USERS = frozenset({"parameters", "outputs", "metrics", "options", "tracking", "digests"})


def fields(data: object, place: str = "") -> set[str]:
    """Return the fields of JSON data with their places, those of all items of a list together; without what users and trackers name."""
    if isinstance(data, dict):
        return {
            found
            for name, item in data.items()
            for found in ({f"{place}.{name}"} | (set() if name in NAMED_BY_USERS and isinstance(item, dict) else fields(item, f"{place}.{name}")))
        }
    return {found for item in data for found in fields(item, f"{place}[]")} if isinstance(data, list) else set()


def test_page_of_json_has_the_fields_that_commands_print(tmp_path: Path) -> None:
    """Of each command's example: those, and no others."""
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    told = {name: json.loads(block) for name, block in re.findall(r"```json (\w+)\n(.*?)```", text, re.DOTALL)}
    project = Project(tmp_path / "project")
    (project.folder / "in.txt").write_text("1", encoding="utf-8")
    train = "%%mlstage train --metrics m --require 'm > 1' --writes out.txt\nm = X + n\nraw = open('in.txt').read()\nopen('out.txt', 'w').close()"
    plot = "%%mlstage plot\nimport time\nm['colour'] = time.time()"
    project.write([tagged("n = 2  # how many", "parameters"), "%%mlstage load\nX = 1", train, plot])
    for name, words in {"graph": (), "check": (), "status": (), "why": ("train",), "run": ()}.items():
        said = project.call(name, "nb.ipynb", *words, "--json").data
        if name != "check":
            said.update({key: [] for key in said if key == "diagnostics"})  # `check` shows their form
        assert fields(said) == fields(told[name]), name
    assert fields(project.call("run", "none.ipynb", "--json").data) == fields(told["error"])


@pytest.mark.parametrize(("cells", "command", "said"), refusals(), ids=[command for _, command, _ in refusals()])
def test_readme_says_what_the_command_says(tmp_path: Path, cells: list[str], command: str, said: str) -> None:
    """The messages in the README are those of the tool, to the letter."""
    project = Project(tmp_path / "project")
    verb, name = command.split()
    project.write(cells, name)
    done = project.call(verb, name)
    assert done.code == 1
    assert said in (done.out + done.err).splitlines()
