"""The notebook in the live kernel: stage cells that are reused, recorded, and checked for hidden state (DESIGN 5)."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.dataflow.scopes import analyse
from nbmlops.errors import NotebookError, UsageError
from nbmlops.notebook.code import parse_code
from nbmlops.notebook.directive import split_magic
from nbmlops.notebook.document import read_document
from nbmlops.notebook.roles import Role
from nbmlops.pipeline.build import build, read_source
from nbmlops.pipeline.model import Diagnostic, Pipeline, Stage
from nbmlops.pipeline.setup import statements
from nbmlops.runner.leftbehind import LeftBehind
from nbmlops.runner.observe import Observation
from nbmlops.runner.plan import Planner, Trial, only_stages
from nbmlops.runner.randomness import random_states, save_random
from nbmlops.runner.stagekey import Surroundings
from nbmlops.session.cells import SeenCell, SeenCells
from nbmlops.session.livestate import LiveState
from nbmlops.session.provenance import Provenance, is_code
from nbmlops.session.stagecell import CellOutcome, StageCell
from nbmlops.settings import Settings, load_settings
from nbmlops.store.fingerprint import value_fingerprint
from nbmlops.store.serializers import Context, decode
from nbmlops.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["KernelSession"]


class KernelSession:
    """What nbmlops knows of one live kernel.

    Parameters
    ----------
    shell : InteractiveShell
    earlier : sequence of str
        Cells that ran before the extension was loaded.
    """

    def __init__(self, shell: InteractiveShell, earlier: Sequence[str] = ()) -> None:
        self.shell = shell
        self.run_id = uuid.uuid4().hex[:16]
        self.cells = SeenCells(_notebook_path())
        self.provenance = Provenance()
        self.remarks: dict[str, tuple[str, ...]] = {}
        self._settings: Settings | None = None
        self._store: Store | None = None
        self.live = LiveState()
        self.seeded: dict[str, Any] = {}
        self._classes: dict[str, Any] = {}
        self.metrics: dict[str, Any] = {}
        self.setup_files: dict[str, str | None] = {}
        self.setup_environment: set[str] = set()
        self.setup_modules: set[str] = set()
        self._code_names: set[str] = set()
        for source in earlier:
            self.cell_ran(source, {}, None, {})

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
            self._store = Store(self.settings.store, settings=self.settings)
        return self._store

    def use(self, path: Path) -> None:
        """Say which file the kernel's notebook is.

        Raises
        ------
        UsageError
            If there is no such file.
        """
        if not path.is_file():
            raise UsageError(f"there is no notebook {path}", code="NB101", fix="give the path of the .ipynb")
        self.cells.path = path
        self._settings = self._store = None

    def planner(self) -> Planner:
        """Return a planner over the cells that have run here."""
        document = self.cells.document()
        surroundings = Surroundings(self.folder, self.settings.project_root, self.store.local_path("cache"))
        return Planner(read_source(document), Trial(seed=self.settings.seed), self.store, surroundings)

    # -- other cells

    def observation(self) -> Observation:
        """Return what watches a cell that may be setup: what setup reads, every stage depends on."""
        watching = Observation(self.folder, self.settings.project_root, (str(self.store.local_path("")),))
        watching.in_setup = True
        return watching

    def cell_ran(
        self, source: str, metadata: dict[str, Any], cell_id: str | None, before: Mapping[str, Any], seen_to: Observation | None = None
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
        """
        seen = self.cells.add(source, metadata, cell_id)
        changed = self.live.end()
        with suppress(NotebookError, SyntaxError):
            document = self.cells.document()
            source_of = read_source(document)
            roled = next((item for item in source_of.cells if item.cell.id == seen.id or item.cell.source == source), None)
            if roled is None or roled.role not in {Role.SETUP, Role.PARAMETERS, Role.INJECTED}:
                self.live.note("a cell that is no stage", changed)
                return
            made = tuple(statements(roled))
            self._code_names.update(name for statement in made if statement.defines_code for name in statement.flow.binds)
            names = {name for statement in made for name in (*statement.flow.binds, *statement.flow.mutates)}
            namespace = self.shell.user_ns
            prints = {name: self.fingerprint(namespace[name]) for name in names if name in namespace and not is_code(namespace[name])}
            self.provenance.made_by_setup(seen.id, names, namespace, prints)
            if seen_to is not None:
                self.setup_files.update(seen_to.files_read())
                self.setup_environment |= seen_to.environment
                self.setup_modules.update(seen_to.modules())
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
        self, line: str, body: str, metadata: dict[str, Any], cell_id: str | None, *, tagged: bool = False, force: bool = False
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

        Raises
        ------
        NotebookError
            If the cell or what it hangs on has an error; nothing has run.
        """
        source = body if tagged else f"%%mlstage {line}\n{body}"
        seen = self.cells.add(source, metadata, cell_id)
        planner = self.planner()
        name = line.split(maxsplit=1)[0] if line.split() else ""
        cell = next((item.cell.index for item in planner.source.cells if item.cell.source == source), None)
        problem = next((item for item in planner.pipeline.errors if item.cell == cell and item.code not in {"NB201", "NB207"}), None)
        if problem is not None:
            raise NotebookError(problem.message, code=problem.code, fix=problem.fix)
        if name not in planner.pipeline.stages:
            raise NotebookError(f"{name!r} is no stage", code="NB105", fix="write %%mlstage NAME")
        return StageCell(self, planner, planner.pipeline.stages[name], seen.id, body, tagged=tagged).run(force=force)

    def run_again(self, stage: str) -> CellOutcome:
        """Run a stage cell of this kernel once more, for outputs that were not kept."""
        cell = next(item for item in self.cells if self.stage_of(item) == stage)
        magic = split_magic(cell.source)
        line, body = magic or (stage, cell.source)
        return self.run_stage(line, body.lstrip("\n") if magic else body, cell.metadata, cell.id, tagged=magic is None, force=True)

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

    def why(self, stage: str) -> tuple[str, ...]:
        """Return what decides about a stage of this kernel."""
        plan = self.planner().plan(report=False)
        only_stages(plan.pipeline, [stage])
        return plan.stages[stage].reasons or ("fresh",)

    def load(self, stage: str, run_id: str | None) -> str:
        """Bind what a stage of a run handed on; of one that failed, what it was given. Return what was done, in words.

        Raises
        ------
        UsageError
            If there is no such run or stage.
        """
        notebook = self.planner().notebook
        runs = [self.store.run(run_id)] if run_id else list(self.store.runs(notebook) or self.store.runs())
        run = next((item for item in runs if item is not None and any(entry["name"] == stage for entry in item.stages)), None)
        if run is None:
            raise UsageError(f"no run {run_id or ''} has a stage {stage!r}".replace("  ", " "), code="NB402", fix="see nbmlops store ls")
        entries = {item["name"]: item for item in run.stages}
        entry = entries[stage]
        context = self.context()
        if entry["status"] in {"ran", "reused"}:
            names = self._load_outputs(entry, None, context)
            return f"loaded {', '.join(names) or 'nothing'} of stage {stage} from run {run.run_id[:8]}"
        wanted = self.known().stages[stage].inputs if stage in self.known().stages else {}
        names = [name for provider in dict.fromkeys(wanted.values()) for name in self._load_outputs(entries[provider], set(wanted), context)]
        shown = "\n".join((entry.get("error") or {}).get("traceback", ()))
        return f"loaded {', '.join(names) or 'nothing'}, the inputs of stage {stage}, which {entry['status']} in run {run.run_id[:8]}\n{shown}"

    def hidden_state(self) -> tuple[Diagnostic, ...]:
        """Return what makes this kernel differ from a run from top to bottom."""
        found = [
            Diagnostic(
                code="NB403", severity="warning", stage=stage, message=f"not reproducible: {remark}", fix="run the cells above it again, in order"
            )
            for stage, remarks in self.remarks.items()
            for remark in remarks
        ]
        found += [
            Diagnostic(
                code="NB404",
                severity="warning",
                stage=self.stage_of(cell),
                message=f"the cell {cell.source.strip().splitlines()[0][:60]!r} was edited after it ran",
                fix="run it again",
            )
            for cell in self.cells.edited()
        ]
        return tuple(found)

    def _load_outputs(self, entry: Mapping[str, Any], only: set[str] | None, context: Context) -> list[str]:
        record = self.store.record(entry["key"]) if entry.get("key") else None
        if record is None:
            raise UsageError(f"stage {entry['name']!r} of that run is no longer in the store", code="NB402", fix="run it again")
        loaded: dict[str, Any] = {}
        for name, artifact in record.outputs.items():
            if only is None or name in only:
                if artifact.digest not in loaded or not artifact.members:
                    loaded[artifact.digest] = decode(artifact.format, self.store.objects.view(artifact.digest), context)
                self.shell.user_ns[name] = loaded[artifact.digest][name] if artifact.members else loaded[artifact.digest]
        names = [name for name in record.outputs if only is None or name in only]
        prints = {name: value_fingerprint(self.shell.user_ns[name], context) for name in names}
        self.provenance.made_by_stage(record.stage, "", {name: record.outputs[name] for name in names}, self.shell.user_ns, prints)
        return names

    def later_reads(self, stage: Stage) -> set[str]:
        """Return the names that later cells read: those that have run, and those of the file that have not."""
        found = {*stage.later, *stage.wants}
        for source in self.cells.later_sources():
            magic = split_magic(source)
            with suppress(SyntaxError, ValueError):
                found.update(analyse(parse_code(magic[1] if magic else source)).reads)
        return found

    def left_behind(self, source: str) -> LeftBehind:
        """Return what watches the process and the project's modules while a cell runs."""
        return LeftBehind(self.folder, self.settings.project_root, self.context(), [source])

    def context(self) -> Context:
        """Return what serializers need to know of the kernel's namespace."""
        return Context(
            namespace=self.shell.user_ns,
            by_reference=frozenset(self._code_names),
            local_roots=(self.settings.project_root,),
            trusted=self.store.trusted,
            classes=self._classes,
        )

    def fingerprint(self, value: Any) -> str | None:  # noqa: ANN401 - any value
        """Return the digest that a value would have in the store; None if it cannot be stored."""
        return value_fingerprint(value, self.context())


def read_and_build(path: Path) -> Pipeline:
    """Return the pipeline that a file describes."""
    return build(read_source(read_document(path)))


def _notebook_path() -> Path | None:
    """Return the file of the kernel's notebook where the front end tells it."""
    named = os.environ.get("JPY_SESSION_NAME", "")
    if named.endswith((".ipynb", ".py")):
        path = Path(named)
        candidates = [path, Path.cwd() / path.name]
        return next((candidate for candidate in candidates if candidate.is_file()), None)
    return None
