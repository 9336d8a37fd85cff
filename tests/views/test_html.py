"""The still card."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from nbmlops.runner.results import RunResult, StageResult
from nbmlops.views.html import graph_html, run_html

if TYPE_CHECKING:
    from nbmlops.pipeline.model import Pipeline

RUN = RunResult(
    run_id="0c1d",
    status="done",
    notebook="nb.ipynb",
    output=None,
    parameters={},
    seconds=1,
    stages={"load": StageResult(name="load", status="ran", seconds=4.2, reason="forced")},
)


def picture(page: str) -> str:
    """Return the SVG of a card."""
    found = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert found is not None
    return base64.b64decode(found[1]).decode()


def test_a_graph_is_an_image_and_a_table(pipeline: Pipeline) -> None:
    """The card survives where scripts and inline SVG do not."""
    page = graph_html(pipeline, {"train": "stale"}, {"train": "parameter C 0.5 -> 1.0"})
    assert "<svg" not in page
    assert "stale" in picture(page)
    for cell in ("<strong>train</strong>", "◐ stale", "parameter C 0.5 → 1.0", "rows, C", "model"):
        assert re.search(rf"<td[^>]*>{re.escape(cell)}</td>", page)


def test_columns_without_content_are_left_out(pipeline: Pipeline) -> None:
    """A bare graph has no empty columns for state and reason."""
    assert re.findall(r"<th[^>]*>(\w+)", graph_html(pipeline, {}, {})) == ["stage", "reads", "writes"]


def test_the_image_can_be_heard(pipeline: Pipeline) -> None:
    """Its alternative text tells the stages and their order."""
    assert 'alt="Pipeline of 4 stages. load; train after load; evaluate after train, load; audit after evaluate"' in graph_html(pipeline)


def test_a_run_is_a_table(pipeline: Pipeline) -> None:
    """A run has its headline and rows, and a picture where the pipeline is known."""
    assert "run 0c1d of nb.ipynb: done in 1.0 s" in run_html(RUN)
    assert "✓ ran</td>" in run_html(RUN)
    assert "<img" not in run_html(RUN)
    assert "4.2 s" in picture(run_html(RUN, pipeline))


def test_diagnostics_are_listed(pipeline_of) -> None:  # noqa: ANN001
    """A card for a notebook with errors says which."""
    page = graph_html(pipeline_of("", "%%mlstage a\ny = nowhere\n"))
    assert re.search(r"<li>cell 1.*error NB\d+: .*nowhere.*</li>", page)
