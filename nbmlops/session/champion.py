"""The metrics of the model in use, which gates compare with."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from nbmlops.errors import GateRefused, NbmlopsError, UsageError
from nbmlops.promotion.judging import metric_of
from nbmlops.session.promotions import Promotions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmlops.pipeline.model import Pipeline
    from nbmlops.promotion.base import ModelVersion
    from nbmlops.settings import Settings

__all__ = ["Champion", "registered_names"]

_FIX = 'set model = "NAME" under [tool.nbmlops] in pyproject.toml'


class Champion:
    """The model in use, asked for once: all gates of one command compare with the same version.

    Parameters
    ----------
    settings : Settings
    pipeline : Pipeline
        Of the notebook, which tells what it registers where the setting ``model`` does not.
    promotions : Promotions, optional
        Whom to ask; by default somebody who is dismissed with the answer.
    """

    def __init__(self, settings: Settings, pipeline: Pipeline, promotions: Promotions | None = None) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._promotions = promotions
        self._answer: tuple[ModelVersion | None, NbmlopsError | None] | None = None

    def metric(self, name: str) -> Any:  # noqa: ANN401 - what was logged
        """Return one of its metrics; see `nbmlops.runner.gate.Outside.champion`."""
        if self._answer is None:
            try:
                self._answer = (self._ask(), None)
            except NbmlopsError as error:
                self._answer = (None, error)
        version, trouble = self._answer
        if trouble is not None:
            raise GateRefused(f"the champion's {name} cannot be told: {trouble.message}", code=trouble.code, fix=trouble.fix)
        return metric_of(version, name, self._settings)

    def _ask(self) -> ModelVersion | None:
        model = self._settings.model or self._only_name()
        promotions = self._promotions or Promotions(self._settings)
        try:
            return promotions.champion(model)
        finally:
            if self._promotions is None:
                promotions.close()

    def _only_name(self) -> str:
        names = sorted(set(registered_names(self._pipeline)))
        if len(names) == 1:
            return names[0]
        if names:
            raise UsageError(f"the notebook registers {len(names)} models: {', '.join(names[:4])}", code="NB662", fix=_FIX)
        raise UsageError("no register_model(MODEL, NAME) in the notebook says which model", code="NB662", fix=_FIX)


def registered_names(pipeline: Pipeline) -> Iterator[str]:
    """Yield the names that calls of `register_model` in the notebook are written with, as far as they are literal."""
    sources = [step.source for stage in pipeline.stages.values() for step in stage.steps]
    sources += [step.source for step in pipeline.setup_steps]
    for source in sources:
        if "register_model" not in source:
            continue
        try:
            tree = ast.parse(source)
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _name_of(node.func) == "register_model":
                given = [*node.args[1:2], *(item.value for item in node.keywords if item.arg == "name")]
                yield from (item.value for item in given if isinstance(item, ast.Constant) and isinstance(item.value, str))


def _name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
