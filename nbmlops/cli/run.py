"""``nbmlops run``: execute what is stale and write the executed notebook."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nbmlops.arguments import add_run as add_arguments
from nbmlops.arguments import given_parameters, open_session, print_json
from nbmlops.errors import UsageError
from nbmlops.session.run import Interrupted, Run
from nbmlops.views.text import run_text

if TYPE_CHECKING:
    import argparse

    from nbmlops.session.batch import Session

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops run notebooks/flight_delay.ipynb out.ipynb -p learning_rate 0.2"


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"--workers is {options.workers}", code="NB004", fix="give a number from 1")
    session = open_session(options)
    try:
        found = _run(session, options)
    except Interrupted as stop:
        found = stop.run
    if options.json:
        print_json(found.result.to_json())
    print(run_text(found.result), file=sys.stderr)
    return found.result.exit_code


def _run(session: Session, options: argparse.Namespace) -> Run:
    return session.run(
        given_parameters(options),
        output=options.output,
        stages=options.stage,
        force=options.force,
        force_stage=options.force_stage,
        workers=options.workers,
        executor=options.executor,
        track=not options.no_track,
        fail_fast=options.fail_fast,
        progress=_progress,
    )


def _progress(stage: str, reason: str) -> None:
    name = "report cells" if stage.startswith("@") else stage
    print(f"  {name} ... {reason}", file=sys.stderr, flush=True)
