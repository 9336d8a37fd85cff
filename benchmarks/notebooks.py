"""The notebooks that are measured, made here so that every run measures the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["busy_stages", "large_notebook", "ml_imports", "model_stages", "ten_cells", "trivial_stages", "write_notebook"]

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
_MODEL = """\
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split"""
# name, what it does: no stage by a magic line, so that papermill runs the same notebook
_MODEL_STAGES = (
    ("read", "rng = np.random.default_rng(0)\nraw = pd.DataFrame(rng.normal(size=(rows, 8)), columns=list('abcdefgh'))"),
    ("clean", "clean = raw[raw['a'].abs() < 3].reset_index(drop=True)\nprint(len(clean))"),
    ("features", "features = clean.assign(ab=clean['a'] * clean['b'], late=clean['c'].rolling(3, min_periods=1).mean())"),
    ("label", "label = (features['ab'] + features['late'] > 0).astype('int64')\nprint(int(label.sum()))"),
    (
        "train",
        """\
x_train, x_test, y_train, y_test = train_test_split(features, label, random_state=0)
model = RandomForestClassifier(50, max_depth=8, random_state=0).fit(x_train, y_train)""",
    ),
    ("score", "score = roc_auc_score(y_test, model.predict_proba(x_test)[:, 1])\nprint(f'{score:.6f}')"),
)
_BUSY = """\
total_{name} = 0
for number in range({steps}):
    total_{name} = (total_{name} * 31 + number) % 1_000_003"""


def ten_cells() -> list[tuple[str, str]]:
    """Return the ten trivial cells of one stage, after the parameter that they begin with; `total` is what they come to."""
    cells = [("stage:ten", f"v{number} = v{number - 1} + 1\nprint(v{number})") for number in range(2, 10)]
    return [("parameters", "start = 1"), ("stage:ten", "v1 = start\nprint(v1)"), *cells, ("stage:ten", "total = v9 + 1\nprint(total)")]


def ml_imports() -> list[tuple[str, str]]:
    """Return a stage that imports what a model needs and does next to nothing with it."""
    source = """\
import pandas as pd
import sklearn.linear_model
import mlflow
frame = pd.DataFrame({"a": [start, 2, 3]})
total = int(frame["a"].sum())
print(total, sklearn.linear_model.LinearRegression(), mlflow.__name__)"""
    return [("parameters", "start = 1"), ("stage:imports", source)]


def model_stages(rows: int) -> list[tuple[str, str]]:
    """Return six stages that make a frame of so many rows, and train and judge a forest on it."""
    stages = [(f"stage:{name}", source) for name, source in _MODEL_STAGES]
    return [("parameters", f"rows = {rows}"), ("", _MODEL), *stages]


def busy_stages(steps: int) -> list[tuple[str, str]]:
    """Return two independent stages that each keep one CPU busy for so many steps."""
    return [(f"stage:{name}", _BUSY.format(name=name, steps=steps)) for name in ("left", "right")]


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
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}, "language_info": {"name": "python"}}
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": about, "cells": made}), encoding="utf-8")
