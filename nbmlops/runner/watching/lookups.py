"""Notice the modules that a stage's code looks for by name: `import_module("a" + "b")`, `find_spec`, an import that fails."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any

from nbmlops.runner.imports import standing_first
from nbmlops.runner.watching.readers import READERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.machinery import ModuleSpec
    from types import FrameType, ModuleType

__all__ = ["noticing_lookups"]

_IMPORTING = ("importlib", "pkgutil", "runpy")


@contextmanager
def noticing_lookups(own: Callable[[FrameType], bool], note: Callable[[str], None], loading: Callable[[ModuleSpec], None]) -> Iterator[None]:
    """Tell of each module that is searched for meanwhile, found or not.

    Parameters
    ----------
    own : callable
        Tells whether a frame runs code that counts: libraries look for much that is not there.
    note : callable
        Gets the module's dotted name.
    loading : callable
        Gets the spec of each module of `READERS` before it is executed.
    """
    finder = _Finder(own, note, loading)
    with standing_first(finder):
        yield


class _Finder(MetaPathFinder):
    """Finds nothing by itself: it stands first to hear what is asked."""

    def __init__(self, own: Callable[[FrameType], bool], note: Callable[[str], None], loading: Callable[[ModuleSpec], None]) -> None:
        self._own = own
        self._note = note
        self._loading = loading

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ANN401 - the protocol's
        """Note who asks, and give what the finders after this one find of a module whose readers are watched."""
        self._hear(fullname)
        if fullname not in READERS or self not in sys.meta_path:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                self._loading(spec)
                return spec
        return None

    def _hear(self, fullname: str) -> None:
        frame = sys._getframe(2)  # noqa: SLF001 - who asks is told by the stack alone
        asking: FrameType | None = frame
        while asking is not None and (
            asking.f_code.co_filename.startswith("<frozen importlib") or str(asking.f_globals.get("__name__")).startswith(_IMPORTING)
        ):
            asking = asking.f_back
        if asking is not None and self._own(asking):
            self._note(fullname)
