"""The mapping that a stage's code runs in: it notices reads that nobody had foreseen."""

from __future__ import annotations

import sys
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from nbmlops.pipeline.effects import ALL_NAMES
from nbmlops.runner.evaluation import noticed_evaluation

if TYPE_CHECKING:
    from _collections_abc import dict_items, dict_keys, dict_values
    from collections.abc import Iterable, Iterator

__all__ = ["Namespace"]


class Namespace(dict[str, Any]):
    """A stage's global namespace.

    Only `__missing__` is overridden: CPython calls it for a dict subclass without slowing down names that are there
    (overriding `__getitem__` makes a loop at the top level of a cell five times slower). So whatever the stage is not known to read
    is withheld: a lookup of a withheld name, through ``eval``, ``globals()["x"]`` or ``df.query("@x")`` too, comes here, is
    noted in `observed`, and is answered.

    Names that another stage provides and that were not foreseen cannot be answered; they are noted too, so that the
    scheduler can add the edge and run the stage again.
    """

    __slots__ = ("elsewhere", "lacks", "observed", "watching", "withheld")

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - dict's own signature
        super().__init__(*args, **kwargs)
        self.withheld: dict[str, Any] = {}
        self.elsewhere: frozenset[str] = frozenset()
        self.observed: set[str] = set()
        self.watching = False
        self.lacks = False

    def __missing__(self, name: str) -> Any:  # noqa: ANN401 - a namespace holds anything
        if name in self.withheld:
            if self.watching:
                self.observed.add(name)
                # from here on it is an ordinary name: the code may rebind it, or change it in place
                self[name] = self.withheld.pop(name)
                return self[name]
            return self.withheld[name]
        if self.watching and name in self.elsewhere:
            self.observed.add(name)
        raise KeyError(name)

    def _is_noticed(self, name: str) -> bool:
        return name in self.withheld or name in self.elsewhere

    def _show_all(self) -> None:
        """Bring back what is withheld: code that lists the namespace reads all of it, and what other stages bind as well."""
        # matplotlib lists the namespace for itself when setup asks for its backend
        if self.watching and not (self.lacks and sys._getframe(2).f_globals is not self):  # noqa: SLF001 - who lists is told by the stack alone
            self.observed.update(self.withheld, self.elsewhere, ALL_NAMES)
            self.update(self.withheld)
            self.withheld.clear()

    def __iter__(self) -> Iterator[str]:
        self._show_all()
        return super().__iter__()

    def __contains__(self, name: object) -> bool:
        if super().__contains__(name):
            return True
        if self.watching and (name in self.withheld or name in self.elsewhere):
            self.observed.add(str(name))
        return name in self.withheld

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - dict's own signature
        """Return a value as a lookup of its name would."""
        try:
            return self[name]
        except KeyError:
            return default

    def keys(self) -> dict_keys[str, Any]:
        """Return the names, and count every one as read."""
        self._show_all()
        return super().keys()

    def values(self) -> dict_values[str, Any]:
        """Return the values, and count every one as read."""
        self._show_all()
        return super().values()

    def items(self) -> dict_items[str, Any]:
        """Return names and values, and count every one as read."""
        self._show_all()
        return super().items()

    def copy(self) -> Namespace:
        """Return a copy that notes what is looked up in it: pandas copies the namespace for each query."""
        twin = Namespace(dict(super().items()))
        twin.withheld, twin.elsewhere = dict(self.withheld), self.elsewhere
        twin.observed, twin.watching = self.observed, self.watching
        return twin

    def withhold(self, names: Iterable[str]) -> None:
        """Take `names` out, to be noticed when something looks for them."""
        for name in names:
            if name in self:
                self.withheld[name] = self.pop(name)

    @contextmanager
    def lacking(self, names: Iterable[str]) -> Iterator[set[str]]:
        """Note lookups of names whose value here is missing, or an older one; what the code binds of them is its own.

        Yields
        ------
        set of str
            What was looked up; `ALL_NAMES` too where the code listed the namespace.
        """
        before = self.observed
        found = self.observed = set()
        self.lacks = True
        self.withhold(names)
        try:
            with self.watch(names) if names else nullcontext():
                yield found
        finally:
            self.lacks = False
            self.observed = before
            for name, value in self.withheld.items():
                self.setdefault(name, value)
            self.withheld.clear()

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """Note no lookups: what looks is not the stage's code."""
        watching, self.watching = self.watching, False
        try:
            yield
        finally:
            self.watching = watching

    @contextmanager
    def watch(self, elsewhere: Iterable[str]) -> Iterator[None]:
        """Note lookups of withheld names and of names that other stages provide.

        Parameters
        ----------
        elsewhere : iterable of str
            Names that stages before this one bind and that this one is not known to read.
        """
        self.elsewhere = frozenset(elsewhere)
        self.watching = True
        try:
            with noticed_evaluation(self, self._is_noticed):
                yield
        finally:
            self.watching = False
