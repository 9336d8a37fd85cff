"""Ten expectations against 300,000 rows: `nbmlops.validate` in a stage's logbook, against Great Expectations alone on the same suite."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from benchmarks.measure import expect, race, within
from benchmarks.table import Row

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers import Peers

__all__ = ["rows"]

_ROWS = 300_000
_MOST_S = 2.0
_ROUNDS = 5
_SUITE = """
expect_table_row_count_to_be_between 1 1000000
expect_column_to_exist distance
expect_column_values_to_not_be_null distance
expect_column_values_to_be_between distance 0 5000
expect_column_values_to_be_between hour 0 23
expect_column_values_to_be_in_set origin ['EWR', 'JFK', 'LGA']
expect_column_values_to_be_of_type distance float64
expect_column_mean_to_be_between delay -5 5
expect_column_values_to_be_unique flight
expect_column_values_to_match_regex carrier '^[A-Z]{2}$'
"""


def rows(folder: Path, peers: Peers) -> list[Row]:  # noqa: ARG001 - what every file of measurements is given
    """Race the two in this process, where Great Expectations is imported by both."""
    import great_expectations as gx

    import nbmlops  # noqa: PLC0415
    from nbmlops.gates.suites import read_suite  # noqa: PLC0415
    from nbmlops.runner.logged import Logbook, logging_to  # noqa: PLC0415

    df = _frame()
    os.chdir(folder)
    nbmlops.expect("bench", _SUITE)
    suite = gx.ExpectationSuite(name="bench", expectations=[dict(item) for item in read_suite("bench").expectations])

    def alone() -> Any:  # noqa: ANN401 - a result of Great Expectations
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        asset = context.data_sources.add_pandas("bench").add_dataframe_asset("frame")
        return asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": df}).validate(suite)

    def ours() -> bool:
        with logging_to(Logbook("bench")):
            return nbmlops.validate(df, "bench").passed

    expect(ours() and alone().success, "the two do not agree")
    result = race(lambda: within(ours), lambda: within(alone), _ROUNDS)
    found = []
    for unit, of in (("CPU", lambda cost: cost.cpu_s), ("wall", lambda cost: cost.wall_s)):
        ours_s, theirs_s = result.medians(of)
        more_s = ours_s - theirs_s
        found.append(
            Row(
                measured=f"10 expectations on {_ROWS:,} rows, {unit}",
                ours=f"{ours_s:.2f} s",
                theirs=f"Great Expectations alone {theirs_s:.2f} s",
                ratio=f"{result.ratio(of):.3f}",
                target=f"at most {_MOST_S:g} s more (here {more_s:+.2f} s)",
                met=more_s <= _MOST_S,
            )
        )
    return found


def _frame() -> Any:  # noqa: ANN401 - a pandas.DataFrame
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(0)
    columns = {
        "distance": random.uniform(80, 4983, _ROWS),
        "hour": random.integers(0, 24, _ROWS),
        "delay": random.normal(0, 40, _ROWS),
        "flight": np.arange(_ROWS),
        "origin": random.choice(["EWR", "JFK", "LGA"], _ROWS),
        "carrier": random.choice(["UA", "DL", "AA", "WN"], _ROWS),
    }
    return pd.DataFrame(columns)
