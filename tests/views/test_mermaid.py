"""The Mermaid flowchart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.views.mermaid import graph_mermaid

if TYPE_CHECKING:
    from nbmlops.pipeline.model import Pipeline


def test_stages_and_edges_are_lines(pipeline: Pipeline) -> None:
    """Edges say what they carry; one that carries nothing is dashed."""
    assert graph_mermaid(pipeline).splitlines() == [
        "flowchart LR",
        '    s0["load"]',
        '    s1["train"]',
        '    s2["evaluate"]',
        '    s3["audit"]',
        '    s0 -- "rows" --> s1',
        '    s1 -- "model" --> s2',
        '    s0 -- "test" --> s2',
        "    s2 -.-> s3",
    ]
