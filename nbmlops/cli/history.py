"""``nbmlops history``: who moved which alias of a model and why, and whether that is still what was written."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nbmlops.arguments import add_history as add_arguments
from nbmlops.arguments import open_promotions, print_json
from nbmlops.views.promotion import history_text

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops history flight-delay --verify"


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code: 1 if `--verify` found that something is not what was written."""
    with open_promotions(options) as promotions:
        found = promotions.history(options.model)
    if options.json:
        print_json(found.to_json())
    else:
        sys.stdout.write(history_text(found) + "\n")
    return 1 if options.verify and (found.broken or found.strayed) else 0
