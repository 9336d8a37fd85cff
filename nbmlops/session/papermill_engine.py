"""The papermill engine: ``papermill IN OUT --engine nbmlops`` is `nbmlops run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat  # noqa: TID253 - papermill, which loads this module, has loaded it
from click import ClickException
from papermill.engines import Engine  # noqa: TID253
from papermill.iorw import write_ipynb  # noqa: TID253

from nbmlops.errors import GateRefused, NbmlopsError, StageFailed
from nbmlops.notebook.document import parse_document
from nbmlops.session.batch import Session
from nbmlops.settings import load_settings

if TYPE_CHECKING:
    from nbmlops.session.run import Run

__all__ = ["NbmlopsEngine"]

_INJECTED = "injected-parameters"


class NbmlopsEngine(Engine):  # type: ignore[misc]
    """Run a notebook's stages as nbmlops does, and its other cells as report cells.

    It does not use papermill's execution manager, which stamps ``completed`` on cells that never ran.
    """

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, output_path: str | None = None, **options: Any) -> Any:  # noqa: ANN401, ARG003 - papermill's signature
        """Run a notebook that papermill has read and given its parameters.

        Raises
        ------
        nbmlops.errors.NotebookError, nbmlops.errors.UsageError
            If the notebook or a parameter cannot be meant.
        nbmlops.errors.StageFailed, nbmlops.errors.GateRefused
            If the run did not succeed and no cell's output tells papermill so; the output has been written.
        """
        given = nb.metadata.get("papermill", {})
        source, target = options.get("input_path") or given.get("input_path"), given.get("output_path")
        parameters = dict(given.get("parameters") or {})
        path = Path(source) if source and "://" not in source else None
        local = Path(target) if target and "://" not in target and target != "-" else None
        try:
            session = Session(parse_document(_without_injected(nb, parameters), path), load_settings(path.resolve().parent if path else Path.cwd()))
            run = session.run(parameters, output=local)
            executed = nbformat.read(str(run.output), as_version=4)  # type: ignore[no-untyped-call]
            executed.metadata.papermill = {**given, **executed.metadata.get("papermill", {}), "output_path": target}
            _raise_unless_told(run, executed, target)
        except NbmlopsError as error:
            raise _for_command_line(error) from error
        return executed


def _without_injected(nb: Any, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - a NotebookNode
    """Return the author's notebook: the cell that papermill has just put in says nothing that the parameters do not."""
    raw: dict[str, Any] = nbformat.from_dict(nb)  # type: ignore[no-untyped-call]
    if parameters:
        raw["cells"] = [cell for cell in raw["cells"] if _INJECTED not in cell.get("metadata", {}).get("tags", [])]
    return raw


def _for_command_line(error: NbmlopsError) -> NbmlopsError:
    """Return the error as one that papermill's command line, which is click's, shows in one line and not as a traceback."""
    kind = type(type(error).__name__, (type(error), ClickException), {"format_message": lambda self: f"{self.code}: {self}"})
    made: NbmlopsError = Exception.__new__(kind)
    made.__dict__.update(error.__dict__, show_color=None)
    made.args = error.args
    return made


def _raise_unless_told(run: Run, executed: Any, target: str | None) -> None:  # noqa: ANN401
    """Fail where papermill would not: it looks at error outputs only, and lets SystemExit pass."""
    if run.status == "done":
        return
    errors = [output for cell in executed.cells for output in cell.get("outputs", []) if output["output_type"] == "error"]
    if run.status == "failed" and any(output["ename"] != "SystemExit" for output in errors):
        return
    if target:
        write_ipynb(executed, target)
    bad = next((stage for stage in run.stages.values() if stage.status in {"failed", "timed-out", "refused", "cancelled"}), None)
    kind = GateRefused if run.status == "refused" else StageFailed
    what = f"stage {bad.name!r} {bad.status}: {bad.error.message if bad.error else bad.reason}" if bad else f"the run is {run.status}"
    raise kind(what, code="NB605", fix="see the executed notebook")
