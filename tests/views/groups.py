"""What slices and explain return, with a text of one's choice wherever data may bring one."""

from __future__ import annotations

import math

import pandas as pd

from nbmlops.gates.explanation import Explanation
from nbmlops.gates.slices import ColumnSlices, Gap, Slices

__all__ = ["explanation", "slices"]


def slices(word: str) -> Slices:
    frame = pd.DataFrame(
        {
            "group": pd.Series([word, "other"], dtype=object),
            "rows": [9, 8],
            "small": [False, False],
            "roc_auc": [0.5, 0.7],
            "roc_auc_low": [0.4, 0.6],
            "roc_auc_high": [0.6, 0.8],
        }
    )
    gaps = (
        Gap(metric="roc_auc", worst_group=word, worst=0.5, gap=0.2, low=0.1, high=0.3),
        Gap(metric="roc_auc", worst_group=None, worst=math.nan, gap=math.nan, low=math.nan, high=math.nan, why=word),
    )
    columns = {
        word: ColumnSlices(column=word, sensitive=False, frame=frame, gaps=gaps),
        "small": ColumnSlices(column=word, sensitive=True, frame=frame.assign(small=True), gaps=gaps),
    }
    return Slices(columns=columns, overall={"roc_auc": 0.6}, rows=17, min_size=5, metrics={word: 0.5})


def explanation(word: str) -> Explanation:
    frame = pd.DataFrame({"feature": pd.Series([word, "other"], dtype=object), "importance": [0.7, 0.1], "std": [0.1, 0.1]})
    return Explanation(method=word, frame=frame, score=word, rows=5, of_rows=9)
