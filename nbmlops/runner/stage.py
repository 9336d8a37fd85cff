"""Run one stage in this process: load its inputs, run its cells, store what it hands on."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from nbmlops.errors import GateRefused, NbmlopsError, NotebookError, UpstreamMissing
from nbmlops.pipeline.effects import Effects
from nbmlops.pipeline.files import shows
from nbmlops.runner.describing import describe, line_of
from nbmlops.runner.environment import THREAD_VARIABLES
from nbmlops.runner.handover import keep_files, keep_values, metrics_of, refuse_links
from nbmlops.runner.leaving.leftbehind import LeftBehind
from nbmlops.runner.leaving.openfiles import files_written_to, flush_open_files
from nbmlops.runner.leaving.threads import busy_threads
from nbmlops.runner.logged import Logbook, Pruned, logging_to
from nbmlops.runner.losses import losses
from nbmlops.runner.memory import lift_memory_limit
from nbmlops.runner.namespace import Namespace
from nbmlops.runner.outputs import OutputRecorder, captured_descriptors
from nbmlops.runner.ownsource import compile_own_code
from nbmlops.runner.randomness import random_states
from nbmlops.runner.redaction import Redactor, secret_values
from nbmlops.runner.rehearsal import rehearse
from nbmlops.runner.seeding import seed_random, seed_when_imported, untouched_since
from nbmlops.runner.sharing import holders, noting_holders, refuse_changed, sharing
from nbmlops.runner.shell import StageShell, make_shell, run_cell
from nbmlops.runner.task import StageError, StageOutcome, StageTask
from nbmlops.runner.watching.observation import Observation
from nbmlops.runner.watching.observe import observing
from nbmlops.settings import load_settings
from nbmlops.store.fingerprint import state_fingerprint
from nbmlops.store.loading import load_artifact
from nbmlops.store.serializers import Context
from nbmlops.store.store import Store

if TYPE_CHECKING:
    from nbmlops.pipeline.model import Step
    from nbmlops.store.records import Artifact

__all__ = ["derive_seed", "execute"]


# what is read back from these is written again with the same bytes, at little cost
_PLAIN_FORMATS = frozenset({"json", "npy", "arrow"})


@dataclass(slots=True)
class _Run:
    """The state of a stage while it runs."""

    task: StageTask
    store: Store
    shell: StageShell
    namespace: Namespace
    recorder: OutputRecorder
    context: Context
    observation: Observation
    left: LeftBehind
    logbook: Logbook
    outputs: list[list[dict[str, Any]]] = field(default_factory=list)
    loaded: dict[str, str] = field(default_factory=dict)
    before: dict[str, str | None] = field(default_factory=dict)
    held: dict[str, tuple[str, ...]] = field(default_factory=dict)
    withheld: dict[str, tuple[Any, str | None]] = field(default_factory=dict)
    starred: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    failed_cell: int | None = None


def execute(task: StageTask, *, journal: TextIO | None = None, shell: StageShell | None = None) -> StageOutcome:
    """Run a stage in this process, which is used up by it.

    Parameters
    ----------
    task : StageTask
    journal : TextIO or None
        Gets the outputs as they come, for the supervisor of a process that dies.
    shell : StageShell or None
        A shell that a server made before it forked.

    Returns
    -------
    StageOutcome
        With status ``ran`` or ``failed``; nothing that the user's code raises escapes.
    """
    started_s = time.time()
    folder = Path(task.folder)
    told = Path(journal.name).absolute().with_suffix(".told") if journal is not None else None
    os.chdir(folder)
    os.environ.update(task.environment)
    sys.path.insert(0, str(folder))
    compile_own_code()
    if task.rehearsal is not None:
        rehearse(task.rehearsal)
    redactor = Redactor((*secret_values(task.parameters, os.environ, task.secrets), *task.hidden))
    store = Store(task.store, settings=load_settings(folder, store=task.store))
    recorder = OutputRecorder(
        redactor,
        limit_bytes=task.output_limit_bytes,
        journal=journal,
        keep_log=lambda text: store.objects.put([text.encode("utf-8", "surrogatepass")]),
    )
    if shell is None:
        shell = make_shell(Namespace(), recorder)
    shell.recorder = recorder
    namespace = shell.user_ns

    context = Context(namespace=namespace, by_reference=frozenset(task.by_reference), local_roots=(Path(task.project_root),), trusted=task.trusted)
    run = _Run(
        task=task,
        store=store,
        shell=shell,
        namespace=namespace,
        recorder=recorder,
        context=context,
        observation=Observation(
            folder,
            Path(task.project_root),
            (str(store.local_path("")),),
            task.files_written,
            undo_folder=Path(task.undo_folder) if task.undo_folder else None,
            told=told,
        ),
        left=LeftBehind(folder, Path(task.project_root), context, [step.source for step in task.steps]),
        logbook=Logbook(task.stage, task.attempt, task.listener, store=store, context=context, redactor=redactor),
    )
    run.observation.attribution.used = None if task.stage.startswith("@") else frozenset(task.used)
    with ExitStack() as stack:
        stack.enter_context(run.left.following())
        stack.enter_context(logging_to(run.logbook))
        drain = stack.enter_context(captured_descriptors(recorder))
        try:
            return _execute(run, drain, started_s)
        except NbmlopsError as error:
            failure = StageError(type=type(error).__name__, message=redactor.text(line_of(error)), code=error.code, cell=run.failed_cell)
            return _failed(run, failure, started_s)
        except MemoryError:  # what it made could not be compared or stored
            return _failed(run, StageError(type="MemoryError", message=task.out_of_memory, cell=run.failed_cell), started_s)


def _execute(run: _Run, drain: Any, started_s: float) -> StageOutcome:  # noqa: ANN401 - a callable
    task = run.task
    first = next(position for position, step in enumerate(task.steps) if step.kind in {"stage", "report"} or position == len(task.steps) - 1)
    standing = files_written_to()
    seed_random(_setup_seed(task))
    drawn: dict[str, Any] = {}
    with seed_when_imported(_setup_seed(task)) as coming:
        for position, step in enumerate(task.steps):
            own = step.kind in {"stage", "report"}
            if position == first:
                _prepare(run)
                drawn = random_states()
                coming.seed, coming.states = derive_seed(task.seed, task.draw), drawn
            _load_inputs(run, position)
            if own and not task.stage.startswith("@"):
                _remember(run)
            error = _run_step(run, step, f"cell {step.cell}" + (f" ({task.stage})" if step.kind == "stage" else ""), own=own)
            drain()
            if own:
                flush_open_files(standing)
            outputs = run.recorder.take()
            error = error or run.logbook.pruned  # a bare `except:` has caught it
            if own or task.stage.startswith("@") or error is not None:
                run.outputs.append(outputs)
            if step.kind == "parameters":
                run.namespace.update(task.parameters)
            if error is not None:
                return _failed(
                    run,
                    describe(error, step.cell, outputs, task, run.recorder),
                    started_s,
                    mutated=tuple(name for name in _changed(run) if name not in task.by_reference),
                    status="cancelled" if isinstance(error, Pruned) else "refused" if isinstance(error, GateRefused) else "failed",
                )
    return _finish(run, drawn, started_s)


def _prepare(run: _Run) -> None:
    """Get the namespace ready for the stage's own cells: setup has run."""
    task = run.task
    run.namespace.withhold(set(task.setup_names) - set(task.expected))
    watched = {name: value for name, value in run.namespace.withheld.items() if name in task.later}
    # what a star import of setup binds is known by name to nobody, and not bound by the stage either
    run.starred = {
        name: run.namespace[name] for name in {*task.later, *task.elsewhere} - {*task.setup_names} if dict.__contains__(run.namespace, name)
    }
    run.withheld = {name: (value, state_fingerprint(value, run.context)) for name, value in watched.items()}
    # setup that seeds for itself (np.random.seed(0)) keeps its state
    seed_random(derive_seed(task.seed, task.draw), only=untouched_since(_setup_seed(task)))


def _setup_seed(task: StageTask) -> int:
    """Return what the random state is seeded with before setup: no seed that setup would give, or ``np.random.seed(0)`` could not be told."""
    return derive_seed(task.seed, "@setup")


def _load_inputs(run: _Run, position: int) -> None:
    bundles: dict[str, dict[str, Any]] = {}
    for place, artifact in run.task.inputs:
        if place != position:
            continue
        run.failed_cell = run.task.steps[position].cell
        run.left.look_anew()
        if artifact.members:
            if artifact.digest not in bundles:
                bundles[artifact.digest] = _read(run, artifact)
            run.namespace[artifact.name] = bundles[artifact.digest][artifact.name]
        else:
            run.namespace[artifact.name] = _read(run, artifact)
        run.loaded[artifact.name] = artifact.digest
        holding = [item.removeprefix("state:") for item in artifact.refers if item.startswith("state:")]
        if holding:
            run.held[artifact.name] = tuple(holding)


def _remember(run: _Run) -> None:
    """Note what the watched names hold, once setup has run; setup between the stage's own cells may add some."""
    plain = [item for _, item in run.task.inputs if not item.members and item.format in _PLAIN_FORMATS]
    stored = {item.name: item.digest for item in plain if not item.form}  # a fingerprint is of bytes and form together
    for name in _watched(run):
        if name not in run.before:
            run.before[name] = stored[name] if name in stored else state_fingerprint(run.namespace[name], run.context)


def _watched(run: _Run) -> list[str]:
    """Return the inputs and setup objects that the stage uses: also those that no later cell reads yet, for the cell that is written next."""
    return sorted(name for name in {*run.loaded, *run.task.expected} if name in run.namespace)


def _changed(run: _Run) -> list[str]:
    """Return the watched names whose value is no longer what it was.

    What changed in a function or class of a setup cell is left behind: every stage makes it anew.
    """
    changed = [name for name, before in run.before.items() if name in run.namespace and state_fingerprint(run.namespace[name], run.context) != before]
    for name in set(changed).intersection(run.task.by_reference):
        run.left.add("definition", name)
    return sorted(changed)


def _read(run: _Run, artifact: Artifact) -> Any:  # noqa: ANN401 - any value
    try:
        return load_artifact(run.store, artifact, run.context)
    except KeyError as error:
        raise UpstreamMissing(
            f"stage {run.task.stage!r} needs {artifact.name!r}, whose bytes are no longer in the store",
            code="NB602",
            notebook=run.task.notebook,
            fix="run again: the stage that makes it will be computed",
        ) from error


def _run_step(run: _Run, step: Step, name: str, *, own: bool) -> BaseException | None:
    run.recorder.begin(step.cell)
    run.failed_cell = step.cell
    source = step.source
    run.observation.in_setup = not own
    run.observation.attribution.begin(None if own else run.shell.transform_cell(source))
    if not own:
        run.left.look_anew()
        with observing(run.observation, run.namespace), run.namespace.lacking(step.elsewhere) as missed:
            error = run_cell(run.shell, source, name, keep_history=run.task.stage.startswith("@"))
        return _setup_reads_artifacts(step, missed) or error
    if source.startswith("\n") and not source.lstrip().startswith("%%") and "\n" in source.strip():
        # IPython strips blank lines at the top: only a comment keeps the magic line's place. It is indented as the code is, which
        # may be so as a whole; and a cell of one line may be a magic without its sign (`ls *.csv`) only if it stays one line
        indent = source[: len(source) - len(source.lstrip())].rpartition("\n")[2]
        source = f"{indent}# %%mlstage{source}"
    guarded = {item: state_fingerprint(run.namespace[item], run.context) for item in step.guards if item in run.namespace}
    known = run.observation.paths_read
    begun = time.perf_counter()
    with (
        run.left.around(_own_cells(run.task).index(step.cell), run.observation, _unstorable(run, source)),
        observing(run.observation, run.namespace),
        run.namespace.watch(run.task.elsewhere),
    ):
        error = run_cell(run.shell, source, name, keep_history=True)
    run.seconds += time.perf_counter() - begun
    return error or _trespass(run, step, guarded) or _came_late(step, run.observation.paths_read - known)


def _setup_reads_artifacts(step: Step, missed: set[str]) -> NbmlopsError | None:
    """Return an error if a setup cell has looked for what a stage above it makes (in a string, where reading did not see it)."""
    if not missed:
        return None
    names = sorted(missed.intersection(step.elsewhere))
    return NotebookError(
        f"setup cell {step.cell} reads {', '.join(map(repr, names))}, which a stage above it makes; setup runs without what stages make",
        code="NB204",
        cell=step.cell,
        fix="make the cell a stage, or move what it needs into one",
    )


def _came_late(step: Step, read: frozenset[str]) -> NbmlopsError | None:
    """Return an error if a report cell has read a file that a stage below it has written meanwhile."""
    late = next((path for path in step.spoiled for item in read if item == path or shows(item, path)), None)
    if late is None:
        return None
    return NotebookError(
        f"cell {step.cell} reads {late!r}, which a stage below it writes; the cell is no stage and runs last, so it found what was written later",
        code="NB218",
        cell=step.cell,
        fix="begin the cell with %%mlstage, or let the stage below write another file",
    )


def _own_cells(task: StageTask) -> list[int]:
    return [step.cell for step in task.steps if step.kind in {"stage", "report"}]


def _unstorable(run: _Run, source: str) -> list[str]:
    """Return the setup objects that a cell uses and that have no fingerprint: of a report cell, which is known to use all, those that it names."""
    names = [name for name, mark in run.before.items() if mark is None]
    if run.task.stage.startswith("@"):
        names = [name for name in run.task.expected if re.search(rf"\b{re.escape(name)}\b", source) and name not in run.loaded]
    return [name for name in names if name in run.namespace and name not in run.loaded]


def _trespass(run: _Run, step: Step, guarded: dict[str, str | None]) -> NbmlopsError | None:
    """Return an error if a cell has changed what it must leave as it is: others read that without the change, or should have."""
    for name, before in guarded.items():
        if name in run.namespace and state_fingerprint(run.namespace[name], run.context) != before:
            if step.kind == "stage":
                return NotebookError(
                    f"cell {step.cell} changes {name!r}, which a cell above it reads that is no part of the stage",
                    code="NB202",
                    cell=step.cell,
                    fix="make the cell a stage of its own, or let it work on a copy",
                )
            return NotebookError(
                f"cell {step.cell} changes {name!r}, which a stage after it reads; the cell is no stage, so that stage did not see the change",
                code="NB213",
                cell=step.cell,
                fix="begin the cell with %%mlstage, or let it work on a copy",
            )
    return None


def _finish(run: _Run, drawn: dict[str, Any], started_s: float) -> StageOutcome:
    task = run.task
    changed = _changed(run)
    mutated = [name for name in changed if name not in task.by_reference]
    writes = _unforeseen(run)
    kept = sorted({*task.wants, *(name for name in mutated if name in task.later), *writes})
    aliases = _aliases(run, kept, mutated)
    hooked: dict[str, tuple[object, ...]] = {}
    outputs = keep_values(
        run.namespace,
        sorted({*kept, *(name for names in aliases for name in names)}),
        aliases,
        store=run.store,
        context=run.context,
        stage=task.stage,
        cell=task.steps[-1].cell,
        hooked=hooked,
    )
    for function in busy_threads(run.context.local_roots):
        run.left.add("thread", function)
    outputs = {name: noting_holders(artifact, run.held.get(name, ())) for name, artifact in outputs.items()}
    states = random_states()
    draws = tuple(sorted(name for name, state in states.items() if name in drawn and drawn[name] != state))
    if run.namespace.observed & set(task.setup_names):  # what it uses of setup was not foreseen: all of it counts, until it runs again
        run.observation.attribution.used = None
    files = run.observation.files_read()
    refuse_links(run.observation.links(), task.stage, task.steps[-1].cell)
    written = keep_files(run.observation.outputs(), folder=Path(task.folder), project_root=Path(task.project_root), store=run.store)
    for name, objects in hooked.items():
        for lost in losses(objects, run.context):
            run.left.add("lossy", f"{name} {lost}")
    effects = Effects(
        reads=tuple(sorted(run.namespace.observed)),
        writes=writes,
        mutated=tuple(name for name in mutated if name not in task.wants or name in run.loaded or name in task.expected),
        aliases=aliases,
        touched=tuple(name for name in changed if name in task.by_reference),
        files_read=tuple(sorted(path for path, digest in files.items() if digest is not None and path not in task.files)),
        files_absent=tuple(sorted(path for path, digest in files.items() if digest is None and path not in task.files and path not in written)),
        files_written=tuple(sorted(set(written) - set(task.files_written))),
        files_made=tuple(path for path in task.files if path in written and path in run.observation.new),
        files_removed=run.observation.files_removed(),
        environment=tuple(sorted(run.observation.environment)),
        modules=run.observation.modules(task.imports),
        imports=run.observation.imports(),
        unseen=tuple(sorted(run.observation.unseen)),
        random=draws,
        left_behind=run.left.entries(),
    )
    remarks = tuple(f"draws from the global random state of {name}" for name in draws)
    return StageOutcome(
        attempt=task.attempt,
        status="ran",
        seconds=run.seconds,
        outputs=outputs,
        cell_outputs=_keep_outputs(run),
        metrics=run.recorder.redacted(run.logbook.merged(metrics_of(run.namespace, task.metrics))),
        series=run.logbook.series,
        evidence=_evidence(run),
        models=tuple(run.logbook.models),
        effects=effects,
        files={path: digest for path, digest in files.items() if digest is not None or path not in written},
        files_written=written,
        files_disturbed=run.observation.files_disturbed(),
        sources=run.left.sources,
        remarks=remarks,
        started_s=started_s,
        environment={"threads": os.environ.get(THREAD_VARIABLES[0], "")} | {name: os.environ.get(name, "") for name in THREAD_VARIABLES},
    )


def _unforeseen(run: _Run) -> tuple[str, ...]:
    """Return the names read later that the stage has bound though reading it did not tell (``exec``)."""
    task = run.task
    foreseen = {*task.binds, *task.setup_names, *run.loaded}
    bound = {name for name in {*task.later, *task.elsewhere} - foreseen if name in run.namespace}
    found = {name for name in bound if name not in run.starred or run.namespace[name] is not run.starred[name]}
    # a name of setup that it was not known to use: it has bound it anew without looking, or changed what it found
    return tuple(sorted(found | {name for name, item in run.withheld.items() if name not in run.loaded and _is_replaced(run, name, item)}))


def _is_replaced(run: _Run, name: str, before: tuple[Any, str | None]) -> bool:
    value, digest = before
    if not dict.__contains__(run.namespace, name):
        return False
    now = run.namespace[name]
    return now is not value or (name in run.namespace.observed and state_fingerprint(now, run.context) != digest)


def _aliases(run: _Run, kept: list[str], changed: list[str]) -> tuple[tuple[str, ...], ...]:
    """Find the names, among those handed on, the inputs and the setup objects read later, that share mutable state."""
    task, namespace = run.task, run.namespace
    setup = {name: namespace[name] if name in namespace else namespace.withheld[name] for name in _setup_in_use(run)}
    values = {**setup, **{name: namespace[name] for name in (*_watched(run), *kept) if name in namespace}}
    found = sharing(values, kept, run.context)
    namespace.update({name: setup[name] for names in found for name in names if name not in namespace})
    definitions = {name: setup[name] for name in task.by_reference if name in setup}
    used = {name: tuple(item for item in run.held[name] if item in definitions) for name in run.held}
    held = {**used, **holders(definitions, {name: values[name] for name in {*kept, *changed} & set(values)}, run.context)}
    refuse_changed(task.stage, changed, held)
    mates = [(name, holding) for names in found for name in names for mate in names for holding in (run.held.get(mate), held.get(mate)) if holding]
    run.held = {**held, **dict(mates)}
    return found


def _setup_in_use(run: _Run) -> list[str]:
    """Return the setup objects that this stage or a later cell uses."""
    wanted = {*run.task.expected, *run.namespace.observed, *run.task.later} & set(run.task.setup_names)
    return sorted(name for name in wanted if name in run.namespace or name in run.namespace.withheld)


def derive_seed(seed: int, draw: str) -> int:
    """Return the seed of a stage's own random state: different stages do not draw the same numbers."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{draw}".encode(), digest_size=4).digest(), "big")


def _keep_outputs(run: _Run) -> str | None:
    return run.store.objects.put([json.dumps(run.outputs, default=str).encode()]) if any(run.outputs) else None


def _evidence(run: _Run) -> tuple[dict[str, Any], ...]:
    for report in run.logbook.reports.values():
        run.store.objects.put([report])
    return tuple(run.logbook.evidence)


def _failed(run: _Run, error: StageError, started_s: float, mutated: tuple[str, ...] = (), *, status: str = "failed") -> StageOutcome:
    lift_memory_limit()
    return StageOutcome(
        attempt=run.task.attempt,
        status=status,
        seconds=run.seconds,
        cell_outputs=_keep_outputs(run),
        evidence=_evidence(run),
        effects=replace(_seen_files(run), mutated=mutated),
        error=error,
        started_s=started_s,
    )


def _seen_files(run: _Run) -> Effects:
    """Return what a stage that failed had looked for."""
    files = run.observation.files_read()
    return Effects(
        reads=tuple(sorted(run.namespace.observed)),
        files_read=tuple(sorted(path for path, digest in files.items() if digest is not None)),
        files_absent=tuple(sorted(path for path, digest in files.items() if digest is None)),
    )
