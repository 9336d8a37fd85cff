"""A file of skops without what differs from one writing to the next: addresses in memory, by which it names its parts, and times."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile, ZipInfo

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

__all__ = ["settle"]

_SCHEMA = "schema.json"


def settle(path: Path) -> None:
    """Number the parts of a file of skops in the order in which its schema names them, so that the same model has the same bytes.

    Parameters
    ----------
    path : Path
        A file that skops has just written.
    """
    settled = path.with_name(f"{path.name}.settled")
    with ZipFile(path) as source, ZipFile(settled, "w") as target:
        schema = json.loads(source.read(_SCHEMA))
        names = {info.filename: info for info in source.infolist() if info.filename != _SCHEMA}
        found: dict[str, str] = {}
        _number(schema, {}, names, found)
        for name in sorted(names, key=lambda name: (len(found.get(name, name)), found.get(name, name))):
            info = ZipInfo(found.get(name, name))
            info.compress_type, info.file_size = names[name].compress_type, names[name].file_size
            with source.open(name) as part, target.open(info, "w") as copy:
                shutil.copyfileobj(part, copy, 1 << 20)
        info = ZipInfo(_SCHEMA)
        info.compress_type = source.getinfo(_SCHEMA).compress_type
        target.writestr(info, json.dumps(schema, indent=2))
    settled.replace(path)


def _number(node: Any, ids: dict[int, int], files: Collection[str], found: dict[str, str]) -> None:  # noqa: ANN401 - JSON
    """Give each object's address and each file's name the number of its first appearance."""
    waiting = [node]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(reversed(item))
        if not isinstance(item, dict):
            continue
        for key, value in item.items():
            if key == "__id__" and isinstance(value, int):
                item[key] = ids.setdefault(value, len(ids) + 1)
            elif key == "file" and isinstance(value, str) and value in files:
                item[key] = found.setdefault(value, f"{len(found) + 1}.{value.rpartition('.')[2]}")
        waiting.extend(reversed([value for value in item.values() if isinstance(value, (dict, list))]))
