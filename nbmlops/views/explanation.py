"""What features matter to a model, as text for a terminal and as a still card for a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.views.amounts import human_value
from nbmlops.views.escape import cut, escape
from nbmlops.views.html import card, html_table
from nbmlops.views.plots import bars
from nbmlops.views.scales import finite
from nbmlops.views.tables import Table, text_table

if TYPE_CHECKING:
    from nbmlops.gates.explanation import Explanation

__all__ = ["explanation_html", "explanation_text"]

_NAME = 40
_ROWS = 20
_WORDS = {"permutation": "permutation importance", "shap": "SHAP importance"}


def explanation_text(found: Explanation) -> str:
    """Return a table of the features, the most important first."""
    return "\n".join([_headline(found), *text_table(_table(found)), *_rest(found)])


def explanation_html(found: Explanation) -> str:
    """Return the same for a notebook, with a picture."""
    items = [(str(name), float(value)) for name, value in zip(found.frame["feature"], found.frame["importance"], strict=True)]
    largest = max((value for _, value in items), default=0.0)
    picture = ""
    if finite(largest) and largest > 0:
        plot = bars("explanation", cut(_WORDS.get(found.method, found.method), _NAME), items, whole=largest)
        picture = f'<p><img src="{plot.address}" alt="{escape(plot.alt)}" style="max-width:100%"></p>'
    more = "".join(f"<p>{escape(line)}</p>" for line in _rest(found))
    return card(f"<p>{escape(_headline(found))}</p>{picture}{html_table(_table(found))}{more}")


def _headline(found: Explanation) -> str:
    of = f" of {found.of_rows:,}" if found.rows < found.of_rows else ""
    return f"{cut(_WORDS.get(found.method, found.method), _NAME)} ({cut(found.score, 60)}), from {found.rows:,}{of} rows"


def _table(found: Explanation) -> Table:
    rows = tuple(
        (cut(record["feature"], _NAME), human_value(float(record["importance"])), human_value(float(record["std"])))
        for record in found.frame.head(_ROWS).to_dict("records")
    )
    return Table(header=("feature", "importance", "std"), rows=rows, numbers=frozenset({1, 2}))


def _rest(found: Explanation) -> list[str]:
    more = len(found.frame) - _ROWS
    return [f"{more} more features; the frame holds them"] if more > 0 else []
