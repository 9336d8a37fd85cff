"""One stage cell on its way through the live kernel: trusted, reused or run, and recorded."""

from __future__ import annotations

import json
import os
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NbmlopsError, NotStorable
from nbmlops.pipeline.effects import NO_EFFECTS, Effects
from nbmlops.pipeline.leftbehind import DECIDING
from nbmlops.runner.handover import keep_values, metrics_of
from nbmlops.runner.observe import Observation, observing
from nbmlops.runner.outputs import OutputRecorder
from nbmlops.runner.randomness import random_states, restore_random, save_random
from nbmlops.runner.redaction import Redactor, secret_values
from nbmlops.runner.results import StageResult
from nbmlops.runner.seeding import seed_random, seed_when_imported
from nbmlops.runner.serve import judged, serve
from nbmlops.runner.stage import derive_seed
from nbmlops.runner.stagekey import identity, stage_key, type_exact
from nbmlops.runner.task import StageError
from nbmlops.session.capture import recording, replay
from nbmlops.session.provenance import is_code
from nbmlops.store.fingerprint import alias_sets, state_fingerprint, value_fingerprint
from nbmlops.store.records import Artifact, StageRecord
from nbmlops.store.serializers import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from IPython.core.interactiveshell import ExecutionResult

    from nbmlops.pipeline.model import Stage
    from nbmlops.runner.plan import Planner
    from nbmlops.session.kernel import KernelSession

__all__ = ["CellOutcome", "StageCell"]


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


class StageCell:
    """One stage cell on its way through the kernel."""

    def __init__(self, session: KernelSession, planner: Planner, stage: Stage, cell_id: str, body: str, *, tagged: bool) -> None:
        self.session = session
        self.planner = planner
        self.stage = stage
        self.cell_id = cell_id
        self.body = body
        self.tagged = tagged
        self.namespace = session.shell.user_ns
        self.context = session.context()
        self.remarks: list[str] = []
        self.inputs: dict[str, Artifact] = {}
        self.left = session.left_behind(body)

    def run(self, *, force: bool) -> CellOutcome:
        """Reuse the stage if its inputs are what their stages made and a record serves it, else run it."""
        skipped = self.planner.skips(self.stage, self._plain_values())
        if skipped is not None:
            return CellOutcome(result=StageResult(name=self.stage.name, status="skipped", reason=skipped))
        self._trust_inputs()
        identities = self._identities()
        overrides = self._live_values()
        self.planner.trial = replace(self.planner.trial, parameters=overrides)
        if len(self.stage.cells) > 1:
            # this cell is a part of the stage: a record is that of the whole, and would be served to the part
            return self._execute(None, "a cell of a stage of several cells, which only batch keeps")
        if identities is not None and not force and self.stage.directive.cache and not self.remarks:
            planned = self.planner.look_up(self.stage, identities)
            if planned.record is not None and self._serves(planned.record):
                return self._reuse(planned.record)
            reason = planned.reason if planned.record is None else "its record does not hold all that later cells read"
        else:
            reason = "forced" if force else ("" if self.remarks else "--no-cache")
        return self._execute(identities, reason)

    def _plain_values(self) -> dict[str, Any]:
        """Return what ``--if`` may read here: metrics of stages that have run, and live numbers, words and truths."""
        live = {name: value for name, value in self.namespace.items() if isinstance(value, (bool, int, float, str)) and not name.startswith("_")}
        return {**self.session.metrics, **live} if self.stage.directive.condition else {}

    def _trust_inputs(self) -> None:
        """Compare each input with what its stage made; what nobody vouches for is no ground for reuse."""
        provenance = self.session.provenance
        known = self.planner.effects.get(self.stage.name, NO_EFFECTS)
        self.remarks += self.session.live.remarks(self.stage, self.planner, known)
        self.remarks += [f"{name!r} was made by a cell that is no stage and no setup" for name in self.stage.unprovided if name in self.namespace]
        self.remarks += [f"it reads {name!r}, which --in leaves out" for name in self._left_out()]
        for name, stage in self.stage.inputs.items():
            if name not in self.namespace:
                continue
            origin = provenance.of_stage(stage, name)
            if origin is None or origin.artifact is None:
                maker = provenance[name].stage if name in provenance else None
                who = f"stage {maker}" if maker else "a cell that is no stage"
                self.remarks.append(f"{name!r} was made by {who}, not by stage {stage}")
            elif self.session.fingerprint(self.namespace[name]) != origin.fingerprint:
                self.remarks.append(f"{name!r} was changed after stage {stage} made it")
            else:
                self.inputs[name] = origin.artifact
                upstream = self.session.remarks.get(stage)
                if upstream:
                    self.remarks.append(f"stage {stage} is not reproducible: {upstream[0]}")

    def _left_out(self) -> list[str]:
        """Return the live names that the cell reads though its ``--in`` does not name them: batch has none of them."""
        if self.stage.directive.ins is None:
            return []
        reads = {name for piece in self.planner.source.pieces if piece.stage == self.stage.name for name in piece.flow.reads}
        provided = {read.name for read in self.stage.reads} | set(self.stage.directive.ins)
        made = {name for stage in self.planner.pipeline.stages.values() if stage.name != self.stage.name for name in stage.binds}
        return sorted((reads & made & set(self.namespace)) - provided)

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
            found[name] = identity(
                artifact,
                self.planner.pipeline,
                before=self.stage.cells[-1],
                surroundings=self.planner.surroundings,
                parameters=self.planner.trial.parameters,
            )
        return found

    def _live_values(self) -> dict[str, Any]:
        """Compare setup's names with what their cells made; return the parameters whose live value is another one."""
        changed: dict[str, Any] = {}
        cells = self.session.cells.ids()
        for position in self.stage.setup:
            statement = self.planner.pipeline.setup[position]
            for name in statement.names:
                if name not in self.namespace or not self._is_last(name, position):
                    continue
                live = self.namespace[name]
                if name in statement.literals:
                    if type_exact(statement.literals[name]) != type_exact(live):
                        self.remarks.append(f"{name!r} is {live!r}, not the {statement.literals[name]!r} of its cell")
                        changed[name] = live
                elif name in self.session.provenance:
                    self._compare(name, live, cells[statement.cell])
        return changed

    def _compare(self, name: str, live: Any, cell: str) -> None:  # noqa: ANN401 - any value
        """Compare a setup name with what the cell made that the notebook's order gives."""
        origin = self.session.provenance[name]
        if origin.cell != cell:
            self.remarks.append(f"{name!r} was made by another cell than the one above the stage")
        elif not (live is origin.value if is_code(live) else self.session.fingerprint(live) == origin.fingerprint):
            self.remarks.append(f"{name!r} was changed after its setup cell made it")

    def _is_last(self, name: str, position: int) -> bool:
        return not any(name in self.planner.pipeline.setup[other].names for other in self.stage.setup if other > position)

    def _serves(self, record: StageRecord) -> bool:
        """Tell whether a record holds all that later cells are known to read, and may be used."""
        needed = self.session.later_reads(self.stage) & {*self.stage.binds, *record.effects.mutated}
        # what a reused stage is not run for would not happen here
        changes = any(kind in DECIDING for kind, *_ in record.effects.left_behind)
        return record.reproducible and not changes and needed <= set(record.outputs)

    def _reuse(self, record: StageRecord) -> CellOutcome:
        try:
            self._load(record)
        except (KeyError, NbmlopsError):
            return self._execute(self._identities(), "its stored outputs cannot be read")
        shown = self._outputs(record)
        replay(self.session.shell, [output for cell in shown for output in cell])
        absent = sorted(set(self.stage.binds) - set(record.outputs))
        for name in absent:
            self.namespace.pop(name, None)
        self.session.provenance.not_loaded(self.stage.name, absent)
        self.session.remarks.pop(self.stage.name, None)
        reason = f"reused from run {record.run_id[:8]}"
        requirements = self.stage.directive.require
        result = serve(record, self.stage.name, reason, requirements, store=self.session.store, surroundings=self.planner.surroundings)
        return CellOutcome(result=result)

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
        recorder = OutputRecorder(
            Redactor(secret_values(values, os.environ, stage.directive.secrets)), limit_bytes=session.settings.output_limit_bytes
        )
        recorder.begin(stage.cells[-1])
        observation = Observation(session.folder, session.settings.project_root, (str(session.store.local_path("")),), stage.files_written)
        names = {*stage.inputs, *(name for position in stage.setup for name in self.planner.pipeline.setup[position].names)}
        watched = sorted(name for name in names if name in self.namespace)
        before = {name: state_fingerprint(self.namespace[name], self.context) for name in watched}
        held = save_random()
        seed = self._seed()
        drawn = random_states()
        left = self.left
        started_s, begun = time.time(), time.perf_counter()
        with (
            left.following(),
            left.around(0, observation),
            recording(session.shell, recorder, self.body),
            observing(observation, self.namespace),
            seed_when_imported(seed) as coming,
        ):
            coming.states = drawn
            ran = self._run_body()
        seconds = time.perf_counter() - begun
        draws = tuple(sorted(name for name, state in random_states().items() if name in drawn and drawn[name] != state))
        restore_random(held)
        outputs = recorder.take()
        error = ran.error_before_exec or ran.error_in_exec
        if error is not None:
            return self._failed(error, outputs, reason, seconds)
        mutated = [name for name in watched if name in self.namespace and state_fingerprint(self.namespace[name], self.context) != before[name]]
        for name in mutated:
            if name in self.context.by_reference:
                self.remarks.append(f"it changes what {name!r} holds, which batch makes anew for each stage")
                left.add("definition", name)
        session.live.note(f"stage {stage.name}", left.entries())
        return self._keep(identities, observation, outputs, mutated=mutated, draws=draws, reason=reason, seconds=seconds, started_s=started_s)

    def _run_body(self) -> ExecutionResult:
        """Run the cell's body so that tracebacks name the cell and the lines that the user sees."""
        shell = self.session.shell
        history = shell.history_manager.input_hist_raw if shell.history_manager else []
        # IPython strips blank lines at the top: only a comment keeps the place of the magic line
        first = "" if self.tagged or self.body.lstrip().startswith("%%") else "# %%mlstage\n"
        count = shell.execution_count
        shell.execution_count = max(1, len(history) - 1)
        try:
            ran: ExecutionResult = shell.run_cell(first + self.body, store_history=False, silent=False)
        finally:
            shell.execution_count = count
        return ran

    def _seed(self) -> int:
        """Give the stage the random state that it has in batch: what setup seeded, else one derived from its code; return that seed."""
        seed = derive_seed(self.planner.trial.seed if self.stage.directive.seed is None else self.stage.directive.seed, self.stage.code)
        seed_random(seed)
        restore_random(self.session.seeded)
        return seed

    def _keep(
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
        needed = session.later_reads(stage) & {*stage.binds, *mutated} | {*(stage.directive.outs or ()), *stage.directive.metrics}
        bound = [name for name in stage.binds if name in self.namespace]
        shared = {name: self.namespace[name] for name in sorted({*bound, *mutated, *stage.inputs}) if name in self.namespace}
        aliases = tuple(names for names in alias_sets(shared, self.context) if set(names) & {*bound, *mutated})
        kept, lost = self._store_values([*bound, *mutated, *(name for names in aliases for name in names)], aliases, needed)
        files = {**session.setup_files, **observation.files_read()}
        written = {
            path: session.store.objects.put([(session.folder / path).read_bytes()])
            for path in observation.outputs()
            if (session.folder / path).is_file()
        }
        effects = Effects(
            mutated=tuple(sorted(mutated)),
            aliases=tuple(names for names in aliases if set(names) <= set(kept)),
            files_read=tuple(sorted(path for path, digest in files.items() if digest is not None and path not in stage.files_read)),
            files_absent=tuple(
                sorted(path for path, digest in files.items() if digest is None and path not in stage.files_read and path not in written)
            ),
            files_written=tuple(sorted(set(written) - set(stage.files_written))),
            files_made=tuple(path for path in stage.files_read if path in written and path in observation.new),
            files_removed=observation.files_removed(),
            environment=tuple(sorted({*observation.environment, *session.setup_environment})),
            modules=tuple(sorted({*observation.modules(), *session.setup_modules})),
            imports=observation.imports(),
            unseen=tuple(sorted(observation.unseen)),
            random=draws,
            left_behind=self.left.entries(),
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
        session.metrics.update(metrics)
        if self.remarks:
            session.remarks[stage.name] = tuple(self.remarks)
        else:
            session.remarks.pop(stage.name, None)
        shown = tuple(f"not reproducible: {remark}" for remark in self.remarks) + tuple(lost)
        return CellOutcome(result=judged(result, self.stage.directive.require), remarks=shown)

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
                    lost.append(error.message)
        return kept, lost

    def _failed(self, error: BaseException, outputs: list[dict[str, Any]], reason: str, seconds: float) -> CellOutcome:
        shown = next((output for output in reversed(outputs) if output["output_type"] == "error"), None)
        traceback = tuple(shown["traceback"]) if shown else ()
        failure = StageError(type=type(error).__name__, message=str(error), cell=self.stage.cells[-1], traceback=traceback)
        result = StageResult(name=self.stage.name, status="failed", seconds=seconds, reason=reason, error=failure, run_id=self.session.run_id)
        return CellOutcome(result=result, error=error, traceback=traceback)


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
