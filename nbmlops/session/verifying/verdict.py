"""What `verify` says: whether each stage gave the same twice, and if not, why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["StageVerdict", "VerifyResult"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageVerdict:
    """Whether one stage gave the same twice.

    Parameters
    ----------
    name : str
    same : bool or None
        None where there is no verdict: the stage was skipped, or could not be reached.
    artifacts, files : tuple of str
        What differs: variables, and files relative to the project's root.
    cause : str
        The likely cause, or why there is no verdict; "" where all is the same.
    skipped : bool
        Whether a run with these parameters skips it.
    key : str
        The stage key of its first execution; "" where it has none.
    outputs : mapping of str to str
        The digests of what that gave.
    """

    name: str
    same: bool | None
    artifacts: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    cause: str = ""
    skipped: bool = False
    key: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as the CLI contract gives it."""
        return {"name": self.name, "same": self.same, "artifacts": list(self.artifacts), "files": list(self.files), "cause": self.cause}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """The verdict on every stage.

    Parameters
    ----------
    notebook : str
    stages : tuple of StageVerdict
        In document order.
    conditions : mapping of str to mapping
        Of the ``first`` and of the ``second`` execution.
    remarks : tuple of str
        What could not be varied here.
    seconds : float
    """

    notebook: str
    stages: tuple[StageVerdict, ...]
    conditions: Mapping[str, Mapping[str, object]]
    remarks: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def same(self) -> bool:
        """Whether every stage gave the same twice."""
        return all(stage.same or stage.skipped for stage in self.stages)

    @property
    def exit_code(self) -> int:
        """The command's exit code."""
        return 0 if self.same else 1

    def to_json(self) -> dict[str, Any]:
        """Return the result as the CLI contract gives it."""
        return {
            "notebook": self.notebook,
            "same": self.same,
            "stages": [stage.to_json() for stage in self.stages],
            "conditions": {name: dict(value) for name, value in self.conditions.items()},
            "remarks": list(self.remarks),
            "seconds": round(self.seconds, 3),
        }
