"""``nbmlops run``: execute what is stale and write the executed notebook."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nbmlops.arguments import add_run as add_arguments
from nbmlops.arguments import given_words, open_session, print_json, run_session
from nbmlops.errors import UsageError
from nbmlops.session.run import Interrupted
from nbmlops.views.fitting import width_of
from nbmlops.views.progress import progress_on
from nbmlops.views.text import failure_text, run_text

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops run notebooks/flight_delay.ipynb out.ipynb -p learning_rate 0.2"


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"--workers is {options.workers}", code="NB004", fix="give a number from 1")
    session = open_session(options)
    progress = None if options.quiet else progress_on(sys.stderr, session.usual_seconds, options.workers or session.settings.worker_count)
    try:
        found = run_session(session, options, progress)
    except Interrupted as stop:
        found = stop.run
    finally:
        if progress is not None:
            progress.close()
    if options.json:
        print_json(found.result.to_json())
    given = given_words(options)
    text = failure_text(found.result, given) if options.quiet else run_text(found.result, given, width=width_of(sys.stderr))
    if text:
        print(text, file=sys.stderr)
    return found.result.exit_code
