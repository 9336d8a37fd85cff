"""How a registered model stands, in the rows and sentences that its panel and a page share."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbmlops.promotion.state import History
from nbmlops.views.amounts import exact_value, human_value
from nbmlops.views.escape import cut, listed
from nbmlops.views.promotion import difference_verdict, history_text, state_text
from nbmlops.views.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.promotion.state import Candidate, Difference, ModelState, PromotionEvent

__all__ = [
    "against",
    "aliases_said",
    "chosen_first",
    "fact_rows",
    "gate_state",
    "gates_said",
    "gates_table",
    "headline",
    "history_table",
    "log_line",
    "metrics_table",
    "model_text",
    "portable",
    "version_said",
]

_NAME, _VALUE, _DIGEST = 40, 40, 12
_SENTENCE, _REASON = 400, 1000
_VERSIONS, _EVENTS = 20, 20
_NONE = "—"
_GATES = {"passed": "✓ passed", "warning": "⚠ warning", "refused": "✗ refused"}
_ACTS = {"promote": "promoted", "rollback": "rolled back", "override": "! promoted, overridden"}
_HIGHEST_YEAR_S = 253_402_300_799.0


def gate_state(gate: Mapping[str, Any]) -> str:
    """Return passed, warning or refused; what does not say that it passed is refused."""
    if gate.get("passed") is not True:
        return "refused"
    return "warning" if gate.get("warning") else "passed"


def gates_said(gates: Iterable[Mapping[str, Any]]) -> str:
    """Return how many gates hold, and how many do not.

    Examples
    --------
    >>> gates_said([{"passed": True}, {"passed": True, "warning": "few rows"}, {"passed": False}])
    '1 holds, 1 holds with a warning, 1 refuses'
    """
    counts = Counter(map(gate_state, gates))
    words = [("passed", ("holds", "hold"), ""), ("warning", ("holds", "hold"), " with a warning"), ("refused", ("refuses", "refuse"), "")]
    said = (f"{counts[word]} {verbs[counts[word] > 1]}{more}" for word, verbs, more in words if counts[word])
    return ", ".join(said) or "there is no gate"


def against(state: ModelState, item: Candidate) -> tuple[str, ...]:
    """Return what speaks against promoting a version, one line each; a gate that refuses speaks against it in any case, and a broken log."""
    lines = [cut(line, _SENTENCE) for line in item.refusals]
    refused = [cut(gate.get("name", "a gate"), _NAME) for gate in item.gates if gate_state(gate) == "refused"]
    lines = lines or [f"the gate {name} refuses" for name in refused]
    return (*lines, *([f"the log is not what was written: {cut(state.broken, _SENTENCE)}"] if state.broken else []))


def version_said(item: Candidate) -> str:
    """Return a version with its aliases and its gates, in one line."""
    aliases = listed(item.version.aliases, 4)
    return " · ".join(part for part in (f"version {item.version.version}", aliases, f"gates: {gates_said(item.gates)}") if part)


def headline(state: ModelState) -> str:
    """Return which model it is and what its aliases mean, in one line."""
    return f"model {cut(state.model, _NAME)}: {aliases_said(state)}"


def aliases_said(state: ModelState) -> str:
    """Return what the aliases mean, and how many versions there are."""
    if not state.candidates:
        return "no version is registered"
    names = [*state.team, *(name for name in state.aliases if name not in state.team)]
    meant = [f"{cut(name, _NAME)} is {f'version {state.aliases[name]}' if name in state.aliases else 'no version'}" for name in names[:6]]
    count = len(state.candidates)
    return f"{', '.join(meant)}; {count} version{'s' if count > 1 else ''}"


def metrics_table(state: ModelState, item: Candidate) -> Table:
    """Return a row for each metric of a version: beside that of the version in use, where there is another one."""
    champion, evidence = state.champion, item.version.evidence
    logged = evidence.metrics if evidence is not None else {}
    own = f"version {item.version.version}"
    if champion is None or champion.version.version == item.version.version:
        only = tuple((cut(name, _NAME), human_value(value)) for name, value in logged.items())
        return Table(header=("metric", own), rows=only, numbers=frozenset({1}))
    alone = {name: value for name, value in logged.items() if name not in {row.metric for row in item.differences}}
    rows = tuple(_compared(row) for row in item.differences)
    rows += tuple((cut(name, _NAME), _NONE, human_value(value), "", "", "", "not compared") for name, value in alone.items())
    used = f"{cut(state.team[0], _NAME)} (version {champion.version.version})"
    header = ("metric", used, own, "difference", "95% interval", "verdict", "note")
    return Table(header=header, rows=rows, numbers=frozenset({1, 2, 3, 4}))


def _compared(row: Difference) -> tuple[str, ...]:
    better = f"{row.better} is better" if row.better in {"higher", "lower"} else ""
    interval = f"{row.low:+.3g} to {row.high:+.3g}" if row.low is not None and row.high is not None else ""
    verdict = difference_verdict(row)
    notes = "; ".join(part for part in (better, cut(row.note, _SENTENCE)) if part)
    return cut(row.metric, _NAME), _number(row.champion), _number(row.value), _change(row.difference), interval, verdict, notes


def _number(value: float | None) -> str:
    return _NONE if value is None else human_value(float(value))


def _change(value: float | None) -> str:
    if value is None:
        return _NONE
    shape = "" if math.isnan(value) else "▲ " if value > 0 else "▼ " if value < 0 else "= "
    return f"{shape}{value:+.3g}" if value else f"{shape}0"


def _judged(value: object) -> str:
    """Return what a gate compared, with digits enough to see on which side it is."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    return "" if value is None else exact_value(value, _VALUE)


def gates_table(item: Candidate) -> Table:
    """Return a row for each gate of a version."""
    rows = tuple(
        (
            cut(gate.get("name", ""), _SENTENCE),
            _GATES[gate_state(gate)],
            _judged(gate.get("value")),
            _judged(gate.get("threshold")),
            cut(gate.get("reason") or gate.get("warning") or "", _SENTENCE),
            cut(gate.get("stage", ""), _NAME),
        )
        for gate in item.gates
    )
    return Table(header=("gate", "verdict", "value", "asked for", "why", "stage"), rows=rows)


def fact_rows(item: Candidate) -> list[tuple[str, str]]:
    """Return where a version comes from: its run, notebook, commit, data and environment."""
    version, evidence = item.version, item.version.evidence
    rows = [("registered", _day(version.created_s)), ("model digest", cut(version.digest, 80))]
    if evidence is None:
        return [*((name, text) for name, text in rows if text), ("evidence", "there is none that can be read: no gate of it holds")]
    rows += [
        ("run", cut(evidence.run_id, 80)),
        ("stage", cut(evidence.stage, _NAME)),
        ("run ended", " ".join(part for part in (cut(evidence.status, 20), _day(evidence.time_s)) if part)),
        ("by", cut(evidence.user, 80)),
        ("notebook", cut(evidence.notebook, 160)),
        ("executed notebook", cut(evidence.output, 300)),
        ("notebook digest", cut(evidence.notebook_digest, 80)),
        ("commit", cut(evidence.commit, 60)),
        ("environment digest", cut(evidence.environment_digest, 80)),
        ("parameters", listed((f"{name} {exact_value(value)}" for name, value in evidence.parameters.items()), 16, width=80)),
        ("data", listed((f"{path} {digest[:_DIGEST]}" for path, digest in evidence.data.items()), 16, width=120)),
        ("MLflow", listed((f"{name} {value}" for name, value in evidence.tracking.items() if name not in {"url", "command"}), 8, width=120)),
    ]
    return [(name, text) for name, text in rows if text]


def history_table(state: ModelState, most: int = _EVENTS) -> Table:
    """Return a row for each entry of the log, the newest first."""
    rows = tuple(_event(event) for event in state.events[:most])
    header = ("entry", "when", "who", "what", "alias", "from → to", "why", "override", "approver", "gates then")
    return Table(header=header, rows=rows)


def _event(event: PromotionEvent) -> tuple[str, ...]:
    return (
        str(event.position),
        cut(event.when.replace("T", " "), 32),
        cut(event.who, 60),
        _ACTS.get(event.act, cut(event.act, 20)),
        cut(event.alias, _NAME),
        f"{_meant(event.from_version)} → {_meant(event.version)}",
        cut(event.reason, _REASON),
        cut(event.override, _REASON),
        cut(event.approver, 60),
        gates_said(event.evidence) if event.evidence else "",
    )


def _meant(number: int | None) -> str:
    return "none" if number is None else str(number)


def log_line(state: ModelState) -> str:
    """Return whether the log is what was written."""
    if state.broken:
        return f"✗ the log is not what was written: {cut(state.broken, _SENTENCE)}"
    count = len(state.events)
    return f"✓ log intact: {count} {'entry' if count == 1 else 'entries'}"


def chosen_first(state: ModelState) -> Candidate | None:
    """Return the version that is looked at first: the newest one that is not in use."""
    used = state.champion
    others = (item for item in state.candidates if used is None or item.version.version != used.version.version)
    return next(others, used)


def model_text(state: ModelState) -> str:
    """Return how a model stands and who did what, for a terminal."""
    history = History(model=state.model, events=state.events, broken=state.broken, notes=state.notes)
    left_out = f"\n\nthe newest {_VERSIONS} of {len(state.candidates)} versions" if len(state.candidates) > _VERSIONS else ""
    shown = replace(state, broken="", notes=(), candidates=state.candidates[:_VERSIONS])
    return f"{state_text(shown)}{left_out}\n\n{history_text(history)}"


def portable(state: ModelState) -> ModelState:
    """Leave out the places of this machine, which a panel shows: a notebook is handed on."""
    return replace(state, opening={}, candidates=tuple(map(_portable, state.candidates)))


def _portable(item: Candidate) -> Candidate:
    evidence = item.version.evidence
    if evidence is None:
        return item
    tracking = {name: value for name, value in evidence.tracking.items() if name != "command"}
    return replace(item, version=replace(item.version, evidence=replace(evidence, output="", tracking=tracking)))


def _day(time_s: float) -> str:
    if not 0 < time_s < _HIGHEST_YEAR_S:
        return ""
    return dt.datetime.fromtimestamp(time_s, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
