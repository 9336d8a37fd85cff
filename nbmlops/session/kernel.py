"""The notebook in the live kernel: stage cells that are reused, recorded, and checked for hidden state (DESIGN 5)."""

from __future__ import annotations

import json
import os
import random
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from nbmlops.dataflow.scopes import analyse
from nbmlops.errors import NbmlopsError, NotebookError, NotStorable, UsageError
from nbmlops.executors.scheduler import Scheduler
from nbmlops.notebook.code import parse_code
from nbmlops.notebook.directive import split_magic
from nbmlops.notebook.roles import Role
from nbmlops.notebook.document import read_document
from nbmlops.pipeline.build import build, read_source
from nbmlops.pipeline.effects import Effects
from nbmlops.pipeline.model import Diagnostic, Pipeline, Stage
from nbmlops.pipeline.setup import statements
from nbmlops.runner.gate import judge
from nbmlops.runner.observe import Observation, observing, random_states
from nbmlops.runner.outputs import OutputRecorder
from nbmlops.runner.plan import Planner, Trial, only_stages
from nbmlops.runner.redaction import Redactor, secret_values
from nbmlops.runner.results import StageResult
from nbmlops.runner.shell import seed_random
from nbmlops.runner.stage import derive_seed, keep_values, metrics_of
from nbmlops.runner.stagekey import Surroundings, identity, stage_key, type_exact
from nbmlops.runner.task import StageError
from nbmlops.session.capture import recording, replay
from nbmlops.session.cells import SeenCell, SeenCells
from nbmlops.session.provenance import Provenance, is_code
from nbmlops.settings import Settings, load_settings
from nbmlops.store.fingerprint import alias_sets, value_fingerprint
from nbmlops.store.records import Artifact, StageRecord
from nbmlops.store.serializers import Context, decode
from nbmlops.store.store import Store

__all__ = ["CellOutcome", "KernelSession"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOutcome:
    """What became of a stage cell in the kernel.

    Parameters
    ----------
    result : StageResult
    remarks : tuple of str
        Why the result is not reproducible, and what was not kept.
    error : BaseException or None
        What the cell raised.
    traceback : list of str
        As IPython formatted it.
    """

    result: StageResult
    remarks: tuple[str, ...] = ()
    error: BaseException | None = None
    traceback: tuple[str, ...] = ()


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
        self._seeded: dict[str, Any] = {}
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

    def cell_ran(self, source: str, metadata: dict[str, Any], cell_id: str | None, before: Mapping[str, Any]) -> None:
        """Take note of a cell that is no stage and has run to its end.

        Parameters
        ----------
        source : str
        metadata : dict
        cell_id : str or None
        before : mapping
            The global random states before it ran.
        """
        seen = self.cells.add(source, metadata, cell_id)
        with suppress(NotebookError, SyntaxError):
            document = self.cells.document()
            source_of = read_source(document)
            roled = next((item for item in source_of.cells if item.cell.id == seen.id or item.cell.source == source), None)
            if roled is None or roled.role not in {Role.SETUP, Role.PARAMETERS, Role.INJECTED}:
                return
            names = {name for statement in statements(roled) for name in (*statement.flow.binds, *statement.flow.mutates)}
            namespace = self.shell.user_ns
            prints = {name: self._fingerprint(namespace[name]) for name in names if name in namespace and not is_code(namespace[name])}
            self.provenance.made_by_setup(seen.id, names, namespace, prints)
            now = random_states()
            # setup that seeds decides what every stage draws; importing numpy does not seed
            self._seeded.update({name: _state(name) for name, state in now.items() if name in before and before[name] != state})

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
        name = line.split()[0] if line.split() else ""
        cell = next((item.cell.index for item in planner.source.cells if item.cell.source == source), None)
        problem = next((item for item in planner.pipeline.errors if item.cell == cell and item.code != "NB201"), None)
        if problem is not None:
            raise NotebookError(problem.message, code=problem.code, fix=problem.fix)
        if name not in planner.pipeline.stages:
            raise NotebookError(f"{name!r} is no stage", code="NB105", fix="write %%mlstage NAME")
        return _StageCell(self, planner, planner.pipeline.stages[name], seen.id, body).run(force=force)

    def run_again(self, stage: str) -> CellOutcome:
        """Run a stage cell of this kernel once more, for outputs that were not kept."""
        cell = next(item for item in self.cells if _stage_name(item) == stage)
        magic = split_magic(cell.source)
        line, body = magic if magic else (stage, cell.source)
        return self.run_stage(line, body.lstrip("\n") if magic else body, cell.metadata, cell.id, tagged=magic is None, force=True)

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
        context = self.context(self.planner())
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
            Diagnostic(code="NB403", severity="warning", stage=stage, message=f"not reproducible: {remark}", fix="run the cells above it again, in order")
            for stage, remarks in self.remarks.items()
            for remark in remarks
        ]
        found += [
            Diagnostic(
                code="NB404",
                severity="warning",
                stage=_stage_name(cell),
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

    def later_reads(self, planner: Planner, stage: Stage) -> set[str]:
        """Return the names that later cells read: those that have run, and those of the file that have not."""
        found = {*stage.later, *stage.wants}
        for source in self.cells.later_sources():
            magic = split_magic(source)
            with suppress(SyntaxError, ValueError):
                found.update(analyse(parse_code(magic[1] if magic else source)).reads)
        return found & {*stage.binds, *stage.inputs}

    def context(self, planner: Planner) -> Context:
        """Return what serializers need to know of the kernel's namespace."""
        code = {name for statement in planner.pipeline.setup if statement.defines_code for name in statement.names}
        return Context(
            namespace=self.shell.user_ns,
            by_reference=frozenset(code),
            local_roots=(self.settings.project_root,),
            trusted=self.store.trusted,
        )

    def _fingerprint(self, value: Any) -> str | None:  # noqa: ANN401 - any value
        return value_fingerprint(value, Context(namespace=self.shell.user_ns, local_roots=(self.settings.project_root,), trusted=self.store.trusted))


class _StageCell:
    """One stage cell on its way through the kernel."""

    def __init__(self, session: KernelSession, planner: Planner, stage: Stage, cell_id: str, body: str) -> None:
        self.session = session
        self.planner = planner
        self.stage = stage
        self.cell_id = cell_id
        self.body = body
        self.namespace = session.shell.user_ns
        self.context = session.context(planner)
        self.remarks: list[str] = []
        self.inputs: dict[str, Artifact] = {}

    def run(self, *, force: bool) -> CellOutcome:
        self._trust_inputs()
        identities = self._identities()
        overrides = self._live_values()
        self.planner.trial = replace(self.planner.trial, parameters=overrides)
        if identities is not None and not force and self.stage.directive.cache and not self.remarks:
            planned = self.planner.look_up(self.stage, identities)
            if planned.record is not None and self._serves(planned.record):
                return self._reuse(planned.record)
            reason = planned.reason
        else:
            reason = "forced" if force else ("" if self.remarks else "--no-cache")
        return self._execute(identities, reason)

    def _trust_inputs(self) -> None:
        """Compare each input with what its stage made; what nobody vouches for is no ground for reuse."""
        self.remarks += [f"{name!r} was made by a cell that is no stage and no setup" for name in self.stage.unprovided if name in self.namespace]
        for name, stage in self.stage.inputs.items():
            if name not in self.namespace:
                continue
            if name not in self.session.provenance:
                self.remarks.append(f"{name!r} was not made by a stage that has run here")
                continue
            origin = self.session.provenance[name]
            if origin.stage != stage:
                self.remarks.append(f"{name!r} was made by {'stage ' + origin.stage if origin.stage else 'a setup cell'}, not by stage {stage}")
            elif origin.artifact is None or self.session._fingerprint(self.namespace[name]) != origin.fingerprint:  # noqa: SLF001 - one idea in two classes
                self.remarks.append(f"{name!r} was changed after stage {stage} made it")
            else:
                self.inputs[name] = origin.artifact
                upstream = self.session.remarks.get(stage)
                if upstream:
                    self.remarks.append(f"stage {stage} is not reproducible: {upstream[0]}")

    def _identities(self) -> dict[str, str] | None:
        """Return the identity of each input; values that no stage vouches for are stored for it."""
        found: dict[str, str] = {}
        for name in self.stage.inputs:
            if name not in self.namespace:
                return None
            artifact = self.inputs.get(name)
            if artifact is None:
                try:
                    kept = keep_values(
                        self.namespace, [name], (), store=self.session.store, context=self.context, stage=self.stage.name, cell=self.stage.cells[0]
                    )
                except NotStorable as error:
                    self.remarks.append(error.message)
                    return None
                artifact = kept[name]
            found[name] = identity(artifact, self.planner.pipeline, before=self.stage.cells[-1], surroundings=self.planner.surroundings)
        return found

    def _live_values(self) -> dict[str, Any]:
        """Compare setup's names with what their cells made; return the parameters whose live value is another one."""
        changed: dict[str, Any] = {}
        for position in self.stage.setup:
            statement = self.planner.pipeline.setup[position]
            for name in statement.names:
                if name not in self.namespace:
                    continue
                live = self.namespace[name]
                if name in statement.literals:
                    if type_exact(statement.literals[name]) != type_exact(live) and self._is_last(name, position):
                        self.remarks.append(f"{name!r} is {live!r}, not the {statement.literals[name]!r} of its cell")
                        changed[name] = live
                elif name in self.session.provenance and self._is_last(name, position):
                    origin = self.session.provenance[name]
                    same = live is origin.value if is_code(live) else self.session._fingerprint(live) == origin.fingerprint  # noqa: SLF001
                    if not same:
                        self.remarks.append(f"{name!r} was changed after its setup cell made it")
        return changed

    def _is_last(self, name: str, position: int) -> bool:
        return not any(name in self.planner.pipeline.setup[other].names for other in self.stage.setup if other > position)

    def _serves(self, record: StageRecord) -> bool:
        """Tell whether a record holds all that later cells are known to read, and may be used."""
        needed = self.session.later_reads(self.planner, self.stage)
        return record.reproducible and needed <= set(record.outputs)

    def _reuse(self, record: StageRecord) -> CellOutcome:
        try:
            self._load(record)
        except (KeyError, NbmlopsError):
            return self._execute(self._identities(), "its stored outputs cannot be read")
        self._restore_files(record)
        shown = self._outputs(record)
        replay(self.session.shell, [output for cell in shown for output in cell])
        absent = sorted(set(self.stage.binds) - set(record.outputs))
        for name in absent:
            self.namespace.pop(name, None)
        self.session.provenance.not_loaded(self.stage.name, absent)
        self.session.remarks.pop(self.stage.name, None)
        result = StageResult.of_record(replace(record, stage=self.stage.name), "reused", f"reused from run {record.run_id[:8]}")
        return CellOutcome(result=self._judged(result))

    def _load(self, record: StageRecord) -> None:
        """Bind a record's outputs; names that were aliases are aliases again."""
        loaded: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for name, artifact in record.outputs.items():
            if artifact.digest not in loaded or not artifact.members:
                loaded[artifact.digest] = decode(artifact.format, self.session.store.objects.view(artifact.digest), self.context)
            values[name] = loaded[artifact.digest][name] if artifact.members else loaded[artifact.digest]
        self.namespace.update(values)
        self._note(record.outputs)

    def _note(self, outputs: Mapping[str, Artifact]) -> None:
        prints = {name: value_fingerprint(self.namespace[name], self.context) for name in outputs if name in self.namespace}
        self.session.provenance.made_by_stage(self.stage.name, self.cell_id, outputs, self.namespace, prints)

    def _restore_files(self, record: StageRecord) -> None:
        scheduler = Scheduler(self.planner, None, self.session.store, self.session.settings, self.session.run_id)  # type: ignore[arg-type]
        scheduler.restore_files(record)

    def _outputs(self, record: StageRecord) -> list[list[dict[str, Any]]]:
        if record.cell_outputs is None:
            return []
        try:
            shown: list[list[dict[str, Any]]] = json.loads(bytes(self.session.store.objects.view(record.cell_outputs)))
        except KeyError:
            return []
        return shown

    def _execute(self, identities: dict[str, str] | None, reason: str) -> CellOutcome:
        session, stage = self.session, self.stage
        values = {item.name: self.namespace.get(item.name) for item in self.planner.pipeline.parameters.values()}
        recorder = OutputRecorder(Redactor(secret_values(values, os.environ, stage.directive.secrets)), limit_bytes=session.settings.output_limit_bytes)
        recorder.begin(stage.cells[-1])
        observation = Observation(session.folder, session.settings.project_root, (str(session.store.local_path("")),))
        names = {*stage.inputs, *(name for position in stage.setup for name in self.planner.pipeline.setup[position].names)}
        watched = sorted(name for name in names if name in self.namespace and not is_code(self.namespace[name]))
        before = {name: value_fingerprint(self.namespace[name], self.context) for name in watched}
        held = {name: _state(name) for name in random_states()}
        self._seed()
        drawn = random_states()
        started_s, begun = time.time(), time.perf_counter()
        with recording(session.shell, recorder), observing(observation, self.namespace):
            ran = session.shell.run_cell(self.body, store_history=False, silent=False)
        seconds = time.perf_counter() - begun
        draws = tuple(sorted(name for name, state in random_states().items() if name in drawn and drawn[name] != state))
        for name, state in held.items():
            _set_state(name, state)
        outputs = recorder.take()
        error = ran.error_before_exec or ran.error_in_exec
        if error is not None:
            return self._failed(error, outputs, reason, seconds)
        mutated = [name for name in watched if name in self.namespace and value_fingerprint(self.namespace[name], self.context) != before[name]]
        return self._keep(identities, observation, outputs, mutated=mutated, draws=draws, reason=reason, seconds=seconds, started_s=started_s)

    def _seed(self) -> None:
        """Give the stage the random state that it has in batch: what setup seeded, else one derived from its code."""
        seed = self.planner.trial.seed if self.stage.directive.seed is None else self.stage.directive.seed
        seed_random(derive_seed(seed, self.stage.code))
        for name, state in self.session._seeded.items():  # noqa: SLF001 - one idea in two classes
            _set_state(name, state)

    def _keep(  # noqa: PLR0913 - what a run leaves behind
        self,
        identities: dict[str, str] | None,
        observation: Observation,
        outputs: list[dict[str, Any]],
        *,
        mutated: list[str],
        draws: tuple[str, ...],
        reason: str,
        seconds: float,
        started_s: float,
    ) -> CellOutcome:
        session, stage = self.session, self.stage
        needed = session.later_reads(self.planner, stage) | {*(stage.directive.outs or ()), *stage.directive.metrics}
        bound = [name for name in stage.binds if name in self.namespace]
        aliases = tuple(
            names
            for names in alias_sets({name: self.namespace[name] for name in sorted({*bound, *mutated, *stage.inputs}) if name in self.namespace})
            if set(names) & {*bound, *mutated}
        )
        kept, lost = self._store_values([*bound, *mutated, *(name for names in aliases for name in names)], aliases, needed)
        files = observation.files_read()
        written = {path: session.store.objects.put([(session.folder / path).read_bytes()]) for path in (*observation.files_written(), *stage.files_written) if (session.folder / path).is_file()}
        effects = Effects(
            mutated=tuple(sorted(name for name in mutated if name in kept)),
            aliases=tuple(names for names in aliases if set(names) <= set(kept)),
            files_read=tuple(sorted(path for path, digest in files.items() if digest is not None and path not in stage.files_read)),
            files_absent=tuple(sorted(path for path, digest in files.items() if digest is None and path not in stage.files_read and path not in written)),
            files_written=tuple(sorted(set(written) - set(stage.files_written))),
            environment=tuple(sorted(observation.environment)),
            modules=observation.modules(),
            random=draws,
        )
        remarks = [*self.remarks, *lost]
        metrics = metrics_of(self.namespace, stage.directive.metrics)
        digest = session.store.objects.put([json.dumps([outputs]).encode()]) if outputs else None
        result = StageResult(
            name=stage.name, status="ran", seconds=seconds, reason=reason, outputs=kept, metrics=metrics, cell_outputs=digest, run_id=session.run_id
        )
        if identities is not None:
            parts = self.planner.parts(stage, identities, effects, files)
            record = StageRecord(
                key=stage_key(parts),
                stage=stage.name,
                notebook=self.planner.notebook,
                components=parts,
                code=stage.code,
                outputs=kept,
                cell_outputs=digest,
                metrics=metrics,
                effects=effects,
                seconds=seconds,
                started_s=started_s,
                reproducible=not self.remarks and not self._unseen(),
                remarks=tuple(remarks),
                files_written=written,
                attempt=uuid.uuid4().hex,
                run_id=session.run_id,
            )
            if record.reproducible or session.store.record(record.key) is None:
                session.store.put_record(record)
            result = replace(result, key=record.key)
        self._note(kept)
        if self.remarks:
            session.remarks[stage.name] = tuple(self.remarks)
        else:
            session.remarks.pop(stage.name, None)
        shown = tuple(f"not reproducible: {remark}" for remark in self.remarks) + tuple(lost)
        return CellOutcome(result=self._judged(result), remarks=shown)

    def _unseen(self) -> bool:
        """Tell whether the cell may have read names that nobody saw: the kernel's namespace cannot be watched."""
        pieces = [piece for piece in self.planner.source.pieces if piece.stage == self.stage.name]
        return any(piece.flow.dynamic or piece.flow.star_imports for piece in pieces)

    def _store_values(self, names: list[str], aliases: tuple[tuple[str, ...], ...], needed: set[str]) -> tuple[dict[str, Artifact], list[str]]:
        """Store every bound name that can be stored; say which of those that later cells read cannot."""
        kept: dict[str, Artifact] = {}
        lost: list[str] = []
        for name in dict.fromkeys(names):
            if name in kept or (is_module(self.namespace[name]) and name not in needed):
                continue
            members = next((group for group in aliases if name in group), ())
            if name not in needed and _too_large(self.namespace[name], self.session.settings.kernel_limit_bytes):
                continue
            try:
                kept.update(
                    keep_values(
                        self.namespace, [name], (members,) if members else (), store=self.session.store, context=self.context, stage=self.stage.name,
                        cell=self.stage.cells[0],
                    )
                )  # fmt: skip
            except NotStorable as error:
                if name in needed:
                    lost.append(f"{name!r} cannot be stored: {error.message}")
        return kept, lost

    def _judged(self, result: StageResult) -> StageResult:
        gates = judge(self.stage.directive.require, result.metrics)
        refusals = [gate["name"] for gate in gates if not gate["passed"]]
        if refusals:
            return replace(result, status="refused", reason=f"--require {refusals[0]} does not hold", gates=gates)
        return replace(result, gates=gates)

    def _failed(self, error: BaseException, outputs: list[dict[str, Any]], reason: str, seconds: float) -> CellOutcome:
        shown = next((output for output in reversed(outputs) if output["output_type"] == "error"), None)
        traceback = tuple(shown["traceback"]) if shown else ()
        failure = StageError(type=type(error).__name__, message=str(error), cell=self.stage.cells[-1], traceback=traceback)
        result = StageResult(name=self.stage.name, status="failed", seconds=seconds, reason=reason, error=failure, run_id=self.session.run_id)
        return CellOutcome(result=result, error=error, traceback=traceback)


def _stage_name(cell: SeenCell) -> str | None:
    magic = split_magic(cell.source)
    if magic and magic[0].split():
        return magic[0].split()[0]
    tags = cell.metadata.get("tags") or ()
    return next((tag.removeprefix("stage:") for tag in tags if isinstance(tag, str) and tag.startswith("stage:")), None)


def read_and_build(path: Path) -> Pipeline:
    """Return the pipeline that a file describes."""
    return build(read_source(read_document(path)))


def is_module(value: object) -> bool:
    """Tell modules, which are not worth an artifact unless a later cell reads them."""
    return type(value).__name__ == "module"


def _too_large(value: Any, limit: int) -> bool:  # noqa: ANN401 - any value
    size = getattr(value, "nbytes", None)
    if size is None and hasattr(value, "memory_usage"):
        with suppress(Exception):
            usage = value.memory_usage()
            size = int(usage.sum()) if hasattr(usage, "sum") else int(usage)
    return isinstance(size, int) and size > limit


def _state(name: str) -> Any:  # noqa: ANN401 - a state of random or of numpy
    return random.getstate() if name == "random" else sys.modules["numpy.random"].get_state()


def _set_state(name: str, state: Any) -> None:  # noqa: ANN401
    if name == "random":
        random.setstate(state)
    elif "numpy.random" in sys.modules:
        sys.modules["numpy.random"].set_state(state)


def _notebook_path() -> Path | None:
    """Return the file of the kernel's notebook where the front end tells it."""
    named = os.environ.get("JPY_SESSION_NAME", "")
    if named.endswith((".ipynb", ".py")):
        path = Path(named)
        candidates = [path, Path.cwd() / path.name]
        return next((candidate for candidate in candidates if candidate.is_file()), None)
    return None
