"""The exceptions: one line each, exit codes, builtin bases, and the way across a process boundary."""

from __future__ import annotations

import pickle
import re
import tomllib
from pathlib import Path

import pytest

import nbmlops
from nbmlops import errors
from nbmlops.errors import MissingDependency, NbmlopsError, NotebookError, UsageError

KINDS = [
    ("NbmlopsError", Exception, 1),
    ("UsageError", ValueError, 2),
    ("NotebookError", ValueError, 2),
    ("StageFailed", RuntimeError, 1),
    ("GateRefused", RuntimeError, 3),
    ("LostRace", RuntimeError, 1),
    ("Tampered", RuntimeError, 1),
    ("UpstreamMissing", LookupError, 4),
    ("StoreError", OSError, 1),
    ("UntrustedArtifact", errors.StoreError, 1),
    ("NotStorable", TypeError, 1),
    ("TrackerUnavailable", ConnectionError, 1),
    ("MissingDependency", ImportError, 2),
]


@pytest.mark.parametrize(("name", "builtin", "code"), KINDS)
def test_kind_has_its_builtin_and_exit_code(name: str, builtin: type[Exception], code: int) -> None:
    """Each error can be caught as the builtin that it specialises, and ends a command with the contract's code."""
    kind = getattr(errors, name)
    assert issubclass(kind, NbmlopsError)
    assert issubclass(kind, builtin)
    assert kind.exit_code == code


def test_table_of_kinds_is_whole() -> None:
    """No error is missing from the table above."""
    assert sorted(name for name, _, _ in KINDS) == errors.__all__


PLACES = [
    ({}, "it broke"),
    ({"cell": 7}, "cell 7: it broke"),
    ({"notebook": "nb.ipynb"}, "nb.ipynb: it broke"),
    ({"notebook": "nb.ipynb", "cell": 0}, "nb.ipynb, cell 0: it broke"),
    ({"cell": 7, "fix": "mend it"}, "cell 7: it broke; mend it"),
]


@pytest.mark.parametrize(("parts", "expected"), PLACES)
def test_text_tells_place_problem_and_fix(parts: dict[str, object], expected: str) -> None:
    """The text says where, what, and what to do."""
    assert str(NbmlopsError("it broke", **parts)) == expected  # type: ignore[arg-type]


def test_text_is_one_line() -> None:
    """Line breaks in a message do not break the line."""
    assert str(UsageError("one\ntwo", fix="three\n  four")) == "one two; three four"


@pytest.mark.parametrize("kind", [getattr(errors, name) for name, _, _ in KINDS if name != "MissingDependency"])
def test_every_part_crosses_a_process(kind: type[NbmlopsError]) -> None:
    """Pickling keeps type, message and place."""
    copy = pickle.loads(pickle.dumps(kind("it broke", code="NB999", notebook="nb.ipynb", cell=3, fix="mend it")))
    assert type(copy) is kind
    assert (copy.message, copy.code, copy.notebook, copy.cell, copy.fix) == ("it broke", "NB999", "nb.ipynb", 3, "mend it")
    assert str(copy) == "nb.ipynb, cell 3: it broke; mend it"


def test_attribute_added_later_crosses_a_process() -> None:
    """What a caller hangs on an error, such as the list of diagnostics, is kept."""
    error = NotebookError("it broke")
    error.diagnostics = [{"code": "NB201"}]  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(error)).diagnostics == [{"code": "NB201"}]


def test_missing_package_says_what_to_install() -> None:
    """The fix is the pip command, and it survives pickling."""
    error = pickle.loads(pickle.dumps(MissingDependency("s3fs", "s3", "the store s3://b")))
    assert str(error) == "the store s3://b needs the package 's3fs'; run: pip install \"nbmlops[s3]\""
    assert (error.package, error.extra, error.purpose) == ("s3fs", "s3", "the store s3://b")


def test_notebook_shows_one_line() -> None:
    """IPython shows code and text, no traceback of ours."""
    assert UsageError("it broke", code="NB005")._render_traceback_() == ["NB005: it broke"]


def test_extras_that_errors_name_are_there() -> None:
    """What is missing comes with an extra of ours, or, where it is a dependency of nbmlops itself, by its own name."""
    root = Path(nbmlops.__file__).parent
    project = tomllib.loads((root.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [pair for path in root.rglob("*.py") for pair in re.findall(r'MissingDependency\("([^"]+)", "([^"]*)"', path.read_text(encoding="utf-8"))]
    assert {extra for _, extra in named} - {""} <= set(project["optional-dependencies"])
    core = {re.split(r"[\[<>=]", item)[0] for item in project["dependencies"]}
    assert {package for package, extra in named if not extra} <= core
    assert "run: pip install mlflow" in str(errors.MissingDependency("mlflow", "", "x"))
