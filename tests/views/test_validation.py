"""What a suite says about a frame, as people read it."""

from __future__ import annotations

from dataclasses import replace

from nbmlops.gates.validation import Check, Validation
from nbmlops.views.validation import validation_html, validation_text

FOUND = Validation(
    name="flights",
    rows=27_004,
    checks=(
        Check(expectation="expect_column_to_exist", about="origin", wanted={}, met=True),
        Check(expectation="expect_column_mean_to_be_between", about="delay", wanted={"max_value": 10}, severity="info", met=False, observed=12.5),
        Check(
            expectation="expect_column_values_to_be_in_set", about="origin", wanted={"value_set": ["EWR", "JFK"]}, met=False,
            unexpected=27, looked_at=27_004, examples=("ZZZ", "ZZZ", "Q"), notes="airports of the contract",
        ),
    ),
    digests={},
)  # fmt: skip


def test_what_is_not_met_stands_first() -> None:
    """With its count, its share, examples once each, and what its author wrote."""
    lines = validation_text(FOUND).splitlines()
    assert lines[0] == "flights: refused, 1 of 3 expectations met, 27,004 rows"
    assert lines[3].startswith("expect_column_values_to_be_in_set")
    for part in ("✗ not met", "27 of 27,004 fail (0.1%): ZZZ, Q", 'value_set=["EWR", "JFK"]', "airports of the contract"):
        assert part in lines[3]
    assert "· noted" in lines[4]
    assert "12.5" in lines[4]
    assert "✓ met" in lines[5]


def test_a_warning_is_said_in_words() -> None:
    """What passes with a mark is not told as what passes."""
    found = replace(FOUND, checks=(FOUND.checks[0], replace(FOUND.checks[2], severity="warning")))
    assert validation_text(found).startswith("flights: passed, with warnings, 1 of 2 expectations met")
    assert "! warning" in validation_html(found)
    assert repr(found) == found.headline


def test_a_long_suite_is_cut() -> None:
    """A page of thousands of rows helps nobody; those that fail are kept."""
    found = replace(FOUND, checks=(*(FOUND.checks[0],) * 500, FOUND.checks[2]))
    page = validation_html(found)
    assert page.count("<tr>") == 201
    assert "301 more expectations" in page
    assert "not met" in page
