"""`graph` of a large notebook, against libcst's parse with scopes of the same source."""

from __future__ import annotations

import importlib
import itertools
import sys
from typing import TYPE_CHECKING, Any

import nbmlops
from benchmarks.measure import Cost, race, within
from benchmarks.notebooks import large_notebook, write_notebook
from benchmarks.table import Row, race_rows

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers import Peers

__all__ = ["rows"]

_CELLS = 200
_MOST = 0.2


def rows(folder: Path, peers: Peers) -> list[Row]:
    """Read and link the notebook, and parse its source with libcst, in this process and in turn."""
    cells = large_notebook(_CELLS)
    path = folder / "large.ipynb"
    write_notebook(path, cells)
    source = "\n".join(_without_magic(text) for _, text in cells) + "\n"
    _check(path, cells)
    libcst, metadata = _libcst(peers)

    def scopes() -> object:
        # without the copy, which only guards against trees that are no trees: a parse gives a tree
        wrapper = metadata.MetadataWrapper(libcst.parse_module(source), unsafe_skip_copy=True)
        return wrapper.resolve(metadata.ScopeProvider)

    rounds = itertools.count()

    def graph() -> Cost:
        # cells whose text was read before in this process would not be read again
        new = next(rounds)
        write_notebook(path, [(tag, f"{text}\n# {new}") for tag, text in cells])
        return within(lambda: nbmlops.open(path).graph())

    result = race(graph, lambda: within(scopes))
    return race_rows(f"graph of {_CELLS} cells", "libcst with scopes", result, most=_MOST)


def _libcst(peers: Peers) -> tuple[Any, Any]:
    """Import libcst from the peers' environment; what nbmlops has installed itself keeps its place before it."""
    sys.path.append(str(peers.packages))
    return importlib.import_module("libcst"), importlib.import_module("libcst.metadata")


def _without_magic(source: str) -> str:
    return source.partition("\n")[2] if source.startswith("%%") else source


def _check(path: Path, cells: list[tuple[str, str]]) -> None:
    """Stop rather than measure a notebook that is refused."""
    pipeline = nbmlops.open(path).graph()
    expected = sum(source.startswith("%%mlstage") for _, source in cells)
    if pipeline.errors or len(pipeline.stages) != expected:
        raise RuntimeError(f"{len(pipeline.stages)} of {expected} stages; {pipeline.errors}")
