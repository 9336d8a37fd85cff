"""State of the whole process that code may change: every stage has a process of its own, so a later one would not see it."""

from __future__ import annotations

import builtins
import functools
import os
import sys
import sysconfig
import types
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from nbmlops.runner.imports import around_imports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["ProcessState"]

State = dict[str, str]
# what IPython's inline backend sets by itself when pyplot is first used
_INLINE = ("backend", "interactive", "toolbar", "figure.", "savefig.dpi", "font.size")


class ProcessState:
    """Compares the process's state before and after a stage's own cells.

    Parameters
    ----------
    roots : iterable of str
        Names that the code sets attributes of; where they are modules or classes of libraries, these are compared too.
    """

    def __init__(self, roots: Iterable[str] = ()) -> None:
        self._roots = tuple(roots)
        self._before: dict[str, State] = {}
        self._patchable: dict[str, dict[str, int]] = {}
        self._active = False

    def begin(self, namespace: Mapping[str, Any]) -> None:
        """Take the present state for the one to compare with."""
        self._active = True
        self._before = {name: look() for name, look in _LOOKS.items() if name in sys.modules}
        self._patchable = self._attributes(namespace)

    def changes(self, namespace: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        """Return what differs now: ``("process", what)`` where it can change a value, ``("shown", what)`` where only what is shown."""
        self._active = False
        found: dict[tuple[str, str], None] = {}
        for name, before in self._before.items():
            after = _LOOKS[name]()
            found.update({(_kind(what, after[what]), what): None for what in sorted(before.keys() & after.keys()) if before[what] != after[what]})
        for what, attributes in self._attributes(namespace).items():
            earlier = self._patchable.get(what, attributes)
            changed = {name for name, identity in earlier.items() if attributes.get(name) != identity}
            if what not in sys.modules:
                changed |= attributes.keys() - earlier.keys()  # classes do not load their attributes lazily
            found.update({("process", f"{what}.{name}"): None for name in sorted(changed)})
        return tuple(found)

    @contextmanager
    def following(self) -> Iterator[None]:
        """See libraries with options as they are imported: their options then are those to compare with."""
        with around_imports(lambda spec: self._importing(spec.name) if spec.name in _LOOKS else None):
            yield

    @contextmanager
    def _importing(self, name: str) -> Iterator[None]:
        yield
        if self._active and name not in self._before:
            with suppress(Exception):  # a library that is half there is the user's own trouble
                self._before[name] = _LOOKS[name]()

    def _attributes(self, namespace: Mapping[str, Any]) -> dict[str, dict[str, int]]:
        """Return the identities of what the libraries' modules and classes hold that the code may patch."""
        found: dict[str, dict[str, int]] = {"builtins": {name: id(value) for name, value in vars(builtins).items() if not name.startswith("_")}}
        for root in self._roots:
            value = namespace.get(root)
            if isinstance(value, types.ModuleType) and _is_library(value):
                found[value.__name__] = _identities(value)
                for name, item in list(vars(value).items()):
                    if isinstance(item, type):
                        found[f"{value.__name__}.{name}"] = _identities(item)
            elif isinstance(value, type) and _is_library(sys.modules.get(value.__module__)):
                found[f"{value.__module__}.{value.__qualname__}"] = _identities(value)
        return found


def _identities(owner: types.ModuleType | type) -> dict[str, int]:
    """Return what the attributes are, but for submodules and underscored names, which libraries change themselves."""
    return {name: id(value) for name, value in list(vars(owner).items()) if not name.startswith("_") and not isinstance(value, types.ModuleType)}


def _is_library(module: types.ModuleType | None) -> bool:
    file = getattr(module, "__file__", None)
    folders = tuple(folder + os.sep for folder in _library_folders())
    return module is not None and module.__name__ != "__main__" and (not isinstance(file, str) or file.startswith(folders))


def _kind(what: str, after: str) -> str:
    if what.startswith(("matplotlib", "numpy's print options", "pandas option display", "pandas option plotting", "pandas option styler")):
        return "shown"
    # ignoring or warning changes what is shown; raising and calling change what comes out
    return "shown" if what == "numpy's error handling" and "raise" not in after and "call" not in after else "process"


def _os() -> State:
    with suppress(OSError):
        return {"the working directory": os.getcwd()}  # noqa: PTH109 - the text that code sees
    return {"the working directory": ""}


def _sys() -> State:
    return {"sys.path": repr([str(entry) for entry in sys.path if not str(entry).startswith(_library_folders())])}


@functools.cache
def _library_folders() -> tuple[str, ...]:
    return tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def _decimal() -> State:
    decimal: Any = sys.modules["decimal"]
    context = decimal.getcontext()
    traps = sorted(kind.__name__ for kind, trapped in context.traps.items() if trapped)
    return {"the decimal context": f"{context.prec} {context.rounding} {context.Emin} {context.Emax} {context.capitals} {context.clamp} {traps}"}


def _locale() -> State:
    locale: Any = sys.modules["locale"]
    return {"the locale": locale.setlocale(locale.LC_ALL)}


def _numpy() -> State:
    numpy: Any = sys.modules["numpy"]
    return {
        "numpy's error handling": repr(sorted(numpy.geterr().items())),
        "numpy's print options": repr(sorted((name, repr(value)) for name, value in numpy.get_printoptions().items())),
    }


def _pandas() -> State:
    config: Any = sys.modules["pandas._config.config"]  # the public listing of options is text
    return {f"pandas option {name}": repr(config.get_option(name)) for name in list(config._registered_options) if name not in _deprecated(config)}  # noqa: SLF001


def _deprecated(config: Any) -> set[str]:  # noqa: ANN401 - pandas has no types for it
    return set(config._deprecated_options)  # noqa: SLF001 - looking at one of these warns


def _sklearn() -> State:
    sklearn: Any = sys.modules["sklearn"]
    return {f"scikit-learn option {name}": repr(value) for name, value in sklearn.get_config().items()}


def _torch() -> State:
    torch: Any = sys.modules["torch"]
    return {
        "torch's default dtype": str(torch.get_default_dtype()),
        "torch's default device": str(torch.get_default_device()),
        "torch's deterministic algorithms": str(torch.are_deterministic_algorithms_enabled()),
        "torch's gradients": str(torch.is_grad_enabled()),
    }


def _matplotlib() -> State:
    matplotlib: Any = sys.modules["matplotlib"]
    kept = {name: dict.get(matplotlib.rcParams, name) for name in matplotlib.rcParams if not name.startswith(_INLINE)}
    return {"matplotlib's rcParams": repr(kept)}


_LOOKS: Mapping[str, Callable[[], State]] = {
    "os": _os,
    "sys": _sys,
    "decimal": _decimal,
    "locale": _locale,
    "numpy": _numpy,
    "pandas": _pandas,
    "sklearn": _sklearn,
    "torch": _torch,
    "matplotlib": _matplotlib,
}
