"""What code a value refers to: definitions of the notebook, modules of the project, installed distributions."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from nbmlops.store.serializers.base import Context

__all__ = ["References", "distribution_of", "is_users", "namespace_name"]

_MAIN = frozenset({"__main__", "__mp_main__"})
# the stream names their functions, the value does not
_OURS = frozenset({"nbmlops", "cloudpickle"})


def namespace_name(value: object, context: Context) -> str | None:
    """Return the dotted name by which setup cells define `value`, such as ``"Model.fit"``; None if they do not."""
    name = getattr(value, "__qualname__", None)
    if not isinstance(name, str) or name.partition(".")[0] not in context.by_reference:
        return None
    first, *rest = name.split(".")
    found = context.namespace.get(first)
    for part in rest:
        found = getattr(found, part, None)
    return name if found is value else None


class References:
    """Collects what the values of one encoding refer to.

    Parameters
    ----------
    context : Context
        Tells which modules are the project's.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seen: set[str] = set()
        self._found: set[str] = set()

    def add(self, kind: str, name: str) -> None:
        """Note a reference of the kind ``"name"``, ``"code"``, ``"module"`` or ``"dist"``."""
        self._found.add(f"{kind}:{name}")

    def add_module(self, name: str) -> None:
        """Note the module called `name`: as the project's, or as its distribution; the standard library is not noted."""
        top = name.partition(".")[0]
        if name in self._seen or name in _MAIN or top in sys.stdlib_module_names or top in _OURS:
            return
        self._seen.add(name)
        module = sys.modules.get(name)
        if _is_local(module, self._context.local_roots):
            self.add("module", name)
        elif distribution := distribution_of(name):
            self.add("dist", distribution)
        elif getattr(module, "__file__", None):
            # nobody's distribution, or one in editable mode: its source may change while its version does not
            self.add("module", name)

    def sorted(self) -> tuple[str, ...]:
        """Return what was noted."""
        return tuple(sorted(self._found))


def is_users(module: str, context: Context) -> bool:
    """Tell whether code is the notebook's or the project's, by the name of its module."""
    return module in _MAIN or _is_local(sys.modules.get(module), context.local_roots)


def _is_local(module: ModuleType | None, roots: tuple[Path, ...]) -> bool:
    file = getattr(module, "__file__", None)
    if not file:
        return False
    path = Path(file).resolve()
    # a virtual environment often lies inside the project
    if "site-packages" in path.parts or "dist-packages" in path.parts:
        return False
    return any(path.is_relative_to(root.resolve()) for root in roots)


def distribution_of(module: str) -> str | None:
    """Return the name of the installed distribution that `module` came from.

    `importlib.metadata.packages_distributions` reads all metadata, 0.7 s in a machine learning environment; one module's file is
    looked up in the RECORDs beside it in a fraction of that.
    """
    top = module.partition(".")[0]
    found = sys.modules.get(top)
    file = getattr(found, "__file__", None)
    if not file:
        # a namespace package, such as google: only the module itself can tell
        top, file = module, getattr(sys.modules.get(module), "__file__", None)
    return _owner(top, file) if file else None


@lru_cache(maxsize=1024)
def _owner(module: str, file: str) -> str | None:
    path = Path(file)
    levels = module.count(".") + (1 if path.stem == "__init__" else 0)
    folder = path.parents[levels] if levels < len(path.parents) else path.parent
    line = f"{path.relative_to(folder).as_posix()},".encode()
    for record in _records(folder, module.partition(".")[0]):
        data = record.read_bytes()
        if data.startswith(line) or b"\n" + line in data:
            return _name(record.parent)
    return None


def _records(folder: Path, top: str) -> Iterator[Path]:
    records = sorted(folder.glob("*.dist-info/RECORD"))
    prefix = top.lower() + "-"
    yield from (record for record in records if record.parent.name.lower().startswith(prefix))
    yield from (record for record in records if not record.parent.name.lower().startswith(prefix))


def _name(folder: Path) -> str:
    try:
        lines: list[str] = (folder / "METADATA").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named: list[Any] = [line[5:].strip() for line in lines[:50] if line.startswith("Name:")]
    return str(named[0]) if named else folder.name.partition("-")[0]
