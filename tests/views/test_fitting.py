"""Tables in the columns that a terminal has."""

from __future__ import annotations

import pytest

from nbmlops.views.escape import columns
from nbmlops.views.fitting import fitted_table
from nbmlops.views.tables import Table, text_table

TABLE = Table(
    header=("stage", "status", "took", "reason", "outputs"),
    rows=(
        ("load", "reused", "(1.2 s)", "reused from run 6d147b59", "X (920 kB), y (15 kB)"),
        ("report cells", "ran", "5 ms", "parameter trees 100 → 50; input score.metrics changed", ""),
    ),
    state=1,
    numbers=frozenset({2}),
    wraps=frozenset({3, 4}),
)


def test_table_that_fits_stays_as_it_is() -> None:
    """And so does every table in a log."""
    assert fitted_table(TABLE, None) == fitted_table(TABLE, 200) == text_table(TABLE)


def test_long_cells_go_on_below_themselves() -> None:
    """Nothing is lost, and no column breaks another."""
    assert fitted_table(TABLE, 80) == [
        "stage         status       took  reason                    outputs",
        "load          ↺ reused  (1.2 s)  reused from run 6d147b59  X (920 kB), y (15 kB)",
        "report cells  ✓ ran        5 ms  parameter trees 100 →",
        "                                 50; input score.metrics",
        "                                 changed",
    ]


def test_narrow_terminal_has_text_below_its_row() -> None:
    """Where there is no room for columns of text."""
    assert fitted_table(TABLE, 40) == [
        "stage         status       took",
        "load          ↺ reused  (1.2 s)",
        "    reused from run 6d147b59",
        "    X (920 kB), y (15 kB)",
        "report cells  ✓ ran        5 ms",
        "    parameter trees 100 → 50; input",
        "    score.metrics changed",
    ]


@pytest.mark.parametrize("width", range(37, 120))
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    """Wide characters and words without a blank included, and every character is there."""
    table = Table(
        header=TABLE.header, rows=(*TABLE.rows, ("a", "failed", "", "データ" * 30, "x" * 90)), state=1, numbers=TABLE.numbers, wraps=TABLE.wraps
    )
    lines = fitted_table(table, width)
    assert max(map(columns, lines)) <= width
    assert sum("".join(lines).count(letter) for letter in "データ") == 90
