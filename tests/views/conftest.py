"""Pipelines to look at, read from cells as a notebook's would be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbmlops.notebook.document import parse_document
from nbmlops.pipeline.build import build
from nbmlops.pipeline.source import read_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmlops.pipeline.model import Pipeline


@pytest.fixture
def pipeline_of() -> Callable[..., Pipeline]:
    """Return a function that makes a pipeline of code cells, the first of them holding the parameters."""

    def make(*cells: str) -> Pipeline:
        raw = [
            {
                "cell_type": "code",
                "id": f"c{n}",
                "metadata": {} if n else {"tags": ["parameters"]},
                "source": cell,
                "outputs": [],
                "execution_count": None,
            }
            for n, cell in enumerate(cells)
        ]
        return build(read_source(parse_document({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": raw})))

    return make


@pytest.fixture
def pipeline(pipeline_of: Callable[..., Pipeline]) -> Pipeline:
    """Return a pipeline of four stages; `audit` only waits for `evaluate`."""
    return pipeline_of(
        "C = 1.0  # strength\n",
        "def clean(rows):\n    return [row for row in rows if row]\n",
        "%%mlstage load\nrows = clean([1, 2, 0])\ntest = rows[:1]\n",
        "%%mlstage train --retries 2\nmodel = sum(rows) * C\n",
        "%%mlstage evaluate --metrics score --require 'score > 1'\nscore = model - test[0]\n",
        "%%mlstage audit --after evaluate\nprint('done')\n",
        "print(score)\n",
    )
