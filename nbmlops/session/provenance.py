"""Where each name of a live kernel comes from, and whether its value is still what its cell made (DESIGN 5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.store.records import Artifact

__all__ = ["Origin", "Provenance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who made a name's value.

    Parameters
    ----------
    stage : str or None
        The stage, or None for a setup cell.
    cell : str
        The cell's id.
    value : object
        The value itself: whether it was rebound is told by identity.
    fingerprint : str or None
        Digest of the value as it was made; None where it cannot be stored, or is code.
    artifact : Artifact or None
        Of a stage's output: what the store keeps.
    """

    stage: str | None
    cell: str
    value: Any = field(repr=False)
    fingerprint: str | None
    artifact: Artifact | None = None


class Provenance:
    """Origins by name."""

    def __init__(self) -> None:
        self._origins: dict[str, Origin] = {}
        self._by_stage: dict[tuple[str, str], Origin] = {}
        self.unloaded: dict[str, str] = {}

    def __getitem__(self, name: str) -> Origin:
        """Return the origin of a name; KeyError if no tracked cell made it."""
        return self._origins[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether a tracked cell made the name."""
        return name in self._origins

    def of_stage(self, stage: str, name: str) -> Origin | None:
        """Return what a stage made of a name, also where a later stage has handed the same object on."""
        return self._by_stage.get((stage, name))

    def made_by_stage(
        self, stage: str, cell: str, artifacts: Mapping[str, Artifact], namespace: Mapping[str, Any], prints: Mapping[str, str | None]
    ) -> None:
        """Take note of what a stage has just made or loaded."""
        for name, artifact in artifacts.items():
            if name in namespace:
                self._origins[name] = self._by_stage[stage, name] = Origin(
                    stage=stage, cell=cell, value=namespace[name], fingerprint=prints.get(name), artifact=artifact
                )
                self.unloaded.pop(name, None)

    def made_by_setup(self, cell: str, names: Iterable[str], namespace: Mapping[str, Any], prints: Mapping[str, str | None]) -> None:
        """Take note of what a setup cell has just made."""
        for name in names:
            if name in namespace:
                self._origins[name] = Origin(stage=None, cell=cell, value=namespace[name], fingerprint=prints.get(name))
                self.unloaded.pop(name, None)

    def not_loaded(self, stage: str, names: Iterable[str]) -> None:
        """Take note of names that a reused stage binds and that its record does not hold."""
        for name in names:
            self.unloaded[name] = stage
            self._origins.pop(name, None)


def is_code(value: object) -> bool:
    """Tell functions, classes and modules, which source stands for, from values."""
    return isinstance(value, (FunctionType, ModuleType, type)) or (callable(value) and type(value).__name__ == "builtin_function_or_method")
