"""Hidden state of a live kernel: everything that makes a stage differ from a run from top to bottom (DESIGN 5)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nbmlops.pipeline.effects import NO_EFFECTS
from nbmlops.pipeline.touching import earlier_changers
from nbmlops.session.live.absent import Absent, check_absent
from nbmlops.session.live.finding import Finding, listed, merged
from nbmlops.session.live.inputs import Inputs, check_inputs
from nbmlops.session.live.process import ATTRIBUTE, GONE
from nbmlops.session.live.setup import SetupCheck
from nbmlops.session.live.staleness import Staleness

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.pipeline.model import Diagnostic, Stage
    from nbmlops.runner.plan import Planner
    from nbmlops.runner.stagekey import Components
    from nbmlops.session.live.kernel import KernelSession

__all__ = ["Examination", "hidden_state"]

_AROUND = frozenset({"NB407", "NB409", "NB413"})


class Examination:
    """What can be said of a stage before it runs here.

    Parameters
    ----------
    session : KernelSession
    planner : Planner
        Over the notebook as it stands, without values of the kernel.
    stage : Stage
    stale : Staleness or None
        What is known already of the stages above.
    continues : bool
        As of `check_inputs`.
    """

    def __init__(self, session: KernelSession, planner: Planner, stage: Stage, stale: Staleness | None = None, *, continues: bool = False) -> None:
        self.session = session
        self.planner = planner
        self.stage = stage
        self.notebook = session.cells.notebook()
        self.stale = stale = stale or Staleness(planner, session.history, self.notebook)
        self.inputs: Inputs = check_inputs(session, stage, stale, self.notebook, continues=continues)
        self.setup = SetupCheck(session, planner, self.notebook, stage)
        self.setup.run()
        self.absent = Absent() if continues else check_absent(session, planner, stage, self.notebook)
        own = [*self.inputs.findings, *self.setup.findings, *self.absent.findings, *self._left_out(), *self._module_state()]
        self.findings = merged([*own, *self._idle(), *self._changers(), *self._files_above(), *self.files_of_stages(stage, {})])

    def around(self, parts: Components) -> tuple[Finding, ...]:
        """Return what is wrong around the stage: modules, packages, the process.

        Parameters
        ----------
        parts : dict
            The components of its key.
        """
        self.session.follow_reloads()
        return merged([*self._modules(parts), *self._packages(parts), *self._process(parts), *self._patches()])

    def _idle(self) -> list[Finding]:
        """Return the stages that this one only waits for, and below which batch would not run it."""
        stages = self.planner.pipeline.stages
        return [finding for name in self.stage.after if name in stages for finding in self.stale.idle(stages[name])]

    def _changers(self) -> list[Finding]:
        """Return the stages above that have not run as they stand, and that may change in place what this one reads."""
        found, planner = [], self.planner
        for name in earlier_changers(self.stage, planner.pipeline, planner.source):
            other = planner.pipeline.stages[name]
            edited = self.notebook.edited.intersection(other.cells)
            # what is known of it from a run elsewhere is part of the links
            if name in self.stage.inputs.values() or planner.has_run(name) or (name in self.session.history.stages and not edited):
                continue
            if self.stale.is_skipped(other):
                continue
            label = self.notebook.label(other.cells[0])
            what = f"stage {name} {label}, which stands above and may change in place what this cell reads,"
            message = f"{what} {'was edited after it ran' if edited else 'has not run'}"
            found.append(Finding(code="NB404" if edited else "NB406", message=message, again=frozenset(other.cells)))
        return found

    def _files_above(self) -> list[Finding]:
        """Return the files that have changed since a setup cell read them, or a module as it was imported."""
        above, surroundings = self.session.read_above(self.planner, self.stage), self.planner.surroundings
        found = []
        for cell, files in above.by_cell.items():
            index = self.notebook.index_of(cell)
            for path, digest in files.items():
                if index is not None and surroundings.file(path) != digest:
                    message = f"the file {path} was changed after {self.notebook.label(index)} read it"
                    found.append(Finding(code="NB413", message=message, again=frozenset({index}), name=path, live=False))
        for module, files in above.by_module.items():
            for path, digest in files.items():
                if surroundings.file(path) != digest:
                    message = f"the file {path} was changed after {module} read it, as it was imported"
                    first = f"restart the kernel, or reload {module} with importlib.reload"
                    found.append(Finding(code="NB413", message=message, first=first, name=path, live=False))
        for function, files in above.by_cache.items():
            for path, digest in files.items():
                if surroundings.file(path) != digest:
                    message = f"the file {path} was changed after {function} read it, which keeps what it gave"
                    first = f"clear its cache with {function}.cache_clear()"
                    found.append(Finding(code="NB413", message=message, first=first, name=path, live=False))
        return found

    def files_of_stages(self, stage: Stage, read: Mapping[str, str | None]) -> list[Finding]:
        """Return the files that stages above write and that are not what these have written.

        Parameters
        ----------
        stage : Stage
            Linked with all that is known of it.
        read : mapping of str to (str or None)
            What the files held that it has read; the others are looked at.
        """
        found: list[Finding] = []
        for path, writer in {**self._written_here(stage, read), **stage.files_from}.items():
            run, again = self.session.history.stages.get(writer), frozenset(self.planner.pipeline.stages[writer].cells)
            stale = self.stale.of(writer)
            found += stale
            if run is None and not stale:
                message = f"the file {path} is what stage {writer} writes, which has not run in this kernel"
                found.append(Finding(code="NB406", message=message, again=again, name=path))
            elif run is not None and path in run.written and run.written[path] != (read[path] if path in read else self._digest(path)):
                message = f"the file {path} is not what stage {writer} {run.cell.label} wrote"
                found.append(Finding(code="NB413", message=message, again=again, name=path))
        return found

    def _written_here(self, stage: Stage, read: Iterable[str]) -> dict[str, str]:
        """Return the files of a stage that one above it has written in this kernel: of edited code nobody knows yet what it writes."""
        known = self.planner.effects.get(stage.name, NO_EFFECTS)
        paths = {*stage.files_read, *known.files_read, *read}
        above = [name for name, other in self.planner.pipeline.stages.items() if other.cells[0] < stage.cells[0]]
        runs = {name: run for name in above if (run := self.session.history.stages.get(name)) is not None}
        return {path: name for name, run in runs.items() for path in paths.intersection(run.written)}

    def _digest(self, path: str) -> str | None:
        return self.planner.surroundings.file(path)

    def _left_out(self) -> list[Finding]:
        """Return the live names that the cell reads though its ``--in`` does not name them: batch has none of them."""
        if self.stage.directive.ins is None:
            return []
        reads = {name for piece in self.planner.source.pieces if piece.stage == self.stage.name for name in piece.flow.reads}
        provided = {read.name for read in self.stage.reads} | set(self.stage.directive.ins)
        made = {name for stage in self.planner.pipeline.stages.values() if stage.name != self.stage.name for name in stage.binds}
        return [
            Finding(code="NB412", message=f"it reads {name!r}, which --in leaves out", first=f"add {name} to --in", name=name)
            for name in sorted((reads & made & set(self.session.shell.user_ns)) - provided)
        ]

    def _module_state(self) -> list[Finding]:
        known = self.planner.effects.get(self.stage.name, NO_EFFECTS)
        first = "restart the kernel, or reload the module"
        patched = {attribute for _, attributes in self.session.at_start[1].values() for attribute in attributes}
        return [
            Finding(code="NB614", message=f"{what} was changed by {who}, which only this kernel knows", first=first, name=what)
            for what, who in self.session.live.seen_by(self.stage, self.planner, known).items()
            if what.split("'")[1] not in patched  # that is told as such
        ]

    def _modules(self, parts: Components) -> list[Finding]:
        first = "restart the kernel, or reload it with importlib.reload or %autoreload 2"
        return [
            Finding(code="NB407", message=f"{path} was changed after this kernel imported it", first=first, name=path, live=False)
            for path in self.session.loaded.stale(parts.get("modules", {}))
        ] + [
            Finding(
                code="NB407",
                message=f"{path} holds {name!r} as {module} had it before it was reloaded",
                first=f"reload {path} with importlib.reload too, or restart the kernel",
                name=path,
                live=False,
            )
            for path, name, module in self.session.loaded.older_copies(parts.get("modules", {}))
        ]

    def _packages(self, parts: Components) -> list[Finding]:
        found = self.session.loaded.upgraded(parts.get("distributions", {}))
        return [
            Finding(code="NB407", message=f"{name}: {what}", first="restart the kernel", name=name, live=False)
            for name, what in sorted(found.items())
        ]

    def _process(self, parts: Components) -> list[Finding]:
        here = self.session.setup_statements(self.planner)
        told = {attribute for _, attributes in self.session.at_start[1].values() for attribute in attributes}
        found = self.session.process.differences(self.session.at_start[0], parts.get("environment", {}), here)
        first = "put it back, do it in a setup cell, or restart the kernel"
        return [
            Finding(
                code="NB409" if name.startswith(ATTRIBUTE) else "NB408",
                message=f"the {name} {_changed(label)}",
                first=first,
                name=name.removeprefix(ATTRIBUTE),
                live=not name.startswith(ATTRIBUTE),
            )
            for name, label in found.items()
            if name.rpartition(".")[2] not in told or not name.startswith(ATTRIBUTE)
        ]

    def _patches(self) -> list[Finding]:
        names = {name for position in self.stage.setup for name in self.planner.pipeline.setup[position].names}
        own = {id(self.session.shell.user_ns.get(name)) for name in names}
        found = []
        for item, attributes in self.session.at_start[1].values():
            if getattr(item, "__module__", getattr(item, "__name__", "")) != "__main__":
                first = "restart the kernel"
            elif id(item) in own:
                first = f"run the cell that defines {item.__name__} again"
            else:
                continue
            for attribute in attributes:
                label = self.session.patches.culprit(item, attribute)
                message = f"{item.__name__}.{attribute} was replaced{f' in {label}' if label else ''}"
                found.append(Finding(code="NB409", message=message, first=first, name=attribute, live=False))
        return found


def _changed(label: str | None) -> str:
    if label == GONE:
        return "is what a setup cell made it that is gone, or does that no more"
    return f"was changed{f' in {label}' if label else ''}, not by a setup cell"


def hidden_state(session: KernelSession) -> tuple[Diagnostic, ...]:
    """Return what makes this kernel differ from a run from top to bottom: of the stages that have run in it, and of edited cells."""
    notebook, planner = session.cells.notebook(), session.planner()
    stale = Staleness(planner, session.history, notebook)
    found: list[tuple[str, Finding]] = []
    for name, stage in planner.pipeline.stages.items():
        run = session.history.stages.get(name)
        if run is None:
            continue
        examined = Examination(session, planner, stage, stale)
        around = examined.around(planner.parts(stage, {}, run.effects, {}))
        own = [replace(finding, again=finding.again | set(stage.cells)) for finding in run.findings] or stale.of(name)
        # what the next run puts right by itself is no news
        coming = [finding for finding in (*examined.findings, *around) if finding.live or finding.code in _AROUND]
        found += [(name, finding) for finding in merged([*own, *coming])]
    told = {index for _, finding in found if finding.code == "NB404" for index in finding.again}
    found += [("", _edit(session, index)) for index in sorted(notebook.edited - told)]
    cells = {name: stage.cells[-1] if session.cells.path else None for name, stage in planner.pipeline.stages.items()}
    return tuple(listed(found, notebook, cells))


def _edit(session: KernelSession, index: int) -> Finding:
    """Say that a cell was edited after it ran, on which nothing hangs yet."""
    notebook = session.cells.notebook()
    first_line = next(iter(notebook.document.cells[index].source.strip().splitlines()), "")
    return Finding(code="NB404", message=f"the cell {notebook.label(index)} ({first_line[:40]}) was edited after it ran", again=frozenset({index}))
