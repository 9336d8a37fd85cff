"""Which statements and cells of setup make a name's value, in the notebook's order: what a live value is compared with."""

from __future__ import annotations

import ast
import hashlib
from typing import TYPE_CHECKING

from nbmlops.session.live.provenance import is_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.pipeline.model import Pipeline, SetupStatement
    from nbmlops.pipeline.setup import Statement
    from nbmlops.pipeline.source import Source
    from nbmlops.session.live.making import SetupChanges

__all__ = ["Makers", "act_of"]


def act_of(prints: Iterable[str]) -> str:
    """Return what stands for a cell as a whole among what has made a value.

    Parameters
    ----------
    prints : iterable of str
        The fingerprints of its statements: edited, it is another one.
    """
    return "cell " + hashlib.blake2b(" ".join(prints).encode(), digest_size=16).hexdigest()


class Makers:
    """Tells what makes the names of setup cells.

    Parameters
    ----------
    source : Source
    pipeline : Pipeline
        Of that source.
    changes : SetupChanges
        What cells were seen to change without saying so.
    """

    def __init__(self, source: Source, pipeline: Pipeline, changes: SetupChanges) -> None:
        self.setup = pipeline.setup
        self.trees: list[Statement] = [piece.statement for piece in source.pieces if piece.statement is not None]
        prints: dict[int, list[str]] = {}
        for statement in pipeline.setup:
            prints.setdefault(statement.cell, []).append(statement.fingerprint)
        self._acts = {cell: act for cell, found in sorted(prints.items()) if changes.of(act := act_of(found))}
        self._changes = changes

    def of(self, name: str, positions: Iterable[int], below: int) -> list[tuple[int, str]]:
        """Return what makes a name's value, with the cell of each, from what binds it.

        Parameters
        ----------
        name : str
        positions : iterable of int
            The setup statements that count.
        below : int
            The cell that is to see it: acts of cells from there on do not count.
        """
        found: list[tuple[int, str]] = []
        for position in positions:
            statement = self.setup[position]
            if name in statement.names:
                if name in self.trees[position].flow.binds:
                    found.clear()
                found.append((statement.cell, statement.fingerprint))
        first = found[0][0] if found else below
        acts = [(cell, act) for cell, act in self._acts.items() if first <= cell < below and name in self._changes.of(act)]
        return sorted([*found, *acts], key=lambda item: item[0])  # a cell's act stands behind its statements

    def before(self, name: str, position: int) -> tuple[str, ...]:
        """Return what has made a name's value when a setup statement runs."""
        return tuple(print_ for _, print_ in self.of(name, range(position), self.setup[position].cell))

    def taken(self, position: int, namespace: Mapping[str, object]) -> set[str]:
        """Return the setup names that a statement takes when it runs: a function takes most of its own later."""
        statement, node = self.setup[position], self.trees[position].tree.body[0]
        names = {name for other in statement.uses for name in self.setup[other].names}
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return names
        if not is_code(namespace.get(node.name)):
            return names | set(statement.free)  # a decorator may keep results: `lru_cache`
        return names & _taken_at_once(node)

    def position(self, statement: SetupStatement) -> int:
        """Return where a statement stands among those of setup."""
        return next(place for place, other in enumerate(self.setup) if other is statement)


def _taken_at_once(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> set[str]:
    parts: list[ast.AST] = list(node.decorator_list)
    if isinstance(node, ast.ClassDef):
        parts += [*node.bases, *(keyword.value for keyword in node.keywords)]
        parts += [item for item in node.body if not isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    else:
        parts += [*node.args.defaults, *(default for default in node.args.kw_defaults if default is not None)]
    return {inner.id for part in parts for inner in ast.walk(part) if isinstance(inner, ast.Name)}
