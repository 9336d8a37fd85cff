"""What reading a notebook makes of `nbmlops.register_model`."""

from __future__ import annotations

from tests.pipeline.written import cell, pipeline_of


def test_registering_changes_nothing() -> None:
    """The stage hands the model on once, as it was: registering is no change of it, nor of the rows of the example."""
    pipeline = pipeline_of(
        cell("import nbmlops\nimport pandas as pd\nfrom sklearn.linear_model import LogisticRegression", "setup"),
        "%%mlstage load\nX = pd.DataFrame({'a': [0, 1]})\ny = [0, 1]",
        "%%mlstage train\nmodel = LogisticRegression().fit(X, y)",
        "%%mlstage keep\nnbmlops.register_model(model, 'm', example=X.head(), metrics={'auc': 0.5})",
        "%%mlstage later\nprint(model, X)",
    )
    assert pipeline.stages["later"].inputs == {"model": "train", "X": "load"}
    assert pipeline.stages["keep"].binds == ()
    assert [item for item in pipeline.diagnostics if item.severity != "info"] == []
