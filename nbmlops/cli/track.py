"""``nbmlops track sync``: send what trackers have not got yet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.arguments import add_json, print_json, store_url
from nbmlops.settings import load_settings
from nbmlops.store.store import Store

if TYPE_CHECKING:
    import argparse

    from nbmlops.tracking.delivery import Report

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops track sync"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("act", choices=("sync",), help="sync: empty the outbox")
    parser.add_argument("--store", metavar="URL", help="whose outbox (default: that of the project of this folder)")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code: 1 if a tracker did not take everything."""
    from nbmlops.tracking.base import REGISTRY  # noqa: PLC0415 - as below
    from nbmlops.tracking.delivery import sync  # noqa: PLC0415 - trackers are heavy
    from nbmlops.tracking.outbox import Outbox  # noqa: PLC0415

    settings = load_settings(Path.cwd(), store=store_url(options.store))
    store = Store(settings.store, settings=settings)
    outbox = Outbox(store.local_path("outbox"), settings.trackers)
    report = sync(outbox, [*settings.trackers, REGISTRY], settings.project_root)
    if options.json:
        print_json({"delivered": report.delivered, "left": report.left, "closed": report.closed})
    else:
        sys.stdout.write(_text(report) + "\n")
    return 1 if report.left else 0


def _text(report: Report) -> str:
    lines = [f"{tracker}: {len(runs)} sent" for tracker, runs in report.delivered.items() if runs]
    lines += [f"{tracker}: {run_id} waits: {reason}" for tracker, runs in report.left.items() for run_id, reason in runs.items()]
    lines += [f"run {run_id} was ended as cancelled: its process had died" for run_id in report.closed]
    return "\n".join(lines) or "nothing waits"
