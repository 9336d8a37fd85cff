"""``%mlsweep``: a live panel where somebody looks at it, a bar and a table elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from IPython.core.magic import line_magic, magics_class

from nbmlops.errors import StageFailed, UsageError
from nbmlops.magics.base import VerbMagics, split_words

if TYPE_CHECKING:
    import argparse

    from nbmlops.arguments import Parser
    from nbmlops.session.sweepfeed import SweepProcess

__all__ = ["SweepMagics"]


@magics_class
class SweepMagics(VerbMagics):
    """`%mlsweep`."""

    @line_magic
    def mlsweep(self, line: str) -> Any:  # noqa: ANN401 - the sweep, for the user to ask
        """Run trials of the notebook's file with parameters that Optuna chooses. Returns the sweep.

        ::

            %mlsweep [NOTEBOOK] --trials N (--maximize | --minimize) METRIC [--space NAME=EXPR]... [-p NAME VALUE]
                     [--workers N] [--sampler NAME] [--pruner NAME] [--name NAME] [--storage URL] [--seed N] [--no-track] [--wait]

        It runs in a process of its own, so that this kernel stays free: the cell returns at once, with a panel that moves. ``--wait`` waits,
        as in batch. EXPR is float(0.01, 0.3, log), int(2, 8) or choice(a, b); without --space the ranges count that the parameters cell notes.
        The same line continues a sweep that was stopped. Save the notebook first: the file is what runs.

        Example: ``%mlsweep --trials 20 --maximize roc_auc --space "learning_rate=float(0.01, 0.3, log)"``
        """
        if getattr(self.shell, "is_stage_process", False):
            raise UsageError(
                "%mlsweep is not run within a run of a notebook", code="NB025", fix="put it into a cell of its own, which a run leaves out"
            )
        options = self.parse("mlsweep", line, _add_arguments, notebook=True)
        process = self._begin(options, line)
        if options.wait or not self.is_watched():
            return self._wait(process, line)
        self._show(process)
        return None if line.rstrip().endswith(";") else process

    def _begin(self, options: argparse.Namespace, line: str) -> SweepProcess:
        from nbmlops.arguments import given_parameters, store_url  # noqa: PLC0415 - loading the extension stays light
        from nbmlops.session.sweepfeed import SweepProcess  # noqa: PLC0415

        words = [word for word in split_words(line.rstrip().rstrip(";")) if word != "--wait"]
        if options.notebook is not None:
            words.remove(options.notebook)
        return SweepProcess(self.path(options), words, store_url(options.store), given_parameters(options))

    def _show(self, process: SweepProcess) -> None:
        from nbmlops.widgets.sweep import SweepPanel  # noqa: PLC0415 - widgets come with the first panel

        def run(number: int) -> str:
            trial = process.state.trials[_position(process, number)]
            found = process.session().run({**process.fixed, **trial.parameters})
            if found.status != "done":
                raise StageFailed(f"run {found.id[:8]} {found.status}, see {found.output}", code="NB214")
            return f"run {found.id[:8]} done: {found.output}"

        def assign(number: int) -> str:
            parameters = process.state.trials[_position(process, number)].parameters
            if self.shell is not None:
                self.shell.user_ns.update(parameters)
            return f"{', '.join(parameters)} = {', '.join(map(repr, parameters.values()))}"

        panel = SweepPanel(process.state, on_stop=process.stop, on_run=run, on_set=assign)
        panel.display()
        process.start(panel.show)

    def _wait(self, process: SweepProcess, line: str) -> Any:  # noqa: ANN401 - the sweep
        from nbmlops.views.sweep import sweep_html, sweep_text  # noqa: PLC0415
        from nbmlops.views.sweepprogress import SweepProgress  # noqa: PLC0415

        progress = SweepProgress(sys.stdout)
        process.start(progress)
        try:
            state = process.wait()
        finally:
            progress.close()
        self.show(sweep_text(state), sweep_html(state))
        return None if line.rstrip().endswith(";") else process


def _add_arguments(parser: Parser) -> None:
    from nbmlops.arguments import add_sweep  # noqa: PLC0415 - loading the extension stays light

    add_sweep(parser)
    parser.add_argument("--wait", action="store_true")


def _position(process: SweepProcess, number: int) -> int:
    return next(position for position, trial in enumerate(process.state.trials) if trial.number == number)
