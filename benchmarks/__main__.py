"""Measure everything and print the table."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks import extension, graph, noop
from benchmarks.machine import machine_lines
from benchmarks.peers import install_peers
from benchmarks.table import Row, table_lines

__all__ = ["main"]


def main() -> None:
    """Install the peers where they are missing, measure in a folder that goes away, and print."""
    peers = install_peers()
    before = machine_lines()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="nbmlops-bench-") as name:
        for measure in (extension.rows, noop.rows, graph.rows):
            folder = Path(name, measure.__module__)
            folder.mkdir()
            rows += measure(folder.resolve(), peers)
    sys.stdout.write("\n".join([*before, *machine_lines()[-1:], "", *table_lines(rows)]) + "\n")


if __name__ == "__main__":
    main()
