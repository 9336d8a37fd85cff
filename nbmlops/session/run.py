"""A run that can be asked: its artifacts, its metrics, and why each stage ran."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmlops.errors import UpstreamMissing
from nbmlops.pipeline.model import Diagnostic
from nbmlops.runner.results import PAST, RunResult, StageResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.session.batch import Session
    from nbmlops.store.records import Artifact, RunRecord, StageRecord

__all__ = ["Interrupted", "Run", "last_failure"]

_LINE = 400


class Run:
    """One execution of a pipeline.

    Parameters
    ----------
    result : RunResult
    session : Session
        Of the notebook that was run.

    Examples
    --------
    >>> run["model"].predict(X)  # doctest: +SKIP
    >>> run.stages["train"].why  # doctest: +SKIP
    'parameter learning_rate 0.1 -> 0.2'
    """

    def __init__(self, result: RunResult, session: Session) -> None:
        self.result = result
        self._session = session
        self._namespace: dict[str, Any] | None = None

    @classmethod
    def of_record(cls, record: RunRecord, session: Session) -> Run:
        """Return a run that the store holds."""
        stages = {item["name"]: _stage(item, session) for item in record.stages}
        result = RunResult(
            run_id=record.run_id,
            status=record.status,
            notebook=record.notebook,
            output=record.output,
            parameters=dict(record.parameters),
            seconds=record.seconds,
            stages=stages,
            diagnostics=tuple(Diagnostic(**item) for item in record.diagnostics),
            tracking=dict(record.tracking),
        )
        return cls(result, session)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.result.run_id

    @property
    def status(self) -> str:
        """``done``, ``failed``, ``refused`` or ``cancelled``."""
        return self.result.status

    @property
    def output(self) -> str | None:
        """The path of the executed notebook."""
        return self.result.output

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter with the value that it had."""
        return dict(self.result.parameters)

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics of every stage, by name."""
        return self.result.metrics

    @property
    def stages(self) -> Mapping[str, StageResult]:
        """What became of each stage."""
        return self.result.stages

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - an artifact is any value
        """Load the artifact called `name`; of several versions, the last stage's.

        Raises
        ------
        KeyError
            If no stage of this run keeps a value of that name.
        UpstreamMissing
            If its bytes are no longer in the store.
        """
        from nbmlops.store.loading import load_artifact  # noqa: PLC0415 - a run can be looked at without loading values
        from nbmlops.store.serializers import Context  # noqa: PLC0415 - a run can be looked at without loading values

        artifact = self._artifact(name)
        namespace = self._definitions() if any(item.startswith("name:") for item in artifact.refers) else {}
        context = Context(
            namespace=namespace,
            by_reference=frozenset(namespace),
            local_roots=(self._session.settings.project_root,),
            trusted=self._session.store.trusted,
        )
        try:
            value = load_artifact(self._session.store, artifact, context)
        except KeyError as error:
            raise UpstreamMissing(f"the bytes of {name!r} are no longer in the store", code="NB602", fix="run the notebook again") from error
        return value[name] if artifact.members else value

    def __repr__(self) -> str:
        """Say which run it is and how it ended."""
        counts = ", ".join(f"{item.name} {item.status}" for item in self.stages.values())
        return f"<Run {self.id} {self.status}: {counts}>"

    def _artifact(self, name: str) -> Artifact:
        for stage in reversed(list(self.stages.values())):
            if name in stage.outputs:
                return stage.outputs[name]
        kept = sorted({output for stage in self.stages.values() for output in stage.outputs})
        raise KeyError(f"run {self.id} keeps no {name!r}; it keeps: {', '.join(kept)}")

    def _definitions(self) -> dict[str, Any]:
        """Run the setup cells once, for artifacts whose classes and functions stand there."""
        if self._namespace is None:
            from IPython.core.interactiveshell import InteractiveShell  # noqa: PLC0415

            from nbmlops.notebook.code import to_python  # noqa: PLC0415

            self._namespace = {"__name__": "__main__", "get_ipython": InteractiveShell.instance}
            for step in self._session.graph().setup_steps:
                exec(compile(to_python(step.source), f"<cell {step.cell}>", "exec"), self._namespace)  # noqa: S102 - the user's own notebook
        return self._namespace


def last_failure(runs: Iterable[RunRecord], stage: str) -> str:
    """Say how a stage ended in the newest of these runs that came to it, if not well; else nothing.

    Parameters
    ----------
    runs : iterable of RunRecord
        Newest first.
    stage : str
    """
    found = ((run, item) for run in runs for item in run.stages if item["name"] == stage and item["status"] != "not-run")
    run, item = next(found, (None, {}))
    if run is None or item["status"] not in PAST:
        return ""
    from textwrap import shorten  # noqa: PLC0415 - most runs are asked of no failure

    error = item.get("error") or {}
    refused = [gate["name"] for gate in item.get("gates", ()) if not gate.get("passed")]
    cause = f"{error['type']}: {error['message']}" if error else ", ".join(refused)
    where = f" (cell {error['cell']})" if error.get("cell") is not None else ""
    return shorten(f"in run {run.run_id[:8]} it {PAST[item['status']]}" + (f": {cause}" if cause else ""), _LINE, placeholder=" …") + where


class Interrupted(KeyboardInterrupt):
    """A run that was stopped by SIGINT or SIGTERM; `run` is what became of it."""

    def __init__(self, run: Run) -> None:
        super().__init__("interrupted: finished stages are kept; the same command continues")
        self.run = run

    def _render_traceback_(self) -> list[str]:
        """Show one line in IPython, which would show where in the scheduler the signal came."""
        return [str(self)]


def _stage(item: Mapping[str, Any], session: Session) -> StageResult:
    from nbmlops.runner.task import StageError  # noqa: PLC0415 - a run with nothing stale has no errors to rebuild

    record: StageRecord | None = session.store.record(item["key"]) if item.get("key") else None
    error = item.get("error")
    return StageResult(
        name=item["name"],
        status=item["status"],
        key=item.get("key"),
        seconds=item.get("seconds", 0.0),
        reason=item.get("reason", ""),
        outputs=dict(record.outputs) if record and item["status"] in {"ran", "reused"} else {},
        metrics=item.get("metrics", {}),
        gates=tuple(item.get("gates", ())),
        error=StageError.from_json(error) if error else None,
        cell_outputs=record.cell_outputs if record else None,
        run_id=record.run_id if record else "",
    )
