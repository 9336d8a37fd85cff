"""``nbmlops run``: execute what is stale and write the executed notebook."""

from __future__ import annotations

import argparse
import sys

from nbmlops.cli.parser import add_json, add_notebook, add_parameters, given_parameters, open_session, print_json
from nbmlops.errors import UsageError
from nbmlops.session.run import Run
from nbmlops.views.text import run_text

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops run notebooks/flight_delay.ipynb out.ipynb -p learning_rate 0.2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_notebook(parser)
    parser.add_argument("output", metavar="OUTPUT.ipynb", nargs="?", help="where the executed notebook goes (default: under the store)")
    add_parameters(parser)
    parser.add_argument("--stage", action="append", default=[], metavar="NAME", help="run this stage and what it needs; repeatable")
    forced = parser.add_mutually_exclusive_group()
    forced.add_argument("--force", action="store_true", help="run every stage again and replace its record")
    forced.add_argument("--force-stage", action="append", default=[], metavar="NAME", help="run this stage again; repeatable")
    parser.add_argument("--workers", type=int, metavar="N", help="stages that may run at once (default: one per CPU)")
    parser.add_argument("--executor", default="local", metavar="NAME", help="where stages run (default: local)")
    parser.add_argument("--fail-fast", action="store_true", help="let the first failure stop independent stages too")
    parser.add_argument("--no-track", action="store_true", help="tell no tracker about this run")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"--workers is {options.workers}", code="NB004", fix="give a number from 1")
    session = open_session(options)
    found = session.run(
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
    if options.json:
        print_json(found.result.to_json())
    _tell(found)
    return found.result.exit_code


def _progress(stage: str, reason: str) -> None:
    name = "report cells" if stage.startswith("@") else stage
    print(f"  {name} ... {reason}", file=sys.stderr, flush=True)


def _tell(found: Run) -> None:
    print(run_text(found.result), file=sys.stderr)
