"""Code that is the user's own, and that Python runs it as its source is: byte code passes for any source of the same size and second."""

from __future__ import annotations

import importlib.util
import marshal
import os
import sysconfig
from functools import cache, lru_cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["compile_own_code", "is_own_code", "is_own_file", "may_run_older_code"]

_HEADER = 16
_HASHED, _CHECKED = 1, 2


def is_own_code(path: str | Path) -> bool:
    """Tell a file of code that the user may edit from one that came with Python or with a distribution."""
    return is_own_file(os.path.realpath(path))


def is_own_file(full: str) -> bool:
    """Tell it of a path without links."""
    return not (full.startswith(_libraries()) or "site-packages" in full or "dist-packages" in full or full.endswith(">"))


@cache
def _libraries() -> tuple[str, ...]:
    """Return the folders of installed code, and our own: a project that is nbmlops does not make stages depend on what runs them."""
    folders = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")}
    return tuple(os.path.realpath(folder) + os.sep for folder in (*folders, str(Path(__file__).resolve().parents[1])))


def compile_own_code() -> None:
    """Let this process import the user's own modules from their source, never from byte code.

    Byte code counts as that of a source of the same size that was written in the same second: an edit within it would be imported as it was
    before, under the key of what it is now.
    """
    plain = SourceFileLoader.path_stats
    if getattr(plain, "of_libraries_only", False):
        return

    def path_stats(loader: SourceFileLoader, path: str) -> Mapping[str, Any]:
        if is_own_code(path):
            raise OSError(path)  # what the loader takes for: no byte code can be told to be of this source
        return plain(loader, path)

    path_stats.of_libraries_only = True  # type: ignore[attr-defined]
    SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign, assignment]


def may_run_older_code(path: str) -> bool:
    """Tell whether a module that was imported before `compile_own_code` may run other code than its source, which looks unchanged since.

    So it is where there is byte code that Python takes for that of the source, and that is none of it.
    """
    try:
        kept = importlib.util.cache_from_source(path)
        source, code = os.stat(path), os.stat(kept)  # noqa: PTH116
    except (OSError, NotImplementedError):
        return False
    return _passes_for(path, kept, (source.st_mtime_ns, source.st_size, source.st_ino), (code.st_mtime_ns, code.st_size, code.st_ino))


@lru_cache(maxsize=256)
def _passes_for(path: str, kept: str, source_stamp: tuple[int, int, int], _code_stamp: tuple[int, int, int]) -> bool:
    try:
        data, source = Path(kept).read_bytes(), Path(path).read_bytes()
        flags, said = int.from_bytes(data[4:8], "little"), (int.from_bytes(data[8:12], "little"), int.from_bytes(data[12:16], "little"))
        if data[:4] != importlib.util.MAGIC_NUMBER or flags & _CHECKED:
            return False
        mtime_ns, size, _ = source_stamp
        if not flags & _HASHED and said != (mtime_ns // 10**9 & 0xFFFFFFFF, size & 0xFFFFFFFF):
            return False
        return bool(marshal.loads(data[_HEADER:]) != compile(source, path, "exec", dont_inherit=True))  # noqa: S302 - what Python itself has loaded
    except (OSError, SyntaxError, ValueError, EOFError, TypeError):
        return True
