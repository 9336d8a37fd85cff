"""The families of plugins: built-ins by dotted name, third parties by entry point.

Nothing is imported before the first `get` of that very plugin.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbmlops.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Family"]


@dataclass(slots=True)
class Family:
    """One family of plugins, such as the trackers.

    Parameters
    ----------
    group : str
        The entry-point group, for example ``"nbmlops.trackers"``.
    builtins : dict of str to str
        Name to ``"package.module:attribute"``.
    """

    group: str
    builtins: dict[str, str]
    _loaded: dict[str, Any] = field(default_factory=dict)

    def names(self) -> list[str]:
        """List the names that `get` accepts, sorted."""
        return sorted({*self.builtins, *(point.name for point in self._entry_points())})

    def check(self, names: Iterable[str]) -> None:
        """Raise `UsageError` for the first name that no plugin has; nothing is imported."""
        for name in names:
            if name not in self.builtins and name not in self.names():
                raise self._unknown(name)

    def get(self, name: str) -> Any:  # noqa: ANN401 - each family's Protocol is its callers' to state
        """Import and return the plugin called `name`.

        Raises
        ------
        UsageError
            If no plugin has that name.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> Any:  # noqa: ANN401
        if name in self.builtins:
            module, _, attribute = self.builtins[name].partition(":")
            return getattr(importlib.import_module(module), attribute)
        for point in self._entry_points():
            if point.name == name:
                return point.load()
        raise self._unknown(name)

    def _unknown(self, name: str) -> UsageError:
        kind = self.group.rpartition(".")[2]
        return UsageError(
            f"no {kind.rstrip('s')} is called {name!r}",
            code="NB002",
            fix=f"choose one of: {', '.join(self.names())}",
        )

    def _entry_points(self) -> Any:  # noqa: ANN401
        # importlib.metadata costs 20 ms to import: only where a name is not a built-in
        from importlib.metadata import entry_points  # noqa: PLC0415

        return entry_points(group=self.group)
