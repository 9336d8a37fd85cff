"""The paths that the code of stages names, resolved through constants and parameters."""

from __future__ import annotations

import ast
import glob
import posixpath
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.dataflow.files import path_parts
from nbmlops.notebook.roles import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.dataflow.flow import PathUse
    from nbmlops.pipeline.effects import Effects
    from nbmlops.pipeline.linked import Linked
    from nbmlops.pipeline.model import Stage
    from nbmlops.pipeline.source import Piece

__all__ = ["Paths"]


class Paths:
    """Finds the files that stages name.

    Parameters
    ----------
    linked : Linked
    parameters : mapping of str to object
        Values that override the defaults.

    Attributes
    ----------
    constants : dict of str to object
        The names that setup sets to one literal, parameters among them, with the value that holds.
    """

    def __init__(self, linked: Linked, parameters: Mapping[str, Any]) -> None:
        self.constants = _literal_values(linked.source.pieces, parameters)
        self._linked = linked
        self._source = linked.source

    def add_to(self, stage: Stage, learnt: Effects) -> Stage:
        """Return a stage with the files that its code names and its options declare, and those that it was seen to write."""
        flows = [self._source.pieces[position].flow for position in self._linked.positions[stage.name]]
        flows += [piece.flow for piece in self._linked.opening(stage.setup)]
        removed = [path for path, _ in learnt.files_removed]
        read = {*self._named(use for flow in flows for use in flow.files_read), *self._declared(stage.directive.files)}
        written = {*self._named(use for flow in flows for use in flow.files_written), *map(posixpath.normpath, filter(None, stage.directive.writes))}
        written.update(learnt.files_written, removed)
        if not read and not written:
            return stage
        return replace(stage, files_read=tuple(sorted(read)), files_written=tuple(sorted(written)))

    def _named(self, uses: Iterable[PathUse]) -> set[str]:
        """Resolve paths that code names."""
        found: set[str] = set()
        for use in uses:
            if use.function in self._source.own_functions:
                continue
            values = [self.constants.get(part.id) if isinstance(part, ast.Name) else part for part in use.parts]
            texts = [value for value in values if isinstance(value, str)]
            path = "".join(texts)
            if path and len(texts) == len(values) and "://" not in path:
                found.add(posixpath.normpath(path))
        return found

    def _declared(self, patterns: Iterable[str]) -> set[str]:
        """Return what ``--file`` names: patterns too, as what they are to match may not be written yet."""
        folder = self._source.document.path.parent if self._source.document.path else Path()
        found: set[str] = set()
        for pattern in patterns:
            # `Path.glob` would give paths below the folder, and files that begin with a dot
            found.update((pattern, *(glob.glob(pattern, root_dir=folder, recursive=True) if glob.has_magic(pattern) else ())))  # noqa: PTH207
        return {posixpath.normpath(path) for path in found if path}


def _literal_values(pieces: Iterable[Piece], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names that one setup cell and nothing else sets to a literal or a literal path, with the value that holds in this run."""
    values: dict[str, Any] = {}
    times: dict[str, int] = {}
    statements: list[ast.stmt] = []
    for piece in pieces:
        for name in piece.flow.binds:
            times[name] = times.get(name, 0) + (piece.role not in {Role.INJECTED, Role.REPORT})
        if piece.statement is not None:
            values.update(piece.statement.literals)
            statements.append(piece.statement.tree.body[0])
    single = {name: value for name, value in values.items() if times[name] <= 1} | dict(parameters)
    for node in statements:
        for name, path in _constant_path(node, single).items():
            if times[name] <= 1:
                single.setdefault(name, path)
    return single


def _constant_path(node: ast.stmt, values: Mapping[str, Any]) -> dict[str, str]:
    """Return the name that a statement sets to a path made of literals and known names, such as ``OUT = Path("data") / name``."""
    if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
        return {}
    parts = [values.get(part.id) if isinstance(part, ast.Name) else part for part in path_parts(node.value) or (None,)]
    texts = [part for part in parts if isinstance(part, str)]
    return {node.targets[0].id: "".join(texts)} if len(texts) == len(parts) else {}
