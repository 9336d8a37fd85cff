"""What differs between runs, side by side: the answer of `compare`."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from nbmlops.store.records import RunRecord

__all__ = ["ABSENT", "Absent", "ArtifactSide", "CodeDiff", "Compared", "Comparison", "Section", "StageRow", "StageSide", "labels_of"]

_Row = TypeVar("_Row")
_SHORT = 8


class Absent(enum.Enum):
    """The type of `ABSENT`."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT
"""Stands where a run has nothing of a name: None may be a parameter's value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One of the runs.

    Parameters
    ----------
    run : RunRecord
    gone : tuple of str
        The stages whose record the store no longer holds.
    replaced : tuple of str
        The stages whose record has been replaced since, by a later execution of the same work.
    """

    run: RunRecord
    gone: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section(Generic[_Row]):
    """What was found of one kind of thing, by name.

    Parameters
    ----------
    differ : mapping of str to row
    equal : tuple of str
        What is known to be equal in all runs.
    unknown : mapping of str to str
        What nobody can say it of, and why.
    """

    differ: Mapping[str, _Row] = field(default_factory=dict)
    equal: tuple[str, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSide:
    """A stage in one run.

    Parameters
    ----------
    status : str
    key : str or None
    seconds : float
        Of a reused stage, what computing it took then.
    error : str
        "" where there was none.
    """

    status: str
    key: str | None
    seconds: float
    error: str = ""

    @property
    def outcome(self) -> str:
        """The status, with what is done as one: a stage that was reused gives what it gave when it ran."""
        return "done" if self.status in {"ran", "reused"} else self.status


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """A stage in all runs.

    Parameters
    ----------
    sides : tuple of (StageSide or ABSENT)
    reasons : tuple of tuple of str
        For each run, in what the work differed from that of the first one; nothing for the first, nor where a record is gone.
    """

    sides: tuple[StageSide | Absent, ...]
    reasons: tuple[tuple[str, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """Return a list for each property, with an element for each run."""
        told = {name: _each(self.sides, name) for name in ("status", "key", "seconds")}
        return {**told, "error": [item or None for item in _each(self.sides, "error")], "reasons": [list(lines) for lines in self.reasons]}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactSide:
    """An artifact, or a file that a stage wrote, in one run.

    Parameters
    ----------
    stage : str
    digest : str
    format : str
        "file" for one.
    size_bytes : int or None
    type, summary, form : str or None
        As of an `Artifact`; None where the record is gone that told.
    """

    stage: str
    digest: str
    format: str
    size_bytes: int | None
    type: str | None = None
    summary: str | None = None
    form: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeDiff:
    """How a stage's code differs, as unified diffs, each further run against the first.

    Parameters
    ----------
    cells, setup : str
        Of the stage's own cells, and of the statements of setup and parameters cells that it uses; "" where they are equal.
    cosmetic : bool
        Whether only comments and formatting differ, which decide nothing.
    """

    cells: str = ""
    setup: str = ""
    cosmetic: bool = False

    @property
    def text(self) -> str:
        """Both in one."""
        return "\n".join(part for part in (self.setup, self.cells) if part)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Comparison:
    """What differs between two runs or more.

    Parameters
    ----------
    runs : tuple of Compared
        In the order in which they were named; every row has a value for each.
    parameters, metrics, environment : Section of tuple
        A name's values; `ABSENT` where a run has none.
    stages : Section of StageRow
    artifacts : Section of tuple of (ArtifactSide or ABSENT)
        Equal means equal bytes, and where it is known, equal order of sets.
    code : Section of CodeDiff
    notes : tuple of str
        What one should know before reading it.

    Examples
    --------
    >>> nbmlops.compare("8f3a", "flight_delay/7").metrics.differ  # doctest: +SKIP
    {'roc_auc': (0.71, 0.74)}
    """

    runs: tuple[Compared, ...]
    parameters: Section[tuple[Any, ...]]
    metrics: Section[tuple[Any, ...]]
    stages: Section[StageRow]
    artifacts: Section[tuple[ArtifactSide | Absent, ...]]
    code: Section[CodeDiff]
    environment: Section[tuple[Any, ...]]
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """What each run is called in a table: short, unless two would be called the same."""
        return labels_of([item.run for item in self.runs])

    @property
    def sections(self) -> dict[str, Section[Any]]:
        """Every section by its name."""
        return {name: getattr(self, name) for name in ("parameters", "metrics", "stages", "artifacts", "code", "environment")}

    def __repr__(self) -> str:
        """Say of what how much differs."""
        found = ", ".join(f"{len(section.differ)} {name}" for name, section in self.sections.items() if section.differ)
        return f"<Comparison of {', '.join(self.labels)}: {f'{found} differ' if found else 'nothing differs'}>"

    def to_json(self) -> dict[str, Any]:
        """Return what differs as the CLI contract gives it; null stands where a run has nothing, which its ``lacks`` says too."""
        return {
            "runs": [self._run(position) for position in range(len(self.runs))],
            "parameters": _values(self.parameters),
            "metrics": _values(self.metrics),
            "stages": {name: row.to_json() for name, row in self.stages.differ.items()},
            "artifacts": {name: _artifact(sides) for name, sides in self.artifacts.differ.items()},
            "code": {name: diff.text for name, diff in self.code.differ.items()},
            "environment": _values(self.environment),
            "equal": {name: list(section.equal) for name, section in self.sections.items()},
            "unknown": {name: dict(section.unknown) for name, section in self.sections.items()},
            "notes": list(self.notes),
        }

    def _run(self, position: int) -> dict[str, Any]:
        compared = self.runs[position]
        run = compared.run
        names = ("run_id", "notebook", "notebook_digest", "status", "started_s", "seconds", "seed", "git_commit")
        return {
            **{name: getattr(run, name) for name in names},
            "sweep": run.sweep or None,
            "trial": run.trial if run.sweep else None,
            "gone": list(compared.gone),
            "replaced": list(compared.replaced),
            "lacks": {name: found for name, section in self.sections.items() if (found := _lacking(section, position))},
        }


def labels_of(runs: Sequence[RunRecord]) -> tuple[str, ...]:
    """Return what each run is called in a table: its trial, or the beginning of its id; whole ids if two would be called the same."""
    short = tuple(f"{run.sweep}/{run.trial}" if run.sweep else run.run_id[:_SHORT] for run in runs)
    return short if len(set(short)) == len(short) else tuple(run.run_id for run in runs)


def _values(section: Section[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return {name: [None if value is ABSENT else value for value in values] for name, values in section.differ.items()}


def _lacking(section: Section[Any], position: int) -> list[str]:
    rows = ((name, row.sides if isinstance(row, StageRow) else row) for name, row in section.differ.items())
    return [name for name, sides in rows if isinstance(sides, tuple) and sides[position] is ABSENT]


def _artifact(sides: tuple[ArtifactSide | Absent, ...]) -> dict[str, list[Any]]:
    told = {name: _each(sides, name) for name in ("stage", "digest", "type", "summary", "format", "form")}
    return {**told, "bytes": _each(sides, "size_bytes")}


def _each(sides: tuple[Any, ...], name: str) -> list[Any]:
    return [None if side is ABSENT else getattr(side, name) for side in sides]
