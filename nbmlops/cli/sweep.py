"""``nbmlops sweep``: run trials with parameters that Optuna chooses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nbmlops.arguments import add_sweep as add_arguments
from nbmlops.arguments import open_session, print_json, sweep_options
from nbmlops.errors import NbmlopsError
from nbmlops.views.sweep import sweep_text
from nbmlops.views.sweepprogress import SweepProgress

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops sweep notebooks/flight_delay.ipynb --trials 20 --maximize roc_auc --space 'learning_rate=float(0.01, 0.3, log)'"
_INTERRUPTED = 130


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    sweep = open_session(options).sweep(sweep_options(options))
    progress = None if options.quiet else SweepProgress(sys.stderr)
    code = None
    try:
        sweep.run(progress)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except NbmlopsError as error:
        if error.exit_code == 2 or not sweep.trials:  # noqa: PLR2004 - misuse: nothing is lost by saying no more than that
            raise
        code = error.exit_code
        print(f"{error.code}: {error}", file=sys.stderr)
    finally:
        if progress is not None:
            progress.close()
    state = sweep.state
    if options.json:
        print_json(state.to_json())
    if not options.quiet:
        print(sweep_text(state), file=sys.stderr)
    elif code is not None or sweep.exit_code:
        print(sweep_text(state).splitlines()[0], file=sys.stderr)
    if code == _INTERRUPTED:
        print("interrupted: finished trials are kept; the same command continues", file=sys.stderr)
    return sweep.exit_code if code is None else code
