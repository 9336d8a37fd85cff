"""A model's card: what is known of a version, and what is not, as markdown in which no name or value can be markup."""

from __future__ import annotations

import json
import math
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nbmlops.promotion.base import Evidence, ModelRequest

__all__ = ["card_of", "plain"]

_MARKUP = pattern(r"([\\`*_{}\[\]()#+\-.!|~=:@$^])")
_LIMIT = 300
_ROWS = 200
_SLICES = frozenset({"slices", "slice"})
_DATA = frozenset({"expectations", "validate", "expectation"})


def plain(value: object, limit: int = _LIMIT) -> str:
    r"""Return a text or value as markdown that shows just it, in one line.

    Examples
    --------
    >>> plain("<b>*x*</b>\n# y")
    '&lt;b&gt;\\*x\\*&lt;/b&gt; \\# y'
    """
    text = value if isinstance(value, str) else _number(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)
    text = text.encode("utf-8", "replace").decode()
    line = " ".join("".join(" " if unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"} else character for character in text).split())
    line = line if len(line) <= limit else line[: limit - 1] + "…"
    # entities, and not only backslashes: some renderers know no escape of "<"
    return _MARKUP.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def card_of(request: ModelRequest, evidence: Evidence) -> str:
    """Return the card of a model that is about to be registered."""
    when = datetime.fromtimestamp(evidence.time_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    loader = "sklearn" if request.flavor == "sklearn" else "pyfunc"
    notebook = plain(evidence.notebook or "a notebook")
    about = f"A model of MLflow's flavor {plain(request.flavor)}, made by the stage {plain(evidence.stage)} of {notebook}."
    blocks = [
        f"# {plain(request.name)}",
        f"{about} Run {plain(evidence.run_id)} ended as {plain(evidence.status)} on {plain(when)}.",
        *_section("Gates", _gates(evidence), "No gate was asked."),
        *_section("Metrics", _table(("metric", "value"), evidence.metrics.items()), "No metric was logged."),
        *_section("Data", _table(("file", "digest"), evidence.data.items()), "The run read no file."),
        *_section("Parameters", _table(("parameter", "value"), evidence.parameters.items()), "The notebook has none."),
        "## Environment",
        _facts(request, evidence),
        *_section("Versions", _table(("distribution", "version"), evidence.environment.items()), "None is known."),
        "## How to load it",
        f'```python\nimport mlflow\n\nmodel = mlflow.{loader}.load_model("models:/{request.name}@champion")\n```',
        "## Limits",
        "\n".join(f"- {line}" for line in _limits(request, evidence)),
    ]
    return "\n\n".join(blocks) + "\n"


def _section(title: str, table: str, otherwise: str) -> tuple[str, str]:
    return f"## {title}", table or otherwise


def _gates(evidence: Evidence) -> str:
    rows = [
        (
            "holds" if gate.get("passed") is True else "refuses",
            str(gate.get("name", "")),
            _short(gate.get("value")),
            _short(gate.get("threshold")),
            str(gate.get("stage", "")),
            str(gate.get("warning" if gate.get("passed") is True else "reason") or ""),
        )
        for gate in evidence.gates
    ]
    return _table(("verdict", "gate", "value", "threshold", "stage", "why"), rows)


def _short(value: object) -> object:
    return "" if value is None else value


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    found = list(rows)
    lines = [f"| {' | '.join(map(plain, row))} |" for row in found[:_ROWS]]
    more = f"\n\n{len(found) - _ROWS} more are in the evidence." if len(found) > _ROWS else ""
    return "\n".join([f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}", *lines]) + more if found else ""


def _facts(request: ModelRequest, evidence: Evidence) -> str:
    facts = {
        "model digest": request.digest,
        "environment digest": evidence.environment_digest,
        "commit": evidence.commit or "none",
        "executed notebook": evidence.notebook_digest or "not kept",
        "user": evidence.user or "unknown",
    }
    return "\n".join(f"- {name}: {plain(value)}" for name, value in facts.items())


def _limits(request: ModelRequest, evidence: Evidence) -> Iterator[str]:
    """Say what speaks against the model, and what nobody has looked at."""
    refusing = [gate for gate in evidence.gates if gate.get("passed") is not True]
    if evidence.status != "done":
        yield f"Its run ended as {plain(evidence.status)}: it speaks for nothing."
    if refusing:
        yield f"{len(refusing)} of {len(evidence.gates)} gates {'refuses' if len(refusing) == 1 else 'refuse'} it."
    if unknown := sorted(name for name, value in evidence.metrics.items() if math.isnan(value)):
        yield f"Metrics without a value: {', '.join(map(plain, unknown))}."
    yield from (line for missing, line in _not_looked_at(evidence) if missing)
    yield from (line for missing, line in _not_kept(request, evidence) if missing)
    yield "It was evaluated on the data above and on no others."


def _not_looked_at(evidence: Evidence) -> Iterator[tuple[bool, str]]:
    judges: set[str] = {str(gate.get("judge", "")) for gate in evidence.gates}
    names = " ".join(str(gate.get("name", "")) for gate in evidence.gates)
    yield not evidence.gates, "Nothing was required of it."
    yield not judges & _SLICES, "No group of the data was evaluated by itself: how it does for a part of the rows is not known."
    yield not judges & _DATA, "The data that it was made from were not validated."
    yield "reproducible" not in names, "Whether the same code and data give the same model again was not tried."


def _not_kept(request: ModelRequest, evidence: Evidence) -> Iterator[tuple[bool, str]]:
    files = request.files
    pickled = any(path.endswith((".pkl", ".pickle")) for path in files)
    commit = bool(evidence.commit) and not evidence.commit.endswith("-dirty")
    yield "nbmlops/evaluation.npz" not in files, "The rows that it was evaluated on are not kept: a difference from another version has no interval."
    yield "input_example.json" not in files, "It has no input example and no signature: what it takes is not written down."
    yield pickled, "Loading it runs code that its files hold: load it only from a registry that you trust."
    yield not commit, "Its notebook is in no commit as it was run; the executed notebook is kept by its digest."


def _number(value: float) -> str:
    return f"{value:.6g}"
