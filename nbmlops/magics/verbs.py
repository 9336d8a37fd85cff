"""The magics: each parses its line, calls the session, and shows what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import cell_magic, line_magic, magics_class

from nbmlops.errors import UsageError
from nbmlops.magics.base import VerbMagics, split_words
from nbmlops.magics.hooks import split_tag_mark
from nbmlops.magics.running import run_stage

if TYPE_CHECKING:
    import argparse

    from nbmlops.magics.progress import CellProgress
    from nbmlops.session.batch import Session

__all__ = ["StageMagics"]


@magics_class
class StageMagics(VerbMagics):
    """`%%mlstage`, `%mlrun`, `%mlgraph`, `%mlstatus`, `%mlwhy`, `%mlverify`, `%mlload`, `%mlcheck` and `%mlpipeline`."""

    @cell_magic
    def mlstage(self, line: str, cell: str) -> None:
        """Make this cell a stage of the pipeline: reuse what is computed, say why it ran.

        ::

            %%mlstage NAME [options]

        --in a,b --out x,y   what it reads and hands on, instead of what is inferred
        --after STAGE        wait for a stage without reading from it
        --file PATH          a file or glob that it reads      --writes PATH   one that it writes
        --env NAME           an environment variable that it depends on
        --metrics NAME       a dict or number that holds its metrics
        --require EXPR       a condition on its metrics, such as "roc_auc >= 0.7"
        --if EXPR            run only if a parameter or an earlier metric says so
        --retries N  --timeout 10m  --cpus N  --memory 4GiB  --gpus N  --image REF
        --secret ENVVAR  --seed N  --no-cache

        Example: ``%%mlstage train --metrics metrics --timeout 10m``
        """
        __tracebackhide__ = True
        line, from_tag = split_tag_mark(line)
        run_stage(self, line, cell, tagged=from_tag)

    @line_magic
    def mlrun(self, line: str) -> Any:  # noqa: ANN401 - the Run, for the user to ask
        """Run the notebook's file in batch: what is stale, in processes of its own. Returns the run.

        ::

            %mlrun [NOTEBOOK [OUTPUT.ipynb]] [-p NAME VALUE] [-f FILE.yaml] [--stage NAME] [--force | --force-stage NAME]
                   [--workers N] [--no-track] [--fail-fast] [-q]

        Stages that have run in this kernel are reused. Save the notebook first: the file is what runs.

        Example: ``%mlrun -p learning_rate 0.2``
        """
        from nbmlops.arguments import add_run, given_words, run_session  # noqa: PLC0415
        from nbmlops.session.run import Interrupted  # noqa: PLC0415
        from nbmlops.views.html import run_html  # noqa: PLC0415
        from nbmlops.views.text import run_text  # noqa: PLC0415

        options = self.parse("mlrun", line, add_run, notebook=True)
        session = self.open(options)
        progress = self._progress(session, options)
        stopped: BaseException | None = None
        try:
            found = run_session(session, options, progress)
        except Interrupted as stop:
            found, stopped = stop.run, stop
        except BaseException:
            if progress is not None:
                progress.end({"text/plain": ""})
            raise
        given, own = given_words(options), options.notebook is None
        text, page = run_text(found.result, given, in_kernel=own), run_html(found.result, given=given, in_kernel=own)
        if progress is not None:
            progress.end({"text/plain": text, "text/html": page})
        elif not options.quiet or found.result.exit_code:
            self.show(text, page)
        if stopped is not None:
            raise stopped
        return None if found.status == "done" and line.rstrip().endswith(";") else found

    def _progress(self, session: Session, options: argparse.Namespace) -> CellProgress | None:
        """Return what shows how the run stands, where somebody looks on: elsewhere each drawing would be one more output."""
        if self.shell is None or options.quiet or not self.is_watched():
            return None
        from nbmlops.magics.progress import CellProgress  # noqa: PLC0415 - only where something runs

        return CellProgress(self.shell.display_pub.publish, session.usual_seconds, options.workers or session.settings.worker_count)

    @line_magic
    def mlgraph(self, line: str) -> None:
        """Show the stages, what each reads, and from where.

        ::

            %mlgraph [NOTEBOOK] [--format text|mermaid]

        Without a file, of the cells that have run in this kernel.

        Example: ``%mlgraph``
        """
        from nbmlops.arguments import add_graph  # noqa: PLC0415
        from nbmlops.views.html import graph_html  # noqa: PLC0415
        from nbmlops.views.mermaid import graph_mermaid  # noqa: PLC0415
        from nbmlops.views.text import graph_text  # noqa: PLC0415

        options = self.parse("mlgraph", line, add_graph, notebook=True)
        if options.notebook is None and self.hooks.session.cells.path is None:
            pipeline, states, reasons = self.hooks.session.known(), {}, {}
        else:
            session = self.open(options)
            pipeline = session.graph()
            plan = None if pipeline.errors else session.status()
            states = {name: item.state for name, item in plan.stages.items()} if plan else {}
            reasons = {name: item.reason for name, item in plan.stages.items()} if plan else {}
        if options.format == "mermaid":
            self.print(graph_mermaid(pipeline))
        else:
            self.show(graph_text(pipeline), None if options.format == "text" and "--format" in line else graph_html(pipeline, states, reasons))

    @line_magic
    def mlstatus(self, line: str) -> None:
        """Show which stages are fresh and which stale, and why, without running anything.

        ::

            %mlstatus [NOTEBOOK] [-p NAME VALUE] [-f FILE.yaml]

        Example: ``%mlstatus -p learning_rate 0.2``
        """
        from nbmlops.arguments import add_status, given_parameters  # noqa: PLC0415
        from nbmlops.views.text import status_text  # noqa: PLC0415

        options = self.parse("mlstatus", line, add_status, notebook=True)
        plan = self.open(options).status(given_parameters(options)) if self.has_file(options) else self.hooks.session.status()
        self.print(status_text(plan))

    @line_magic
    def mlwhy(self, line: str) -> None:
        """Say what decides about a stage, one line per difference from its nearest earlier record.

        ::

            %mlwhy STAGE [-p NAME VALUE] [-f FILE.yaml]

        Example: ``%mlwhy train -p learning_rate 0.2``
        """
        from nbmlops.arguments import add_why, given_parameters  # noqa: PLC0415

        options = self.parse("mlwhy", line, add_why, notebook=False)
        lines = self.open(options).why(options.stage, given_parameters(options)) if self.has_file(options) else self.hooks.session.why(options.stage)
        self.print("\n".join(lines))

    @line_magic
    def mlverify(self, line: str) -> Any:  # noqa: ANN401 - the result, for the user to ask
        """Run every stage of the notebook's file twice, the second time under other conditions, and name what differs.

        ::

            %mlverify [NOTEBOOK] [-p NAME VALUE] [-f FILE.yaml] [--stage NAME]

        Folder, time zone, locale, hash seed, date and number of threads are others the second time. It works in copies of the project.
        Save the notebook first: the file is what runs.

        Example: ``%mlverify --stage train``
        """
        from nbmlops.arguments import add_verify, given_parameters  # noqa: PLC0415
        from nbmlops.views.verdicts import verify_html, verify_text  # noqa: PLC0415

        options = self.parse("mlverify", line, add_verify, notebook=True)
        found = self.open(options).verify(given_parameters(options), stages=options.stage)
        self.show(verify_text(found), verify_html(found))
        return None if found.same and line.rstrip().endswith(";") else found

    @line_magic
    def mlload(self, line: str) -> None:
        """Put a stage's stored outputs into this kernel; of a stage that failed, its inputs, and show the traceback.

        ::

            %mlload STAGE [--run RUN]

        RUN is a run's id or the beginning of one; by default the last run of the notebook.

        Example: ``%mlload train --run 8f3a``
        """
        words = split_words(line)
        run_id = None
        if "--run" in words[:-1]:
            position = words.index("--run")
            run_id = words[position + 1]
            del words[position : position + 2]
        if len(words) != 1:
            raise UsageError("%mlload takes one stage", code="NB004", fix="write %mlload STAGE [--run RUN]")
        self.print(self.hooks.session.load(words[0], run_id))

    @line_magic
    def mlcheck(self, line: str) -> None:
        """List every diagnostic of the notebook, and what makes this kernel differ from a run from top to bottom.

        ::

            %mlcheck [NOTEBOOK]

        Example: ``%mlcheck``
        """
        from nbmlops.arguments import add_check  # noqa: PLC0415
        from nbmlops.views.html import diagnostics_html  # noqa: PLC0415
        from nbmlops.views.text import diagnostics_text  # noqa: PLC0415

        options = self.parse("mlcheck", line, add_check, notebook=True)
        session = self.hooks.session
        diagnostics = self.open(options).check() if self.has_file(options) else session.known().diagnostics
        found = (*diagnostics, *session.hidden_state())
        name = options.notebook or "this kernel"
        self.show(diagnostics_text(found, name), diagnostics_html(found, name))

    @line_magic
    def mlpipeline(self, line: str) -> None:
        """Say which file this kernel's notebook is, where the front end does not tell.

        ::

            %mlpipeline use PATH

        Example: ``%mlpipeline use notebooks/flight_delay.ipynb``
        """
        from pathlib import Path  # noqa: PLC0415

        words = split_words(line)
        if len(words) != 2 or words[0] != "use":  # noqa: PLR2004
            raise UsageError("%mlpipeline takes `use PATH`", code="NB004", fix="write %mlpipeline use notebook.ipynb")
        self.hooks.session.use(Path(words[1]))
