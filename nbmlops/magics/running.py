"""Run a stage cell of the kernel, and show what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.errors import GateRefused, NbmlopsError

if TYPE_CHECKING:
    from nbmlops.magics.base import VerbMagics

__all__ = ["run_stage"]


def run_stage(magics: VerbMagics, line: str, body: str, *, tagged: bool = False, source: str | None = None) -> None:
    """Reuse or run a stage cell, print its line, and raise what it raised.

    Parameters
    ----------
    magics : VerbMagics
    line : str
        What stands after ``%%mlstage``.
    body : str
    tagged : bool
        Whether the cell is a stage by its tag.
    source : str, optional
        The cell as it is written, where another magic stands for ``%%mlstage``.
    """
    __tracebackhide__ = True
    hooks = magics.hooks
    hooks.busy += 1
    try:
        outcome = hooks.session.run_stage(line, body, hooks.metadata, hooks.cell_id, tagged=tagged, count=hooks.count, source=source)
    finally:
        hooks.busy -= 1
    if outcome.error is not None:
        if outcome.warning:
            magics.print(f"! {outcome.warning}")
        raise _shown(outcome.error, outcome.traceback) from None
    from nbmlops.views.text import stage_line  # noqa: PLC0415 - loading the extension stays light

    models = tuple(f"model {model['name']} is kept with the stage; %mlrun registers it" for model in outcome.result.models)
    magics.print(stage_line(outcome.result, remarks=(*outcome.remarks, *models), warning=outcome.warning))
    if outcome.result.status == "refused":
        raise GateRefused(f"stage {outcome.result.name!r} was refused: {outcome.result.reason}", code="NB701", fix="its outputs are there to look at")


def _shown(error: BaseException, traceback: tuple[str, ...]) -> BaseException:
    """Return the user's own exception, to be shown as the cell alone would have shown it.

    Raised again as it is, IPython would print our frames and its own before the user's.
    """
    if isinstance(error, (NbmlopsError, KeyboardInterrupt)) or not traceback:
        return error
    kind = type(type(error).__name__, (Exception,), {"_render_traceback_": lambda _self: list(traceback)})
    made: BaseException = kind(str(error))
    return made.with_traceback(error.__traceback__)
