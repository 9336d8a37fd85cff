"""The names that ``from m import *`` binds, read off the module's source: it is not imported for this."""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nbmlops.dataflow.flow import Flow

__all__ = ["Stars"]

Names = dict[str, bool]
"""Each name, with whether the import surely binds it."""


class Stars:
    """Looks up the public names of modules as code in `folder` imports them.

    Parameters
    ----------
    folder : Path
        First on the search path.
    analyse : callable
        Reads a module's code, given what to ask for the stars in it.

    Attributes
    ----------
    asked : int
        How often it was asked: what was read without is what the code alone tells.
    """

    def __init__(self, folder: Path, analyse: Callable[[ast.Module, Callable[[str], Mapping[str, bool] | None]], Flow]) -> None:
        self._folder = folder
        self._analyse = analyse
        self._known: dict[str, Names | None] = {}
        self.asked = 0

    def names(self, module: str) -> Names | None:
        """Return what ``from module import *`` binds, or None where its source does not tell."""
        self.asked += 1
        if module not in self._known:
            self._known[module] = None  # modules that import each other's stars
            self._known[module] = self._look_up(module)
        return self._known[module]

    def _look_up(self, module: str) -> Names | None:
        if module.startswith("."):
            return None
        path = _source(module, [str(self._folder), *sys.path])
        if path is None:
            return _compiled(module)
        tree = _parse(path, path.stat().st_mtime_ns)
        if tree is None:
            return None
        flow = self._analyse(tree, self.names)
        if "__all__" in flow.binds:
            listed = _literal_all(tree)
            return None if listed is None else dict.fromkeys(listed, True)
        if flow.dynamic or flow.star_imports:
            return None
        found = {name: binding.kind == "definite" for name, binding in flow.binds.items() if not name.startswith("_")}
        if path.name == "__init__.py":
            # whoever imports a submodule makes it an attribute of its package
            inside = (entry.stem for entry in path.parent.iterdir() if entry.suffix == ".py" or (entry / "__init__.py").is_file())
            found = {**{name: False for name in inside if not name.startswith("_")}, **found}
        return found


def _source(module: str, search: Sequence[str]) -> Path | None:
    """Find a module's source without importing its packages."""
    paths: Sequence[str] | None = search
    parts = module.split(".")
    for depth, _ in enumerate(parts, 1):
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[:depth]), paths)
        if spec is None:
            return None
        paths = spec.submodule_search_locations
        if depth == len(parts):
            return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
        if paths is None:
            return None
    return None


def _compiled(module: str) -> Names | None:
    """Ask a module of the standard library that has no source, such as `math`: importing it does nothing else."""
    if module not in sys.stdlib_module_names:
        return None
    try:
        found = importlib.import_module(module)
    except ImportError:
        return None
    listed = getattr(found, "__all__", None) or [name for name in vars(found) if not name.startswith("_")]
    return dict.fromkeys(listed, True)


@lru_cache(maxsize=64)
def _parse(path: Path, changed_ns: int) -> ast.Module | None:  # noqa: ARG001 - an edited file is another entry
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError, RecursionError):
        return None


def _literal_all(tree: ast.Module) -> list[str] | None:
    """Return ``__all__`` where it is written out in one place."""
    places = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "__all__"]
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(places) == 1 and places[0] in node.targets:
            try:
                listed = ast.literal_eval(node.value)
            except (ValueError, TypeError):
                return None
            return list(listed) if all(isinstance(name, str) for name in listed) else None
    return None
