"""Measure everything and print the table."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from benchmarks import cold, extension, graph, handover, kernel, memory, noop, scale, sweep, validation, warm
from benchmarks.machine import machine_lines
from benchmarks.peers import install_peers
from benchmarks.table import Row, table_lines

__all__ = ["main"]

_ALL = (extension, graph, noop, warm, cold, handover, memory, kernel, sweep, validation, scale)


def main() -> None:
    """Install the peers where they are missing, measure in a folder that goes away, and print; words name the files to measure by."""
    names = [module.__name__.rpartition(".")[2] for module in _ALL]
    wanted = [module for module, name in zip(_ALL, names, strict=True) if name in (sys.argv[1:] or names)]
    peers = install_peers()
    before = machine_lines()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="nbmlops-bench-") as name:
        for module in wanted:
            folder = Path(name, module.__name__)
            folder.mkdir()
            sys.stderr.write(f"{time.strftime('%H:%M')} {module.__name__}\n")
            rows += module.rows(folder.resolve(), peers)
    sys.stdout.write("\n".join([*before, *machine_lines()[-1:], "", *table_lines(rows)]) + "\n")


if __name__ == "__main__":
    main()
