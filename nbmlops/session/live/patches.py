"""Functions, classes and modules as they should be, so that one that was patched by hand is noticed."""

from __future__ import annotations

from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CodeWatch"]

_DESCRIPTORS = (FunctionType, BuiltinFunctionType, MethodType, property, classmethod, staticmethod)


class CodeWatch:
    """The code that a notebook uses, as it was when it was first seen."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, dict[str, Any]]] = {}
        self._by: dict[tuple[int, str], str] = {}

    def see(self, objects: Iterable[Any]) -> None:
        """Take note of functions, classes and modules that are new."""
        for item in objects:
            if id(item) not in self._known and isinstance(item, (FunctionType, ModuleType, type)):
                self._known[id(item)] = (item, _parts(item))

    def renew(self, objects: Iterable[Any]) -> None:
        """Take what is there for what should be, since a module was reloaded or a cell that is setup changed it."""
        for item in objects:
            if id(item) in self._known:
                self._known[id(item)] = (item, _parts(item))

    def renew_from(self, modules: Iterable[ModuleType]) -> None:
        """Take modules that were executed again, and what was imported from them, for what should be."""
        names = {module.__name__ for module in modules}
        if names:
            self.renew([item for item, _ in list(self._known.values()) if getattr(item, "__module__", getattr(item, "__name__", "")) in names])

    def patched(self, item: Any) -> tuple[str, ...]:  # noqa: ANN401 - any code
        """Return the attributes of a function, class or module that are not what they were."""
        known = self._known.get(id(item))
        if known is None:
            return ()
        before, now = known[1], _parts(item)
        changed = {name for name, part in before.items() if name not in now or now[name] is not part}
        if not isinstance(item, ModuleType) and getattr(item, "__module__", "") == "__main__":
            changed |= now.keys() - before.keys()  # libraries add methods to each other's classes
        return tuple(sorted(changed))

    def everything(self) -> dict[int, tuple[Any, tuple[str, ...]]]:
        """Return all that is patched now, by the id of the object."""
        return {key: (item, found) for key, (item, _) in self._known.items() if (found := self.patched(item))}

    def attribute(self, before: dict[int, tuple[Any, tuple[str, ...]]], label: str, *, setup: bool) -> None:
        """Say which cell has patched what was not patched `before`; what a setup cell does is as it should be."""
        for key, (item, names) in self.everything().items():
            new = set(names) - set(before.get(key, (None, ()))[1])
            if new and setup:
                self.renew([item])
            for name in new:
                self._by[key, name] = label

    def culprit(self, item: Any, name: str) -> str | None:  # noqa: ANN401
        """Return the cell that was seen to patch an attribute."""
        return self._by.get((id(item), name))


def _parts(item: Any) -> dict[str, Any]:  # noqa: ANN401 - any code
    if isinstance(item, FunctionType):
        return {"__code__": item.__code__, "__defaults__": item.__defaults__, "__kwdefaults__": item.__kwdefaults__}
    held = list(vars(item).items())
    if isinstance(item, ModuleType):
        return {name: part for name, part in held if not name.startswith("__") and callable(part)}
    return {name: part for name, part in held if isinstance(part, _DESCRIPTORS)}
