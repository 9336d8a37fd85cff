"""``nbmlops graph``: the stages and what they read from each other."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from nbmlops.arguments import add_graph as add_arguments
from nbmlops.arguments import open_session, print_json
from nbmlops.runner.redaction import Redactor, secret_values
from nbmlops.views.html import graph_html
from nbmlops.views.mermaid import graph_mermaid
from nbmlops.views.svg import graph_svg
from nbmlops.views.text import graph_text

if TYPE_CHECKING:
    import argparse

    from nbmlops.pipeline.model import Pipeline

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops graph notebooks/flight_delay.ipynb --format mermaid"


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    pipeline = open_session(options).graph()
    if options.json or options.format == "json":
        print_json(_hidden(pipeline))
    elif options.format == "text":
        sys.stdout.write(graph_text(pipeline) + "\n")
    else:
        draw = {"svg": lambda: graph_svg(pipeline, None), "html": lambda: graph_html(pipeline, {}, {}), "mermaid": lambda: graph_mermaid(pipeline)}
        sys.stdout.write(draw[options.format]() + "\n")
    return 1 if pipeline.errors else 0


def _hidden(pipeline: Pipeline) -> dict[str, Any]:
    """Return a pipeline as JSON, without the secrets among its parameters."""
    redactor = Redactor(secret_values({name: item.default for name, item in pipeline.parameters.items()}, {}, ()))
    found: dict[str, Any] = redactor.data(pipeline.to_json())
    return found
