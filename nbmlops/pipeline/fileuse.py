"""Whether code may use files that reading it does not name."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nbmlops.dataflow.files import FILE_CALLS, path_calls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["may_use_unnamed_files"]

# whatever is done with these, files may be meant
_WORDS = frozenset({
    "Path", "PurePath", "Popen", "Repo", "ZipFile", "bz2", "connect", "eval", "exec", "fsspec", "getoutput", "glob", "gzip", "h5py", "iglob",
    "import_module", "joblib", "lzma", "memmap", "netCDF4", "os", "pathlib", "run_cell_magic", "run_line_magic", "shelve", "shutil", "sqlite3",
    "subprocess", "system", "tarfile", "tempfile", "validate", "zarr", "zipfile",
})  # fmt: skip
_VERBS = ("dump", "export", "extract", "fetch", "load", "open", "read", "save", "scan", "sink", "write")
_NO_FILES = frozenset({"load_ext", "loads", "dumps"})


def may_use_unnamed_files(trees: Iterable[ast.AST]) -> bool:
    """Tell whether code may read or write files on paths that are not literals in it.

    Examples
    --------
    >>> may_use_unnamed_files([ast.parse("x = pd.read_csv('a.csv'); x.fit(y)")])
    False
    >>> may_use_unnamed_files([ast.parse("shutil.rmtree(folder)")])
    True
    """
    return any(_may_mean_files(name) for tree in trees for name in _unexplained(tree))


def _may_mean_files(name: str) -> bool:
    return name in _WORDS or name in FILE_CALLS or (name.startswith(_VERBS) and name not in _NO_FILES)


def _unexplained(node: ast.AST) -> Iterator[str]:
    """Yield every name and attribute but for calls whose path is a literal."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.alias):
        return  # what is imported is told by where it is used
    explained = isinstance(node, ast.Call) and _names_its_file(node)
    for child in ast.iter_child_nodes(node):
        if explained and child is getattr(node, "func", None):
            yield from _unexplained(child.value) if isinstance(child, ast.Attribute) else ()
        else:
            yield from _unexplained(child)


def _names_its_file(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
    uses = path_calls(node) if name in FILE_CALLS else []
    return bool(uses) and all(isinstance(part, str) for _, use in uses for part in use.parts)
