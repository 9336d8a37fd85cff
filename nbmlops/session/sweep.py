"""A sweep of a notebook: what is checked before it runs, and how it stands."""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NbmlopsError, UsageError
from nbmlops.pattern import pattern
from nbmlops.session.parameters import check_parameters
from nbmlops.sweeps.foreseen import foreseen_metrics
from nbmlops.sweeps.space import Range, check_grid, check_space, noted_ranges, range_of
from nbmlops.sweeps.state import Objective, SweepState, TrialState
from nbmlops.sweeps.storage import open_storage
from nbmlops.sweeps.study import SweepStudy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from optuna.study import Study
    from optuna.trial import Trial as OptunaTrial

    from nbmlops.runner.plan import Planner
    from nbmlops.session.batch import Session
    from nbmlops.session.run import Run

__all__ = ["Sweep", "SweepOptions"]

_NAME = pattern(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FEWEST_FOR_IMPORTANCE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOptions:
    """What a sweep is to do.

    Parameters
    ----------
    trials : int
        How many finished trials are wanted in all, from 1; those of earlier commands count.
    maximize, minimize : tuple of str
        The objectives' metrics; of several, all that maximize come first.
    space : mapping of str to object
        Ranges by parameter, as `nbmlops.sweeps.space.range_of` takes them; empty means those that the parameters cell notes.
    suggest : callable or None
        Chooses further parameters of a trial: takes Optuna's trial, returns their values by name.
    constraints : callable or None
        Takes a trial's metrics and parameters; returns what must not be above 0, by name or as a sequence.
    parameters : mapping of str to object
        Values of parameters that are not swept.
    workers : int or None
    sampler, pruner : str
    name : str
        "" means the notebook's name.
    storage : str or None
        A URL that Optuna can open; None means a journal in the store.
    seed : int or None
        Of the sampler; None means the run's own.
    track : bool
    """

    trials: int
    maximize: tuple[str, ...] = ()
    minimize: tuple[str, ...] = ()
    space: Mapping[str, object] = field(default_factory=dict)
    suggest: Callable[[OptunaTrial], Mapping[str, Any]] | None = None
    constraints: Callable[[dict[str, Any], dict[str, Any]], Any] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    workers: int | None = None
    sampler: str = "tpe"
    pruner: str = "median"
    name: str = ""
    storage: str | None = None
    seed: int | None = None
    track: bool = True

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise UsageError(f"--trials is {self.trials}", code="NB004", fix="give a number from 1")
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers is {self.workers}", code="NB004", fix="give a number from 1")
        if not self.objectives:
            raise UsageError("a sweep needs something to aim at", code="NB021", fix="give --maximize METRIC or --minimize METRIC")
        names = [item.metric for item in self.objectives]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise UsageError(f"the metric {twice!r} is named twice", code="NB021", fix="name each objective once")

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The objectives in order."""
        return (*(Objective(name, "maximize") for name in self.maximize), *(Objective(name, "minimize") for name in self.minimize))


class Sweep:
    """One sweep of one notebook: checked when it is made, run by `run`, asked at any time, also from another thread.

    Parameters
    ----------
    session : Session
    options : SweepOptions

    Raises
    ------
    UsageError
        For an unknown parameter or metric, an empty range, or a sweep of that name that is about something else; nothing has run.
    NotebookError
        If the notebook has errors; nothing has run.

    Attributes
    ----------
    space : dict of str to Range
    records : SweepStudy
    wanted : int
        How many finished trials there are to be in all.
    seed : int
    stopping : threading.Event
        Set to break off what runs.
    doubtful : frozenset of str
        The objectives of which nobody can tell whether any stage will log them.
    best_run : Run or None
        The full run of the best trial, once there is one.
    tracking : dict of str to dict
        Where each tracker shows the sweep.

    Examples
    --------
    >>> sweep = nbmlops.sweep("train.ipynb", trials=20, maximize="roc_auc", space={"learning_rate": "float(0.01, 0.3, log)"})  # doctest: +SKIP
    >>> sweep.best.parameters  # doctest: +SKIP
    {'learning_rate': 0.07}
    """

    def __init__(self, session: Session, options: SweepOptions) -> None:
        self.session = session
        self.options = options
        self.name = options.name or session.document.name
        if not self.name.isprintable() or len(self.name) > 200:  # noqa: PLR2004 - as long as MLflow shows
            raise UsageError("the name of a sweep is one line of at most 200 characters", code="NB004", fix="give another --name")
        session.store.check_writable()
        self.space = self._checked_space()
        planner = session.planner(options.parameters)
        session.refuse_errors(planner.pipeline)
        self.doubtful = self._check_metrics(planner)
        self.seed = session.settings.seed if options.seed is None else options.seed
        self._folder = session.store.local_path("sweeps/any").parent
        storage = open_storage(options.storage, self.journal)
        self.records = SweepStudy(
            self.name,
            storage,
            self._folder / _file_name(self.name),
            space=self.space,
            objectives=options.objectives,
            sampler=options.sampler,
            pruner=options.pruner,
            seed=self.seed,
            was_told=self._was_told,
            more=options.suggest,
        )
        self._refuse_changed()
        self.wanted = min(options.trials, check_grid(self.space)) if options.sampler == "grid" else options.trials
        self._status, self._error = "running", ""
        self.best_run: Run | None = None
        self._importances: dict[str, float] = {}
        self.tracking: dict[str, dict[str, str]] = {}
        self.stopping = threading.Event()
        self._watcher: Callable[[SweepState], None] | None = None

    @property
    def journal(self) -> Path:
        """Where the sweep's journal is, unless it has another storage."""
        return self._folder / f"{_file_name(self.name)}.journal"

    @property
    def study(self) -> Study:
        """Optuna's study."""
        return self.records.study

    @property
    def state(self) -> SweepState:
        """How the sweep stands now."""
        trials = self.records.trials()
        return SweepState(
            name=self.name,
            notebook=self.session.document.shown,
            objectives=self.options.objectives,
            space={name: str(item) for name, item in self.space.items()},
            sampler=self.options.sampler,
            pruner=self.options.pruner,
            wanted=self.wanted,
            status=self._status,
            trials=trials,
            importances=self._importances,
            seconds_left=self._seconds_left(trials),
            best_run={} if self.best_run is None else {"run_id": self.best_run.id, "output": self.best_run.output or ""},
            tracking=self._shown_tracking(),
            error=self._error,
        )

    @property
    def best(self) -> TrialState | None:
        """The best complete trial; None with several objectives."""
        return self.state.best

    @property
    def trials(self) -> tuple[TrialState, ...]:
        """The trials so far, by number."""
        return self.records.trials()

    @property
    def exit_code(self) -> int:
        """The command's exit code: 0 if trials have been completed and enough have ended."""
        if self._status == "stopped":
            return 130
        return 0 if self._status == "done" and self.state.complete else 1

    def __repr__(self) -> str:
        """Say which sweep it is and how it stands."""
        state = self.state
        best = f", best {', '.join(f'{value:.6g}' for value in state.best.values)}" if state.best else ""
        return f"<Sweep {self.name} {state.status}: {len(state.finished)} of {state.wanted} trials{best}>"

    def stop(self) -> None:
        """Break off what runs; finished trials are kept, and the same sweep continues with the others."""
        self.stopping.set()

    def run(self, watcher: Callable[[SweepState], None] | None = None) -> Sweep:
        """Run trials until enough have ended, then the best one as a full run.

        Parameters
        ----------
        watcher : callable, optional
            Gets the state whenever a trial begins or ends, and at the end.

        Raises
        ------
        KeyboardInterrupt
            After all that ran has been broken off; finished trials are kept.
        """
        self._watcher = watcher
        try:
            from nbmlops.session.sweeping import Sweeping  # noqa: PLC0415 - the scheduler: only where something runs

            with Sweeping(self) as sweeping:
                sweeping.run()
            self._status = "stopped" if self.stopping.is_set() else "done"
            self.weigh()
        except KeyboardInterrupt:
            self._status = "stopped"
            raise
        except NbmlopsError as error:
            self._status, self._error = "failed", f"{error.code}: {error}"
            raise
        finally:
            self.tell()
        return self

    def weigh(self) -> None:
        """Find out how much each parameter matters, which takes a while: for the states from now on."""
        # of one parameter there is nothing to say
        if len(self.space) > 1 and len(self.state.complete) >= _FEWEST_FOR_IMPORTANCE:
            self._importances = self.records.importances()

    def tell(self) -> None:
        """Show the watcher how it stands."""
        if self._watcher is not None:
            self._watcher(self.state)

    def _shown_tracking(self) -> dict[str, dict[str, str]]:
        """Return where trackers show the sweep, and how that is opened, which is known before they do."""
        settings = self.session.settings
        if not self.options.track or "mlflow" not in settings.trackers:
            return self.tracking
        from nbmlops.tracking.opening import way_to_mlflow  # noqa: PLC0415 - the core runs without trackers

        told = self.tracking.get("mlflow", {})
        return {**self.tracking, "mlflow": {**told, **way_to_mlflow(settings.project_root, told)}}

    def _checked_space(self) -> dict[str, Range]:
        declared = self.session.source.parameters
        space = {name: range_of(name, item) for name, item in self.options.space.items()}
        if not space and self.options.suggest is None:
            document = self.session.document
            cells = {item.cell: document.cells[item.cell].source for item in declared.values()}
            space = noted_ranges(cells, declared, document.shown)
            if not space:
                raise UsageError(
                    "there is nothing to sweep over",
                    code="NB020",
                    notebook=document.shown,
                    fix="give --space NAME=EXPR, or write `# sweep: float(0.01, 0.3, log)` behind a parameter",
                )
        check_space(space, declared, lambda values: check_parameters(values, declared, self.session.document.shown), self.session.document.shown)
        fixed = next((name for name in space if name in self.options.parameters), None)
        if fixed is not None:
            raise UsageError(f"parameter {fixed!r} has a range and a value", code="NB020", fix="give it to --space or to -p, not to both")
        return space

    def _check_metrics(self, planner: Planner) -> frozenset[str]:
        """Refuse objectives that no stage will log; return those of which nobody can tell."""
        records = {name: self.session.store.records_of(stage.code) for name, stage in planner.pipeline.stages.items()}
        foreseen = foreseen_metrics(planner.pipeline, records)
        for objective in self.options.objectives:
            name = objective.metric
            if name in foreseen.all or not foreseen.whole:
                continue
            near = get_close_matches(name, foreseen.all, 1)
            logged = ", ".join(sorted({item for names in foreseen.names.values() for item in names}))
            fix = f"its metrics are: {logged}" if logged else "name one with %%mlstage --metrics, or log one with nbmlops.log_metric"
            raise UsageError(
                f"no stage logs the metric {name!r}",
                code="NB021",
                notebook=self.session.document.shown,
                fix=f"did you mean {near[0]!r}?" if near else fix,
            )
        return frozenset(item.metric for item in self.options.objectives if item.metric not in foreseen.all)

    def _was_told(self, run_id: str) -> bool:
        """Tell whether the trackers were told how a trial ended; where there are none, nothing is missing."""
        settings = self.session.settings
        if not self.options.track or not settings.trackers:
            return True
        from nbmlops.executors.events import RunFinished  # noqa: PLC0415
        from nbmlops.tracking.outbox import Outbox  # noqa: PLC0415 - the core runs without trackers

        journal = Outbox(self.session.store.local_path("outbox"), settings.trackers).journal(run_id)
        # an end that others told, since the trial's process had died, has no summary: it is told as broken off
        return not journal.events or any(isinstance(event, RunFinished) and event.summary for event in journal.events)

    def _refuse_changed(self) -> None:
        """Refuse to go on with trials of another version of the notebook or its data: their values do not compare."""
        last = next((trial for trial in reversed(self.records.trials()) if trial.state == "COMPLETE"), None)
        keys = self.records.keys_of(last.number) if last is not None else {}
        if last is None or not keys:
            return
        plan = self.session.planner({**self.options.parameters, **last.parameters}).plan(report=False)
        for name, item in plan.stages.items():
            known = keys.get(name)
            if known is None or item.key is None or item.key == known or self.session.store.record_alone(known) is None:
                continue
            raise UsageError(
                f"the sweep {self.name!r} was made with something else: stage {name}: {item.reason or 'changed'}",
                code="NB022",
                notebook=self.session.document.shown,
                fix="give another --name: values of the two do not compare",
            )

    def _seconds_left(self, trials: tuple[TrialState, ...]) -> float | None:
        ended = [trial.seconds for trial in trials if trial.state != "RUNNING"]
        if self._status != "running" or not ended:
            return None
        recent = sorted(ended[-20:])
        left = self.wanted - len(ended)
        at_once = min(max(1, left), self.options.workers or self.session.settings.worker_count)
        return recent[len(recent) // 2] * left / at_once


def _file_name(name: str) -> str:
    """Return the name of a sweep's files: its own where it is plain, else one that no other name becomes."""
    if _NAME.fullmatch(name):
        return name
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40] or "sweep"
    return f"{plain}-{hashlib.blake2b(name.encode('utf-8', 'backslashreplace'), digest_size=4).hexdigest()}"
