"""Suites as files: found, read and written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbmlops.errors import UsageError
from nbmlops.gates.suites import is_written_by_hand, read_suite, suite_json, write_suite

EXISTS = {"type": "expect_column_to_exist", "kwargs": {"column": "a"}}
TROUBLE = {
    '{"name": "x",\n "expectations": [}': "line 2, column 19",
    "[]": "is a JSON list",
    "{}": "no list of expectations",
    '{"expectations": []}': "has no expectations",
    '{"expectations": [1]}': "expectation 1 .* is no expectation",
    '{"expectations": [{"type": "a", "kwargs": []}]}': "is no expectation",
    '{"expectations": [{"expectation_type": "a", "kwargs": {}}]}': "before 1.0",
    '{"expectations": [{"type": "a", "kwargs": {"min_value": {"$PARAMETER": "x"}}}]}': r"\$PARAMETER",
    '{"expectations": [{"type": "a", "kwargs": {"min_value": NaN}}]}': "NaN is no number",
    "[" * 100_000: "no JSON",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a notebook's folder, below the project's root."""
    (tmp_path / "pyproject.toml").touch()
    made = tmp_path / "notebooks"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


def test_the_notebook_s_folder_comes_before_the_project_s(folder: Path) -> None:
    """A name is looked for in both; a path is taken as it is."""
    (folder.parent / "expectations").mkdir()
    (folder.parent / "expectations" / "a.json").write_bytes(suite_json("project", [EXISTS], "me"))
    assert read_suite("a").name == "project"
    write_suite("a", suite_json("notebook", [EXISTS], "me"))
    assert read_suite("a").name == "notebook"
    assert read_suite(Path("expectations/a.json")) == read_suite("expectations/a.json") == read_suite("a")
    assert read_suite(folder.parent / "expectations" / "a.json").name == "project"


def test_a_missing_suite_names_those_that_are_there() -> None:
    """And the one that may be meant."""
    with pytest.raises(UsageError, match="there is none in expectations/ yet"):
        read_suite("flights")
    write_suite("flights", suite_json("flights", [EXISTS], "me"))
    with pytest.raises(UsageError, match="there are: flights; did you mean 'flights'"):
        read_suite("flight")


@pytest.mark.parametrize(("text", "said"), TROUBLE.items(), ids=range(len(TROUBLE)))
def test_a_file_that_is_no_suite_is_told_with_its_place(folder: Path, text: str, said: str) -> None:
    """One line, which names the file."""
    (folder / "bad.json").write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        read_suite("bad.json")
    assert "bad.json" in str(caught.value)


@pytest.mark.parametrize("given", [3, None, "", "a b", "../a", b"a", {"expectations": []}])
def test_what_is_no_suite_is_refused(given: object) -> None:
    """Neither a name nor a path nor a suite."""
    with pytest.raises(UsageError):
        read_suite(given)


def test_a_folder_is_no_suite(folder: Path) -> None:
    """What cannot be read is told too."""
    (folder / "a.json").mkdir()
    with pytest.raises(UsageError, match=r"'a\.json' cannot be read"):
        read_suite("a.json")


def test_hand_written_suites_are_known(folder: Path) -> None:
    """A cell replaces its own suite, and no other unasked."""
    assert not is_written_by_hand("a")
    write_suite("a", suite_json("a", [EXISTS], "%%mlexpect"))
    assert not is_written_by_hand("a")
    for other in (b"{", json.dumps({"name": "a", "expectations": [EXISTS]}).encode(), suite_json("a", [EXISTS], "me")):
        (folder / "expectations" / "a.json").write_bytes(other)
        assert is_written_by_hand("a")


def test_a_suite_that_cannot_be_written_is_told(folder: Path) -> None:
    """A file stands where the folder should."""
    (folder / "expectations").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_suite("a", b"")
