"""Which statements of setup cells have made the names of a live kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.session.provenance import Origin, is_code
from nbmlops.store.fingerprint import value_fingerprint

if TYPE_CHECKING:
    from nbmlops.notebook.roles import RoledCell
    from nbmlops.session.cells import SeenCell
    from nbmlops.session.kernel import KernelSession

__all__ = ["note_setup"]


def note_setup(session: KernelSession, seen: SeenCell, roled: RoledCell) -> None:
    """Take note of the names that a setup cell has just made or changed.

    Parameters
    ----------
    session : KernelSession
    seen : SeenCell
    roled : RoledCell
        The cell in the notebook as it stands.
    """
    makers = _makers(session, roled)
    namespace, context, code = session.shell.user_ns, session.context(), session.code()
    for name in makers.keys() & namespace.keys():
        value, statements = namespace[name], makers[name]
        print_ = session.state(value) if is_code(value) else value_fingerprint(value, context)
        before = session.provenance.get(name)
        if before is not None and before.fingerprint == print_ and set(statements) == set(before.statements):
            statements = before.statements  # run again, and it changed nothing: `config["a"] = 1`
        origin = Origin(stage=None, cell=seen.id, order=seen.order, value=value, fingerprint=print_, statements=statements, code=code)
        session.provenance.made(name, origin)


def _makers(session: KernelSession, roled: RoledCell) -> dict[str, tuple[str, ...]]:
    """Return the statements that have made each name of a cell, from the one that binds it."""
    trees = [piece.statement for piece in session.source().pieces if piece.statement is not None]
    makers: dict[str, tuple[str, ...]] = {}
    for statement, tree in zip(session.pipeline().setup, trees, strict=True):
        if statement.cell != roled.cell.index:
            continue
        if statement.defines_code:
            session.code_names.update(tree.flow.binds)
        for name in statement.names:
            former = makers.get(name, ()) or _made_so_far(session, name)
            makers[name] = (statement.fingerprint,) if name in tree.flow.binds else (*former, statement.fingerprint)
    return makers


def _made_so_far(session: KernelSession, name: str) -> tuple[str, ...]:
    """Return what has made a name before this cell; what a stage has done to it is no statement of setup."""
    origin = session.provenance.get(name)
    if origin is None:
        return ()
    return (f"stage {origin.stage}",) if origin.stage is not None else origin.statements
