"""What differs between runs, as a terminal and a page show it."""

from __future__ import annotations

import re
from dataclasses import replace

from nbmlops.session.comparing.comparison import ABSENT, CodeDiff, Comparison, Section, StageRow, StageSide
from nbmlops.views.comparison import comparison_html, comparison_text
from tests.views.comparisons import comparison

NOTHING: Section[object] = Section()


def plain(**sections: Section[object]) -> Comparison:
    """Return a comparison of two runs with nothing but the given sections."""
    empty = dict.fromkeys(("parameters", "metrics", "stages", "artifacts", "code", "environment"), NOTHING)
    made = comparison("x")
    return replace(made, runs=(made.runs[0], made.runs[1]), notes=(), **{**empty, **sections})


def lines_of(found: Comparison) -> list[str]:
    """Return the lines of the text below the table of the runs, each run of blanks as one."""
    return [re.sub(r" {2,}", " ", line) for line in comparison_text(found).splitlines()[4:]]


def test_runs_stand_first() -> None:
    """Each with what it is called below, and its id."""
    first = comparison_text(plain()).splitlines()[:3]
    assert [line.split()[:3] for line in first] == [["run", "id", "notebook"], ["8f3a", "8f3a", "x"], ["x/7", "9b1c", "x"]]


def test_values_side_by_side() -> None:
    """A metric says by how much it has grown; NaN has no difference to anything; what a run has not is a dash."""
    metrics = Section(differ={"auc": (0.5, 0.75), "loss": (float("nan"), 1.0), "new": (ABSENT, 2)})
    assert lines_of(plain(metrics=metrics))[:4] == ["metric 8f3a x/7 change", "auc 0.5 0.75 +0.25", "loss nan 1", "new — 2"]


def test_what_differs_never_looks_the_same() -> None:
    """Values that are rounded or written alike are shown exactly."""
    found = plain(metrics=Section(differ={"auc": (0.71234, 0.71233)}), parameters=Section(differ={"C": (1, "1"), "flag": ("null", None)}))
    text = lines_of(found)
    assert "auc 0.71234 0.71233 -1e-05" in text
    assert "C 1 '1'" in text
    assert "flag 'null' None" in text


def test_a_stage_says_why() -> None:
    """The parts of its key that differ, or its error, or that nobody can say."""
    ran, reused = StageSide(status="ran", key="k", seconds=1.0), StageSide(status="reused", key="l", seconds=2.0)
    failed = StageSide(status="failed", key=None, seconds=0.0, error="ValueError: no")
    rows = {
        "a": StageRow(sides=(ran, reused), reasons=((), ("parameter C 1 -> 2",))),
        "b": StageRow(sides=(ran, failed), reasons=((), ())),
        "c": StageRow(sides=(ran, reused), reasons=((), ())),
    }
    assert lines_of(plain(stages=Section(differ=rows)))[1:4] == [
        "a ✓ ran 1.0 s ↺ reused 2.0 s parameter C 1 → 2",
        "b ✓ ran 1.0 s ✗ failed ValueError: no",
        "c ✓ ran 1.0 s ↺ reused 2.0 s the work differs, and there is no record that tells in what",
    ]


def test_code_is_shown_as_it_is_written() -> None:
    """With its blanks; a change of setup once for all stages that see it; what is only cosmetic is told."""
    setup = "--- a setup\n+++ b setup\n@@ -1 +1 @@\n-    return 1\n+    return 2"
    code = {"a": CodeDiff(setup=setup), "b": CodeDiff(setup=setup, cells="-x=1\n+x = 1"), "c": CodeDiff(cells="-y  # old", cosmetic=True)}
    text = comparison_text(plain(code=Section(differ=code)))
    assert text.count("-    return 1\n") == 1
    assert "setup of a, b\n  --- a setup" in text
    assert "code of c (comments or formatting only: they decide nothing)\n  -y  # old" in text
    page = comparison_html(plain(code=Section(differ=code)))
    assert "<pre>--- a setup\n+++ b setup\n@@ -1 +1 @@\n-    return 1\n+    return 2</pre>" in page


def test_a_long_diff_is_cut_on_a_page_only() -> None:
    """A notebook is not filled with it; a terminal scrolls."""
    found = plain(code=Section(differ={"a": CodeDiff(cells="\n".join(f"+line {number}" for number in range(500)))}))
    assert "line 499" in comparison_text(found)
    assert "+line 199\n… 300 more lines</pre>" in comparison_html(found)


def test_what_is_equal_is_counted_and_what_is_not_known_is_named() -> None:
    """Nothing is called equal that nobody knows."""
    found = plain(parameters=Section(equal=("n",), unknown={"token": "its value is hidden as a secret"}), stages=Section(equal=("a", "b")))
    assert lines_of(found)[:3] == [
        "nothing differs as far as is known",
        "equal: 1 parameter, 2 stages",
        "not known: parameters token: its value is hidden as a secret",
    ]
    assert lines_of(plain(stages=Section(equal=("a", "b"))))[0] == "nothing differs"
