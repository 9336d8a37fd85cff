"""What can be told of a sweep before it runs: which stages every trial shares, and which metrics there will be."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nbmlops.errors import UsageError
from nbmlops.notebook.code import to_python
from nbmlops.notebook.expressions import parse_expression
from nbmlops.runner.logged import REPORTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.pipeline.model import Pipeline, Stage
    from nbmlops.store.records import StageRecord

__all__ = ["Foreseen", "foreseen_metrics", "shared_stages"]


def shared_stages(pipeline: Pipeline, swept: Iterable[str]) -> frozenset[str]:
    """Return the stages that no swept parameter reaches, as far as reading tells: all trials share their results."""
    names = set(swept)
    touched: set[str] = set()
    for stage in pipeline.topological:
        used = {name for position in stage.setup for name in pipeline.setup[position].names}
        if names.intersection(used | _in_condition(stage)) or touched.intersection(stage.upstream):
            touched.add(stage.name)
    return frozenset(pipeline.stages) - touched


def _in_condition(stage: Stage) -> set[str]:
    condition = stage.directive.condition
    try:
        return set() if condition is None else set(parse_expression(condition).names)
    except UsageError:
        return set()  # `check` says so


class Foreseen:
    """The metrics that a run will log, as far as that can be told.

    Attributes
    ----------
    names : dict of str to set of str
        By stage.
    whole : bool
        Whether there can be no others.
    """

    def __init__(self) -> None:
        self.names: dict[str, set[str]] = {}
        self.whole = True

    @property
    def all(self) -> list[str]:
        """Every name by which a metric may be asked for."""
        plain = {name for names in self.names.values() for name in names}
        return sorted(plain) + sorted(f"{stage}.{name}" for stage, names in self.names.items() for name in names)


def foreseen_metrics(pipeline: Pipeline, records: Mapping[str, tuple[StageRecord, ...]]) -> Foreseen:
    """Return the metrics that the pipeline will log: what its last records hold, and what its source spells out.

    Parameters
    ----------
    pipeline : Pipeline
    records : mapping of str to tuple of StageRecord
        The last records of each stage's code, newest first.
    """
    found = Foreseen()
    if any(word in step.source for step in pipeline.setup_steps for word in ("log_metric", "slices(")):
        found.whole = False  # a helper may log anything
    for stage in pipeline.stages.values():
        names: set[str] = set()
        whole = True
        for step in stage.steps:
            if step.kind == "stage":
                own, told = _spelled_out(step.source, stage.directive.metrics)
                names |= own
                whole = whole and told
        last = records.get(stage.name, ())
        if last:
            names |= set(last[0].metrics)
        found.names[stage.name] = names
        found.whole = found.whole and whole
    return found


def _spelled_out(source: str, variables: tuple[str, ...]) -> tuple[set[str], bool]:
    """Return the metrics that a cell's source names, and whether these are all."""
    try:
        tree = ast.parse(to_python(source))
    except SyntaxError:
        return set(), False
    names: set[str] = set()
    whole = True
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            own, told = _logged(node, variables)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            own, told = _assigned(node.targets[0], node.value, variables)
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign)) and node.value is not None:
            own, told = _assigned(node.target, node.value, variables)
        else:
            continue
        names |= own
        whole = whole and told
    return names, whole


def _logged(call: ast.Call, variables: tuple[str, ...]) -> tuple[set[str], bool]:
    called = call.func.attr if isinstance(call.func, ast.Attribute) else (call.func.id if isinstance(call.func, ast.Name) else "")
    if called == "report":
        return {REPORTED}, True
    if called == "slices":
        return set(), False  # `worst_METRIC_by_COLUMN` and more, by columns that only the data tell
    if called == "log_metric":
        name = call.args[0] if call.args else next((item.value for item in call.keywords if item.arg == "name"), None)
        return _texts(name)
    changes = isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and call.func.value.id in variables
    return set(), not changes  # `metrics.update(...)` may add anything


def _assigned(target: ast.expr, value: ast.expr, variables: tuple[str, ...]) -> tuple[set[str], bool]:
    if isinstance(target, ast.Name) and target.id in variables:
        if isinstance(value, ast.Dict):
            found = [_texts(key) for key in value.keys]
            return {name for names, _ in found for name in names}, all(told for _, told in found)
        return {target.id}, False
    if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name) and target.value.id in variables:
        return _texts(target.slice)
    if isinstance(target, (ast.Tuple, ast.List)) and any(isinstance(item, ast.Name) and item.id in variables for item in ast.walk(target)):
        return {item.id for item in ast.walk(target) if isinstance(item, ast.Name) and item.id in variables}, False
    return set(), True


def _texts(node: ast.expr | None) -> tuple[set[str], bool]:
    """Return the texts that an expression may give, as far as it spells them out (``"a" if x else "b"``), and whether it is one of them alone."""
    if node is None:
        return set(), False
    texts = {item.value for item in ast.walk(node) if isinstance(item, ast.Constant) and isinstance(item.value, str)}
    return texts, isinstance(node, ast.Constant) and bool(texts)
