"""``nbmlops sweep``: run trials with parameters that Optuna chooses."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from nbmlops.arguments import add_sweep as add_arguments
from nbmlops.arguments import open_session, print_json, sweep_options
from nbmlops.errors import NbmlopsError
from nbmlops.views.sweep import sweep_text
from nbmlops.views.sweepprogress import SweepProgress

if TYPE_CHECKING:
    import argparse

    from nbmlops.session.sweep import Sweep
    from nbmlops.session.sweepfeed import Feed

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops sweep notebooks/flight_delay.ipynb --trials 20 --maximize roc_auc --space 'learning_rate=float(0.01, 0.3, log)'"
_INTERRUPTED, _MISUSE = 130, 2


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    try:
        sweep = open_session(options).sweep(sweep_options(options))
    except NbmlopsError as error:
        if options.feed:
            told = {"kind": type(error).__name__, "exit_code": error.exit_code, "message": error.message, "code": error.code}
            print(json.dumps({"error_of_command": {**told, "notebook": error.notebook, "cell": error.cell, "fix": error.fix}}), flush=True)
        raise
    code = _run(sweep, _watcher(sweep, options))
    if options.feed:
        return code
    state = sweep.state
    if options.json:
        print_json(state.to_json())
    if not options.quiet:
        print(sweep_text(state), file=sys.stderr)
    elif code:
        print(sweep_text(state).splitlines()[0], file=sys.stderr)
    if code == _INTERRUPTED:
        print("interrupted: finished trials are kept; the same command continues", file=sys.stderr)
    return code


def _watcher(sweep: Sweep, options: argparse.Namespace) -> SweepProgress | Feed | None:
    if options.feed:
        from nbmlops.session.sweepfeed import Feed  # noqa: PLC0415 - for the process behind a panel

        feed = Feed(sys.stdout, lambda: sweep.state, sweep.weigh)
        feed(sweep.state)
        return feed
    return None if options.quiet else SweepProgress(sys.stderr)


def _run(sweep: Sweep, watcher: SweepProgress | Feed | None) -> int:
    try:
        return sweep.run(watcher).exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    except NbmlopsError as error:
        if error.exit_code == _MISUSE or not sweep.trials:
            raise  # nothing is lost by saying no more than that
        print(f"{error.code}: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        if watcher is not None:
            watcher.close()
