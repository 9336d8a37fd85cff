"""Notice the files that libraries open in native code, which Python's audit events do not tell: Arrow's readers, `dbm` and the like.

Their functions are wrapped, once in a process, when their module is imported. A wrapped function does what it did before, and tells `note`.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    Note = Callable[[str, str], None]

__all__ = ["READERS", "wrap_loaded_readers", "wrap_when_loaded"]

_READ, _WRITE = "rb", "wb"
# of each module: a function or class, the place and the name of the argument that is the path, and what becomes of the file
_PARQUET = (
    ("read_table", 0, "source", _READ),
    ("ParquetFile", 0, "source", _READ),
    ("ParquetDataset", 0, "path_or_paths", _READ),
    ("read_metadata", 0, "where", _READ),
    ("read_schema", 0, "where", _READ),
    ("write_table", 1, "where", _WRITE),
    ("write_to_dataset", 1, "root_path", _WRITE),
    ("ParquetWriter", 0, "where", _WRITE),
)
_POLARS = tuple((f"{verb}_{kind}", 0, "source", _READ) for verb in ("read", "scan") for kind in ("csv", "ipc", "ndjson", "parquet", "json", "avro"))
READERS: dict[str, tuple[tuple[str, int, str, str], ...]] = {
    # their files have other names than the database: see `_wrap_database`
    "dbm.gnu": (),
    "dbm.ndbm": (),
    "cv2": (("imread", 0, "filename", _READ), ("VideoCapture", 0, "filename", _READ), ("imwrite", 0, "filename", _WRITE)),
    "h5py._hl.files": (("File", 0, "name", _READ),),
    "lightgbm.basic": (("Dataset", 0, "data", _READ), ("Booster", 2, "model_file", _READ)),
    "netCDF4": (("Dataset", 0, "filename", _READ),),
    "polars": _POLARS,
    "pyarrow.csv": (("read_csv", 0, "input_file", _READ), ("open_csv", 0, "input_file", _READ), ("write_csv", 1, "output_file", _WRITE)),
    "pyarrow.dataset": (
        ("dataset", 0, "source", _READ),
        ("parquet_dataset", 0, "metadata_path", _READ),
        ("write_dataset", 1, "base_dir", _WRITE),
    ),
    "pyarrow.feather": (("read_table", 0, "source", _READ), ("read_feather", 0, "source", _READ), ("write_feather", 1, "dest", _WRITE)),
    "pyarrow.json": (("read_json", 0, "input_file", _READ),),
    "pyarrow.orc": (("read_table", 0, "source", _READ), ("ORCFile", 0, "source", _READ), ("write_table", 1, "where", _WRITE)),
    "pyarrow.parquet": _PARQUET,
    "pyarrow.parquet.core": _PARQUET,
    "xgboost.core": (("DMatrix", 0, "data", _READ),),
}
_MARK = "__nbmlops_reader__"


def wrap_loaded_readers(note: Note) -> None:
    """Wrap the readers of modules that are loaded already.

    Parameters
    ----------
    note : callable
        Gets each path with the mode in which it is opened.
    """
    for name in READERS:
        if name in sys.modules:
            _wrap_module(sys.modules[name], note)


def wrap_when_loaded(spec: ModuleSpec, note: Note) -> None:
    """Have the readers of a module wrapped as soon as it has been executed."""
    run = getattr(spec.loader, "exec_module", None)
    if spec.loader is None or run is None:
        return

    def exec_module(module: ModuleType) -> None:
        run(module)
        _wrap_module(module, note)

    spec.loader.exec_module = exec_module  # type: ignore[method-assign]


def _wrap_module(module: ModuleType, note: Note) -> None:
    if module.__name__.startswith("dbm."):
        _wrap_database(module, note)
    for name, place, keyword, mode in READERS.get(module.__name__, ()):
        found = vars(module).get(name)
        if isinstance(found, type):
            made = _wrapped(vars(found).get("__init__"), place + 1, keyword, mode, note)
            if made is not None:
                setattr(found, "__init__", made)  # noqa: B010 - mypy does not let a class's own be assigned
        elif callable(found):
            made = _wrapped(found, place, keyword, mode, note)
            if made is not None:
                setattr(module, name, made)


def _wrap_database(module: ModuleType, note: Note) -> None:
    """Wrap the function that opens a database of `dbm`, as `shelve` does too."""
    function: Any = vars(module)["open"]
    if hasattr(function, _MARK):
        return
    endings = ("",) if module.__name__ == "dbm.gnu" else (".db",) if "Berkeley" in str(getattr(module, "library", "")) else (".dir", ".pag")

    @functools.wraps(function)
    def noticed(filename: Any, flag: str = "r", *args: Any) -> Any:  # noqa: ANN401
        for ending in endings:
            note(os.fsdecode(filename) + ending, {"r": _READ, "n": _WRITE}.get(flag[:1], "r+b"))
        return function(filename, flag, *args)

    setattr(noticed, _MARK, True)
    vars(module)["open"] = noticed


def _wrapped(function: Any, place: int, keyword: str, mode: str, note: Note) -> Any:  # noqa: ANN401 - any callable
    if function is None or hasattr(function, _MARK):
        return None

    @functools.wraps(function)
    def noticed(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        __tracebackhide__ = True
        given = args[place] if len(args) > place else kwargs.get(keyword)
        if mode == _READ:
            for path in _paths(given):
                note(path, mode)
        result = function(*args, **kwargs)
        if mode == _WRITE:
            for path in _paths(given):
                note(path, mode)
        return result

    setattr(noticed, _MARK, True)
    return noticed


def _paths(given: object) -> Iterable[str]:
    """Yield the files that a path, or a list of paths, stands for: a folder's are all that are in it, and the folder itself."""
    if isinstance(given, (list, tuple)):
        for item in given:
            yield from _paths(item)
    elif isinstance(given, (str, os.PathLike)):
        path = os.fspath(given)
        if not isinstance(path, str) or "://" in path or "\n" in path:
            return
        yield path
        if Path(path).is_dir():
            yield from (str(item) for item in sorted(Path(path).rglob("*")))
