"""One stage cell on its way through the live kernel: trusted, reused or run, and recorded."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nbmlops.errors import GateRefused, NbmlopsError, NotStorable
from nbmlops.pipeline.effects import NO_EFFECTS
from nbmlops.pipeline.leftbehind import DECIDING
from nbmlops.runner.handover import keep_values, metrics_of
from nbmlops.runner.results import StageResult
from nbmlops.runner.serve import judged, serve
from nbmlops.runner.stagekey import identity, stage_key
from nbmlops.runner.task import StageError
from nbmlops.session.live.attempt import Body
from nbmlops.session.live.capture import replay
from nbmlops.session.live.finding import Finding, merged, said, way_back
from nbmlops.session.live.hidden import Examination
from nbmlops.session.live.history import StageRun
from nbmlops.session.live.keeping import keep, observed_effects
from nbmlops.session.live.loading import load_values
from nbmlops.session.live.provenance import Origin
from nbmlops.store.fingerprint import alias_sets, value_fingerprint
from nbmlops.store.records import StageRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmlops.pipeline.effects import Effects
    from nbmlops.pipeline.model import Stage
    from nbmlops.pipeline.source import Piece
    from nbmlops.runner.plan import Planner
    from nbmlops.runner.stagekey import Components
    from nbmlops.session.live.attempt import Attempt
    from nbmlops.session.live.cells import SeenCell
    from nbmlops.session.live.keeping import Kept
    from nbmlops.session.live.kernel import KernelSession
    from nbmlops.store.records import Artifact

__all__ = ["CellOutcome", "StageCell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOutcome:
    """What became of a stage cell in the kernel.

    Parameters
    ----------
    result : StageResult
    remarks : tuple of str
        What was brought back for it, and what was not kept.
    warning : str
        Why the result is not reproducible, and the way back, in one line.
    error : BaseException or None
        What the cell raised.
    traceback : list of str
        As IPython formatted it.
    """

    result: StageResult
    remarks: tuple[str, ...] = ()
    warning: str = ""
    error: BaseException | None = None
    traceback: tuple[str, ...] = ()


class StageCell:
    """One stage cell on its way through the kernel."""

    def __init__(self, session: KernelSession, planner: Planner, stage: Stage, seen: SeenCell, body: str, *, tagged: bool) -> None:
        self.session = session
        self.planner = planner
        self.stage = stage
        self.seen = seen
        self.body = body
        self.tagged = tagged
        self.namespace = session.shell.user_ns
        self.context = session.context()
        self.notebook = session.cells.notebook()
        self.cell = self.notebook.index_of(seen.id) or 0
        self.examined = Examination(session, planner, stage, continues=self.cell != stage.cells[0])
        self.findings = list(self.examined.findings)
        self.left = session.left_behind(body)

    def run(self, *, force: bool) -> CellOutcome:
        """Reuse the stage if its inputs are what their stages made and a record serves it, else run it."""
        skipped = self.planner.skips(self.stage, self._plain_values())
        if skipped is not None:
            self.session.history.idle[self.stage.name] = (self.seen, f"was skipped, since {skipped}")
            return CellOutcome(result=StageResult(name=self.stage.name, status="skipped", reason=skipped))
        identities = self._identities()
        self.planner.trial = replace(self.planner.trial, parameters=self.examined.setup.changed)
        if len(self.stage.cells) > 1:
            # this cell is a part of the stage: a record is that of the whole, and would be served to the part
            return self._execute(identities, "a cell of a stage of several cells, which only batch keeps")
        parts = self.planner.parts(self.stage, identities or {}, self.planner.effects.get(self.stage.name, NO_EFFECTS), {})
        self.findings += self.examined.around(parts)
        live = any(finding.live for finding in self.findings)
        if identities is not None and not force and self.stage.directive.cache and not live:
            planned = self.planner.look_up(self.stage, identities)
            if planned.record is not None and self._serves(planned.record):
                return self._reuse(planned.record, planned.parts)
            reason = planned.reason if planned.record is None else "its record does not hold all that later cells read"
        else:
            reason = "forced" if force else ("" if live else "--no-cache")
        return self._execute(identities, reason)

    def _plain_values(self) -> dict[str, Any]:
        """Return what ``--if`` may read here: metrics of stages that have run, and live numbers, words and truths."""
        live = {name: value for name, value in self.namespace.items() if isinstance(value, (bool, int, float, str)) and not name.startswith("_")}
        return {**self.session.metrics, **live} if self.stage.directive.condition else {}

    def _identities(self) -> dict[str, str] | None:
        """Return the identity of each input; values that no stage vouches for are stored for it."""
        found: dict[str, str] = {}
        for name in self.stage.inputs:
            artifact = self.examined.inputs.vouched.get(name)
            if artifact is None:
                if name not in self.namespace:
                    return None
                try:
                    kept = keep_values(
                        self.namespace, [name], (), store=self.session.store, context=self.context, stage=self.stage.name, cell=self.stage.cells[0]
                    )
                except NotStorable as error:
                    self.findings.append(Finding(code="NB612", message=error.message, first=error.fix or "", name=name))
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

    def _serves(self, record: StageRecord) -> bool:
        """Tell whether a record holds all that later cells are known to read, and may be used."""
        needed = self.session.later_reads(self.stage) & {*self.stage.binds, *record.effects.mutated}
        # what a reused stage is not run for would not happen here
        changes = any(kind in DECIDING for kind, *_ in record.effects.left_behind)
        return record.reproducible and not changes and needed <= set(record.outputs)

    def _reuse(self, record: StageRecord, parts: Components) -> CellOutcome:
        try:
            self._load(record)
        except (KeyError, NbmlopsError):
            return self._execute(self._identities(), "its stored outputs cannot be read")
        shown = self._outputs(record)
        replay(self.session.shell, [output for cell in shown for output in cell])
        absent = {name for name in set(self.stage.binds) - set(record.outputs) if self._would_be_gone(name)}
        for name in sorted({*absent, *self._deleted()}):
            self.namespace.pop(name, None)
            self.session.provenance.gone(name)
        self.session.provenance.not_loaded(self.stage.name, absent - set(self._deleted()))
        self.session.history.stages[self.stage.name] = StageRun(
            cell=self.seen, parts=parts, effects=record.effects, outputs=record.outputs, written=record.files_written
        )
        reason = f"reused from run {record.run_id[:8]}"
        requirements = self.stage.directive.require
        result = serve(
            record,
            self.stage.name,
            reason,
            requirements,
            store=self.session.store,
            surroundings=self.planner.surroundings,
            outside=self.session.gates.outside(self.planner.pipeline),
        )
        self._offer(result)
        return CellOutcome(result=result)

    def _offer(self, result: StageResult) -> None:
        """Let later stages use what the stage has made, or know that its gate has refused it."""
        if result.status == "refused":
            self.session.history.idle[self.stage.name] = (self.seen, f"was refused, since {result.reason}")
        else:
            self.session.history.idle.pop(self.stage.name, None)

    def _would_be_gone(self, name: str) -> bool:
        """Tell whether a value that the record does not hold would not outlive a run of the stage: it is the stage's own, or surely overwritten.

        After ``if flag: tmp = 2`` a `tmp` that the user has made is still there.
        """
        if name not in self.namespace or any(piece.flow.binds[name].kind == "definite" for piece in self._pieces() if name in piece.flow.binds):
            return True
        origin = self.session.provenance.get(name)
        return origin is not None and origin.stage == self.stage.name and self.namespace[name] is origin.value

    def _pieces(self) -> list[Piece]:
        """Return what reading tells of the stage's cells."""
        return [piece for piece in self.planner.source.pieces if piece.stage == self.stage.name]

    def _deleted(self) -> tuple[str, ...]:
        """Return the names that the stage deletes."""
        return tuple(sorted({name for piece in self._pieces() for name in piece.flow.deleted}))

    def _load(self, record: StageRecord) -> None:
        """Bind a record's outputs; names that were aliases are aliases again. What is live already stays the object that it is."""
        there = {name for name, artifact in record.outputs.items() if self._is_there(name, artifact)}
        groups = {tuple(artifact.members) or (name,) for name, artifact in record.outputs.items()}
        shared = set(alias_sets({name: self.namespace[name] for name in sorted(there)}, self.context))
        for group in groups:
            apart = len(group) == 1 and not any(group[0] in names for names in shared)
            if not (set(group) <= there and (apart or tuple(sorted(group)) in shared)):
                there -= set(group)
        self.namespace.update(load_values(self.session, {name: item for name, item in record.outputs.items() if name not in there}, self.context))
        self.session.provenance.forget_stage(self.stage.name)
        known = {name: origin.fingerprint for name in there if (origin := self.session.provenance.get(name)) is not None}
        self.session.note_outputs(self.stage.name, self.seen, record.outputs, known=known)

    def _is_there(self, name: str, artifact: Artifact) -> bool:
        """Tell whether a name holds what the store would give."""
        origin = self.session.provenance.get(name)
        if name not in self.namespace or origin is None or origin.artifact is None:
            return False
        if (origin.artifact.digest, origin.artifact.form) != (artifact.digest, artifact.form):
            return False
        return self.session.same_code(origin) and value_fingerprint(self.namespace[name], self.context) == origin.fingerprint

    def _outputs(self, record: StageRecord) -> list[list[dict[str, Any]]]:
        if record.cell_outputs is None:
            return []
        try:
            shown: list[list[dict[str, Any]]] = json.loads(bytes(self.session.store.objects.view(record.cell_outputs)))
        except KeyError:
            return []
        return shown

    def _bring_back(self) -> dict[str, Any]:
        """Bind the versions of names that the notebook gives the stage; return what they held that is not to be lost by it."""
        provenance, providers = self.session.provenance, self.stage.inputs
        versions = load_values(self.session, self.examined.inputs.restore, self.context)
        former = {name: self.namespace[name] for name in self.examined.setup.rebind}
        for name in versions:
            last = provenance.get(name)
            if name in self.namespace and last is not None and last.stage != providers.get(name):
                former[name] = self.namespace[name]
        self.namespace.update(versions | self.examined.setup.rebind)
        for name in versions.keys() - former.keys():
            origin = provenance.of_stage(providers[name], name)
            if origin is not None:
                value = versions[name]
                provenance.brought_back(name, origin, value, self.session.code(), value_fingerprint(value, self.context))
        return former

    def _put_back(self, former: Mapping[str, Any], changed: set[str]) -> None:
        """Let names be again what cells below the stage have made of them, where the stage has not made anything else of them."""
        kept = set(former) - changed
        outputs = {name: self.namespace[name] for name in changed if name in self.namespace}
        for names in alias_sets({**outputs, **{name: self.namespace[name] for name in kept if name in self.namespace}}, self.context):
            if set(names) & changed:
                kept -= set(names)
        self.namespace.update({name: former[name] for name in kept})

    def _give_back(self, *, own: bool) -> None:
        """Let names be there again that the stage was not to see and has not bound; `own` if those of an earlier run of it too."""
        for name, value in self.examined.absent.withhold.items():
            origin = self.session.provenance.get(name)
            if own or origin is None or origin.stage != self.stage.name:
                self.namespace.setdefault(name, value)

    def _execute(self, identities: dict[str, str] | None, reason: str) -> CellOutcome:
        try:
            former = self._bring_back()
        except (KeyError, NbmlopsError):
            former = {}
            names = ", ".join(map(repr, self.examined.inputs.restore))
            self.findings.append(Finding(code="NB602", message=f"{names} cannot be read from the store", again=frozenset(self._makers())))
        for name in self.examined.absent.withhold:
            self.namespace.pop(name, None)
        attempt = Body(
            session=self.session,
            planner=self.planner,
            stage=self.stage,
            cell=self.cell,
            source=self.body,
            tagged=self.tagged,
            context=self.context,
            left=self.left,
        ).run()
        if attempt.error is not None:
            self._give_back(own=True)
            self._put_back(former, {*self.stage.binds, *attempt.changed})
            self._half_made(attempt.changed)
            return self._failed(attempt, attempt.error, reason)
        return self._keep(attempt, identities, reason, former)

    def _keep(self, attempt: Attempt, identities: dict[str, str] | None, reason: str, former: Mapping[str, Any]) -> CellOutcome:
        """Store what the stage has made, and its record."""
        session, stage = self.session, self.stage
        session.follow_reloads(attempt.observation)
        kept = keep(session, stage, attempt.observation, attempt.changed, attempt.watched, self.context, session.read_above(self.planner, stage))
        self._give_back(own=False)
        self._put_back(former, {*stage.binds, *attempt.changed, *kept.outputs})
        for name in attempt.changed:
            if name in self.context.by_reference:
                self.left.add("definition", name)
        session.live.note(f"stage {stage.name}", self.left.entries())
        effects = observed_effects(stage, attempt.observation, kept, mutated=attempt.changed, draws=attempt.draws, left=self.left)
        parts = self.planner.parts(self._as_learnt(effects), identities or {}, effects, kept.files)
        self._look_again(attempt.changed, kept, parts)
        digest = session.store.objects.put([json.dumps([attempt.outputs]).encode()]) if attempt.outputs else None
        record = StageRecord(
            key=stage_key(parts),
            stage=stage.name,
            notebook=self.planner.notebook,
            components=parts,
            code=stage.code,
            outputs=kept.outputs,
            cell_outputs=digest,
            metrics=attempt.logbook.merged(attempt.logbook.redactor.data(metrics_of(self.namespace, stage.directive.metrics))),
            series=attempt.logbook.series,
            evidence=tuple(attempt.logbook.evidence),
            models=tuple(attempt.logbook.models),
            effects=effects,
            seconds=attempt.seconds,
            started_s=attempt.started_s,
            reproducible=not self.findings,
            remarks=(*said(self.findings, self.notebook, self.cell), *kept.lost),
            files_written=kept.written,
            attempt=uuid.uuid4().hex,
            run_id=session.run_id,
        )
        whole = len(stage.cells) == 1 and identities is not None
        if whole and (record.reproducible or session.store.record(record.key) is None):
            session.store.put_record(record)
        self._note(record, kept)
        result = judged(
            replace(StageResult.of_record(record, "ran", reason), key=record.key if whole else None),
            stage.directive.require,
            self.session.gates.outside(self.planner.pipeline),
        )
        self._offer(result)
        return CellOutcome(result=result, remarks=(*self._brought(), *kept.lost), warning=self._warning())

    def _as_learnt(self, effects: Effects) -> Stage:
        """Return the stage as it is linked now that it is known what it does: what batch makes its key of."""
        self.planner.learn(self.stage.name, effects)
        now = self.planner.pipeline.stages[self.stage.name]
        return now if now.inputs == self.stage.inputs else self.stage

    def _makers(self) -> set[int]:
        providers = {self.stage.inputs[name] for name in self.examined.inputs.restore if name in self.stage.inputs}
        return {cell for name in providers for cell in self.planner.pipeline.stages[name].cells}

    def _look_again(self, changed: list[str], kept: Kept, parts: Components) -> None:
        """Find what only running the stage can show."""
        for name, definition in kept.held.items():
            message = f"it changes {name!r}, whose state {definition!r} of a setup cell holds too, which batch makes anew for each stage"
            self.findings.append(Finding(code="NB616", message=message, first=f"give {definition!r} what it needs as an argument", name=name))
        for name in changed:
            if name in self.context.by_reference:
                message = f"it changes what {name!r} holds, which batch makes anew for each stage"
                self.findings.append(Finding(code="NB614", message=message, first="keep that in a variable of the stage", name=name))
        hidden = self._unseen()
        if hidden:
            message = f"{hidden} may read and bind names that a kernel cannot watch"
            self.findings.append(
                Finding(code="NB411", message=message, first="run it in batch, which watches it, or write it as plain code", live=False)
            )
        spoilt = self.examined.setup.makers_of_changed(changed)
        if self.findings and spoilt:  # what it has just changed is to be made anew too, or the way back leads in a circle
            self.findings[0] = replace(self.findings[0], again=self.findings[0].again | spoilt)
        now = self.planner.pipeline.stages[self.stage.name]
        self.findings = list(merged([*self.findings, *self.examined.around(parts), *self.examined.files_of_stages(now, kept.files)]))

    def _unseen(self) -> str:
        """Return what in the cell may have read names that nobody saw."""
        pieces = self._pieces()
        words = [word for piece in pieces for word, _ in piece.flow.dynamic] + [
            f"from {name} import *" for piece in pieces for name in piece.flow.star_imports
        ]
        return ", ".join(dict.fromkeys(words))

    def _note(self, record: StageRecord, kept: Kept) -> None:
        """Let the session know what the stage has made, and with what."""
        session, stage = self.session, self.stage
        if self.cell == stage.cells[0]:
            session.provenance.forget_stage(stage.name)
        others = [name for name in stage.binds if name in self.namespace and name not in kept.outputs]
        session.note_outputs(stage.name, self.seen, kept.outputs, others=others)
        for name in self._deleted():
            session.provenance.gone(name)
        session.metrics.update(record.metrics)
        earlier = session.history.stages.get(stage.name)
        order = () if self.cell == stage.cells[0] or earlier is None else earlier.order
        several = len(stage.cells) > 1
        before = earlier if earlier is not None and order else StageRun(cell=self.seen)
        session.history.stages[stage.name] = StageRun(
            cell=self.seen, parts=dict(record.components), effects=record.effects, outputs={**before.outputs, **kept.outputs},
            written={**before.written, **kept.written}, findings=merged([*before.findings, *self.findings]),
            order=(*order, stage.cells.index(self.cell)) if several else (),
        )  # fmt: skip

    def _brought(self) -> tuple[str, ...]:
        """Say which names the stage did not see as they were."""
        found = [f"{name} as stage {self.stage.inputs[name]} made it" for name in sorted(self.examined.inputs.restore) if name in self.stage.inputs]
        found += [f"{name} = {value!r} as above it" for name, value in self.examined.setup.rebind.items()]
        without = self.examined.absent.told
        return (
            *([f"with {', '.join(found)}"] if found else []),
            *([f"without {', '.join(without)}, which no cell above it makes"] if without else []),
        )

    def _warning(self) -> str:
        """Return the line that says why the result is not reproducible."""
        if not self.findings:
            return ""
        first, more = self.findings[0], len(self.findings) - 1
        told = f"not reproducible, {first.code}: {first.told}" + (f" (and {more} more, see %mlcheck)" if more else "")
        return f"{told}; {way_back(self.findings, self.notebook, own=self.cell)}"

    def _half_made(self, changed: list[str]) -> None:
        """Take note of what a stage that failed has changed: it is not what its stage made, and known not to be."""
        session = self.session
        for name in changed:
            print_ = value_fingerprint(self.namespace[name], self.context)
            origin = Origin(
                stage=self.stage.name, cell=self.seen.id, order=self.seen.order, value=self.namespace[name], fingerprint=print_, code=session.code()
            )  # fmt: skip
            session.provenance.half_made(name, origin)
        session.history.stages[self.stage.name] = StageRun(cell=self.seen, failed=True)

    def _failed(self, attempt: Attempt, error: BaseException, reason: str) -> CellOutcome:
        shown = next((output for output in reversed(attempt.outputs) if output["output_type"] == "error"), None)
        traceback = tuple(shown["traceback"]) if shown else ()
        failure = StageError(type=type(error).__name__, message=str(error), cell=self.stage.cells[-1], traceback=traceback)
        result = StageResult(
            name=self.stage.name,
            status="refused" if isinstance(error, GateRefused) else "failed",
            seconds=attempt.seconds,
            reason=reason,
            gates=tuple(attempt.logbook.evidence),
            error=failure,
            run_id=self.session.run_id,
        )
        missing = [finding for finding in self.findings if isinstance(error, NameError) and finding.name == error.name]
        warning = f"{missing[0].code}: {missing[0].told}; {way_back(missing, self.notebook, own=self.cell)}" if missing else ""
        return CellOutcome(result=result, error=error, traceback=traceback, warning=warning)
