"""What can be told of a sweep before it runs."""

from __future__ import annotations

import pytest

from nbmlops.sweeps.foreseen import foreseen_metrics, shared_stages
from tests.pipeline.written import cell, pipeline_of

PARAMETERS = cell("rate = 0.1\ndepth = 3\nbase = 1", "parameters")


def test_stages_that_no_swept_parameter_reaches_are_shared() -> None:
    """By what they read, by what they use of setup, by --if, and by what is upstream."""
    pipeline = pipeline_of(
        PARAMETERS,
        cell("def scaled(x):\n    return x * rate", "setup"),
        "%%mlstage load\ndata = [base]",
        "%%mlstage direct\na = rate",
        "%%mlstage helper\nb = scaled(data)",
        '%%mlstage sometimes --if "rate > 0"\nc = data',
        "%%mlstage below\nd = a",
        "%%mlstage apart\ne = [data, depth]",
    )
    assert shared_stages(pipeline, ["rate"]) == {"load", "apart"}
    assert shared_stages(pipeline, ["depth"]) == set(pipeline.stages) - {"apart"}


CASES = [
    ("%%mlstage a --metrics m\nm = {'auc': 1, 'loss': 2}", {"auc", "loss"}, True),
    ("%%mlstage a --metrics m\nm = {}\nm['auc'] = 1", {"auc"}, True),
    ("%%mlstage a --metrics auc\nauc = 0.5", {"auc"}, False),
    ("%%mlstage a --metrics m\nm = {**{}, 'auc': 1}", {"auc"}, False),
    ("%%mlstage a --metrics m\nm = dict(auc=1)", {"m"}, False),
    ("%%mlstage a --metrics m\nm = {'auc': 1}\nm.update(x=1)", {"auc"}, False),
    ("%%mlstage a --metrics m\nm = {'auc': 1}\nfor k in 'ab':\n    m[k] = 1", {"auc"}, False),
    ("%%mlstage a\nimport nbmlops\nnbmlops.log_metric('auc', 1)", {"auc"}, True),
    ("%%mlstage a\nimport nbmlops\nnbmlops.log_metric(name='auc', value=1)", {"auc"}, True),
    ("%%mlstage a\nimport nbmlops\nfor k in 'ab':\n    nbmlops.log_metric(k, 1)", set(), False),
    ("%%mlstage a\nimport nbmlops\nnbmlops.slices(y, s, by=b)", set(), False),
    ("%%mlstage a\nimport nbmlops\nnbmlops.report(1, 0)", {"reported"}, True),
    ("%%mlstage a\nm = {'auc': 1}", set(), True),
]


@pytest.mark.parametrize(("source", "names", "whole"), CASES)
def test_metrics_that_are_spelled_out_are_known(source: str, names: set[str], whole: bool) -> None:  # noqa: FBT001 - a table
    """And where there may be others, that is known too."""
    found = foreseen_metrics(pipeline_of(source), {})
    assert found.names == {"a": names}
    assert found.whole is whole
    assert found.all == sorted(names) + sorted(f"a.{name}" for name in names)
