"""The artifacts that a stage reads in a live kernel: whether they are what their stages made, and what is to be brought back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nbmlops.session.live.finding import Finding
from nbmlops.session.live.history import names_bound
from nbmlops.store.fingerprint import alias_sets

if TYPE_CHECKING:
    from nbmlops.pipeline.model import Stage
    from nbmlops.session.live.cells import Notebook
    from nbmlops.session.live.kernel import KernelSession
    from nbmlops.session.live.provenance import Origin
    from nbmlops.session.live.staleness import Staleness
    from nbmlops.store.records import Artifact

__all__ = ["Inputs", "check_inputs"]


@dataclass(slots=True, kw_only=True)
class Inputs:
    """What is known of a stage's inputs.

    Parameters
    ----------
    vouched : dict of str to Artifact
        Those whose version is known, by name.
    restore : dict of str to Artifact
        Those of them that are live in another version, and that the store holds.
    findings : list of Finding
        What is wrong with the others.
    """

    vouched: dict[str, Artifact] = field(default_factory=dict)
    restore: dict[str, Artifact] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def check_inputs(session: KernelSession, stage: Stage, stale: Staleness, notebook: Notebook, *, continues: bool) -> Inputs:
    """Compare each input with what its stage made.

    Parameters
    ----------
    session : KernelSession
    stage : Stage
    stale : Staleness
    notebook : Notebook
    continues : bool
        Whether the cell is a later one of a stage of several: then it goes on with what the earlier ones left.
    """
    return _Check(session, stage, stale, notebook, continues=continues).run()


class _Check:
    def __init__(self, session: KernelSession, stage: Stage, stale: Staleness, notebook: Notebook, *, continues: bool) -> None:
        self.session = session
        self.stage = stage
        self.stale = stale
        self.notebook = notebook
        self.continues = continues
        self.namespace = session.shell.user_ns
        self.found = Inputs()

    def run(self) -> Inputs:
        for name in self.stage.unprovided:
            if name in self.namespace:
                self.found.findings.append(self._unprovided(name))
        for name, provider in self.stage.inputs.items():
            last = self.session.provenance.get(name)
            if not (self.continues and last is not None and last.stage == self.stage.name):
                self._look_at(name, provider)
        if not self.continues:
            self._rejoin()
        return self.found

    def _look_at(self, name: str, provider: str) -> None:
        """Vouch for an input, plan to bring it back, or say what is wrong with it."""
        session, live = self.session, name in self.namespace
        origin, last = session.provenance.of_stage(provider, name), session.provenance.get(name)
        stale = self.stale.of(provider)
        run = session.history.stages.get(provider)
        if run is None or origin is None:
            self.found.findings += [replace(finding, name=name) for finding in stale] or [self._not_made(name, provider, last)]
            return
        self.found.findings += stale
        again = frozenset(self._cells(provider))
        if live and session.unchanged(name, origin):
            self._vouch(name, provider, origin, here=session.same_code(origin))
        elif (not live or (last is not None and last is not origin and session.unchanged(name, last))) and not stale:
            if origin.artifact is not None:
                self.found.vouched[name] = self.found.restore[name] = origin.artifact
            else:
                message = f"{name!r} is no longer as stage {provider} {run.cell.label} made it, and it cannot be stored"
                self.found.findings.append(Finding(code="NB406", message=message, again=again, name=name))
        elif not live:
            message = f"{name!r}, which stage {provider} {run.cell.label} made, is gone"
            self.found.findings.append(Finding(code="NB403", message=message, again=again, name=name))
        elif last is None or last is origin or not session.unchanged(name, last):
            where = session.history.culprits(name, max(origin.order, last.order if last is not None else 0))
            message = f"{name!r} was changed after stage {provider} {run.cell.label} made it{where}"
            self.found.findings.append(Finding(code="NB403", message=message, again=again, name=name))

    def _vouch(self, name: str, provider: str, origin: Origin, *, here: bool) -> None:
        if origin.artifact is None:
            message = f"{name!r} of stage {provider} cannot be stored"
            first = "make it in the stage that uses it, or in a setup cell"
            self.found.findings.append(Finding(code="NB612", message=message, first=first, name=name))
            return
        self.found.vouched[name] = origin.artifact
        if not here:
            self.found.restore[name] = origin.artifact

    def _not_made(self, name: str, provider: str, last: Origin | None) -> Finding:
        again = frozenset(self._cells(provider))
        if name not in self.namespace:
            return Finding(code="NB406", message=f"{name!r} is not there: stage {provider} has not run in this kernel", again=again, name=name)
        maker = f"stage {last.stage}" if last is not None and last.stage else "a setup cell" if last is not None else "a cell that is no stage"
        where = "" if last is not None else self.session.history.culprits(name, -1)
        code = "NB406" if last is not None else "NB403"
        return Finding(code=code, message=f"{name!r} was made by {maker}, not by stage {provider}{where}", again=again, name=name)

    def _unprovided(self, name: str) -> Finding:
        """Say who made a name that nothing above the stage provides."""
        origin = self.session.provenance.get(name)
        own = self.stage.cells[-1]
        gone = next((cell for cell in reversed(self.notebook.gone) if name in names_bound(cell.source)), None)
        index = self.notebook.index_of(origin.cell) if origin is not None else None
        if index is not None and index > own:
            first = f"move {self.notebook.label(index)} above this cell"
            message = f"{name!r} was made by {self.notebook.label(index)}, which stands below"
            return Finding(code="NB406", message=message, first=first, name=name)
        if gone is not None and (origin is None or origin.stage is not None or origin.cell == gone.id):
            first = "put it back, or define the name in a cell above"
            return Finding(code="NB405", message=f"{name!r} was made by {gone.label}, which is not in the notebook", first=first, name=name)
        where = self.session.history.culprits(name, -1)
        message = f"{name!r} was made by a cell that is no stage and no setup{where}"
        return Finding(code="NB403", message=message, first="make that cell a stage, or give it the tag setup", name=name)

    def _rejoin(self) -> None:
        """Bring back names that share state where they should not, or share none where they should."""
        vouched = self.found.vouched
        live = {name: self.namespace[name] for name in vouched if name not in self.found.restore}
        together = {frozenset(name for name in artifact.members if self._is_of(name, artifact)) for artifact in vouched.values()}
        wanted = {names for names in together if len(names) > 1}
        shared = {frozenset(names) for names in alias_sets(live, self.session.context())}
        for names in (*wanted, *shared):
            torn = names in wanted and (names & set(self.found.restore) or names not in shared)
            if torn or (names in shared and not any(names <= group for group in wanted)):
                self.found.restore.update({name: vouched[name] for name in names})

    def _is_of(self, name: str, bundle: Artifact) -> bool:
        """Tell whether the stage reads a name as it was stored in a bundle: it may have been bound again since."""
        return name in self.found.vouched and self.found.vouched[name].digest == bundle.digest

    def _cells(self, stage: str) -> tuple[int, ...]:
        found = self.stale.pipeline.stages.get(stage)
        return found.cells if found is not None else ()
