"""Whether a version may be promoted today: its gates as they were left, and those that compare with the champion judged again."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from nbmlops.errors import GateRefused, NbmlopsError
from nbmlops.notebook.expressions import parse_expression
from nbmlops.runner.gate import NoChampion, judge
from nbmlops.runner.results import StageResult

if TYPE_CHECKING:
    from nbmlops.promotion.base import Evidence, ModelVersion
    from nbmlops.settings import Settings

__all__ = ["InUse", "Judgement", "judge_version", "metric_of"]

_ITSELF = "it is the champion itself"


@dataclass(frozen=True, slots=True)
class InUse:
    """The version in use, as gates ask for it.

    Parameters
    ----------
    version : ModelVersion or None
    settings : Settings
    itself : bool
        Whether it is the version that is judged: it need not be better than itself.
    """

    version: ModelVersion | None
    settings: Settings
    itself: bool = False

    def champion(self, metric: str) -> Any:  # noqa: ANN401 - what was logged
        """Return one of its metrics: see `nbmlops.runner.gate.Outside`."""
        if self.itself:
            raise NoChampion
        return metric_of(self.version, metric, self.settings)

    def reproducible(self, result: StageResult) -> NoReturn:
        """Tell nothing: stages are repeated in runs only."""
        raise GateRefused(f"whether stage {result.name!r} is reproducible is not judged again", code="NB651", fix="write it as a gate of its own")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What speaks for and against a version.

    Parameters
    ----------
    gates : tuple of mapping
        The evidence, that of expressions about the champion, and of the project's own, as judged now.
    refusals : tuple of str
        One line for each thing that speaks against it.
    """

    gates: tuple[Mapping[str, Any], ...]
    refusals: tuple[str, ...]


def metric_of(version: ModelVersion | None, metric: str, settings: Settings) -> Any:  # noqa: ANN401 - what was logged
    """Return a metric of the version in use.

    Raises
    ------
    NoChampion
        If there is none, and the project lets comparisons pass then.
    GateRefused
        If it cannot be told.
    """
    alias = settings.promotion_aliases[0]
    if version is None:
        if settings.champion_absent == "refuse":
            fix = f"promote a first version to {alias}, or set champion_absent to pass"
            raise GateRefused(f"there is no {alias} yet to compare {metric} with", code="NB651", fix=fix)
        raise NoChampion
    if version.evidence is None:
        fix = f"promote a version to {alias} that a run has registered"
        raise GateRefused(f"the {alias}, version {version.version} of {version.model!r}, has no evidence with {metric}", code="NB651", fix=fix)
    if metric not in version.evidence.metrics:
        known = ", ".join(sorted(version.evidence.metrics)[:8])
        fix = f"it has: {known}" if known else "it has no metrics"
        raise GateRefused(f"the {alias}, version {version.version} of {version.model!r}, has no metric {metric!r}", code="NB651", fix=fix)
    return version.evidence.metrics[metric]


def judge_version(version: ModelVersion, champion: ModelVersion | None, settings: Settings) -> Judgement:
    """Judge a version as of now; its files are not looked at."""
    evidence = version.evidence
    if evidence is None:
        return Judgement((), ("no gate is known to hold: nbmlops has not registered this version, or its evidence cannot be read",))
    outside = InUse(champion, settings, itself=champion is not None and champion.version == version.version)
    gates = [_again(gate, evidence, outside) for gate in evidence.gates]
    gates += [{**gate, "judge": "policy", "stage": ""} for gate in _judged("", settings.promotion_require, evidence.metrics, outside)]
    refusals = [] if evidence.status == "done" else [f"its run {evidence.run_id[:8]} ended as {evidence.status}"]
    refusals += [_refusal(gate) for gate in gates if gate.get("passed") is not True]
    return Judgement(tuple(gates), tuple(refusals))


def _again(gate: Mapping[str, Any], evidence: Evidence, outside: InUse) -> Mapping[str, Any]:
    """Return a gate as it is now: one about the champion is judged again, except for what does not hang on it and held."""
    text = str(gate.get("name", ""))
    if gate.get("judge") != "require":
        return gate
    try:
        about = parse_expression(text).champion_names
    except NbmlopsError as error:
        return {**gate, "passed": False, "reason": str(error)}
    if not about:
        return gate
    stage = str(gate.get("stage", ""))
    metrics = {**_of_stage(stage, evidence.metrics), **_looked_at(text, gate)}
    parts = [part for part in _parts(text) if gate.get("passed") is not True or parse_expression(part).champion_names]
    judged = [dict(item) for item in _judged(stage, parts, metrics, outside)]
    refused = next((item for item in judged if item["passed"] is not True), None)
    shown = refused or next(item for item in judged if "champion" in item["name"])
    reason = shown.get("reason", "")
    if outside.itself and refused is None:
        reason = _ITSELF
    sides = {name: shown[name] for name in ("value", "threshold")}
    kept = {name: value for name, value in gate.items() if name not in {"reason", "passed"}}
    return {**kept, **sides, "passed": refused is None, **({"reason": reason} if reason else {})}


def _judged(stage: str, texts: list[str] | tuple[str, ...], metrics: Mapping[str, Any], outside: InUse) -> tuple[dict[str, Any], ...]:
    return judge(tuple(texts), StageResult(name=stage, status="ran", metrics=metrics), outside)


def _of_stage(stage: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics as a stage has them: where others have logged the name too, its own stands under ``stage/name``."""
    own = {name.removeprefix(f"{stage}/"): value for name, value in metrics.items() if stage and name.startswith(f"{stage}/")}
    return {**metrics, **own}


def _looked_at(text: str, gate: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metric of a plain comparison as the gate saw it: another stage may have logged another value under its name."""
    node = ast.parse(text.strip(), mode="eval").body
    value = gate.get("value")
    if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and isinstance(value, (int, float)):
        return {node.left.id: value}
    return {}


def _parts(text: str) -> list[str]:
    node = ast.parse(text.strip(), mode="eval").body
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        return [ast.unparse(part) for part in node.values]
    return [text]


def _refusal(gate: Mapping[str, Any]) -> str:
    stage = f" of stage {gate['stage']}" if gate.get("stage") else " of the project" if gate.get("judge") == "policy" else ""
    why = str(gate.get("reason") or "") or f"{_shown(gate.get('value'))} against {_shown(gate.get('threshold'))}"
    return " ".join(f"gate {gate.get('name')}{stage} does not hold: {why}".split())


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "nothing" if value is None else str(value)
