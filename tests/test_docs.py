"""What the documentation lists is what the code can say."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_code_is_in_the_table_and_no_other() -> None:
    """A code that a user meets can be looked up."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "nbmlops").rglob("*.py")]
    raised = {code for text in sources for code in re.findall(r'"(NB\d{3})"', text)} - {"NB000"}
    table = (ROOT / "docs" / "diagnostics.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| (NB\d{3}) ", table, re.MULTILINE)) - {"NB000"} == raised


def test_every_verb_is_in_the_readme() -> None:
    """A verb that nobody can find is no verb."""
    from nbmlops.cli.main import VERBS

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if verb not in text] == []
