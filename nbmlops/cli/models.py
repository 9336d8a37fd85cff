"""``nbmlops models``: registered models, and the versions of one with their gates."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nbmlops.arguments import add_models as add_arguments
from nbmlops.arguments import open_promotions, print_json
from nbmlops.views.promotion import models_text, state_text

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops models flight-delay"


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    with open_promotions(options) as promotions:
        if options.model is None:
            names = promotions.names()
            data, text = {"models": list(names)}, models_text(names)
        else:
            state = promotions.look(options.model)
            data, text = state.to_json(), state_text(state)
    if options.json:
        print_json(data)
    else:
        sys.stdout.write(text + "\n")
    return 0
