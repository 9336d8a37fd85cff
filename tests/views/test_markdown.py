"""Markdown as blocks of text."""

from __future__ import annotations

import pytest

from nbmlops.views.markdown import blocks_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# A model #\ntext\ngoes on", [("heading", (("A model",),)), ("text", (("text goes on",),))]),
        ("- a **b**\n* `c`\n1. d", [("list", (("a b",), ("c",), ("d",)))]),
        ("| a | b |\n|---|:-:|\n| 1 | x \\| y |\nend", [("table", (("a", "b"), ("1", "x | y"))), ("text", (("end",),))]),
        ("```python\nif x:\n    # no heading\n```\nend", [("code", (("if x:",), ("    # no heading",))), ("text", (("end",),))]),
        ("```\nopen", [("code", (("open",),))]),
        ("a\n\n---\n\nb", [("text", (("a",),)), ("text", (("b",),))]),
        ("2 ** 3 \\*not\\* <b>bold</b> [x](javascript:y)", [("text", (("2 ** 3 *not* <b>bold</b> [x](javascript:y)",),))]),
        ("", []),
        ("#no heading", [("text", (("#no heading",),))]),
    ],
)
def test_blocks(text: str, found: list[tuple[str, object]]) -> None:
    """Each kind is known, and what is none is text."""
    assert [(block.kind, block.rows) for block in blocks_of(text)] == found


@pytest.mark.parametrize(
    "text", ["# " + " " * 200_000 + "x", "-" * 200_000, "| " * 100_000 + "\n" + "|-" * 100_000, "x\n" * 100_000, "`" * 200_000, "#" * 9000]
)
def test_long_text_is_cut(text: str) -> None:
    """However it is made, what is shown is short."""
    blocks = blocks_of(text)
    assert sum(len(cell) for block in blocks for row in block.rows for cell in row) < 250_000
    assert len(blocks) <= 401


def test_long_text_says_that_it_goes_on() -> None:
    """Nothing is left out in silence."""
    assert blocks_of("a\n\n" * 300)[-1].rows == (("… the text goes on",),)
