"""Names that a live kernel has and that a run from top to bottom has not at the place of a stage (DESIGN 5)."""

from __future__ import annotations

import builtins
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbmlops.dataflow.hidden import is_history
from nbmlops.session.live.finding import Finding
from nbmlops.session.live.history import names_bound

if TYPE_CHECKING:
    from nbmlops.pipeline.model import Stage
    from nbmlops.runner.plan import Planner
    from nbmlops.session.live.cells import Notebook
    from nbmlops.session.live.kernel import KernelSession
    from nbmlops.session.live.provenance import Origin

__all__ = ["Absent", "check_absent"]


@dataclass(slots=True, kw_only=True)
class Absent:
    """What a stage should not find.

    Parameters
    ----------
    withhold : dict of str to object
        Names that cells of the notebook make elsewhere, or that the stage binds itself: they are taken away while it runs.
    told : list of str
        Those of them that it reads and does not bind.
    findings : list of Finding
        The others: the user may want the stage to see what was made by hand.
    """

    withhold: dict[str, Any] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def check_absent(session: KernelSession, planner: Planner, stage: Stage, notebook: Notebook) -> Absent:
    """Find the live names that a stage may read or bind and that nothing above it provides.

    ``try: depth = max_depth``, ``"cache" in globals()`` and ``sum(x)`` are no error where nothing does, and give another value where a
    console, a cell further down or an earlier run of the stage has made the name.
    """
    found, namespace = Absent(), session.shell.user_ns
    provided = _provided(planner, stage.cells[0])
    for name in sorted((_read(planner, stage) | set(stage.binds)) - provided - set(stage.unprovided)):
        if name not in namespace or _is_pythons(session, name):
            continue
        origin = session.provenance.get(name)
        if name in stage.binds and name not in session.code_names:
            found.withhold[name] = namespace[name]
        elif origin is not None and notebook.index_of(origin.cell) is not None and session.unchanged(name, origin) and name not in session.code_names:
            found.withhold[name] = namespace[name]
            found.told.append(name)
        else:
            found.findings.append(_finding(session, notebook, name, origin))
    return found


def _read(planner: Planner, stage: Stage) -> set[str]:
    """Return the global names that the stage's code looks up, and the code that it is given."""
    names = {name for piece in planner.source.pieces if piece.stage == stage.name for name in piece.flow.reads}
    names.update(name for position in stage.setup for name in planner.pipeline.setup[position].free)
    for piece in planner.source.pieces:
        if piece.stage in stage.inputs.values():
            names.update(read for name, reads in piece.flow.carried.items() if stage.inputs.get(name) == piece.stage for read in reads)
    return names


def _provided(planner: Planner, cell: int) -> set[str]:
    """Return the names that cells above provide, in a run from top to bottom."""
    stages, found = planner.pipeline.stages, set[str]()
    setup = iter(planner.pipeline.setup)
    for piece in planner.source.pieces:
        binds = next(setup).names if piece.statement is not None else stages[piece.stage].binds if piece.stage else ()
        if piece.cell < cell:
            found.update(binds)
            if piece.stage is not None or piece.statement is not None:
                found -= piece.flow.deleted
    return found


def _is_pythons(session: KernelSession, name: str) -> bool:
    """Tell what Python and IPython provide: a name of theirs that means something else is not theirs."""
    value = session.shell.user_ns[name]
    if name.startswith("__") or is_history(name):
        return True
    hidden = session.shell.user_ns_hidden
    return (name in hidden and hidden[name] is value) or getattr(builtins, name, session) is value


def _finding(session: KernelSession, notebook: Notebook, name: str, origin: Origin | None) -> Finding:
    """Say who made a name that is not to be there."""
    what = f"the builtin {name!r} is hidden by what" if hasattr(builtins, name) else f"{name!r}, which no cell above makes, is what"
    index = notebook.index_of(origin.cell) if origin is not None else None
    gone = next((cell for cell in reversed(notebook.gone) if name in names_bound(cell.source)), None)
    if index is not None and origin is not None and session.unchanged(name, origin):
        first = f"move {notebook.label(index)} above this cell, or del {name}"
        return Finding(code="NB406", message=f"{what} {notebook.label(index)}, which stands below, makes of it", first=first, name=name)
    if gone is not None and (origin is None or origin.cell == gone.id):
        message = f"{what} {gone.label} made, which is not in the notebook"
        return Finding(code="NB405", message=message, first=f"put it back above this cell, or del {name}", name=name)
    where = session.history.culprits(name, origin.order if origin is not None else -1)
    first = f"del {name}, or make it in a stage or a setup cell above"
    return Finding(code="NB403", message=f"{what} a cell that is no stage and no setup made{where}", first=first, name=name)
