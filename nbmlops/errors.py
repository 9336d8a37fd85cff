"""The exceptions that nbmlops raises.

::

    NbmlopsError                         exit 1 unless said otherwise
    ├── UsageError (ValueError)          exit 2, a wrong option, parameter or name
    ├── NotebookError (ValueError)       exit 2, the notebook cannot be read or has errors
    ├── StageFailed (RuntimeError)       exit 1, a stage raised, died or timed out
    ├── GateRefused (RuntimeError)       exit 3
    ├── LostRace (RuntimeError)          exit 1, somebody else has moved what was looked at
    ├── Tampered (RuntimeError)          exit 1, a model, its evidence or its log is not what was written
    ├── UpstreamMissing (LookupError)    exit 4, an input artifact is not in the store
    ├── StoreError (OSError)             exit 1, the store cannot be read or written
    │   └── UntrustedArtifact            an artifact that would run code when read
    ├── NotStorable (TypeError)          exit 1, a value that no serializer can keep
    ├── TrackerUnavailable (ConnectionError)  exit 1, never fails a stage
    └── MissingDependency (ImportError)  exit 2
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "GateRefused",
    "LostRace",
    "MissingDependency",
    "NbmlopsError",
    "NotStorable",
    "NotebookError",
    "StageFailed",
    "StoreError",
    "Tampered",
    "TrackerUnavailable",
    "UntrustedArtifact",
    "UpstreamMissing",
    "UsageError",
]


class NbmlopsError(Exception):
    """A problem that one line can tell: what happened, where, and what to do.

    Parameters
    ----------
    message : str
        What happened, and to which stage or name.
    code : str, default "NB000"
        The diagnostic's code, listed in ``docs/diagnostics.md``.
    notebook : str or None
        The file, as the user named it.
    cell : int or None
        The cell's position among all cells, from 0.
    fix : str or None
        What the user can do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        code: str = "NB000",
        notebook: str | None = None,
        cell: int | None = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.notebook = notebook
        self.cell = cell
        self.fix = fix

    def __str__(self) -> str:
        """Give the whole problem in one line."""
        place = self.notebook or ""
        if self.cell is not None:
            place = f"{place}, cell {self.cell}" if place else f"cell {self.cell}"
        text = f"{place}: {self.message}" if place else self.message
        return " ".join((f"{text}; {self.fix}" if self.fix else text).split())

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross a process boundary with every part kept."""
        return _rebuild, (type(self), self.message, self.__dict__.copy())

    def _render_traceback_(self) -> list[str]:
        """Show one line in IPython: the user's mistake is not our traceback."""
        return [f"{self.code}: {self}"]


def _rebuild(kind: type[NbmlopsError], message: str, parts: dict[str, Any]) -> NbmlopsError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(parts)
    return error


class UsageError(NbmlopsError, ValueError):
    """A command, option, parameter or name that cannot be meant."""

    exit_code = 2


class NotebookError(NbmlopsError, ValueError):
    """A notebook that cannot be read, or that has errors `check` would list."""

    exit_code = 2


class StageFailed(NbmlopsError, RuntimeError):
    """A stage that raised, died or ran out of time."""


class GateRefused(NbmlopsError, RuntimeError):
    """A gate whose verdict is no."""

    exit_code = 3


class LostRace(NbmlopsError, RuntimeError):
    """Somebody else has moved, or is moving, what was looked at."""


class Tampered(NbmlopsError, RuntimeError):
    """A model's files, its evidence or the log of its promotions is not what was written."""


class UpstreamMissing(NbmlopsError, LookupError):
    """An input artifact that the store does not hold."""

    exit_code = 4


class StoreError(NbmlopsError, OSError):
    """A store that cannot be read or written."""


class UntrustedArtifact(StoreError):
    """An artifact whose format runs code when read, in a store that is not trusted."""


class NotStorable(NbmlopsError, TypeError):
    """A value that no serializer can keep, such as an open file or a lock."""


class TrackerUnavailable(NbmlopsError, ConnectionError):
    """A tracker that does not answer; its events stay in the outbox."""


class MissingDependency(NbmlopsError, ImportError):
    """A package that is not installed; the message is the pip command, of one of our extras or, where `extra` is empty, of the package itself."""

    exit_code = 2

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}",
            code="NB003",
            fix=f'run: pip install "nbmlops[{extra}]"' if extra else f"run: pip install {package}",
        )
        self.package = package
        self.extra = extra
        self.purpose = purpose
