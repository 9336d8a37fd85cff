"""Which statements of setup cells have made the names of a live kernel, and which cells have changed them without naming that."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nbmlops.runner.stagekey import type_exact
from nbmlops.session.live.makers import Makers, act_of
from nbmlops.session.live.provenance import Origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmlops.notebook.roles import RoledCell
    from nbmlops.session.live.cells import SeenCell
    from nbmlops.session.live.kernel import KernelSession

__all__ = ["SetupChanges", "note_setup"]


class SetupChanges:
    """What setup cells were seen to change in place where no statement says so: ``names.sort()``, a decorator that registers.

    A cell is known by its statements: edited, it is another one.
    """

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}
        self._before: dict[str, str | None] = {}

    def begin(self, session: KernelSession) -> None:
        """Note what the names of setup cells hold before a cell that may change them."""
        namespace = session.shell.user_ns
        origins = {name: origin for name in list(namespace) if (origin := session.provenance.get(name)) is not None}
        self._before = {name: session.print_of(namespace[name]) for name, origin in origins.items() if origin.stage is None}

    def forget(self) -> None:
        """Give up what `begin` noted: nobody wants to know."""
        self._before = {}

    def end(self, session: KernelSession, seen: SeenCell, act: str, made: Mapping[str, tuple[str, ...]], literals: Mapping[str, object]) -> None:
        """Note what a setup cell has changed, by its act.

        Parameters
        ----------
        session : KernelSession
        seen : SeenCell
        act : str
            The cell, as `act_of` names it.
        made : mapping of str to tuple of str
            The names that its statements make: what else they do to these shows in literals alone.
        literals : mapping of str to object
            Of these, what the statements say that they are.
        """
        before, self._before = self._before, {}
        namespace, provenance = session.shell.user_ns, session.provenance
        known = self._names.get(act, frozenset())
        changed = {name for name in literals if name in namespace and type_exact(literals[name]) != type_exact(namespace[name])}
        for name in before.keys() & namespace.keys() - made.keys():
            origin = provenance.get(name)
            if origin is None or origin.fingerprint != before[name] or before[name] is None:
                continue  # somebody else has changed it before: that is not this cell's doing
            now = session.print_of(namespace[name])
            again = name in known and origin.statements[-1:] != (act,)
            if now != before[name] or again:
                changed.add(name)
                provenance.made(name, replace(origin, value=namespace[name], fingerprint=now, statements=(*origin.statements, act), order=seen.order))
        for name in changed & made.keys():
            origin = provenance.get(name)
            if origin is not None and origin.statements[-1:] != (act,):
                provenance.made(name, replace(origin, statements=(*origin.statements, act)))
        self._names[act] = known | changed

    def of(self, act: str) -> frozenset[str]:
        """Return the names that a cell was seen to change."""
        return self._names.get(act, frozenset())


def note_setup(session: KernelSession, seen: SeenCell, roled: RoledCell) -> None:
    """Take note of the names that a setup cell has just made or changed.

    Parameters
    ----------
    session : KernelSession
    seen : SeenCell
    roled : RoledCell
        The cell in the notebook as it stands.
    """
    makers, taken = _makers(session, roled), _taken_changed(session, roled)
    namespace, code = session.shell.user_ns, session.code()
    for name in makers.keys() & namespace.keys():
        value, statements = namespace[name], makers[name]
        print_ = session.print_of(value)
        before = session.provenance.get(name)
        if before is not None and before.fingerprint == print_ and set(statements) == set(before.statements):
            statements = before.statements  # run again, and it changed nothing: `config["a"] = 1`
        origin = Origin(
            stage=None, cell=seen.id, order=seen.order, value=value, fingerprint=print_, statements=statements, code=code, other=taken.get(name, ())
        )
        session.provenance.made(name, origin)
    own = [statement for statement in session.pipeline().setup if statement.cell == roled.cell.index]
    literals = {name: value for statement in own for name, value in statement.literals.items() if len(makers[name]) == 1}
    session.setup_changes.end(session, seen, act_of(statement.fingerprint for statement in own), makers, literals)


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


def _taken_changed(session: KernelSession, roled: RoledCell) -> dict[str, tuple[str, ...]]:
    """Return, for the names that a cell has made, those of other setup cells that were not what is above it: a stage or a hand had changed them."""
    makers = Makers(session.source(), session.pipeline(), session.setup_changes)
    namespace, found = session.shell.user_ns, dict[str, tuple[str, ...]]()
    positions = [position for position, statement in enumerate(makers.setup) if statement.cell == roled.cell.index]
    own = {name for position in positions for name in makers.setup[position].names}
    for position in positions:
        changed = []
        for name in sorted((makers.taken(position, namespace) & namespace.keys()) - own):
            origin = session.provenance.get(name)
            if origin is not None and (origin.statements != makers.before(name, position) or not session.unchanged(name, origin)):
                changed.append(name)
        found.update({name: (*found.get(name, ()), *changed) for name in makers.setup[position].names})
    return found
