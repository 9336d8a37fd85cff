"""What is said of the error that ended a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmlops.errors import NbmlopsError
from nbmlops.runner.task import StageError

if TYPE_CHECKING:
    from nbmlops.runner.outputs import OutputRecorder
    from nbmlops.runner.task import StageTask

__all__ = ["describe", "line_of"]


def line_of(error: BaseException) -> str:
    """Return an error in one line: of ours with its code and remedy."""
    return f"{error.code}: " + "; ".join(filter(None, (error.message, error.fix))) if isinstance(error, NbmlopsError) else str(error)


def describe(error: BaseException, cell: int, outputs: list[dict[str, Any]], task: StageTask, recorder: OutputRecorder) -> StageError:
    """Return what ended a cell as its outcome tells it.

    Parameters
    ----------
    error : BaseException
    cell : int
    outputs : list of dict
        What the cell has shown, the error's own output among it.
    task : StageTask
    recorder : OutputRecorder
        Masks what must not be told.
    """
    last = next((output for output in reversed(outputs) if output["output_type"] == "error"), None)
    status = (error.code or 0) if isinstance(error, SystemExit) else None
    message = last["evalue"] if last and not isinstance(error, NbmlopsError) else str(recorder.redacted(line_of(error)))
    out_of_memory = isinstance(error, MemoryError) or (task.memory_bytes is not None and _came_of_memory(error))
    if out_of_memory:
        message = task.out_of_memory + (f"; {message}" if message else "")
    return StageError(
        type="MemoryError" if out_of_memory else type(error).__name__,
        message=message,
        code=error.code if isinstance(error, NbmlopsError) else None,
        cell=cell,
        traceback=tuple(last["traceback"]) if last else (),
        exit_code=status if status is None or isinstance(status, int) else 1,
    )


def _came_of_memory(error: BaseException) -> bool:
    """Tell whether a library, such as IPython, raised an error because there was no memory left for what it does after one."""
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None or innermost.tb_frame.f_code.co_filename.startswith("<cell"):
        return False  # the code's own: it has decided what a MemoryError means
    earlier = error.__context__
    while earlier is not None and not isinstance(earlier, MemoryError):
        earlier = earlier.__context__
    return earlier is not None
