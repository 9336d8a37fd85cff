"""Notice what a stage changes that is neither a variable nor a file: modules of the project, and the process."""

from __future__ import annotations

import ast
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nbmlops.notebook.code import parse_code
from nbmlops.runner.caches import cached, keeps_state, times_called
from nbmlops.runner.leaving.modulestate import ModuleStates
from nbmlops.runner.leaving.processstate import ProcessState
from nbmlops.runner.leaving.standing import standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from nbmlops.runner.watching.observation import Observation
    from nbmlops.store.serializers import Context

__all__ = ["LeftBehind"]


class LeftBehind:
    """Compares modules and process before and after each of a stage's own cells.

    Parameters
    ----------
    folder, project_root : Path
    context : Context
    sources : iterable of str
        The code that runs: the libraries that it patches are looked at.
    """

    def __init__(self, folder: Path, project_root: Path, context: Context, sources: Iterable[str]) -> None:
        self._modules = ModuleStates(folder, project_root, context)
        self._process = ProcessState(folder, sorted({root for source in sources for root in patched_roots(source)}))
        self._namespace: Mapping[str, Any] = context.namespace
        self._context = context
        self._found: dict[tuple[str, ...], None] = {}
        self._left: tuple[int, str] | None = None

    @contextmanager
    def following(self) -> Iterator[None]:
        """See what is imported meanwhile: importing is no change."""
        with self._modules.following(), self._process.following():
            yield

    @contextmanager
    def around(self, ordinal: int, observation: Observation, unstorable: Iterable[str] = ()) -> Iterator[None]:
        """Compare before and after the body, which is the stage's own cell of this number.

        Parameters
        ----------
        ordinal : int
        observation : Observation
        unstorable : iterable of str
            The setup objects that it uses and that cannot be stored: no fingerprint tells whether they changed.
        """
        objects = {name: self._namespace[name] for name in unstorable}
        stood = {name: standing(value, self._context) for name, value in objects.items()}
        # what was found after the cell before is what this one begins with, unless something has run or was imported since
        unchanged = self._left is not None and self._left == _newest_module()
        self._modules.begin(unchanged=unchanged)
        self._process.begin(self._namespace, unchanged=unchanged)
        called = times_called(cached(self._namespace))
        try:
            yield
        finally:
            cell, self._left = str(ordinal), _newest_module()
            for kind, what, *unless in self._modules.changes():
                self._found[kind, what, cell, *unless] = None
            functions = cached(self._namespace)
            times = times_called(functions)
            self._found.update({("cache", name, cell): None for name in times if times[name] != called.get(name, 0) and keeps_state(functions[name])})
            for name, before in stood.items():
                after = standing(objects[name], self._context) if before is not None and self._namespace.get(name) is objects[name] else before
                if before is not None and after is not None and (before != after or not after.told):
                    self._found["object" if before.mark != after.mark else "iterator", name, cell] = None
            for subject in self._modules.opaque():
                self._found["opaque", subject, cell] = None
            for kind, what, *unless in (*self._process.changes(self._namespace), *observation.environment_changes()):
                self._found[kind, what, cell, *unless] = None

    def look_anew(self) -> None:
        """Say that something else runs between two of the stage's own cells: what it changes is not theirs."""
        self._left = None

    @property
    def sources(self) -> dict[str, str]:
        """The digest of each project-local module's source as it was imported."""
        return dict(self._modules.sources)

    def add(self, kind: str, subject: str) -> None:
        """Note something else that was changed."""
        self._found[kind, subject, "0"] = None

    def entries(self) -> tuple[tuple[str, ...], ...]:
        """Return all that was changed, as effects hold it."""
        return tuple(sorted(self._found))


def _newest_module() -> tuple[int, str]:
    return len(sys.modules), next(reversed(sys.modules))


def patched_roots(source: str) -> set[str]:
    """Return the names on whose attributes code assigns or deletes, or that it gives to ``setattr``."""
    if "." not in source and "attr" not in source:
        return set()
    try:
        tree = parse_code(source)
    except (SyntaxError, ValueError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, (ast.Store, ast.Del)):
            found.add(_root(node))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"setattr", "delattr"} and node.args:
            found.add(_root(node.args[0]))
    return found - {""}


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
