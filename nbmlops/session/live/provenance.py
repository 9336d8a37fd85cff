"""Where each name of a live kernel comes from, and whether its value is still what its cell made (DESIGN 5)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.store.records import Artifact

__all__ = ["Origin", "Provenance", "is_code"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who made a name's value.

    Parameters
    ----------
    stage : str or None
        The stage, or None for a setup cell.
    cell : str
        The cell's id.
    order : int
        When, in executions of cells.
    value : object
        The value itself: whether it was rebound is told by identity.
    fingerprint : str or None
        Digest of the value as it was made; None where it cannot be stored. Of a setup cell's code, of the state that it holds.
    artifact : Artifact or None
        Of a stage's output: what the store keeps.
    statements : tuple of str
        Of setup: the fingerprints of the statements that made the value, one after the other.
    code : mapping of str to object
        The notebook's own functions and classes as they were then: instances are compared by these.
    other : tuple of str
        Of setup: what it was made of and that was not what the cells above it make.
    """

    stage: str | None
    cell: str
    order: int
    value: Any = field(repr=False)
    fingerprint: str | None
    artifact: Artifact | None = None
    statements: tuple[str, ...] = ()
    code: Mapping[str, Any] = field(default_factory=dict, repr=False)
    other: tuple[str, ...] = ()


class Provenance:
    """Origins by name."""

    def __init__(self) -> None:
        self._origins: dict[str, Origin] = {}
        self._by_stage: dict[tuple[str, str], Origin] = {}
        self._changed_at: dict[tuple[str, tuple[str, ...]], tuple[str | None, int]] = {}
        self.unloaded: dict[str, str] = {}

    def get(self, name: str) -> Origin | None:
        """Return the origin of a name's last version; None if no tracked cell made it."""
        return self._origins.get(name)

    def of_stage(self, stage: str, name: str) -> Origin | None:
        """Return what a stage made of a name, also where a later stage has handed the same object on."""
        return self._by_stage.get((stage, name))

    def made(self, name: str, origin: Origin) -> None:
        """Take note of what a cell has just made or loaded."""
        before = self._changed_at.get((name, origin.statements))
        if before is None or before[0] != origin.fingerprint or isinstance(origin.value, type):
            self._changed_at[name, origin.statements] = (origin.fingerprint, origin.order)
        self._origins[name] = origin
        if origin.stage is not None:
            self._by_stage[origin.stage, name] = origin
        self.unloaded.pop(name, None)

    def changed_at(self, name: str, statements: tuple[str, ...]) -> int:
        """Return when what these statements of setup make of a name last became another value, in executions of cells; -1 for never."""
        return self._changed_at.get((name, statements), (None, -1))[1]

    def brought_back(self, name: str, origin: Origin, value: Any, code: Mapping[str, Any], fingerprint: str | None) -> None:  # noqa: ANN401
        """Take note that a stage's value was loaded again: another object, and of the classes of now."""
        again = replace(origin, value=value, code=code, fingerprint=fingerprint)
        self._origins[name] = self._by_stage[origin.stage or "", name] = again

    def half_made(self, name: str, origin: Origin) -> None:
        """Take note of what a stage that failed has left of a name: known, and nothing to build on."""
        self._origins[name] = origin

    def gone(self, name: str) -> None:
        """Take note that a stage has deleted a name."""
        self._origins.pop(name, None)

    def forget_stage(self, stage: str) -> None:
        """Forget what a stage has made before it runs again."""
        for key in [key for key in self._by_stage if key[0] == stage]:
            del self._by_stage[key]

    def not_loaded(self, stage: str, names: Iterable[str]) -> None:
        """Take note of names that a reused stage binds and that its record does not hold."""
        for name in names:
            self.unloaded[name] = stage
            self._origins.pop(name, None)


def is_code(value: object) -> bool:
    """Tell functions, classes and modules, which source stands for, from values."""
    return isinstance(value, (FunctionType, ModuleType, type)) or (callable(value) and type(value).__name__ == "builtin_function_or_method")
