"""Whether what a stage made in this kernel is still what the notebook says: its key then, and its key now."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from nbmlops.errors import UsageError
from nbmlops.runner.stagekey import Surroundings, differences, identity
from nbmlops.session.live.finding import Finding
from nbmlops.session.live.history import names_bound

if TYPE_CHECKING:
    from pathlib import Path

    from nbmlops.pipeline.model import Pipeline, Stage
    from nbmlops.runner.environment import Distributions
    from nbmlops.runner.plan import Planner
    from nbmlops.runner.stagekey import Components
    from nbmlops.session.live.cells import Notebook
    from nbmlops.session.live.history import History, StageRun

__all__ = ["KernelSurroundings", "Staleness"]

_LOADED = ("modules", "distributions")


class KernelSurroundings(Surroundings):
    """Surroundings that hash a file again only when it looks changed: a kernel asks before every stage.

    Parameters
    ----------
    folder, project_root, cache
        As of `Surroundings`.
    known : dict
        What earlier ones found, by path; kept by the caller.
    distributions : Distributions
        Kept by the caller too: they are told to look again.
    """

    def __init__(
        self,
        folder: Path,
        project_root: Path,
        cache: Path,
        known: dict[str, tuple[tuple[int, ...], str | None]],
        distributions: Distributions,
    ) -> None:
        distributions.look_again()
        super().__init__(folder, project_root, cache, distributions)
        self._stamped = known


class Staleness:
    """Compares the stages that have run in this kernel with the notebook as it stands.

    Parameters
    ----------
    planner : Planner
        Over the notebook as it stands, without values of the kernel.
    history : History
    notebook : Notebook
    """

    def __init__(self, planner: Planner, history: History, notebook: Notebook) -> None:
        self._planner = planner
        self._history = history
        self._notebook = notebook
        self._found: dict[str, tuple[Finding, ...]] = {}
        self._written_by: dict[str, int] = {}
        for stage in planner.pipeline.stages.values():
            for path in stage.files_written:
                self._written_by[path] = max(self._written_by.get(path, -1), stage.cells[0])

    @property
    def pipeline(self) -> Pipeline:
        """The notebook's pipeline, as it stands."""
        return self._planner.pipeline

    def of(self, name: str) -> tuple[Finding, ...]:
        """Return why the values of a stage are not those of a run from top to bottom; nothing where they are."""
        if name not in self._found:
            self._found[name] = ()  # a cycle is an error of the notebook's own
            self._found[name] = self._look(name)
        return self._found[name]

    def _look(self, name: str) -> tuple[Finding, ...]:
        run, stage = self._history.stages.get(name), self._planner.pipeline.stages.get(name)
        if stage is None:
            return ()
        idle = self.idle(stage)
        if idle:
            return idle
        if run is None:
            return ()
        label = run.cell.label
        if run.failed:
            return (Finding(code="NB410", message=f"stage {name} {label} did not run to its end", again=frozenset(stage.cells)),)
        # what nobody saw is no sign of a wrong value: a reader's key holds what the value is
        found = [finding.behind(name, label, stage.cells) for finding in run.findings if finding.code != "NB411"]
        for upstream in dict.fromkeys(stage.inputs.values()):
            found += [finding.behind(upstream, self._label(upstream), stage.cells) for finding in self.of(upstream)]
        if len(stage.cells) > 1 and run.order != tuple(range(len(stage.cells))):
            message = f"the cells of stage {name} did not run once each, in their order"
            found.append(Finding(code="NB406", message=message, again=frozenset(stage.cells)))
        return tuple(found) or self._changed(stage, run)

    def is_skipped(self, stage: Stage) -> bool:
        """Tell whether batch would skip a stage by its ``--if``, as far as that is known."""
        return self._skips(stage) is not None or stage.name in self._history.idle

    def _skips(self, stage: Stage) -> str | None:
        if stage.directive.condition is None:
            return None
        with suppress(UsageError):  # it reads a metric: then the last time its cell ran counts
            return self._planner.skips(stage, {})
        return None

    def idle(self, stage: Stage) -> tuple[Finding, ...]:
        """Say that a stage is skipped by its ``--if``, or that its gate has refused it: batch then has nothing for a later stage to use."""
        again, why = frozenset(stage.cells), self._skips(stage)
        if why is not None:
            first = "make it true, or give this cell the same --if"
            return (Finding(code="NB410", message=f"stage {stage.name} {self._label(stage.name)} is skipped, since {why}", first=first, again=again),)
        if stage.name in self._history.idle:
            cell, why = self._history.idle[stage.name]
            first = "make that hold" if "refused" in why else "make that true"
            return (Finding(code="NB410", message=f"stage {stage.name} {cell.label} {why}", first=first, again=again),)
        return ()

    def _label(self, stage: str) -> str:
        run = self._history.stages.get(stage)
        return run.cell.label if run is not None else "[ ]"

    def _changed(self, stage: Stage, run: StageRun) -> tuple[Finding, ...]:
        """Compare the stage's key as it ran with what it would be now."""
        now = self._parts(stage, run)
        if now is None or not run.parts:
            return ()
        lines = differences(self._without_lost(stage, run.parts), now, self._planner.pipeline.parameters)
        if not lines:
            return ()
        used = {self._planner.pipeline.setup[position].cell for position in stage.setup}
        edited = self._notebook.edited & {*stage.cells, *used}
        not_run = {index for index in used if self._notebook.seen[index] is None}
        only_loaded = all(run.parts.get(part) == now.get(part) for part in run.parts if part not in _LOADED)
        code = "NB404" if edited else "NB407" if only_loaded else "NB406"
        what = "; ".join(lines)
        label = f"stage {stage.name} {run.cell.label}"
        message = f"{label} was edited after it ran: {what}" if set(stage.cells) & edited else f"{label} ran before this change: {what}"
        return (Finding(code=code, message=message, again=frozenset({*stage.cells, *edited, *not_run})),)

    def _without_lost(self, stage: Stage, parts: Components) -> Components:
        """Leave out names that a cell was edited to define no more: the notebook then has an error, which `check` tells."""
        if not stage.unprovided and "values" in parts and "setup" in parts:
            return parts
        deleted = {name for cell in self._notebook.gone for name in names_bound(cell.source)}
        lost = set(stage.unprovided) - deleted
        kept = {part: {name: value for name, value in parts.get(part, {}).items() if name not in lost} for part in ("values", "setup")}
        return {**parts, **kept}

    def _parts(self, stage: Stage, run: StageRun) -> Components | None:
        identities = dict(run.parts.get("inputs", {}))
        for name, provider in stage.inputs.items():
            made = self._history.stages.get(provider)
            artifact = made.outputs.get(name) if made is not None else None
            if artifact is None:
                continue
            identities[name] = identity(artifact, self._planner.pipeline, before=stage.cells[-1], surroundings=self._planner.surroundings)
        before = run.parts.get("files", {})
        written = {*stage.files_written, *run.effects.files_written}
        known = {path: digest for path, digest in before.items() if path in written or self._written_by.get(path, -1) > stage.cells[0]}
        return self._planner.parts(stage, identities, run.effects, known)
