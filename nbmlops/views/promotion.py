"""Registered models, their versions and the log of their promotions as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.views.amounts import human_value
from nbmlops.views.escape import cut, listed
from nbmlops.views.tables import Table, text_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from nbmlops.promotion.state import Candidate, Difference, History, ModelState, PromotionEvent

__all__ = [
    "difference_verdict",
    "differences_table",
    "event_text",
    "gate_line",
    "history_table",
    "history_text",
    "models_text",
    "state_text",
    "versions_table",
]

_NAME, _SENTENCE, _LINE = 40, 300, 100
_METRICS = 4
_NONE = "—"
_VERDICTS = {"better": "✓ better", "worse": "✗ worse", "same": "= same", "unclear": "≈ unclear"}


def event_text(event: PromotionEvent) -> str:
    """Return what an act has done: the alias, from and to, the gates, and the entry of the log."""
    head = f"{cut(event.alias, _NAME)} of {cut(event.model, _NAME)} means version {event.version} now; before {_version(event.from_version)}"
    lines = [head, *(f"  {gate_line(gate)}" for gate in event.evidence)]
    if event.override:
        lines.append(f"  ! overridden: {cut(event.override, _SENTENCE)}")
    lines.append(f"entry {event.position} of the log, {event.hash[:12]}, by {cut(event.who, _SENTENCE)}: {cut(event.reason, _SENTENCE)}")
    return "\n".join(lines)


def gate_line(gate: Mapping[str, Any]) -> str:
    """Return a gate in one line: whether it holds, its name, and why."""
    holds = gate.get("passed") is True
    name = f"{cut(gate.get('stage'), _NAME)}: {cut(gate.get('name'), _LINE)}" if gate.get("stage") else cut(gate.get("name"), _LINE)
    why = gate.get("warning") or gate.get("reason")
    if not why and gate.get("value") is not None:
        why = f"{human_value(gate['value'])} against {human_value(gate.get('threshold'))}"
    mark = "!" if holds and gate.get("warning") else "✓" if holds else "✗"
    return f"{mark} {name} {'holds' if holds else 'does not hold'}" + (f": {cut(why, _SENTENCE)}" if why else "")


def history_text(history: History) -> str:
    """Return the log of a model, newest first, and whether it is what was written."""
    blocks = [text_table(history_table(history.events))] if history.events else [["no alias of this model has been moved by nbmlops yet"]]
    blocks.append([f"! {cut(note, _SENTENCE)}" for note in history.notes])
    if history.broken:
        blocks.append([f"✗ the log is not what was written: {cut(history.broken, _SENTENCE)}"])
    elif history.events:
        blocks.append([f"✓ {len(history.events)} {'entry' if len(history.events) == 1 else 'entries'}, each with the hash of the one before"])
    return "\n\n".join("\n".join(block) for block in blocks if block)


def history_table(events: Iterable[PromotionEvent]) -> Table:
    """Return a row for each entry of a log."""
    rows = tuple(
        (
            str(event.position),
            cut(event.when, 25).replace("T", " ").removesuffix("+00:00"),
            cut(event.act, 20),
            cut(event.alias, _NAME),
            f"{_short(event.from_version)} → {_short(event.version)}",
            cut(event.who, _NAME),
            cut(event.approver, _NAME),
            cut(event.reason + (f" (override: {event.override})" if event.override else ""), _LINE),
        )
        for event in events
    )
    return Table(header=("entry", "when (UTC)", "act", "alias", "version", "who", "approver", "reason"), rows=rows, numbers=frozenset({0}))


def models_text(names: Iterable[str]) -> str:
    """Return the names of registered models, a line each."""
    return "\n".join(cut(name, _SENTENCE) for name in names) or "no model is registered yet: nbmlops.register_model in a stage does that"


def state_text(state: ModelState) -> str:
    """Return the versions of a model, what speaks against them, and what differs from the one in use."""
    aliases = listed((f"{alias} = version {number}" for alias, number in state.aliases.items()), 8)
    blocks = [[f"{cut(state.model, _NAME)}: {aliases or 'no alias yet'}"], text_table(versions_table(state))]
    blocks.append([f"✗ version {item.version.version}: {cut(line, _SENTENCE)}" for item in state.candidates for line in item.refusals])
    for item in state.candidates:
        if item.differences:
            title = f"version {item.version.version} beside {cut(state.team[0], _NAME)}"
            blocks.append([title, *(f"  {line}" for line in text_table(differences_table(item.differences)))])
    blocks.append([f"! {cut(note, _SENTENCE)}" for note in state.notes])
    if state.broken:
        blocks.append([f"✗ the log is not what was written: {cut(state.broken, _SENTENCE)}"])
    return "\n\n".join("\n".join(block) for block in blocks if block)


def versions_table(state: ModelState) -> Table:
    """Return a row for each version of a model."""
    rows = tuple((str(item.version.version), listed(item.version.aliases, 8), _gates(item), _metrics(item), _run(item)) for item in state.candidates)
    return Table(header=("version", "aliases", "gates", "metrics", "run"), rows=rows, numbers=frozenset({0}))


def difference_verdict(row: Difference) -> str:
    """Return which of two versions a metric speaks for, in a shape and a word; only maybe, where no interval tells it from chance."""
    if row.verdict in {"better", "worse"} and (row.low is None or row.high is None):
        return f"~ maybe {row.verdict}"
    return _VERDICTS.get(row.verdict, "? not told")


def differences_table(differences: Iterable[Difference]) -> Table:
    """Return a row for each metric of a version beside that of the version in use."""
    rows = tuple(
        (
            cut(item.metric, _NAME),
            _number(item.value),
            _number(item.champion),
            _signed(item.difference),
            "" if item.low is None or item.high is None else f"{_signed(item.low)} to {_signed(item.high)}",
            difference_verdict(item),
            f"{item.better} is better" if item.better else "",
            cut(item.note, _LINE),
        )
        for item in differences
    )
    header = ("metric", "here", "in use", "difference", "95% interval", "verdict", "", "note")
    return Table(header=header, rows=rows, numbers=frozenset({1, 2, 3}))


def _gates(item: Candidate) -> str:
    refusing = sum(gate.get("passed") is not True for gate in item.gates)
    if item.version.evidence is None:
        return "✗ no evidence"
    if item.refusals:
        return f"✗ {refusing} of {len(item.gates)} do not hold" if refusing else "✗ refused"
    marked = sum(bool(gate.get("warning")) for gate in item.gates)
    return f"✓ {len(item.gates)} hold{f', {marked} with a warning' if marked else ''}" if item.gates else "none"


def _metrics(item: Candidate) -> str:
    found = item.version.evidence.metrics if item.version.evidence is not None else {}
    return listed((f"{name} {human_value(value)}" for name, value in found.items()), _METRICS)


def _run(item: Candidate) -> str:
    return cut(item.version.evidence.run_id[:8], 8) if item.version.evidence is not None else ""


def _version(number: int | None) -> str:
    return "nothing" if number is None else f"version {number}"


def _short(number: int | None) -> str:
    return _NONE if number is None else str(number)


def _number(value: float | None) -> str:
    return _NONE if value is None else human_value(value)


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4g}"
