"""What the script of a promotion panel is told: cleaned text and numbers, for it to set as text and never as markup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmlops.promotion.desk import before
from nbmlops.views.escape import cut
from nbmlops.views.markdown import blocks_of
from nbmlops.views.standing import (
    against,
    aliases_said,
    chosen_first,
    fact_rows,
    gate_state,
    gates_said,
    gates_table,
    history_table,
    log_line,
    metrics_table,
    version_said,
)

if TYPE_CHECKING:
    from nbmlops.promotion.state import Candidate, ModelState
    from nbmlops.views.tables import Table

__all__ = ["aliases_of", "model_contents", "return_of"]

_NAME, _ALIAS = 40, 100
_VERSIONS, _EVENTS = 50, 200


def model_contents(state: ModelState) -> dict[str, Any]:
    """Return what the panel shows: the model, its newest versions and those that have an alias, and the log."""
    first = chosen_first(state)
    shown = [item for position, item in enumerate(state.candidates) if position < _VERSIONS or item.version.version in state.aliases.values()]
    return {
        "name": cut(state.model, _NAME),
        "stands": aliases_said(state),
        "links": _opening(state),
        "aliases": [_alias(state, name, shown_as) for shown_as, name in aliases_of(state).items()],
        "first": None if first is None else first.version.version,
        "candidates": [_candidate(state, item) for item in shown],
        "candidatesMore": len(state.candidates) - len(shown),
        "notes": [cut(note, 400) for note in state.notes],
        "log": log_line(state),
        "broken": bool(state.broken),
        "history": _table(history_table(state, _EVENTS)),
        "historyMore": max(len(state.events) - _EVENTS, 0),
    }


def aliases_of(state: ModelState) -> dict[str, str]:
    """Return the team's aliases by how they are shown."""
    return {cut(name, _ALIAS): name for name in state.team}


def return_of(state: ModelState, alias: str) -> int | None:
    """Return the version that an alias would go back to; None where the log tells of none, is broken, or the version is gone."""
    number = None if state.broken else before(state.events[::-1], alias, state.aliases.get(alias))
    return number if number is not None and state.candidate(number) is not None else None


def _alias(state: ModelState, name: str, shown: str) -> dict[str, Any]:
    back = return_of(state, name)
    digest = "" if back is None else state.expected(name, back).digest
    return {"name": shown, "version": state.aliases.get(name), "back": back, "digest": digest}


def _candidate(state: ModelState, item: Candidate) -> dict[str, Any]:
    return {
        "version": item.version.version,
        "digest": item.version.digest,
        "said": version_said(item),
        "gatesSaid": gates_said(item.gates),
        "against": list(against(state, item)),
        "metrics": _table(metrics_table(state, item)),
        "gates": {**_table(gates_table(item)), "states": [gate_state(gate) for gate in item.gates]},
        "facts": [list(row) for row in fact_rows(item)],
        "places": [[name, cut(text, 300)] for name, text in _places(item) if text],
        "links": _links(item),
        "card": [{"kind": block.kind, "level": block.level, "rows": [list(row) for row in block.rows]} for block in blocks_of(item.card)],
    }


def _places(item: Candidate) -> list[tuple[str, str]]:
    evidence = item.version.evidence
    return [] if evidence is None else [("run", evidence.run_id), ("notebook", evidence.notebook), ("executed notebook", evidence.output)]


def _links(item: Candidate) -> list[dict[str, str]]:
    evidence = item.version.evidence
    links = [_link(f"Version {item.version.version} in MLflow", item.version.url)]
    if evidence is not None:
        links.append(_link("Its run in MLflow", evidence.tracking.get("url", ""), evidence.tracking.get("command", "")))
    return [link for link in links if link]


def _opening(state: ModelState) -> list[dict[str, str]]:
    link = _link("Open in MLflow", state.opening.get("url", ""), state.opening.get("command", ""))
    return [link] if link else []


def _link(label: str, url: str, command: str = "") -> dict[str, str]:
    """Return an address, or the command that opens one; nothing for neither."""
    if url.startswith(("http://", "https://")):  # never javascript: or the like
        return {"label": label, "href": url}
    return {"label": label, "command": cut(command, 400)} if command else {}


def _table(table: Table) -> dict[str, Any]:
    """Return a table without the columns that have nothing under their header."""
    kept = [at for at in range(len(table.header)) if at == 0 or any(row[at] for row in table.rows)]
    return {
        "header": [table.header[at] for at in kept],
        "rows": [[row[at] for at in kept] for row in table.rows],
        "numbers": [position for position, at in enumerate(kept) if at in table.numbers],
    }
