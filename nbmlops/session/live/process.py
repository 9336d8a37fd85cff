"""The state of the kernel's process, and who made it: a stage sees in batch only what setup cells make."""

from __future__ import annotations

import ast
import os
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ATTRIBUTE", "GONE", "Attributes", "ProcessState", "snapshot"]

GONE = "a setup cell that is gone"
"""Who changed it, where that cell was deleted, or edited to do it no more."""

ATTRIBUTE = "attribute "
"""What names of a library's attributes begin with."""

_VARIABLE = "environment variable "
# what changes how values look, and not what they are
_SHOWS = ("display.", "plotting.", "styler.")
_DECIMAL = "(28, 'ROUND_HALF_EVEN', -999999, 999999, 1, 0)"
_NUMPY = "[('divide', 'warn'), ('invalid', 'warn'), ('over', 'warn'), ('under', 'ignore')]"


def snapshot() -> dict[str, str]:
    """Return the state of this process that results may depend on, by name."""
    found = {f"{_VARIABLE}{name}": value for name, value in os.environ.items()}
    found["working directory"] = _folder()
    decimal, locale, numpy = (sys.modules.get(name) for name in ("decimal", "locale", "numpy"))
    if locale is not None:
        found["locale"] = str(locale.setlocale(locale.LC_ALL))
    # a cell that imports these and changes them at once has no state before
    found["decimal context"] = _decimal_context(decimal) if decimal is not None else _DECIMAL
    found["sys.path"] = repr([str(entry) for entry in sys.path if "-packages" not in str(entry)])
    found["recursion limit"] = str(sys.getrecursionlimit())
    found["limit of digits"] = str(sys.get_int_max_str_digits())
    sklearn: Any = sys.modules.get("sklearn")
    if hasattr(sklearn, "get_config"):
        found.update({f"scikit-learn option {name}": repr(value) for name, value in sklearn.get_config().items()})
    found["numpy error handling"] = repr(sorted(numpy.geterr().items())) if numpy is not None and hasattr(numpy, "geterr") else _NUMPY
    return found | _pandas_options()


def _decimal_context(decimal: Any) -> str:  # noqa: ANN401 - the module
    context = decimal.getcontext()
    return repr((context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp))


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - a name, no path to work with
    except OSError:
        return ""  # it was deleted


def _pandas_options() -> dict[str, str]:
    config = sys.modules.get("pandas._config.config")
    options: Any = getattr(config, "_global_config", None)
    found: dict[str, str] = {}
    pending = [("", options)] if isinstance(options, dict) else []
    while pending:
        prefix, level = pending.pop()
        for name, value in level.items():
            full = f"{prefix}{name}"
            if isinstance(value, dict):
                pending.append((f"{full}.", value))
            elif not full.startswith(_SHOWS):
                found[f"pandas option {full}"] = repr(value)
    return found


class Attributes:
    """The attributes of libraries' modules and classes that cells set, from before the first cell that sets each: ``pd.Series.sum = mine``."""

    def __init__(self) -> None:
        self._owners: dict[str, tuple[Any, str]] = {}
        self._kept: dict[int, Any] = {}

    def foresee(self, tree: ast.AST, namespace: Mapping[str, Any]) -> None:
        """Begin to look at what a cell is about to set or delete."""
        for node in ast.walk(tree):
            attribute = _set_attribute(node)
            owner = _owner(attribute[0], namespace) if attribute is not None else None
            if owner is not None and attribute is not None:
                label = owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{owner.__qualname__}"
                self._owners.setdefault(f"{ATTRIBUTE}{label}.{attribute[1]}", (owner, attribute[1]))

    def look(self) -> dict[str, str]:
        """Return what they are now, by name; what is not there is left out."""
        found = {}
        for name, (owner, attribute) in self._owners.items():
            if attribute in vars(owner):
                value = vars(owner)[attribute]
                self._kept[id(value)] = value  # as long as it lives no other object has its id
                found[name] = str(id(value))
        return found


def _set_attribute(node: ast.AST) -> tuple[ast.expr, str] | None:
    if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
        return node.value, node.attr
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"setattr", "delattr"} and len(node.args) > 1:
        name = node.args[1]
        return (node.args[0], name.value) if isinstance(name, ast.Constant) and isinstance(name.value, str) else None
    return None


def _owner(node: ast.expr, namespace: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a module or class of a library, or None
    if isinstance(node, ast.Name):
        found = namespace.get(node.id)
    elif isinstance(node, ast.Attribute) and (holder := _owner(node.value, namespace)) is not None:
        found = vars(holder).get(node.attr)
    else:
        return None
    module = found if isinstance(found, ModuleType) else sys.modules.get(getattr(found, "__module__", None) or "")
    if not isinstance(found, (ModuleType, type)) or module is None or module.__name__ == "__main__":
        return None
    from nbmlops.runner.localmodules import local_module_path  # noqa: PLC0415 - loading the extension stays light

    return found if local_module_path(module) is None else None  # a reload mends the project's own


@dataclass(frozen=True, slots=True)
class _Made:
    value: str | None
    cell: str | None
    statements: frozenset[str]
    was: str | None = None


class ProcessState:
    """What the process should be like.

    Parameters
    ----------
    baseline : dict of str to str
        The state before the first cell.
    """

    def __init__(self, baseline: dict[str, str]) -> None:
        self._expected = {name: _Made(value, None, frozenset()) for name, value in baseline.items()}
        self._changed_by: dict[str, str] = {}
        self.attributes = Attributes()
        self._running: ast.AST | None = None

    def now(self) -> dict[str, str]:
        """Return the state of this process as it is."""
        return snapshot() | self.attributes.look()

    def foresee(self, tree: ast.AST, namespace: Mapping[str, Any]) -> None:
        """Begin to look at what a cell is about to set: what it is before that is what it should be."""
        known = self.attributes.look()
        self.attributes.foresee(tree, namespace)
        for name, value in self.attributes.look().items():
            if name not in known and name not in self._changed_by:
                self._expected.setdefault(name, _Made(value, None, frozenset()))
        self._running = tree

    def ran(self, namespace: Mapping[str, Any]) -> dict[str, str]:
        """Return the state after a cell, with what it has set of the libraries that it has imported itself: nobody knows what that was before."""
        if self._running is not None:
            self.attributes.foresee(self._running, namespace)
        self._running = None
        return self.now()

    def changed(self, before: dict[str, str], now: dict[str, str], label: str, *, setup: str | None = None, statements: Iterable[str] = ()) -> None:
        """Take note of what a cell has changed.

        Parameters
        ----------
        before, now : dict
            The state before it ran, and after.
        label : str
            How users find the cell.
        setup : str or None
            Of a setup cell its id: then what it made is what should be.
        statements : iterable of str
            The fingerprints of its statements.
        """
        made = frozenset(statements)
        for name in before.keys() | now.keys():
            if before.get(name) == now.get(name):
                continue
            # a library that has just been imported brings its state along
            brought = name not in before and not name.startswith((_VARIABLE, ATTRIBUTE))
            if setup is not None or brought:
                self._expected[name] = (
                    _Made(now.get(name), None, frozenset()) if brought else self._made(name, before.get(name), now.get(name), setup, made)
                )
                self._changed_by.pop(name, None)
            else:
                self._changed_by[name] = label

    def _made(self, name: str, before: str | None, now: str | None, cell: str | None, statements: frozenset[str]) -> _Made:
        """Return what a setup cell has made; without it things would be as they were before it first ran."""
        earlier = self._expected.get(name)
        return _Made(now, cell, statements, before if earlier is None or earlier.cell is None else earlier.was)

    def differences(self, now: dict[str, str], variables: Iterable[str], here: dict[str, frozenset[str]]) -> dict[str, str | None]:
        """Return what is not as it should be, with the cell that changed it where that is known.

        Parameters
        ----------
        now : dict of str to str
            From `snapshot`.
        variables : iterable of str
            The environment variables that count.
        here : dict of str to frozenset of str
            Of each setup cell of the notebook, by id, the fingerprints of its statements.
        """
        wanted = {f"{_VARIABLE}{name}" for name in variables}
        found: dict[str, str | None] = {}
        for name in sorted(
            wanted | {name for name in now.keys() | self._expected.keys() | self._changed_by.keys() if not name.startswith(_VARIABLE)}
        ):
            expected = self._expected.get(name)
            if expected is None and not name.startswith((_VARIABLE, ATTRIBUTE)):
                continue  # of a library that nobody has looked at since it was imported
            if expected is not None and expected.cell is not None and not expected.statements <= here.get(expected.cell, frozenset()):
                if now.get(name) != expected.was:
                    found[name] = self._changed_by.get(name, GONE)
            elif now.get(name) != (expected.value if expected else None):
                found[name] = self._changed_by.get(name)
        return found
