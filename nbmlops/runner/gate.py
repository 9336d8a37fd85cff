"""Judge a stage's results by its ``--require`` expressions."""

from __future__ import annotations

import ast
import math
from numbers import Number
from typing import TYPE_CHECKING, Any, Protocol

from nbmlops.errors import GateRefused, NbmlopsError
from nbmlops.notebook.expressions import ABSENT, Expression, parse_expression, parse_requirement
from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmlops.pipeline.model import Pipeline
    from nbmlops.runner.results import StageResult
    from nbmlops.store.records import Artifact

__all__ = ["NOTHING_OUTSIDE", "NoChampion", "Outside", "asks_outside", "is_outward", "judge", "refuses", "rows_of"]

_COUNTED = pattern(r"([\d,]+)(?: x .*| items?| [a-z]\S*)?")
_SINGLE = frozenset({"NoneType", "bool", "bytes", "complex", "float", "int", "str"})


class NoChampion(LookupError):
    """No version of the model holds the alias yet: a comparison with it has nothing to compare, and passes."""


class Outside(Protocol):
    """What a gate may ask beyond the results of the stage that it judges."""

    def champion(self, metric: str) -> Any:  # noqa: ANN401 - what was logged
        """Return a metric of the model that is in use.

        Raises
        ------
        NoChampion
            If there is none, and the project lets comparisons pass then.
        NbmlopsError
            If that cannot be told; the gate refuses.
        """

    def reproducible(self, result: StageResult) -> bool:
        """Tell whether a stage gives the same again under other conditions.

        Raises
        ------
        NbmlopsError
            If it cannot be told, or does not; the gate refuses with that reason.
        """


class _Nothing:
    """Knows of nothing: what asks is refused."""

    def champion(self, metric: str) -> Any:  # noqa: ANN401
        raise GateRefused(f"the champion's {metric} cannot be told here", code="NB630", fix="run the notebook with nbmlops run or %mlrun")

    def reproducible(self, result: StageResult) -> bool:
        raise GateRefused(f"stage {result.name!r} is not repeated here", code="NB630", fix="run the notebook with nbmlops run or %mlrun")


NOTHING_OUTSIDE: Outside = _Nothing()


def judge(requirements: tuple[str, ...], result: StageResult, outside: Outside = NOTHING_OUTSIDE) -> tuple[dict[str, Any], ...]:
    """Return the evidence of each gate: ``name``, ``judge``, ``value``, ``threshold``, ``passed``, ``digests``, and ``reason`` where there is one.

    A metric that is missing or NaN never passes.

    Parameters
    ----------
    requirements : tuple of str
        ``--require`` expressions. Besides metrics they may name ``champion.METRIC``, ``rows.ARTIFACT`` and ``reproducible``.
    result : StageResult
    outside : Outside
    """
    return tuple(_judge_one(text, result, outside) for text in requirements)


def is_outward(pipeline: Pipeline) -> bool:
    """Tell whether a gate of the pipeline asks for what its own results do not tell."""
    # a cheap look first: most pipelines have no such gate, and parsing costs more than running some of them
    texts = [text for stage in pipeline.stages.values() for text in stage.directive.require if "champion" in text or "reproducible" in text]
    return any(map(asks_outside, texts))


def asks_outside(text: str) -> bool:
    """Tell whether a requirement asks for what its stage's own results do not tell."""
    try:
        expression = parse_expression(text)
    except NbmlopsError:
        return False
    return bool(expression.champion_names) or "reproducible" in expression.names


def refuses(gates: tuple[Mapping[str, Any], ...]) -> str | None:
    """Return the name of the first gate that does not hold; None if all do."""
    return next((str(gate["name"]) for gate in gates if not gate["passed"]), None)


def rows_of(artifact: Artifact) -> int | None:
    """Return how many rows or items an artifact has, as its summary tells; None for what has no such number.

    Examples
    --------
    >>> rows_of(Artifact(name="X", digest="0" * 64, format="arrow", size_bytes=1, type="pandas.DataFrame", summary="1,000 x 20"))
    1000
    """
    counted = _COUNTED.fullmatch(artifact.summary)
    if counted is None or artifact.type in _SINGLE or artifact.members:
        return None
    return int(counted[1].replace(",", ""))


def _judge_one(text: str, result: StageResult, outside: Outside) -> dict[str, Any]:
    evidence: dict[str, Any] = {"name": text, "judge": "require", "value": None, "threshold": None, "passed": False}
    if result.looked_at:
        evidence["digests"] = dict(result.looked_at)
    try:
        expression = parse_requirement(text)
        evidence |= _told(text, result.metrics)
        values = _own_values(expression, result, outside)
        if undecided := next((name for name in expression.flags if not _is_truth(values.get(name, 0))), None):
            return evidence | {"reason": f"{undecided!r} is {values[undecided]}, neither true nor false: compare it with something"}
        try:
            values |= {f"champion.{metric}": outside.champion(metric) for metric in expression.champion_names}
        except NoChampion:
            return evidence | _without_champion(expression, values)
        return evidence | _sides(expression, values) | {"passed": expression.holds(values)}
    except (NbmlopsError, KeyError, TypeError, ValueError, ArithmeticError) as error:
        return evidence | {"passed": False, "reason": str(error)}


def _own_values(expression: Expression, result: StageResult, outside: Outside) -> dict[str, Any]:
    values = dict(result.metrics)
    for name in expression.names:
        kind, _, rest = name.partition(".")
        if kind == "rows" and rest:
            values[name] = _rows(rest, result)
        elif name == "reproducible" and name not in values:
            values[name] = outside.reproducible(result)
    return values


def _without_champion(expression: Expression, values: dict[str, Any]) -> dict[str, Any]:
    """Return the verdict where there is nothing to compare with: what hangs on the rest alone still counts."""
    own = {name: values[name] for name in expression.names if name in values}
    wrong = [name for name, value in own.items() if not isinstance(value, Number) or value != value]  # noqa: PLR0124 - NaN, of whatever library
    if wrong:
        return {"passed": False, "reason": f"{wrong[0]!r} is no number"}
    holds = expression.holds({**values, **{f"champion.{metric}": ABSENT for metric in expression.champion_names}})
    return {"passed": True, "reason": "no champion yet"} if holds else {"passed": False}


def _is_truth(value: object) -> bool:
    """Tell whether a value by itself says yes, no, or nothing as NaN does; a score such as 0.7 says none of that."""
    return isinstance(value, (int, float)) and (math.isnan(value) or value in (0, 1))


def _rows(name: str, result: StageResult) -> int:
    if name not in result.outputs:
        fix = "name what the stage itself makes; what it reads is counted by the stage that makes it"
        raise GateRefused(f"stage {result.name!r} makes no {name!r} to count", code="NB630", fix=fix)
    count = rows_of(result.outputs[name])
    if count is None:
        raise GateRefused(f"{name!r} is a {result.outputs[name].type}, which has no rows", code="NB630", fix="name a table, an array or a collection")
    return count


def _told(text: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the two sides of a plain comparison of a metric, as far as they are written in it."""
    node = ast.parse(text.strip(), mode="eval").body
    if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and len(node.comparators) == 1:
        try:
            threshold = ast.literal_eval(node.comparators[0])
        except ValueError:
            threshold = ast.unparse(node.comparators[0])
        return {"value": metrics.get(node.left.id), "threshold": threshold}
    return {}


def _sides(expression: Expression, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a comparison with something from outside compares, in numbers."""
    if not expression.is_outward:
        return {}
    sides = expression.sides(values)
    return {} if sides is None else {"value": sides[0], "threshold": sides[1]}
