"""``%mlpromote``, ``%mlrollback``, ``%mlhistory`` and ``%mlmodels``: registered models and who moves their aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.magic import line_magic, magics_class

from nbmlops.errors import UsageError
from nbmlops.magics.base import VerbMagics

if TYPE_CHECKING:
    import argparse

    from nbmlops.arguments import Parser
    from nbmlops.session.promotions import Promotions

__all__ = ["PromotionMagics"]


@magics_class
class PromotionMagics(VerbMagics):
    """`%mlpromote`, `%mlrollback`, `%mlhistory` and `%mlmodels`."""

    @line_magic
    def mlpromote(self, line: str) -> None:
        """Let an alias mean a version of a model, if its gates hold; without a version, show the model beside its candidates.

        ::

            %mlpromote MODEL
            %mlpromote MODEL VERSION --to ALIAS --reason TEXT [--override TEXT] [--approver NAME]

        With ``--override`` it is promoted although a gate refuses, and that is recorded.

        Example: ``%mlpromote flight-delay 2 --to champion --reason "better on every route"``
        """
        from nbmlops.arguments import version_number  # noqa: PLC0415 - loading the extension stays light
        from nbmlops.views.promotion import event_text  # noqa: PLC0415

        options = self.parse("mlpromote", line, _add_promote, notebook=True)
        if options.version is None:
            self._panel(options)
            return
        for name in ("to", "reason"):
            if getattr(options, name) is None:
                raise UsageError(f"%mlpromote: --{name} is missing", code="NB004", fix="write %mlpromote MODEL VERSION --to ALIAS --reason TEXT")
        self._refuse_in_run("mlpromote")
        number = version_number(options.version)
        event = self._promotions(options).promote(
            options.model, number, options.to, options.reason, override=options.override, approver=options.approver
        )
        self.print(event_text(event))

    @line_magic
    def mlrollback(self, line: str) -> None:
        """Let an alias mean what it meant before, by the log.

        ::

            %mlrollback MODEL [--alias ALIAS] --reason TEXT [--approver NAME]

        Example: ``%mlrollback flight-delay --reason "alarms since noon"``
        """
        from nbmlops.arguments import add_rollback  # noqa: PLC0415
        from nbmlops.views.promotion import event_text  # noqa: PLC0415

        options = self.parse("mlrollback", line, add_rollback, notebook=True)
        self._refuse_in_run("mlrollback")
        self.print(event_text(self._promotions(options).rollback(options.model, options.alias, options.reason, approver=options.approver)))

    @line_magic
    def mlhistory(self, line: str) -> None:
        """Show who moved which alias of a model and why, and whether that is still what was written.

        ::

            %mlhistory MODEL

        Example: ``%mlhistory flight-delay``
        """
        from nbmlops.arguments import add_history  # noqa: PLC0415
        from nbmlops.views.promotion import history_text  # noqa: PLC0415

        options = self.parse("mlhistory", line, add_history, notebook=True)
        self.print(history_text(self._promotions(options).history(options.model)))

    @line_magic
    def mlmodels(self, line: str) -> None:
        """List registered models, or the versions of one with their gates, aliases and metrics.

        ::

            %mlmodels [MODEL]

        Example: ``%mlmodels flight-delay``
        """
        from nbmlops.arguments import add_models  # noqa: PLC0415
        from nbmlops.views.promotion import models_text, state_text  # noqa: PLC0415

        options = self.parse("mlmodels", line, add_models, notebook=True)
        promotions = self._promotions(options)
        self.print(models_text(promotions.names()) if options.model is None else state_text(promotions.look(options.model)))

    def _promotions(self, options: argparse.Namespace) -> Promotions:
        from nbmlops.arguments import store_url  # noqa: PLC0415

        url = store_url(options.store)
        if url is None:
            return self.hooks.session.gates.promotions
        from dataclasses import replace  # noqa: PLC0415

        from nbmlops.session.promotions import Promotions  # noqa: PLC0415

        return Promotions(replace(self.hooks.session.settings, store=url))

    def _panel(self, options: argparse.Namespace) -> None:
        """Show a live panel where somebody looks at it, a still card elsewhere; say so where no model has that name, which stops nobody's Run All."""
        promotions = self._promotions(options)
        try:
            self._show(promotions, options.model)
        except UsageError as error:
            if error.code != "NB652":
                raise
            self.print(f"! {error}")

    def _show(self, promotions: Promotions, model: str) -> None:
        if self.is_watched():
            from nbmlops.widgets.promotion import panel_of  # noqa: PLC0415 - widgets come with the first panel

            panel_of(promotions, model).display()
            return
        from nbmlops.views.promotion_html import model_html  # noqa: PLC0415
        from nbmlops.views.standing import model_text, portable  # noqa: PLC0415

        state = portable(promotions.look(model))
        self.show(model_text(state), model_html(state))

    def _refuse_in_run(self, name: str) -> None:
        if getattr(self.shell, "is_stage_process", False):
            fix = "put it into a cell with the tag skip, or write the command nbmlops " + name.removeprefix("ml")
            raise UsageError(f"%{name} moves nothing within a run of a notebook", code="NB665", fix=fix)


def _add_promote(parser: Parser) -> None:
    from nbmlops.arguments import add_promote  # noqa: PLC0415 - loading the extension stays light

    add_promote(parser)
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to make an argument optional
        if action.dest == "version":
            action.nargs, action.required = "?", False
        elif action.dest in {"to", "reason"}:
            action.required = False
