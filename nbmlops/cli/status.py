"""``nbmlops status``: the plan of a run, without running it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nbmlops.arguments import add_status as add_arguments
from nbmlops.arguments import given_parameters, open_session, print_json
from nbmlops.views.fitting import width_of
from nbmlops.views.text import status_text

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops status notebooks/flight_delay.ipynb -p learning_rate 0.2"


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    plan = open_session(options).status(given_parameters(options))
    if options.json:
        print_json({"stages": [{"name": name, "state": item.state, "reason": item.reason} for name, item in plan.stages.items()]})
    else:
        sys.stdout.write(status_text(plan, width_of(sys.stdout)) + "\n")
    return 0
