"""``nbmlops why``: what decides about a stage."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nbmlops.arguments import add_why as add_arguments
from nbmlops.arguments import given_parameters, open_session, print_json

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops why notebooks/flight_delay.ipynb train -p learning_rate 0.2"


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    lines = open_session(options).why(options.stage, given_parameters(options))
    if options.json:
        print_json({"stage": options.stage, "reasons": list(lines)})
    else:
        sys.stdout.write("\n".join(lines) + "\n")
    return 0
