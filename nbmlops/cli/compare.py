"""``nbmlops compare``: what differs between runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.arguments import add_compare as add_arguments
from nbmlops.arguments import print_json, store_url
from nbmlops.session.comparing.compare import compare_runs
from nbmlops.settings import load_settings
from nbmlops.store.store import Store
from nbmlops.views.comparison import comparison_text

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops compare 8f3a flight_delay/7"


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    settings = load_settings(Path.cwd(), store=store_url(options.store))
    found = compare_runs(Store(settings.store, settings=settings), settings.project_root, options.runs)
    if options.json:
        print_json(found.to_json())
    else:
        sys.stdout.write(comparison_text(found) + "\n")
    return 0
