"""The executed notebook: the user's document with what every cell showed."""

from __future__ import annotations

import copy
import datetime as dt
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nbmlops.errors import StoreError
from nbmlops.notebook.roles import Role, RoledCell
from nbmlops.pipeline.setup import literal_assignments
from nbmlops.runner.plan import REPORT
from nbmlops.store.replacing import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from nbmlops.notebook.document import Document
    from nbmlops.pipeline.model import Pipeline
    from nbmlops.runner.results import RunResult, StageResult

__all__ = ["executed_notebook", "write_notebook"]

# beside the user's own options, which the next run of this file reads; this key it ignores
_RUN_KEY = "run"
_INJECTED = "injected-parameters"
Outputs = Callable[[str], list[list[dict[str, Any]]]]


def executed_notebook(  # noqa: PLR0913 - what a run has of it
    document: Document,
    cells: tuple[RoledCell, ...],
    pipeline: Pipeline,
    result: RunResult,
    *,
    outputs: Outputs,
    overrides: Mapping[str, Any],
    report_cells: tuple[int, ...],
    started_s: float,
    beside: Mapping[int, list[dict[str, Any]]] | None = None,
) -> dict[str, Any]:
    """Return the notebook's JSON with the outputs and the status of every cell.

    Parameters
    ----------
    document : Document
    cells : tuple of RoledCell
    pipeline : Pipeline
    result : RunResult
    outputs : callable
        Takes the digest of stored cell outputs and returns them, cell by cell.
    overrides : mapping of str to object
        Parameters that were given; they are shown in a cell of papermill's kind.
    report_cells : tuple of int
        The cells that the report process ran.
    started_s : float
        Unix time in seconds.
    beside : mapping of int to list of dict, optional
        What cells show that a run leaves out.
    """
    notebook = copy.deepcopy(document.raw)
    by_cell = {index: (shown, None) for index, shown in (beside or {}).items()} | _by_cell(pipeline, result, outputs, report_cells)
    count = 0
    for roled in cells:
        data = notebook["cells"][roled.cell.index]
        if data["cell_type"] != "code":
            continue
        shown, status = by_cell.get(roled.cell.index, ([], None))
        ran = roled.cell.index in by_cell and (bool(shown) or (status is not None and status.status in {"ran", "reused"}))
        count += ran
        data["execution_count"] = count if ran else None
        data["outputs"] = [_numbered(output, count) for output in _with_error(shown, status, roled.cell.index)]
        _stamp(data, roled, status)
    _inject(notebook, cells, overrides)
    _metadata(notebook, document, result, overrides, started_s)
    return notebook


def write_notebook(path: Path, notebook: Mapping[str, Any]) -> bytes:
    """Write a notebook whole or not at all: a full disk leaves the earlier file as it was.

    Returns
    -------
    bytes
        What was written.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    data = (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data, point="executed", durable=True)
    except OSError as error:
        raise StoreError(
            f"the executed notebook {path} cannot be written: {error.strerror}",
            code="NB603",
            fix="free space or choose another OUTPUT; the results are kept, and the next run writes it from them",
        ) from error
    return data


def _by_cell(
    pipeline: Pipeline, result: RunResult, outputs: Outputs, report_cells: tuple[int, ...]
) -> dict[int, tuple[list[dict[str, Any]], StageResult | None]]:
    found: dict[int, tuple[list[dict[str, Any]], StageResult | None]] = {}
    for name, stage in pipeline.stages.items():
        status = result.stages.get(name)
        shown = outputs(status.cell_outputs) if status is not None and status.cell_outputs else []
        for position, cell in enumerate(stage.cells):
            found[cell] = (shown[position] if position < len(shown) else [], status)
        if status is not None and status.status == "refused" and status.error is None:
            last = stage.cells[-1]
            found[last] = ([*found[last][0], _refusal(status)], status)
    report = result.report
    if report is not None:
        shown = outputs(report.cell_outputs) if report.cell_outputs else []
        for position, cell in enumerate(report_cells):
            status = report if position < max(len(shown), 1) or report.status in {"ran", "reused"} else None
            found[cell] = (shown[position] if position < len(shown) else [], status)
    return found


def _refusal(status: StageResult) -> dict[str, Any]:
    """Return what shows below the last cell of a stage whose gates refuse it."""
    refusing = [gate for gate in status.gates if not gate["passed"]]
    told = [f"{gate['name']} does not hold: {gate.get('reason') or 'it is {}'.format(gate.get('value'))}" for gate in refusing]
    return {"output_type": "error", "ename": "GateRefused", "evalue": status.reason, "traceback": [f"GateRefused: {line}" for line in told]}


def _with_error(shown: list[dict[str, Any]], status: StageResult | None, cell: int) -> list[dict[str, Any]]:
    """Add the error of a stage that could not show it itself, such as one that was killed."""
    error = status.error if status is not None else None
    if error is None or error.cell not in {None, cell} or any(output["output_type"] == "error" for output in shown):
        return shown
    return [*shown, {"output_type": "error", "ename": error.type, "evalue": error.message, "traceback": [f"{error.type}: {error.message}"]}]


def _numbered(output: dict[str, Any], count: int) -> dict[str, Any]:
    return {**output, "execution_count": count} if output["output_type"] == "execute_result" else output


def _stamp(data: dict[str, Any], roled: RoledCell, status: StageResult | None) -> None:
    """Write the status of a stage cell where readers and papermill look for it."""
    metadata = data.setdefault("metadata", {})
    metadata.pop("papermill", None)
    if roled.role is Role.STAGE and status is not None:
        metadata.setdefault("nbmlops", {})["status"] = status.status
        metadata["nbmlops"][_RUN_KEY] = {
            "stage": status.name,
            "status": status.status,
            "key": status.key,
            "seconds": round(status.seconds, 3),
            "reason": status.reason,
            "run_id": status.run_id,
            **({"gates": [dict(gate) for gate in status.gates]} if status.gates else {}),
        }
    word = "completed" if status is not None and status.status in {"ran", "reused"} else "pending"
    if status is not None and status.status in {"failed", "timed-out", "refused"}:
        word = "failed"
    if status is not None:
        metadata["papermill"] = {
            "status": word,
            "exception": word == "failed",
            "duration": round(status.seconds, 3) if status.name != REPORT else None,
        }


def _inject(notebook: dict[str, Any], cells: tuple[RoledCell, ...], overrides: Mapping[str, Any]) -> None:
    if not overrides:
        return
    earlier = next((roled for roled in cells if roled.role is Role.INJECTED), None)
    if earlier is not None:
        kept = {name: value for node in (earlier.tree.body if earlier.tree else ()) for name, value in literal_assignments(node).items()}
        notebook["cells"][earlier.cell.index]["source"] = _assignments({**kept, **overrides})
        return
    place = _below_parameters(cells)
    cell: dict[str, Any] = {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": [_INJECTED]},
        "outputs": [],
        "source": _assignments(overrides),
    }
    if (notebook.get("nbformat", 4), notebook.get("nbformat_minor", 5)) >= (4, 5):
        cell["id"] = "injected-parameters"
    notebook["cells"].insert(place, cell)


def _below_parameters(cells: tuple[RoledCell, ...]) -> int:
    """Return where a cell overrides the defaults: below the last cell that sets some, if no stage stands between it and the first."""
    first = next((roled.cell.index for roled in cells if roled.role is Role.PARAMETERS), -1)
    stage = next((roled.cell.index for roled in cells if roled.role is Role.STAGE and roled.cell.index > first), len(cells))
    return max((roled.cell.index for roled in cells[:stage] if roled.role is Role.PARAMETERS), default=first) + 1


def _assignments(values: Mapping[str, Any]) -> str:
    return "\n".join(["# Parameters", *(f"{name} = {value!r}" for name, value in values.items())])


def _metadata(notebook: dict[str, Any], document: Document, result: RunResult, overrides: Mapping[str, Any], started_s: float) -> None:
    metadata = notebook.setdefault("metadata", {})
    metadata.pop("widgets", None)  # live widgets are dead in a saved notebook; their static twins are in the outputs
    metadata.setdefault("nbmlops", {})[_RUN_KEY] = {
        "run_id": result.run_id,
        "status": result.status,
        "parameters": dict(result.parameters),
        "stages": {name: item.status for name, item in result.stages.items()},
    }
    metadata["papermill"] = {
        **metadata.get("papermill", {}),
        "input_path": document.shown,
        "output_path": result.output,
        "parameters": dict(overrides),
        "start_time": dt.datetime.fromtimestamp(started_s, dt.UTC).isoformat(),
        "end_time": dt.datetime.fromtimestamp(started_s + result.seconds, dt.UTC).isoformat(),
        "duration": round(result.seconds, 3),
        "exception": result.status != "done",
    }
