"""The notebook in the live kernel: stage cells that are reused, recorded, and checked for hidden state (DESIGN 5)."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.dataflow.normalise import fingerprint
from nbmlops.dataflow.scopes import analyse
from nbmlops.errors import NotebookError, UsageError
from nbmlops.notebook.code import parse_code
from nbmlops.notebook.directive import split_magic
from nbmlops.notebook.document import read_document
from nbmlops.notebook.roles import Role
from nbmlops.pipeline.build import Builder, build
from nbmlops.pipeline.effects import NO_EFFECTS
from nbmlops.pipeline.source import read_source
from nbmlops.runner.environment import Distributions
from nbmlops.runner.leaving.leftbehind import LeftBehind
from nbmlops.runner.plan import Planner, Trial, only_stages
from nbmlops.runner.randomness import random_states, save_random
from nbmlops.runner.seeing import modules_of
from nbmlops.runner.serve import with_refusals
from nbmlops.runner.watching.observation import Observation
from nbmlops.session.live.cells import SeenCell, SeenCells, told_notebook
from nbmlops.session.live.gates import LiveGates
from nbmlops.session.live.hidden import hidden_state
from nbmlops.session.live.history import History
from nbmlops.session.live.livestate import LiveState
from nbmlops.session.live.loaded import LoadedModules
from nbmlops.session.live.loading import equals_with_caches, load_run
from nbmlops.session.live.making import SetupChanges, note_setup
from nbmlops.session.live.patches import CodeWatch
from nbmlops.session.live.process import ProcessState, snapshot
from nbmlops.session.live.provenance import Origin, Provenance, is_code
from nbmlops.session.live.reading import LiveReader
from nbmlops.session.live.reads import ImportReads, ReadAbove, SetupReads
from nbmlops.session.live.stagecell import CellOutcome, StageCell
from nbmlops.session.live.staleness import KernelSurroundings
from nbmlops.session.pool import WarmWorkers
from nbmlops.settings import Settings, load_settings
from nbmlops.store.fingerprint import state_fingerprint, value_fingerprint
from nbmlops.store.serializers import Context
from nbmlops.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from IPython.core.interactiveshell import InteractiveShell

    from nbmlops.pipeline.model import Diagnostic, Pipeline, Stage
    from nbmlops.pipeline.source import Source
    from nbmlops.runner.plan import Plan
    from nbmlops.store.records import Artifact

__all__ = ["KernelSession"]

_SETUP = frozenset({Role.SETUP, Role.PARAMETERS, Role.INJECTED})


class KernelSession:
    """What nbmlops knows of one live kernel.

    Parameters
    ----------
    shell : InteractiveShell
    earlier : sequence of (int, str)
        Cells that ran before the extension was loaded: the number in the prompt, and the source.
    process : dict of str to str or None
        The state of the process when the extension was loaded.
    """

    def __init__(self, shell: InteractiveShell, earlier: Sequence[tuple[int, str]] = (), process: dict[str, str] | None = None) -> None:
        self.shell = shell
        self.run_id = uuid.uuid4().hex[:16]
        self.cells = SeenCells(told_notebook())
        self.provenance = Provenance()
        self.history = History()
        self.patches = CodeWatch()
        self.live = LiveState()
        self.workers = WarmWorkers()
        self.process = ProcessState(process if process is not None else snapshot())
        self._settings: Settings | None = None
        self._store: Store | None = None
        self.gates = LiveGates(self)
        self._loaded: LoadedModules | None = None
        self._reading, self._builder = LiveReader(), Builder()
        self._classes: dict[str, Any] = {}
        self._files: dict[str, tuple[tuple[int, ...], str | None]] = {}
        self._distributions: Distributions | None = None
        self.code_names: set[str] = set()
        self._before: tuple[dict[str, str], Any] | None = None
        self.seeded: dict[str, Any] = {}
        self.metrics: dict[str, Any] = {}
        self.configured: set[str] = set()
        self.setup_changes = SetupChanges()
        self.reads = SetupReads()
        for count, source in earlier:
            self.cell_ran(source, {}, None, {}, count=count)

    @property
    def folder(self) -> Path:
        """The notebook's folder where it is known, else the working directory."""
        return self.cells.path.resolve().parent if self.cells.path else Path.cwd()

    @property
    def settings(self) -> Settings:
        """The settings of the project that the notebook stands in."""
        if self._settings is None:
            self._settings = load_settings(self.folder)
        return self._settings

    @property
    def store(self) -> Store:
        """The store that batch runs use too."""
        if self._store is None:
            # a cell does not wait for the disk: a power failure costs at most the reuse of what has just run
            self._store = Store(self.settings.store, settings=self.settings, synced=False)
        return self._store

    @property
    def loaded(self) -> LoadedModules:
        """What modules this process runs."""
        if self._loaded is None:
            self._loaded = LoadedModules(self.folder)
        return self._loaded

    def use(self, path: Path) -> None:
        """Say which file the kernel's notebook is.

        Raises
        ------
        UsageError
            If there is no such file.
        """
        if not path.is_file():
            raise UsageError(f"there is no notebook {path}", code="NB101", fix="give the path of the .ipynb")
        self.cells.path = path.resolve()
        self._settings = self._store = self._loaded = self._distributions = None
        self.gates = LiveGates(self)

    def source(self) -> Source:
        """Return the notebook as it stands, read."""
        return self._reading.source(self.cells.notebook().document)

    def pipeline(self) -> Pipeline:
        """Return the notebook's pipeline, as reading alone tells it."""
        return self._reading.pipeline(self.cells.notebook().document)

    def planner(self) -> Planner:
        """Return a planner over the notebook as it stands."""
        cache = self.store.local_path("cache")
        if self._distributions is None:
            self._distributions = Distributions(cache / "distributions.json")
        surroundings = KernelSurroundings(self.folder, self.settings.project_root, cache, self._files, self._distributions)
        return Planner(self.source(), Trial(seed=self.settings.seed), self.store, surroundings, self._builder)

    # -- all cells

    def cell_begins(self, source: str = "", process: dict[str, str] | None = None) -> None:
        """Take note of the state of things before a cell; of the process's, where that is known from before the session began."""
        with suppress(SyntaxError, ValueError):
            magic = split_magic(source)
            self.process.foresee(parse_code(magic[1] if magic else source), self.shell.user_ns)
        self._before = (process if process is not None else self.process.now(), self.patches.everything())

    @property
    def at_start(self) -> tuple[dict[str, str], dict[int, tuple[Any, tuple[str, ...]]]]:
        """The state of the process, and what was patched, when the cell that runs began."""
        return self._before if self._before is not None else (self.process.now(), self.patches.everything())

    def cell_ended(
        self, label: str, *, setup: str | None = None, statements: frozenset[str] = frozenset(), seen_to: Observation | None = None
    ) -> None:
        """Take note of what a cell has done to the process, and to code.

        Parameters
        ----------
        label : str
            How users find the cell.
        setup : str or None
            The id of a setup cell that ran to its end: what it does is as it should be.
        statements : frozenset of str
            The fingerprints of its statements.
        seen_to : Observation or None
            What it was seen to read.
        """
        before, self._before = self._before, None
        self.follow_reloads(seen_to)
        if before is not None:
            self.process.changed(before[0], self.process.ran(self.shell.user_ns), label, setup=setup, statements=statements)
            self.patches.attribute(before[1], label, setup=setup is not None)
        self.patches.see(value for name, value in self.shell.user_ns.items() if is_code(value) and not name.startswith("_"))
        self.patches.see(self.loaded.local_modules())

    def follow_reloads(self, seen_to: Observation | None = None) -> None:
        """Take note of modules that were reloaded, also by ``%autoreload``, which does it as a cell begins, and of what they read meanwhile."""
        self.loaded.sync_autoreload(self.shell)
        reloaded = self.loaded.reloaded()
        self.patches.renew_from(reloaded)
        self.reads.forget_modules(str(module.__file__) for module in reloaded)
        if seen_to is not None:
            self.reads.note_imports(seen_to)
        self.live.forget({os.path.relpath(str(module.__file__), self.folder) for module in reloaded})

    # -- other cells

    def observation(self) -> Observation:
        """Return what watches a cell that may be setup: what setup reads, every stage depends on."""
        watching = Observation(self.folder, self.settings.project_root, (str(self.store.local_path("")),))
        watching.in_setup = True
        watching.attribution = ImportReads()
        return watching

    def read_above(self, planner: Planner, stage: Stage) -> ReadAbove:
        """Return what the setup cells above a stage, and the modules that it uses, have read when they ran here."""
        cells = [seen.id for seen in self.cells.notebook().seen[: stage.cells[-1]] if seen is not None]
        modules = modules_of(planner, stage, planner.effects.get(stage.name, NO_EFFECTS), {})
        names = {name for position in stage.setup for name in planner.pipeline.setup[position].names}
        return self.reads.above(cells, {path: str(self.folder / path) for path in sorted(modules)}, names)

    def may_change_setup(self, source: str, tags: tuple[str, ...], cell_id: str | None) -> bool:
        """Tell whether a cell that is about to run may be setup and change names of setup without saying so: one with a tag, or a decorator."""
        return bool(tags) or self.cells.is_tagged(source, cell_id) or source.lstrip().startswith("@") or "\n@" in source

    def cell_failed(self, source: str, cell_id: str | None, seen_to: Observation | None = None, *, count: int | None = None) -> None:
        """Take note of a cell that is no stage and has raised: what it did before is nobody's."""
        self.history.add(self.cells.outside(source, cell_id, count=count), tracked=False)
        self.setup_changes.forget()
        self.live.note(f"[{count}]", self.live.end())
        self.cell_ended(f"[{count}]", seen_to=seen_to)

    def cell_ran(
        self,
        source: str,
        metadata: dict[str, Any],
        cell_id: str | None,
        before: Mapping[str, Any],
        seen_to: Observation | None = None,
        *,
        count: int | None = None,
    ) -> None:
        """Take note of a cell that is no stage and has run to its end.

        Parameters
        ----------
        source : str
        metadata : dict
        cell_id : str or None
        before : mapping
            The global random states before it ran.
        seen_to : Observation or None
            What it was seen to read.
        count : int or None
            The number in its prompt.
        """
        seen = self.cells.add(source, metadata, cell_id, count=count)
        changed = self.live.end()
        roled = None
        with suppress(NotebookError, SyntaxError):
            index = self.cells.notebook().index_of(seen.id)
            roled = self.source().cells[index] if index is not None else None
        if roled is None or roled.role not in _SETUP:
            self.setup_changes.forget()
            self.history.add(seen, tracked=False)
            self.live.note(seen.label, changed)
            self.cell_ended(seen.label, seen_to=seen_to)
            return
        self.history.add(seen, tracked=True)
        prints = frozenset(statement.fingerprint for statement in self.pipeline().setup if statement.cell == roled.cell.index)
        self.cell_ended(seen.label, setup=seen.id, statements=prints, seen_to=seen_to)
        self.configured |= prints
        note_setup(self, seen, roled)
        if seen_to is not None:
            self.reads.note_cell(seen.id, seen_to)
        now, states = random_states(), save_random()
        # setup that seeds decides what every stage draws; a cell that imports numpy and seeds it has no state before
        drawn = {name for name, state in now.items() if name in before and before[name] != state}
        self.seeded.update({name: states[name] for name in (states if "seed(" in source else drawn)})

    def missing_for(self, source: str) -> dict[str, str]:
        """Return the names that a cell reads, that a reused stage binds, and that were not loaded; with the stage."""
        if not self.provenance.unloaded:
            return {}
        with suppress(SyntaxError, ValueError):
            reads = analyse(parse_code(source)).reads
            return {name: stage for name, stage in self.provenance.unloaded.items() if name in reads and name not in self.shell.user_ns}
        return {}

    # -- stage cells

    def run_stage(
        self,
        line: str,
        body: str,
        metadata: dict[str, Any],
        cell_id: str | None,
        *,
        tagged: bool = False,
        force: bool = False,
        count: int | None = None,
        source: str | None = None,
    ) -> CellOutcome:
        """Reuse or run a stage cell.

        Parameters
        ----------
        line : str
            What stands after ``%%mlstage``.
        body : str
        metadata : dict
        cell_id : str or None
        tagged : bool
            Whether the cell is a stage by its tag, and has no magic line.
        force : bool
            Run even if a record serves it.
        count : int or None
            The number in its prompt.
        source : str, optional
            The cell as it is written, where another magic stands for ``%%mlstage``.

        Raises
        ------
        NotebookError
            If the cell or what it hangs on has an error; nothing has run.
        """
        source = source or (body if tagged else f"%%mlstage {line}\n{body}")
        seen = self.cells.add(source, metadata, cell_id, count=count)
        planner = self.planner()
        name = line.split(maxsplit=1)[0] if line.split() else ""
        cell = self.cells.notebook().index_of(seen.id)
        problem = next((item for item in planner.pipeline.errors if item.cell == cell and item.code not in {"NB201", "NB207"}), None)
        if problem is not None:
            raise NotebookError(problem.message, code=problem.code, fix=problem.fix)
        if name not in planner.pipeline.stages:
            raise NotebookError(f"{name!r} is no stage", code="NB105", fix="write %%mlstage NAME")
        stage = planner.pipeline.stages[name]
        if cell is None and not _is_code_of(stage, body):
            where = ", ".join(self.cells.notebook().label(index) for index in stage.cells)
            raise NotebookError(
                f"stage {name!r} is {where} of the notebook, and the code that was typed here is another: it has not run",
                code="NB405",
                fix=f"edit {where} and run it, or give this code a stage name of its own, or none",
            )
        outcome = StageCell(self, planner, stage, seen, body, tagged=tagged).run(force=force)
        self.history.add(seen, tracked=outcome.error is None)
        return outcome

    def run_again(self, stage: str) -> CellOutcome:
        """Run a stage cell of this kernel once more, for outputs that were not kept."""
        cell = next(item for item in self.cells if self.stage_of(item) == stage)
        magic = split_magic(cell.source)
        line, body = magic or (stage, cell.source)
        body = body.lstrip("\n") if magic else body
        source = cell.source if magic else None
        return self.run_stage(line, body, cell.metadata, cell.id, tagged=magic is None, force=True, count=cell.count, source=source)

    def stage_of(self, cell: SeenCell) -> str | None:
        """Return the stage that a cell of this kernel belongs to."""
        magic = split_magic(cell.source)
        if magic and magic[0].split():
            return magic[0].split()[0]
        return self.cells.stage_of(cell.source, tuple(cell.metadata.get("tags") or ()), cell.id) or None

    def known(self) -> Pipeline:
        """Return the pipeline of the file where it is known, else of the cells that have run here."""
        if self.cells.path is not None:
            return read_and_build(self.cells.path)
        return self.planner().pipeline

    def status(self) -> Plan:
        """Return what a run of this kernel's cells would do."""
        return with_refusals(self.planner().plan(report=False))

    def why(self, stage: str) -> tuple[str, ...]:
        """Return what decides about a stage of this kernel."""
        plan = self.status()
        only_stages(plan.pipeline, [stage])
        return plan.stages[stage].reasons or ("fresh",)

    def load(self, stage: str, run_id: str | None) -> str:
        """Bind what a stage of a run handed on, as `load_run` does."""
        return load_run(self, stage, run_id)

    def hidden_state(self) -> tuple[Diagnostic, ...]:
        """Return what makes this kernel differ from a run from top to bottom."""
        return hidden_state(self)

    def note_outputs(
        self,
        stage: str,
        cell: SeenCell,
        outputs: Mapping[str, Artifact],
        *,
        others: Sequence[str] = (),
        known: Mapping[str, str | None] | None = None,
    ) -> None:
        """Take note of what a stage has just made or loaded.

        Parameters
        ----------
        stage : str
        cell : SeenCell
        outputs : mapping of str to Artifact
        others : sequence of str
            Names that the store does not keep.
        known : mapping of str to (str or None)
            Fingerprints that need not be computed.
        """
        namespace, context, code = self.shell.user_ns, self.context(), self.code()
        prints = known or {}
        for name in (*outputs, *others):
            if name not in namespace:
                continue
            value, artifact = namespace[name], outputs.get(name)
            print_ = prints[name] if name in prints else value_fingerprint(value, context) if artifact is not None else None
            origin = Origin(stage=stage, cell=cell.id, order=cell.order, value=value, fingerprint=print_, artifact=artifact, code=code)
            self.provenance.made(name, origin)

    def later_reads(self, stage: Stage) -> set[str]:
        """Return the names that later cells read: those of the file that have not run count too."""
        return {*stage.later, *stage.wants}

    # -- values

    def left_behind(self, source: str) -> LeftBehind:
        """Return what watches the process and the project's modules while a cell runs."""
        return LeftBehind(self.folder, self.settings.project_root, self.context(), [source])

    def context(self, code: Mapping[str, Any] | None = None) -> Context:
        """Return what serializers need to know of the kernel's namespace.

        Parameters
        ----------
        code : mapping of str to object or None
            The notebook's functions and classes of another time, instead of those of now.
        """
        namespace = self.shell.user_ns
        if code and any(namespace.get(name) is not value for name, value in code.items()):
            namespace = {**namespace, **code}
        return Context(
            namespace=namespace,
            by_reference=frozenset(self.code_names),
            local_roots=(self.settings.project_root,),
            trusted=self.store.trusted,
            classes=self._classes,
        )

    def code(self) -> dict[str, Any]:
        """Return the notebook's own functions and classes, as they are now."""
        return {name: self.shell.user_ns[name] for name in self.code_names if name in self.shell.user_ns}

    def state(self, value: Any) -> str | None:  # noqa: ANN401 - any code
        """Return the digest of what can change in a function or class."""
        return state_fingerprint(value, self.context())

    def print_of(self, value: Any) -> str | None:  # noqa: ANN401 - any value
        """Return the digest of a value, or of what can change in a function or class; None where it cannot be stored."""
        return self.state(value) if is_code(value) else value_fingerprint(value, self.context())

    def unchanged(self, name: str, origin: Origin) -> bool:
        """Tell whether a live value is still what its origin says."""
        value = self.shell.user_ns[name]
        if is_code(value) and origin.stage is None:
            return value is origin.value and self.state(value) == origin.fingerprint
        if origin.fingerprint is None:
            return value is origin.value
        return value_fingerprint(value, self.context(origin.code)) == origin.fingerprint or equals_with_caches(self, name, origin)

    def same_code(self, origin: Origin) -> bool:
        """Tell whether the functions and classes that a stage's value refers to are those of now."""
        refers = origin.artifact.refers if origin.artifact is not None else ()
        names = {reference.partition(":")[2] for reference in refers if reference.startswith("name:")}
        return all(origin.code.get(name) is self.shell.user_ns.get(name) for name in names)

    def setup_statements(self, planner: Planner) -> dict[str, frozenset[str]]:
        """Return the fingerprints of the statements of each setup cell of the notebook, by the cell's id."""
        found: dict[str, frozenset[str]] = {}
        for statement in planner.pipeline.setup:
            seen = self.cells.notebook().seen[statement.cell]
            if seen is not None:
                found[seen.id] = found.get(seen.id, frozenset()) | {statement.fingerprint}
        return found


def _is_code_of(stage: Stage, body: str) -> bool:
    """Tell whether code that was typed elsewhere is that of a stage's cell."""
    try:
        return fingerprint(parse_code(body)) in stage.fingerprints
    except (SyntaxError, ValueError):
        return False


def read_and_build(path: Path) -> Pipeline:
    """Return the pipeline that a file describes."""
    return build(read_source(read_document(path)))
