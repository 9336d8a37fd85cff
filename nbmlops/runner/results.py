"""What a run says of itself: the CLI contract's JSON as frozen data."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from nbmlops.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.pipeline.model import Diagnostic
    from nbmlops.runner.task import StageError
    from nbmlops.store.records import Artifact, StageRecord

__all__ = ["DONE", "EXIT_CODES", "PAST", "RunResult", "StageResult", "run_status", "why_not_run"]

EXIT_CODES: Mapping[str, int] = {"done": 0, "failed": 1, "refused": 3, "cancelled": 130}
DONE = frozenset({"ran", "reused", "skipped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """What became of one stage in one run.

    Parameters
    ----------
    name : str
    status : str
        ``ran``, ``reused``, ``skipped``, ``failed``, ``refused``, ``timed-out``, ``cancelled`` or ``not-run``.
    key : str or None
    seconds : float
        Of a reused stage, what computing it took then.
    reason : str
        Why it ran, was reused or did not run.
    outputs : mapping of str to Artifact
    metrics : mapping of str to JSON
    series : mapping of str to list of [int, float]
        The course of metrics that were logged by step.
    gates : tuple of mapping
        Evidence: what gates in the stage's code found, then that of its ``--require`` expressions.
    models : tuple of mapping
        What the stage wants registered.
    looked_at : mapping of str to str
        The stage key, and the digests of the inputs, that its results are of.
    error : StageError or None
    cell_outputs : str or None
        Digest of the outputs of its cells.
    run_id : str
        The run that computed it.
    """

    name: str
    status: str
    key: str | None = None
    seconds: float = 0.0
    reason: str = ""
    outputs: Mapping[str, Artifact] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    series: Mapping[str, Any] = field(default_factory=dict)
    gates: tuple[Mapping[str, Any], ...] = ()
    models: tuple[Mapping[str, Any], ...] = ()
    looked_at: Mapping[str, str] = field(default_factory=dict)
    error: StageError | None = None
    cell_outputs: str | None = None
    run_id: str = ""

    @property
    def why(self) -> str:
        """Why it ran, was reused or did not run."""
        return self.reason

    @classmethod
    def of_record(cls, record: StageRecord, status: str, reason: str) -> StageResult:
        """Return the result of a stage that a record serves."""
        return cls(
            name=record.stage,
            status=status,
            key=record.key,
            seconds=record.seconds,
            reason=reason,
            outputs=record.outputs,
            metrics=record.metrics,
            series=record.series,
            gates=record.evidence,
            models=record.models,
            looked_at={"stage": record.key, **record.components.get("inputs", {})},
            cell_outputs=record.cell_outputs,
            run_id=record.run_id,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the result as the CLI contract gives it."""
        return {
            "name": self.name,
            "status": self.status,
            "key": self.key,
            "seconds": round(self.seconds, 3),
            "reason": self.reason,
            "outputs": {name: {"digest": item.digest, "format": item.format, "bytes": item.size_bytes} for name, item in self.outputs.items()},
            "metrics": dict(self.metrics),
            "gates": [dict(gate) for gate in self.gates],
            "error": self.error.to_json() if self.error else None,
        }

    def to_record(self) -> dict[str, Any]:
        """Return the result as the run's record keeps it: with the files of its models, which the stage's own record loses when it runs again."""
        models = [{name: model.get(name) for name in ("name", "digest", "files")} for model in self.models]
        return self.to_json() | ({"models": models} if models else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What became of one run.

    Parameters
    ----------
    run_id : str
    status : {"done", "failed", "refused", "cancelled"}
    notebook : str
    output : str or None
        Path of the executed notebook.
    parameters : mapping of str to JSON
        Every parameter with the value that it had.
    seconds : float
    stages : mapping of str to StageResult
        In document order.
    diagnostics : tuple of Diagnostic
    tracking : mapping of str to mapping
        What each tracker calls the run.
    report : StageResult or None
        What became of the report cells.
    nothing_to_do : bool
        Whether everything was there already, and the run is an earlier one.
    """

    run_id: str
    status: str
    notebook: str
    output: str | None
    parameters: Mapping[str, Any]
    seconds: float
    stages: Mapping[str, StageResult]
    diagnostics: tuple[Diagnostic, ...] = ()
    tracking: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    report: StageResult | None = None
    nothing_to_do: bool = False

    @property
    def exit_code(self) -> int:
        """The command's exit code."""
        return EXIT_CODES[self.status]

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics of every stage; where two have the same name, the later stage's under ``stage.name`` too."""
        found: dict[str, Any] = {}
        for stage in self.stages.values():
            for name, value in stage.metrics.items():
                if name in found:
                    found[f"{stage.name}.{name}"] = value
                else:
                    found[name] = value
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the result as the CLI contract gives it."""
        return {
            "run_id": self.run_id,
            "status": self.status,
            "notebook": self.notebook,
            "output": self.output,
            "parameters": dict(self.parameters),
            "seconds": round(self.seconds, 3),
            "stages": [stage.to_json() for stage in self.stages.values()],
            "diagnostics": [item.to_json() for item in self.diagnostics],
            "tracking": {name: dict(value) for name, value in self.tracking.items()},
        }


def run_status(results: Mapping[str, StageResult], report: StageResult | None, *, cancelled: bool) -> str:
    """Return the status of a run: never better than that of its worst part."""
    statuses = {item.status for item in (*results.values(), *([report] if report else []))}
    if cancelled or "cancelled" in statuses:
        return "cancelled"
    if statuses & {"failed", "timed-out"}:
        return "failed"
    if "refused" in statuses:
        return "refused"
    return "done" if statuses <= DONE else "failed"


# what a stage did that is not done, in a sentence
PAST: Mapping[str, str] = {"failed": "failed", "refused": "was refused", "timed-out": "ran out of time", "cancelled": "was cancelled"}


def why_not_run(upstream: Iterable[str], results: Mapping[str, StageResult]) -> str:
    """Return why a stage did not run: because of the first of those that it hangs on that is not done, else because the run was stopped."""
    statuses = {name: results[name].status if name in results else "not-run" for name in upstream}
    blocker = next((name for name, status in statuses.items() if status not in DONE), None)
    return f"stage {blocker} {PAST.get(statuses[blocker], 'did not run')}" if blocker is not None else "the run was stopped"
