"""``nbmlops status``: the plan of a run, without running it."""

from __future__ import annotations

import argparse
import sys

from nbmlops.cli.parser import add_json, add_notebook, add_parameters, given_parameters, open_session, print_json
from nbmlops.views.text import status_text

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops status notebooks/flight_delay.ipynb -p learning_rate 0.2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_notebook(parser)
    add_parameters(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    plan = open_session(options).status(given_parameters(options))
    if options.json:
        print_json({"stages": [{"name": name, "state": item.state, "reason": item.reason} for name, item in plan.stages.items()]})
    else:
        sys.stdout.write(status_text(plan) + "\n")
    return 0
