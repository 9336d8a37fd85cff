"""State that lives in project-local modules: every stage's process imports them anew, so what a stage changes there is lost."""

from __future__ import annotations

import functools
import operator
import os
import sys
import types
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.runner.imports import around_imports
from nbmlops.runner.localmodules import is_loaded_from, source_digest
from nbmlops.runner.sincefork import names_since
from nbmlops.store.fingerprint import function_state, value_fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbmlops.store.serializers import Context

__all__ = ["ModuleChange", "ModuleStates"]

ModuleChange = tuple[str, ...]
Marks = dict[str, str]
_PLAIN = frozenset({int, float, complex, bool, type(None), str, bytes})
# they guard or log: nothing in them decides a value
_HARMLESS = ("_thread", "threading", "logging", "_weakref", "weakref", "_weakrefset")
_OPAQUE = "opaque"
_SUBMODULE = "submodule"


class _Loaded:
    """Finds the project's modules among those that are loaded: it is asked before and after each stage, and mostly none has come since.

    Parameters
    ----------
    root : Path
        The project root.
    """

    def __init__(self, root: Path) -> None:
        self.is_local: Callable[[str], bool] = functools.cache(lambda file: is_loaded_from(file, root))
        self._modules: list[types.ModuleType | None] = []
        self._local: list[tuple[str, types.ModuleType]] = []

    def local(self) -> list[tuple[str, types.ModuleType]]:
        """Return the files of the project's modules, with the modules."""
        modules = [sys.modules.get(name) for name in names_since()]
        if len(modules) != len(self._modules) or not all(map(operator.is_, modules, self._modules)):
            files = ((getattr(module, "__file__", None), module) for module in modules if module is not None)
            self._local = [(file, module) for file, module in files if isinstance(file, str) and self.is_local(file)]
            self._modules = modules
        return self._local


_loaded = functools.cache(_Loaded)


class ModuleStates:
    """Follows what the project's modules hold while a stage runs.

    Parameters
    ----------
    folder : Path
        The notebook's folder; modules are named by their path relative to it.
    project_root : Path
    context : Context
    """

    def __init__(self, folder: Path, project_root: Path, context: Context) -> None:
        self._folder = folder
        self._context = context
        self._seen: dict[str, Marks] = {}
        self._last: dict[str, Marks] = {}
        self._held: dict[str, types.ModuleType] = {}
        self._found: dict[ModuleChange, None] = {}
        self._depth = 0
        self.sources: dict[str, str] = {}
        self._active = False
        self._loaded = _loaded(project_root)

    def begin(self, *, unchanged: bool = False) -> None:
        """Take what the modules hold now for what they hold when they are imported and set up; nothing has changed since `changes` if `unchanged`."""
        self._active = True
        self._seen = self._states() if not unchanged or self._found else self._last

    def changes(self) -> tuple[ModuleChange, ...]:
        """Return what has changed since `begin`, as effects hold it.

        Each is a kind, the module's path with the name, and the modules that change it by being imported, if any do. The kind is ``submodule``
        where a package was only given a module that was imported from it, else ``module``.
        """
        self._last = self._states()
        self._compare(self._last, ())
        self._active = False
        return tuple(self._found)

    def opaque(self) -> tuple[str, ...]:
        """Return the names, as ``path name``, whose state cannot be compared."""
        return tuple(sorted(f"{path} {name}" for path, names in self._seen.items() for name, mark in names.items() if mark.startswith(_OPAQUE)))

    @contextmanager
    def following(self) -> Iterator[None]:
        """See project-local modules as they are imported: importing is no change, but what it changes in other modules is."""
        with around_imports(lambda spec: self._executing(spec.origin) if spec.origin and self._loaded.is_local(spec.origin) else None):
            yield

    @contextmanager
    def _executing(self, path: str) -> Iterator[None]:
        outermost = self._depth == 0 and self._active
        self.sources.setdefault(os.path.relpath(path, self._folder), source_digest(Path(path)))
        if outermost:
            self._compare(before := self._states(), ())
            self._seen = before
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if outermost:
                after = self._states()
                self._compare(after, (os.path.relpath(path, self._folder),))
                self._seen = after

    def _compare(self, now: dict[str, Marks], by: tuple[str, ...]) -> None:
        for path, before in self._seen.items():
            after = now.get(path, before)
            for name in sorted({*before, *after}):
                mark = after.get(name, "")
                if before.get(name) == after.get(name) or path in by or (name not in before and self._is_lazy(path, name, mark)):
                    continue
                kind, _, submodule = mark.partition(" ")
                unless = (submodule.rpartition(" ")[0], *by) if kind == _SUBMODULE else by
                self._found[_SUBMODULE if kind == _SUBMODULE and name not in before else "module", f"{path} {name}", *filter(None, unless)] = None

    def _is_lazy(self, path: str, name: str, mark: str) -> bool:
        """Tell whether a module makes a name when it is first asked for (PEP 562): whoever asks in another process gets the same."""
        module = self._held[path]
        ask = vars(module).get("__getattr__")
        if ask is None:
            return False
        active, self._active = self._active, False
        try:
            return self._attribute(module, name, ask(name)) == mark
        except Exception:  # noqa: BLE001 - it is the user's code, and an AttributeError is its way to say no
            return False
        finally:
            self._active = active

    def _states(self) -> dict[str, Marks]:
        found: dict[str, Marks] = {}
        for file, module in self._loaded.local():
            path = os.path.relpath(file, self._folder)
            self._held[path] = module
            found[path] = self._state(module)
        return found

    def _state(self, module: types.ModuleType) -> Marks:
        found: Marks = {}
        for name, value in list(vars(module).items()):
            if name.startswith("__") or name == "_":
                continue
            found[name] = self._attribute(module, name, value)
            if isinstance(value, type) and value.__module__ == module.__name__:
                found.update({f"{name}.{item}": self._mark(held) for item, held in list(vars(value).items()) if not item.startswith(("__", "_abc_"))})
        return found

    def _attribute(self, module: types.ModuleType, name: str, value: Any) -> str:  # noqa: ANN401 - whatever a module holds
        if isinstance(value, types.ModuleType) and sys.modules.get(f"{module.__name__}.{name}") is value:
            file = getattr(value, "__file__", None)
            return f"{_SUBMODULE} {os.path.relpath(file, self._folder) if isinstance(file, str) else ''} {id(value)}"
        return self._mark(value)

    def _mark(self, value: Any) -> str:  # noqa: ANN401
        kind = type(value)
        if kind in _PLAIN:
            return f"{kind.__name__} {value!r}"
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, (type, types.ModuleType, functools._lru_cache_wrapper)) or (callable(value) and kind.__module__ == "builtins"):  # noqa: SLF001 - it has no public name
            return f"code {id(value)}"
        if isinstance(value, (classmethod, staticmethod, property, functools.cached_property)):
            return f"code {id(value)}"
        if kind.__module__ in _HARMLESS:
            return f"object {id(value)}"
        return value_fingerprint(value, self._context) or f"{_OPAQUE} {id(value)}"

    def _function(self, function: types.FunctionType) -> str:
        state = function_state(function)
        held = value_fingerprint(state, self._context) if state else ""
        return f"{_OPAQUE if held is None else 'code'} {id(function)} {held}"
