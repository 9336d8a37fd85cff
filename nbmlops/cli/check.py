"""``nbmlops check``: every diagnostic, with its place and its fix."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nbmlops.arguments import add_check as add_arguments
from nbmlops.arguments import open_session, print_json
from nbmlops.views.text import diagnostics_text

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops check notebooks/flight_delay.ipynb"


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code: 1 if a diagnostic is an error."""
    session = open_session(options)
    diagnostics = session.check()
    if options.json:
        print_json({"diagnostics": [item.to_json() for item in diagnostics]})
    else:
        sys.stdout.write(diagnostics_text(diagnostics, session.document.shown) + "\n")
    return 1 if any(item.severity == "error" for item in diagnostics) else 0
