"""See modules as they are imported."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["around_imports", "standing_first"]


@contextmanager
def standing_first(finder: MetaPathFinder) -> Iterator[None]:
    """Let a finder be asked for each module before all others."""
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)


@contextmanager
def around_imports(executing: Callable[[ModuleSpec], AbstractContextManager[None] | None]) -> Iterator[None]:
    """Run modules that are imported meanwhile inside a context.

    Parameters
    ----------
    executing : callable
        Takes the spec of a module that is about to run, and gives the context to run it in; None for one that is of no interest.
    """
    finder = _Finder(executing)
    with standing_first(finder):
        yield


class _Finder(MetaPathFinder):
    """Finds nothing by itself: it takes what the finders after it give, and wraps the loader."""

    def __init__(self, executing: Callable[[ModuleSpec], AbstractContextManager[None] | None]) -> None:
        self._executing = executing

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ANN401
        place = sys.meta_path.index(self) if self in sys.meta_path else len(sys.meta_path)
        for finder in sys.meta_path[place + 1 :]:
            spec = finder.find_spec(fullname, path, target) if hasattr(finder, "find_spec") else None
            if spec is not None:
                self._wrap(spec)
                return spec
        return None

    def _wrap(self, spec: ModuleSpec) -> None:
        around = self._executing(spec) if hasattr(spec.loader, "exec_module") else None
        if spec.loader is None or around is None:
            return
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            with around:
                run(module)

        try:
            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        except AttributeError:
            return  # builtin and frozen modules: their loader is a class of the interpreter
