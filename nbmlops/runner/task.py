"""What a stage process is told, and what it answers: plain JSON, so that it crosses any process boundary."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from nbmlops.pipeline.effects import NO_EFFECTS, Effects
from nbmlops.pipeline.model import Step
from nbmlops.runner.rehearsal import Rehearsal
from nbmlops.store.records import Artifact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmlops.pipeline.model import Diagnostic

__all__ = ["RESULT_LOST", "StageError", "StageOutcome", "StageTask", "gibibytes"]

# what a supervisor exits with that has no room to say how its stage ended
RESULT_LOST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTask:
    """Everything that a process needs to run one stage, or the report cells.

    Parameters
    ----------
    run_id, attempt : str
        The attempt is the fencing token: an answer with another one is refused.
    notebook : str
        The notebook's path, as the user named it, for messages.
    folder : str
        The notebook's folder: working directory and first entry of ``sys.path``.
    stage : str
    steps : tuple of Step
        Cells to run, in document order.
    parameters : mapping of str to object
        Values that override the parameters cell's.
    inputs : tuple of (int, Artifact)
        Artifacts to load, each before the step at that position.
    wants : tuple of str
        Bound names to keep.
    later : tuple of str
        Names read by later cells: of inputs that changed in place, these are kept.
    setup_names, expected : tuple of str
        What setup binds, and which of that the stage is known to read; the rest is withheld and noticed.
    used : tuple of str
        Fingerprints of the setup statements that the stage is known to use: what others read does not count.
    imports : tuple of str
        Dotted names of the modules that the stage, and the setup that it uses, import.
    by_reference : tuple of str
        Functions and classes of setup cells: artifacts refer to them by name.
    elsewhere : tuple of str
        Names that other stages bind and that this one is not known to read.
    binds : tuple of str
        Names that reading the stage says it binds.
    metrics, secrets : tuple of str
    hidden : tuple of str
        Texts that the parameters cell holds and that look secret.
    store, project_root : str
    trusted : bool
        Whether artifacts that run code when read may be loaded.
    files : tuple of str
        Paths known to be read; the process looks out for others.
    files_written : tuple of str
        Paths known to be written.
    seed : int
    draw : str
        What the stage's own random state is derived from, beside the seed: its code's digest.
    timeout_s, memory_bytes : float, int or None
    output_limit_bytes : int
    undo_folder : str
        Where files are kept before they are changed, if the attempt may turn out to be out of date; else empty.
    environment : mapping of str to str
        Variables added to the process's environment.
    rehearsal : Rehearsal or None
        What an execution for `verify` is made to see.
    listener : str
        The socket of the sweep that may prune the trial; empty for none.
    """

    run_id: str
    attempt: str
    notebook: str
    folder: str
    stage: str
    steps: tuple[Step, ...]
    store: str
    project_root: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[tuple[int, Artifact], ...] = ()
    wants: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    setup_names: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    by_reference: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    binds: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    trusted: bool = True
    files: tuple[str, ...] = ()
    files_written: tuple[str, ...] = ()
    seed: int = 0
    draw: str = ""
    timeout_s: float | None = None
    memory_bytes: int | None = None
    output_limit_bytes: int = 2 << 20
    undo_folder: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    rehearsal: Rehearsal | None = None
    listener: str = ""

    @property
    def out_of_memory(self) -> str:
        """What to say of a stage that was refused memory."""
        return f"stage {self.stage!r} ran out of memory" + (f": its --memory is {gibibytes(self.memory_bytes)}" if self.memory_bytes else "")

    def to_json(self) -> dict[str, Any]:
        """Return the task as JSON data."""
        data = {item.name: getattr(self, item.name) for item in fields(self)}
        data["steps"] = [asdict(step) for step in self.steps]
        data["inputs"] = [[position, artifact.to_json()] for position, artifact in self.inputs]
        data["parameters"] = dict(self.parameters)
        data["environment"] = dict(self.environment)
        data["rehearsal"] = asdict(self.rehearsal) if self.rehearsal else None
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> StageTask:
        """Rebuild a task from `to_json`."""
        values: dict[str, Any] = _with_tuples(data)
        values["steps"] = tuple(Step(**_with_tuples(step)) for step in data["steps"])
        values["inputs"] = tuple((position, Artifact.from_json(artifact)) for position, artifact in data["inputs"])
        values["rehearsal"] = Rehearsal(**data["rehearsal"]) if data.get("rehearsal") else None
        return cls(**values)


def _with_tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON data with tuples for its lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}


def gibibytes(size_bytes: int) -> str:
    """Return a size as ``--memory`` takes it."""
    return f"{size_bytes / (1 << 30):.3g}GiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageError:
    """Why a stage failed, as the CLI contract gives it; `code` is the diagnostic's where nbmlops refused, None where the user's code raised."""

    type: str
    message: str
    code: str | None = None
    cell: int | None = None
    traceback: tuple[str, ...] = ()
    exit_code: int | None = None
    signal: str | None = None

    @classmethod
    def of(cls, trouble: Diagnostic) -> StageError:
        """Return a diagnostic as the error of the stage that it stops."""
        return cls(type="NotebookError", message=f"{trouble.code}: {trouble.message}; {trouble.fix}", cell=trouble.cell, code=trouble.code)

    def to_json(self) -> dict[str, Any]:
        """Return the error as JSON data."""
        return {**asdict(self), "traceback": list(self.traceback)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> StageError:
        """Rebuild an error from `to_json`."""
        return cls(**{**data, "traceback": tuple(data.get("traceback", ()))})


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOutcome:
    """What became of one attempt.

    Parameters
    ----------
    attempt : str
    status : {"ran", "failed", "refused", "timed-out", "cancelled"}
        ``refused`` if a gate in the stage's code has ended it.
    seconds : float
        Wall time of the stage's own cells.
    outputs : mapping of str to Artifact
        Stored artifacts by name.
    cell_outputs : str or None
        Digest of the stored outputs of its cells.
    metrics : mapping of str to JSON
    series : mapping of str to list of [int, float]
        The course of metrics that were logged by step.
    evidence : tuple of mapping
        What gates in the stage's code have found.
    models : tuple of mapping
        What is to be registered.
    effects : Effects
    files : mapping of str to (str or None)
        Digest of each file that was read, at the time it was read; None where it was absent.
    files_written : mapping of str to str
        Digest of each file that was written; its bytes are in the store.
    files_disturbed : tuple of str
        Files that somebody else changed between their opening and the stage's end.
    sources : mapping of str to str
        Digest of the source of each project-local module, as it was imported.
    error : StageError or None
    remarks : tuple of str
        What keeps the result from being reproducible.
    started_s : float
    environment : mapping of str to str
        Thread counts and the like.
    """

    attempt: str
    status: str
    seconds: float = 0.0
    outputs: Mapping[str, Artifact] = field(default_factory=dict)
    cell_outputs: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    series: Mapping[str, Any] = field(default_factory=dict)
    evidence: tuple[Mapping[str, Any], ...] = ()
    models: tuple[Mapping[str, Any], ...] = ()
    effects: Effects = NO_EFFECTS
    files: Mapping[str, str | None] = field(default_factory=dict)
    files_written: Mapping[str, str] = field(default_factory=dict)
    files_disturbed: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    error: StageError | None = None
    remarks: tuple[str, ...] = ()
    started_s: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON data."""
        data = {item.name: getattr(self, item.name) for item in fields(self)}
        data["outputs"] = {name: artifact.to_json() for name, artifact in self.outputs.items()}
        data["effects"] = self.effects.to_json()
        data["error"] = self.error.to_json() if self.error else None
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> StageOutcome:
        """Rebuild an outcome from `to_json`."""
        values = dict(data)
        values["outputs"] = {name: Artifact.from_json(artifact) for name, artifact in data["outputs"].items()}
        values["effects"] = Effects.from_json(data["effects"])
        values["error"] = StageError.from_json(data["error"]) if data["error"] else None
        values |= {name: tuple(data.get(name, ())) for name in ("remarks", "files_disturbed", "evidence", "models")}
        return cls(**values)
