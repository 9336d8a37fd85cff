"""``nbmlops promote``: let an alias mean a version of a model, if its gates hold."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nbmlops.arguments import add_promote as add_arguments
from nbmlops.arguments import open_promotions, print_json, version_number
from nbmlops.views.promotion import event_text

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = 'nbmlops promote flight-delay 2 --to champion --reason "better on every route"'


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    number = version_number(options.version)
    with open_promotions(options) as promotions:
        event = promotions.promote(options.model, number, options.to, options.reason, override=options.override, approver=options.approver)
    if options.json:
        print_json({"event": event.to_json()})
    else:
        sys.stdout.write(event_text(event) + "\n")
    return 0
