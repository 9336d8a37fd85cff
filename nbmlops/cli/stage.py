"""``nbmlops stage``: run one stage. The one command that every scheduler schedules."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.arguments import add_notebook, open_session, print_json, strict_json
from nbmlops.errors import StoreError, UsageError
from nbmlops.session.single import run_stage
from nbmlops.store.replacing import replace_file

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops stage flight_delay.ipynb train --store s3://bucket/store --params @params.json --result train.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_notebook(parser)
    parser.add_argument("name", metavar="NAME", help="the stage")
    parser.add_argument("--params", metavar="@FILE|-", help="a JSON object of parameters, from a file or from stdin")
    parser.add_argument("--result", metavar="FILE", required=True, help="gets the stage's result as one JSON object; only this file counts")


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code: 0 done, reused or skipped, 1 failed, 3 refused, 4 upstream missing."""
    session = open_session(options)
    result, code = run_stage(session, options.name, _parameters(options.params))
    target = Path(options.result)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, f"{strict_json(result.to_json())}\n".encode(), point="answer")
    except OSError as error:
        raise StoreError(
            f"the result of stage {options.name!r} cannot be written to {target}: {error.strerror}",
            code="NB603",
            fix="free space or choose another --result; the stage's record is kept, and the same command reuses it",
        ) from error
    print_json(result.to_json())
    return code


def _parameters(source: str | None) -> dict[str, Any]:
    if source is None:
        return {}
    if source != "-" and not source.startswith("@"):
        raise UsageError(f"--params is {source!r}", code="NB004", fix="give @FILE, or - to read stdin: values do not belong on a command line")
    try:
        data = json.loads(sys.stdin.read() if source == "-" else Path(source[1:]).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--params {source} cannot be read: {error}", code="NB006", fix="give a JSON object") from error
    if not isinstance(data, dict):
        raise UsageError(f"--params {source} holds a {type(data).__name__}", code="NB006", fix="give a JSON object of names to values")
    return data
