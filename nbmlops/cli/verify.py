"""``nbmlops verify``: every stage twice, the second time under other conditions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nbmlops.arguments import add_verify as add_arguments
from nbmlops.arguments import given_parameters, open_session, print_json
from nbmlops.views.verdicts import verify_text

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops verify notebooks/flight_delay.ipynb -p learning_rate 0.2"


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code: 1 if a stage did not give the same twice."""
    found = open_session(options).verify(given_parameters(options), stages=options.stage, progress=_progress)
    if options.json:
        print_json(found.to_json())
    print(verify_text(found), file=sys.stderr)
    return found.exit_code


def _progress(stage: str, what: str) -> None:
    print(f"  {stage} ... {what}", file=sys.stderr, flush=True)
