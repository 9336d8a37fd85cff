"""A model's card, and what it says of what was not looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nbmlops.promotion.base import Evidence, ModelRequest
from nbmlops.promotion.card import card_of, plain

REQUEST = ModelRequest(
    name="flight-delay", digest="d1", files={"nbmlops/evaluation.npz": "1", "input_example.json": "2", "model.skops": "3"}, flavor="sklearn"
)
WHOLE = Evidence(
    run_id="r1",
    stage="train",
    status="done",
    time_s=0.0,
    notebook="nb.ipynb",
    metrics={"auc": 0.75},
    gates=(
        {"name": "auc >= 0.5", "judge": "require", "value": 0.75, "threshold": 0.5, "passed": True},
        {"name": "reproducible", "judge": "require", "passed": True},
        {"name": "worst group", "judge": "slices", "passed": True, "warning": "small groups"},
        {"name": "flights", "judge": "expectations", "passed": True},
    ),
    data={"flights.csv": "ab12"},
    commit="abc",
)


def test_a_card_is_filled_from_the_evidence() -> None:
    """Gates with verdicts, metrics, data, how to load it; of a whole evaluation one limit is left."""
    card = card_of(REQUEST, WHOLE)
    for line in (
        "# flight\\-delay",
        "| holds | auc &gt;\\= 0\\.5 | 0\\.75 | 0\\.5 |  |  |",
        "| holds | worst group |  |  |  | small groups |",
        "| flights\\.csv | ab12 |",
        'model = mlflow.sklearn.load_model("models:/flight-delay@champion")',
    ):
        assert line in card.splitlines()
    assert card.partition("## Limits\n\n")[2] == "- It was evaluated on the data above and on no others.\n"


def test_what_was_not_evaluated_is_said() -> None:
    """Each gap has its line."""
    bare = card_of(
        replace(REQUEST, files={"model.pkl": "1"}),
        replace(WHOLE, status="failed", gates=({"name": "x > 1", "passed": False},), metrics={"auc": float("nan")}, data={}, commit="abc-dirty"),
    )
    limits = bare.partition("## Limits\n\n")[2]
    for words in (
        "ended as failed: it speaks for nothing",
        "1 of 1 gates refuses it",
        "without a value: auc",
        "No group of the data",
        "not validated",
        "was not tried",
        "are not kept",
        "no signature",
        "runs code",
        "in no commit as it was run",
    ):
        assert words in limits
    assert "Nothing was required of it." in card_of(REQUEST, replace(WHOLE, gates=()))


PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "![a](https://evil/x.png)",
    "x | y |\n| --- |",
    "\n\n# heading",
    "a\n- item",
    "```\ncode",
    "`code`",
    "**bold** _it_ ~~gone~~",
    "&lt;b&gt;",
    "$x$ \\(y\\)",
    "https://evil.example/",
    "\u202ereversed\u2066",
    "a\u2028b\x00\x1b[31m",
    "\ud800",
    "me@evil.example",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_name_or_value_is_markup(payload: str) -> None:
    """Rendered by a real markdown parser, the card has the same elements as one with plain words, and shows the text."""
    from markdown_it import MarkdownIt

    def card(text: str) -> str:
        gate = {"name": text, "value": text, "threshold": text, "passed": False, "reason": text, "stage": text}
        evil = replace(
            WHOLE,
            stage=text,
            notebook=text,
            status=text,
            metrics={text: 0.5},
            gates=(gate,),
            parameters={text: text},
            data={text: text},
            environment={text: text},
            user=text,
        )
        return card_of(REQUEST, evil)

    parser = MarkdownIt("gfm-like", {"html": True, "linkify": False})

    def elements(text: str) -> list[str]:
        found = []
        for token in parser.parse(text):
            found += [token.type, *(child.type for child in token.children or () if child.type != "text_special")]
        return [kind for kind in found if kind != "text"]

    assert elements(card(payload)) == elements(card("word"))
    assert "<" not in plain(payload)
    assert "\n" not in plain(payload)
