"""Paths in calls that are known to read or write a file."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Literal

from nbmlops.dataflow.flow import PathUse
from nbmlops.pattern import pattern

__all__ = ["DATABASE_CALLS", "FILE_CALLS", "PathCall", "path_calls", "path_parts"]

Kind = Literal["read", "write"]
PathCall = tuple[Kind, PathUse]
Parts = tuple[str | ast.Name, ...]

_MODE = pattern(r"[rwaxcbtU+]{1,4}")
_PATH_TYPES = frozenset({"Path", "PurePath", "PosixPath", "str", "fspath", "abspath"})

_READ_FIRST = frozenset(
    {
        "read_csv", "read_feather", "read_table", "read_fwf", "read_excel", "read_json", "read_parquet", "read_orc", "read_pickle", "read_hdf",
        "read_xml", "read_stata", "read_sas", "read_spss", "read_file", "read_ipc", "read_avro", "read_ndjson", "scan_csv", "scan_parquet",
        "scan_ipc", "scan_ndjson", "load", "loadtxt", "genfromtxt", "fromfile", "imread", "load_npz", "open_dataset", "loadmat",
    },
)  # fmt: skip
_WRITE_FIRST = frozenset(
    {
        "to_csv", "to_parquet", "to_json", "to_excel", "to_pickle", "to_feather", "to_hdf", "to_html", "to_stata", "to_xml", "to_orc",
        "to_latex", "to_markdown", "to_file", "to_netcdf", "write_csv", "write_parquet", "write_json", "write_ipc", "write_ndjson",
        "write_excel", "sink_parquet", "sink_csv", "save", "savez", "savez_compressed", "savetxt", "savefig", "write_html", "write_image",
        "tofile", "save_npz", "imsave", "imwrite", "savemat", "save_model",
    },
)  # fmt: skip
_WRITE_SECOND = frozenset({"dump", "write_table", "write_feather"})
# of modules whose functions have names that many objects' methods have too
_MODULES: dict[str, tuple[tuple[Kind, int], ...]] = {
    "os.remove": (("read", 0), ("write", 0)),
    "os.rename": (("read", 0), ("write", 0), ("write", 1)),
    "os.replace": (("read", 0), ("write", 0), ("write", 1)),
    "os.truncate": (("read", 0), ("write", 0)),
    "os.unlink": (("read", 0), ("write", 0)),
    "shutil.copy": (("read", 0), ("write", 1)),
    "shutil.copy2": (("read", 0), ("write", 1)),
    "shutil.copyfile": (("read", 0), ("write", 1)),
    "shutil.move": (("read", 0), ("write", 0), ("write", 1)),
}
_BASE: dict[str, Kind] = {"read_text": "read", "read_bytes": "read", "write_text": "write", "write_bytes": "write"}

_METHODS = frozenset(name[name.index(".") :] for name in _MODULES)

DATABASE_CALLS = frozenset({"sqlite3.connect"})
"""Dotted names of functions that open a database in a file."""

FILE_CALLS = _READ_FIRST | _WRITE_FIRST | _WRITE_SECOND | frozenset(_BASE) | {"open", "memmap"} | {name.partition(".")[2] for name in _MODULES}
"""Names of functions and methods that are worth a closer look."""


def path_calls(node: ast.Call) -> list[PathCall]:
    """List the paths that a call reads or writes, where they are literals or names.

    Parameters
    ----------
    node : ast.Call
        A call of a function or method whose last name is in `FILE_CALLS`.
    """
    func = node.func
    name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
    found = _named(node, name)
    # a function of the notebook may have the name of one that reads or writes
    return [(kind, replace(use, function=name)) for kind, use in found] if isinstance(func, ast.Name) and name != "open" else found


def _named(node: ast.Call, name: str) -> list[PathCall]:
    if name in {"open", "memmap"}:
        return _opened(node)
    if f".{name}" in _METHODS or name in _BASE:
        return _of_owner(name, node)
    # a query does not show whether it changes its database
    reads = _use("read", _argument(node, 0), node) if name in _READ_FIRST or name == "connect" else []
    if name in _READ_FIRST:
        return reads
    if name in _WRITE_SECOND:
        return _use("write", _argument(node, 1), node)
    if name in {"save", "save_model"} and len(node.args) > 1:
        # np.save(path, a), torch.save(a, path): the literal one is the path
        return _use("write", node.args[0], node, names=False) or _use("write", node.args[1], node, names=False)
    return [*reads, *_use("write", _argument(node, 0), node)]


def _of_owner(name: str, node: ast.Call) -> list[PathCall]:
    """Read ``path.write_text(...)`` and ``os.remove(path)``: what they are called on decides."""
    if not isinstance(node.func, ast.Attribute):
        return []
    owner = node.func.value
    if name in _BASE:
        return _use(_BASE[name], owner, node)
    full = f"{owner.id}.{name}" if isinstance(owner, ast.Name) else ""
    return [use for kind, position in _MODULES.get(full, ()) for use in _use(kind, _argument(node, position), node)]


def _opened(node: ast.Call) -> list[PathCall]:
    func = node.func
    # np.memmap(path, dtype, mode), which has no owner that could be the path
    mapped = isinstance(func, ast.Attribute) and func.attr == "memmap"
    place = 2 if mapped else 1
    path, mode = _argument(node, 0), node.args[place] if len(node.args) > place else None
    if isinstance(func, ast.Attribute) and not mapped and (path is None or _is_mode(path)):
        path, mode = func.value, path
    for keyword in node.keywords:
        if keyword.arg == "mode":
            mode = keyword.value
    if mode is not None and not _is_mode(mode):
        return []
    text = str(mode.value) if isinstance(mode, ast.Constant) else "r+" if mapped else "r"
    uses: list[PathCall] = []
    if "w" not in text and "x" not in text:
        uses += _use("read", path, node)
    if set(text) & set("wax+"):
        uses += _use("write", path, node)
    return uses


def _is_mode(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and _MODE.fullmatch(node.value) is not None


def _argument(node: ast.Call, position: int) -> ast.expr | None:
    if position < len(node.args):
        argument = node.args[position]
        return None if isinstance(argument, ast.Starred) else argument
    for keyword in node.keywords:
        if keyword.arg in {"path", "filepath_or_buffer", "path_or_buf", "fname", "file", "io", "filename", "database"}:
            return keyword.value
    return None


def _use(kind: Kind, path: ast.expr | None, node: ast.Call, *, names: bool = True) -> list[PathCall]:
    parts = None if path is None else _parts(path)
    if not parts or (not names and not any(isinstance(part, str) for part in parts)):
        return []
    first = parts[0]
    if isinstance(first, str) and (first == ":memory:" or "://" in first or "\n" in first or first.startswith(("file:", "{", "["))):
        return []
    return [(kind, PathUse(parts, node.lineno))]


def path_parts(node: ast.expr) -> Parts | None:
    """Give the parts of an expression that is a path made of literals and names, else None."""
    return _parts(node)


def _parts(node: ast.expr) -> Parts | None:
    if isinstance(node, ast.Name):
        return (node,)
    if isinstance(node, ast.Constant):
        return (node.value,) if isinstance(node.value, str) and node.value else None
    if isinstance(node, ast.JoinedStr):
        return _together([_formatted(value) for value in node.values], "")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Add):
        return _together([_parts(node.left), _parts(node.right)], "/" if isinstance(node.op, ast.Div) else "")
    return _joined(node) if isinstance(node, ast.Call) and not node.keywords and node.args else None


def _joined(node: ast.Call) -> Parts | None:
    """Read ``Path("a", b)``, ``os.path.join("a", b)`` and ``path.joinpath("b")``."""
    func = node.func
    name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
    pieces = [_parts(argument) for argument in node.args]
    if name == "joinpath" and isinstance(func, ast.Attribute):
        return _together([_parts(func.value), *pieces], "/")
    known = name in _PATH_TYPES or (name == "join" and isinstance(func, ast.Attribute) and not isinstance(func.value, ast.Constant))
    return _together(pieces, "/") if known else None


def _formatted(node: ast.expr) -> Parts | None:
    if isinstance(node, ast.FormattedValue):
        return _parts(node.value) if node.format_spec is None and node.conversion == -1 else None
    return _parts(node)


def _together(pieces: list[Parts | None], separator: str) -> Parts | None:
    joined: list[str | ast.Name] = []
    for piece in pieces:
        if piece is None:
            return None
        if joined and separator and not (isinstance(joined[-1], str) and joined[-1].endswith(separator)):
            _append(joined, separator)
        for part in piece:
            _append(joined, part)
    return tuple(joined)


def _append(joined: list[str | ast.Name], part: str | ast.Name) -> None:
    if isinstance(part, str) and joined and isinstance(joined[-1], str):
        joined[-1] += part
    else:
        joined.append(part)
