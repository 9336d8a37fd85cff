"""Judge a stage's metrics by its ``--require`` expressions."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NbmlopsError
from nbmlops.notebook.expressions import parse_expression

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["judge"]


def judge(requirements: tuple[str, ...], metrics: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return the evidence of each gate: ``name``, ``value``, ``threshold``, ``passed``.

    A metric that is missing or NaN never passes.
    """
    return tuple(_judge_one(text, metrics) for text in requirements)


def _judge_one(text: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    value, threshold = _parts(text, metrics)
    try:
        passed = parse_expression(text).holds(metrics)
    except (NbmlopsError, KeyError, TypeError, ValueError, ArithmeticError) as error:
        return {"name": text, "value": value, "threshold": threshold, "passed": False, "reason": str(error)}
    return {"name": text, "value": value, "threshold": threshold, "passed": passed}


def _parts(text: str, metrics: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the two sides of a plain comparison of a metric with a number, where it is one."""
    node = ast.parse(text.strip(), mode="eval").body
    if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and len(node.comparators) == 1:
        try:
            threshold = ast.literal_eval(node.comparators[0])
        except ValueError:
            threshold = ast.unparse(node.comparators[0])
        return metrics.get(node.left.id), threshold
    return None, None
