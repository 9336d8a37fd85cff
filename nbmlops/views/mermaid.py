"""A pipeline as a Mermaid flowchart, for Markdown cells, README files and wikis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.pattern import pattern
from nbmlops.views.edges import edges_of
from nbmlops.views.escape import cut, listed

if TYPE_CHECKING:
    from nbmlops.pipeline.model import Pipeline

__all__ = ["graph_mermaid"]

# Mermaid reads quotes, `#code;`, `%%{directives}%%`, backticks (Markdown) and HTML even inside a quoted label.
_SPECIAL = pattern(r"[^\w ,.:+()→-]")


def graph_mermaid(pipeline: Pipeline) -> str:
    """Return a flowchart: a box for each stage, edges that say what they carry, dashed where they carry nothing."""
    identities = {name: f"s{number}" for number, name in enumerate(pipeline.stages)}
    lines = ["flowchart LR"]
    lines += [f'    {identities[name]}["{_label(cut(name, 64))}"]' for name in pipeline.stages]
    for edge in edges_of(pipeline):
        arrow = f'-- "{_label(listed(edge.carries, 3))}" -->' if edge.carries else "-.->"
        lines.append(f"    {identities[edge.source]} {arrow} {identities[edge.target]}")
    return "\n".join(lines)


def _label(text: str) -> str:
    return _SPECIAL.sub(lambda match: f"#{ord(match.group())};", text)
