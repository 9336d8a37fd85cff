"""How a registered model stands, as text and as a page."""

from __future__ import annotations

import math
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from nbmlops.promotion.state import Candidate, Difference, ModelState
from nbmlops.views.escape import clean
from nbmlops.views.promotion import differences_table, versions_table
from nbmlops.views.promotion_html import model_html
from nbmlops.views.standing import against, chosen_first, gate_state, gates_said, gates_table, headline, history_table, metrics_table, model_text
from nbmlops.widgets.twin import model_twin
from tests.views.models import hostile_model, made_model
from tests.views.xss import PAYLOADS

TAGS = {"div", "style", "details", "summary", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "pre"}
ATTRIBUTES = {"class", "style", "scope", "open"}


@pytest.mark.parametrize(
    ("gate", "word"),
    [
        ({"passed": True}, "passed"),
        ({"passed": True, "warning": "few rows"}, "warning"),
        ({"passed": False, "warning": "few rows"}, "refused"),
        ({"passed": None}, "refused"),
        ({"passed": "yes"}, "refused"),
        ({"passed": 1}, "refused"),
        ({}, "refused"),
    ],
)
def test_gate_says_no_more_than_it_knows(gate: dict[str, object], word: str) -> None:
    """Only a plain true is a pass."""
    assert gate_state(gate) == word


def test_counts_of_gates() -> None:
    """In the singular and in the plural."""
    assert gates_said(()) == "there is no gate"
    assert gates_said([{"passed": True}] * 2 + [{"passed": False}]) == "2 hold, 1 refuses"


def test_headline() -> None:
    """Every alias of the team is told, those that mean nothing too."""
    assert headline(made_model()) == "model flight-delay: champion is version 1, challenger is version 2; 3 versions"
    bare = replace(made_model(), aliases={})
    assert headline(bare) == "model flight-delay: champion is no version, challenger is no version; 3 versions"
    assert headline(ModelState(model="m")) == "model m: no version is registered"


def test_metrics_stand_beside_those_of_the_version_in_use() -> None:
    """With direction, interval and verdict in words and shapes, and what was not compared below."""
    state = made_model()
    table = metrics_table(state, state.candidates[0])
    assert table.header[:3] == ("metric", "champion (version 1)", "version 3")
    assert table.rows[0] == ("roc_auc", "0.755", "0.7312", "▼ -0.0238", "-0.031 to -0.0165", "✗ worse", "higher is better")
    assert table.rows[2][3:6] == ("▲ +0.01", "-0.02 to +0.04", "≈ unclear")
    assert table.rows[3] == ("rows", "—", "300", "—", "", "? not told", "champion has not logged it")


def test_without_an_interval_nothing_is_surely_better() -> None:
    """A difference of two numbers may be chance, in the panel and in a terminal."""
    state = made_model()
    item = replace(
        state.candidates[0], differences=(Difference(metric="gap", value=0.1, champion=0.2, difference=-0.1, better="lower", verdict="better"),)
    )
    assert metrics_table(state, item).rows[0][5] == "~ maybe better"
    assert differences_table(item.differences).rows[0][5] == "~ maybe better"


def test_metrics_of_the_version_in_use_stand_alone() -> None:
    """All of them, and those of any version where none is in use."""
    state = made_model()
    assert metrics_table(state, state.candidates[2]).rows == (("roc_auc", "0.755"), ("brier", "0.192"), ("recall", "0.6"))
    assert metrics_table(replace(state, aliases={}), state.candidates[0]).header == ("metric", "version 3")


@pytest.mark.parametrize(("value", "shown"), [(math.nan, "nan"), (math.inf, "▲ +inf"), (0.0, "= 0"), (None, "—")])
def test_differences_that_are_no_number(value: float | None, shown: str) -> None:
    """None of them looks like better or worse."""
    state = made_model()
    item = replace(state.candidates[0], differences=(Difference(metric="m", value=value, champion=0.0, difference=value),))
    row = metrics_table(state, item).rows[0]
    assert (row[3], row[5]) == (("+nan", "? not told") if shown == "nan" else (shown, "? not told"))


def test_a_refusing_gate_speaks_against_a_version_that_lists_no_refusal() -> None:
    """And so does a broken log, against every version."""
    state = made_model()
    silent = replace(state.candidates[0], refusals=())
    assert against(state, silent) == ("the gate roc_auc >= champion.roc_auc - 0.01 refuses",)
    assert against(state, state.candidates[2]) == ()
    assert against(replace(state, broken="entry 2 is gone"), state.candidates[2]) == ("the log is not what was written: entry 2 is gone",)


def test_history_marks_overrides() -> None:
    """By a word, and with what was stated."""
    rows = history_table(made_model()).rows
    assert [row[3] for row in rows] == ["rolled back", "! promoted, overridden", "promoted"]
    assert rows[1][4:8] == ("champion", "1 → 2", "a larger month", "the gate is too strict for January")
    assert rows[2][5] == "none → 1"


def test_the_newest_version_that_is_not_in_use_is_looked_at_first() -> None:
    """The one in use if there is no other."""
    state = made_model()
    assert chosen_first(state) is state.candidates[0]
    assert chosen_first(replace(state, aliases={"champion": 3})) is state.candidates[1]
    assert chosen_first(replace(state, candidates=state.candidates[2:])) is state.candidates[2]
    assert chosen_first(ModelState(model="m")) is None


def test_text_and_page_tell_the_same() -> None:
    """Gates, metrics, history, and whether the log is whole."""
    state = replace(made_model(), notes=("grace is just moving champion",))
    text, page = model_text(state), model_html(state)
    for told in (text, page):
        for part in ("✗ worse", "0.7312", "the second one fails on JFK", "3 entries", "grace is just moving champion", "8f3a9c1"):
            assert part in told
    assert "✗ 1 of 3 do not hold" in text
    assert "✗ refused" in page
    for broken in (model_text(replace(state, broken="entry 2 was edited")), model_html(replace(state, broken="entry 2 was edited"))):
        assert "✗ the log is not what was written: entry 2 was edited" in broken
        assert "3 entries" not in broken


def test_many_versions_and_entries_are_cut_and_counted() -> None:
    """What is left out is told."""
    state = made_model()
    many = replace(state, candidates=state.candidates * 50, events=state.events * 50)
    assert "the newest 20 of 150 versions" in model_text(many)
    assert "the newest 60 of 150 versions" in model_html(many)
    assert "the newest 100 of 150 entries of the log" in model_html(many)
    assert len(model_html(many)) < 200_000


def test_version_without_evidence_says_so() -> None:
    """One that nbmlops has not registered."""
    state = made_model()
    bare = Candidate(version=replace(state.candidates[0].version, evidence=None), refusals=("there is no evidence",))
    assert "there is none that can be read: no gate of it holds" in model_html(replace(state, candidates=(bare,)))


class Page(HTMLParser):
    """Notes the text of a page that has only our elements and attributes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Refuse what we do not write."""
        assert tag in TAGS
        assert {name for name, _ in attrs} <= ATTRIBUTES
        fields = dict(attrs)
        assert fields.get("style") in {None, "text-align:left", "text-align:right"}
        assert fields.get("class") in {None, "nbmlops-card", "nbmlops-twin"}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Find what was opened."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep what is seen."""
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        """Refuse comments."""
        raise AssertionError(data)

    handle_decl = unknown_decl = handle_pi = handle_comment


def test_corpus() -> None:
    """It has sixty texts and more, each another one."""
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 60


@pytest.mark.parametrize("payload", PAYLOADS)
def test_payload_is_text_in_the_saved_notebook(payload: str) -> None:
    """Wherever a user, a run or a registry can write it: seen as it was written, and nothing else is in the page."""
    bundle = model_twin(hostile_model(payload))
    page = Page()
    page.feed(bundle["text/html"])
    page.close()
    assert page.open == []
    seen = "".join(page.texts)
    assert seen.count(clean(payload)[:39]) > 30
    assert clean(payload)[:39] in bundle["text/plain"]
    assert "\x00" not in bundle["text/plain"]


def test_gates_of_hostile_text_are_refused() -> None:
    """A text in place of a number breaks no row."""
    state = hostile_model("<b>")
    assert [row[1] for row in gates_table(state.candidates[0]).rows] == ["✗ refused", "⚠ warning"]


def test_the_table_of_versions_counts_warnings() -> None:
    """A version that passes with a mark does not look like one without."""
    state = made_model()
    gates = ({"name": "a", "passed": True, "warning": "few rows"}, {"name": "b", "passed": True})
    marked = replace(state, candidates=(replace(state.candidates[0], gates=gates, refusals=()),))
    assert versions_table(marked).rows[0][2] == "✓ 2 hold, 1 with a warning"
