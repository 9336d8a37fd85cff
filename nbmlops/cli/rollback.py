"""``nbmlops rollback``: let an alias mean what it meant before."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nbmlops.arguments import add_rollback as add_arguments
from nbmlops.arguments import open_promotions, print_json
from nbmlops.views.promotion import event_text

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = 'nbmlops rollback flight-delay --reason "alarms since noon"'


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    with open_promotions(options) as promotions:
        event = promotions.rollback(options.model, options.alias, options.reason, approver=options.approver)
    if options.json:
        print_json({"event": event.to_json()})
    else:
        sys.stdout.write(event_text(event) + "\n")
    return 0
