"""``%mlcompare``: what differs between runs."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import line_magic, magics_class

from nbmlops.magics.base import VerbMagics

__all__ = ["CompareMagics"]


@magics_class
class CompareMagics(VerbMagics):
    """`%mlcompare`."""

    @line_magic
    def mlcompare(self, line: str) -> Any:  # noqa: ANN401 - the comparison, for the user to ask
        """Show what differs between runs: parameters, metrics, stages, artifacts, code and environment. Returns the comparison.

        ::

            %mlcompare RUN RUN [RUN]... [--store URL]

        RUN is a run's id, the beginning of one, or SWEEP/NUMBER for a trial of a sweep.

        Example: ``%mlcompare 8f3a flight_delay/7``
        """
        from dataclasses import replace  # noqa: PLC0415 - loading the extension stays light

        from nbmlops.arguments import add_compare, store_url  # noqa: PLC0415
        from nbmlops.session.comparing.compare import compare_runs  # noqa: PLC0415
        from nbmlops.store.store import Store  # noqa: PLC0415
        from nbmlops.views.comparison import comparison_html, comparison_text  # noqa: PLC0415

        options = self.parse("mlcompare", line, add_compare, notebook=True)
        session = self.hooks.session
        settings, store = session.settings, session.store
        url = store_url(options.store)
        if url is not None:
            settings = replace(settings, store=url)
            store = Store(url, settings=settings)
        found = compare_runs(store, settings.project_root, options.runs)
        self.show(comparison_text(found), comparison_html(found))
        return None if line.rstrip().endswith(";") else found
