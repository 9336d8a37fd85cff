"""The body of a stage cell, run once in the live kernel and watched."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmlops.runner.logged import Logbook, logging_to
from nbmlops.runner.outputs import OutputRecorder
from nbmlops.runner.randomness import random_states, restore_random, save_random
from nbmlops.runner.redaction import Redactor, secret_values
from nbmlops.runner.seeding import seed_random, seed_when_imported
from nbmlops.runner.stage import derive_seed
from nbmlops.runner.watching.observation import Observation
from nbmlops.runner.watching.observe import observing
from nbmlops.session.live.awaiting import own_loop
from nbmlops.session.live.capture import recording
from nbmlops.session.live.reads import ImportReads
from nbmlops.store.fingerprint import state_fingerprint

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionResult

    from nbmlops.pipeline.model import Stage
    from nbmlops.runner.leaving.leftbehind import LeftBehind
    from nbmlops.runner.plan import Planner
    from nbmlops.session.live.kernel import KernelSession
    from nbmlops.store.serializers import Context

__all__ = ["Attempt", "Body"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How a cell's body ran."""

    error: BaseException | None
    outputs: list[dict[str, Any]]
    observation: Observation
    logbook: Logbook
    watched: list[str]
    changed: list[str]
    draws: tuple[str, ...]
    seconds: float
    started_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What is to be run.

    Parameters
    ----------
    session : KernelSession
    planner : Planner
    stage : Stage
    cell : int
        Its cell, by its place in the notebook.
    source : str
        Its code, without the magic line.
    tagged : bool
        Whether it has no magic line.
    context : Context
    left : LeftBehind
        Takes note of what is changed outside the stage's variables.
    """

    session: KernelSession
    planner: Planner
    stage: Stage
    cell: int
    source: str
    tagged: bool
    context: Context
    left: LeftBehind

    def run(self) -> Attempt:
        """Run the body, and watch what it does."""
        session, stage, namespace = self.session, self.stage, self.session.shell.user_ns
        values = {item.name: namespace.get(item.name) for item in self.planner.pipeline.parameters.values()}
        redactor = Redactor(secret_values(values, os.environ, stage.directive.secrets))
        recorder = OutputRecorder(redactor, limit_bytes=session.settings.output_limit_bytes)
        recorder.begin(self.cell)
        observation = Observation(session.folder, session.settings.project_root, (str(session.store.local_path("")),), stage.files_written)
        observation.attribution = ImportReads()
        logbook = Logbook(stage.name, store=session.store, context=self.context, redactor=redactor)
        names = {*stage.inputs, *(name for position in stage.setup for name in self.planner.pipeline.setup[position].names)}
        watched = sorted(name for name in names if name in namespace)
        before = {name: state_fingerprint(namespace[name], self.context) for name in watched}
        held = save_random()
        seed = self._seed()
        drawn = random_states()
        started_s, begun = time.time(), time.perf_counter()
        with (
            self.left.following(),
            self.left.around(0, observation, [name for name in watched if before[name] is None and name not in stage.inputs]),
            recording(session.shell, recorder, self.source),
            observing(observation, namespace),
            seed_when_imported(seed) as coming,
            logging_to(logbook),
        ):
            coming.states = drawn
            ran = self._execute()
        seconds = time.perf_counter() - begun
        draws = tuple(sorted(name for name, state in random_states().items() if name in drawn and drawn[name] != state))
        restore_random(held)
        for report in logbook.reports.values():
            session.store.objects.put([report])
        return Attempt(
            error=ran.error_before_exec or ran.error_in_exec,
            outputs=recorder.take(),
            observation=observation,
            logbook=logbook,
            watched=watched,
            changed=[name for name in watched if name in namespace and state_fingerprint(namespace[name], self.context) != before[name]],
            draws=draws,
            seconds=seconds,
            started_s=started_s,
        )

    def _execute(self) -> ExecutionResult:
        """Run the code so that tracebacks name the cell and the lines that the user sees."""
        shell = self.session.shell
        history = shell.history_manager.input_hist_raw if shell.history_manager else []
        # IPython strips blank lines at the top: only a comment keeps the place of the magic line
        first = "" if self.tagged or self.source.lstrip().startswith("%%") else "# %%mlstage\n"
        count = shell.execution_count
        shell.execution_count = max(1, len(history) - 1)
        try:
            with own_loop(shell):
                ran: ExecutionResult = shell.run_cell(first + self.source, store_history=False, silent=False)
        finally:
            shell.execution_count = count
        return ran

    def _seed(self) -> int:
        """Give the stage the random state that it has in batch: what setup seeded, else one derived from its code; return that seed."""
        seed = derive_seed(self.planner.trial.seed if self.stage.directive.seed is None else self.stage.directive.seed, self.stage.code)
        seed_random(seed)
        restore_random(self.session.seeded)
        return seed
