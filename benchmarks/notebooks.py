"""The notebooks that are measured, made here so that every run measures the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["large_notebook", "trivial_stages", "write_notebook"]

_GROUP = 10  # cells: one defines a function, one reports, the others are stages
_IMPORTS = """\
import json
import math
import random
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
import numpy as np
import pandas as pd"""
_FUNCTION = """\
def clean_{group}(frame, low=0.0, *, columns=("a", "b")):
    kept = frame[frame["a"] > low].copy()
    for column in columns:
        kept[column] = kept[column].fillna(kept[column].median())
    def scaled(value):
        return math.log1p(abs(value)) * factor
    kept["c"] = [scaled(value) for value in kept["a"]]
    return kept"""
_STAGE = """\
source_{cell} = {source}
frame_{cell} = clean_{group}(source_{cell}, low=threshold)
counts_{cell} = Counter(key for key in frame_{cell}["b"] if key is not None)
for key_{cell}, number in counts_{cell}.items():
    if number > limit:
        frame_{cell}.loc[frame_{cell}["b"] == key_{cell}, "d"] = number / len(frame_{cell})
table_{cell} = {{name: frame_{cell}[name].mean() for name in ("a", "b", "c")}}
score_{cell} = sum(table_{cell}.values()) + (lambda x: x * factor)(len(counts_{cell}))"""
_REPORT = """\
shown = pd.DataFrame([table_{cell}, {{"score": score_{cell}}}])
labels = [f"{{name}}: {{value:.2f}}" for name, value in table_{cell}.items()]
with open("report.txt", "w") as file:
    file.write("\\n".join(labels))
    file.write(str(score_{cell}))
best = max(table_{cell}, key=lambda name: table_{cell}[name])
print(best, len(labels), shown.shape)
shown.describe()"""
_PARAMETERS = """\
threshold = 0.5
limit = 3
factor = 1.5
rows = 100
seed = 7
name = "large"
dry = False
columns = ["a", "b"]"""


def trivial_stages(count: int) -> list[tuple[str, str]]:
    """Return a chain of stages that each add one to what the stage before made, as (tag, source) of each cell."""
    stages = [("", f"%%mlstage s{number}\nv{number} = v{number - 1} + 1") for number in range(1, count)]
    return [("parameters", "start = 1"), ("", "%%mlstage s0\nv0 = start"), *stages]


def large_notebook(count: int) -> list[tuple[str, str]]:
    """Return `count` code cells of 8 lines, the magic's not counted: parameters, imports, functions, stages and reports."""
    cells = [("parameters", _PARAMETERS), ("", _IMPORTS)]
    stage = 0
    for cell in range(2, count):
        group, place = divmod(cell - 2, _GROUP)
        if place == 0:
            cells.append(("", _FUNCTION.format(group=group)))
        elif place == _GROUP - 1:
            cells.append(("", _REPORT.format(cell=stage)))
        else:
            source = f"frame_{stage}" if stage else "pd.DataFrame(np.ones((rows, 2)), columns=columns)"
            stage = cell
            cells.append(("", f"%%mlstage stage_{cell}\n" + _STAGE.format(cell=cell, group=group, source=source)))
    return cells


def write_notebook(path: Path, cells: Sequence[tuple[str, str]]) -> None:
    """Write cells of (tag, source) as a notebook."""
    made: list[dict[str, object]] = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {"tags": [tag]} if tag else {},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }
        for number, (tag, source) in enumerate(cells)
    ]
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": made}), encoding="utf-8")
