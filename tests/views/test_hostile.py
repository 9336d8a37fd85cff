"""Names and messages that try to be more than text: nothing breaks, nothing runs, nothing fills the screen."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from nbmlops.gates.validation import Check, Validation
from nbmlops.notebook.directive import Directive
from nbmlops.pipeline.model import Diagnostic, Parameter, Pipeline, Read, Stage
from nbmlops.runner.results import RunResult, StageResult
from nbmlops.runner.task import StageError
from nbmlops.store.records import Artifact
from nbmlops.sweeps.state import Objective, SweepState, TrialState
from nbmlops.views.comparison import comparison_html, comparison_text
from nbmlops.views.escape import clean, columns, cut, verbatim
from nbmlops.views.html import graph_html, run_html
from nbmlops.views.mermaid import graph_mermaid
from nbmlops.views.stageline import stage_line
from nbmlops.views.svg import graph_svg
from nbmlops.views.sweep import sweep_html, sweep_text
from nbmlops.views.text import diagnostics_text, graph_text, run_text
from nbmlops.views.validation import validation_html, validation_text
from tests.views.comparisons import comparison
from tests.views.groups import explanation, slices

CORPUS = {
    "script": "<script>alert(1)</script>",
    "attribute": "\"><img src=x onerror='alert(1)'>",
    "single quotes": "' onload='alert(1)",
    "cdata": "]]></title></svg><script>alert(1)</script>",
    "entity": "&lt;b&gt; &#x3c;script&#x3e; &nbsp; &bogus;",
    "comment": "--><!-- <?php ?> <!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]>",
    "mermaid": '"]; click s0 call alert() %%{init: {"securityLevel": "loose"}}%% `**x**` #quot; --> s1',
    "format": "{0} {name} %s %(x)s ${x} \\N{BULLET} \\u0041",
    "terminal": "\x1b[2J\x1b]0;owned\x07\x1b[31mred\x1b[0m\x08\x08\x9b31m",
    "controls": "a\x00b\x01c\x7fd\u0085e\r\nf\tg\u2028h",
    "surrogate": "a\ud800b\udfff",
    "non-characters": "a\ufffeb\uffffc\ufdd0d",
    "bidi": "safe\u202eexe.fdp\u2066\u2069\u200f",
    "marks": "Z" + "\u0301\u0489" * 3000,
    "wide": "数据清洗阶段" * 20,
    "emoji": "👩‍👩‍👧‍👦🚀" * 30,
    "right to left": "תכונות مجموعة",
    "long": "x" * 100_000,
    "long with blanks": "word " * 20_000,
    "empty": "",
    "blank": "  \n ",
}
TAGS = {"svg", "title", "desc", "style", "g", "path", "rect", "text", "circle"}
PAGE_TAGS = {"div", "img", "table", "thead", "tbody", "tr", "th", "td", "strong", "p", "pre", "ul", "li"}


@pytest.fixture(params=CORPUS.values(), ids=CORPUS.keys())
def bad(request: pytest.FixtureRequest) -> str:
    """Return one hostile text."""
    return str(request.param)


@pytest.fixture
def hostile(bad: str) -> Pipeline:
    """Return a pipeline in which everything that can be named has a hostile name."""
    read = Read(name=bad, kind="stage", provider=bad, cell=1, how=bad)
    directive = Directive(name="stage", env=(bad,))
    first = Stage(
        name=bad,
        cells=(1,),
        directive=directive,
        code="",
        fingerprints=(),
        reads=(),
        wants=(bad,),
        binds=(),
        later=(),
        setup=(),
        steps=(),
        files_written=(bad,),
    )
    second = replace(first, name="other", reads=(read,), files_read=(bad,), files_from={bad: bad})
    parameter = Parameter(name=bad, type=bad, default=bad, literal=True, help=bad, cell=0, line=1)
    trouble = Diagnostic(code="NB101", severity="warning", message=bad, fix=bad, cell=1)
    return Pipeline(stages={bad: first, "other": second}, parameters={bad: parameter}, setup=(), diagnostics=(trouble,))


@pytest.fixture
def run(bad: str) -> RunResult:
    """Return a run in which everything that is text is hostile."""
    artifact = Artifact(name="x", digest="ab" * 32, format="npy", size_bytes=1)
    error = StageError(type=bad, message=bad, cell=1)
    stage = StageResult(
        name=bad,
        status=bad,
        reason=bad,
        outputs={bad: artifact},
        metrics={bad: bad},
        gates=({"name": bad, "value": bad, "passed": False},),
        error=error,
    )
    ran = replace(stage, name="ran", status="ran", error=None)
    return RunResult(
        run_id=bad, status="failed", notebook=bad, output=bad, parameters={}, seconds=1, stages={bad: stage, "ran": ran}, tracking={bad: {bad: bad}}
    )


@pytest.fixture
def sweep(bad: str) -> SweepState:
    """Return a sweep in which everything that is text is hostile."""
    trials = [
        TrialState(number=number, state=state, parameters={bad: bad, "C": number}, values=values, ran=(bad,), error=bad, run_id=bad)
        for number, (state, values) in enumerate((("COMPLETE", (1.0,)), ("COMPLETE", (2.0,)), ("FAIL", ()), ("PRUNED", ()), (bad, ())))
    ]
    return SweepState(
        name=bad,
        notebook=bad,
        objectives=(Objective(bad, "maximize"),),
        space={bad: bad, "C": "int(0, 4)"},
        sampler=bad,
        pruner=bad,
        wanted=5,
        status=bad,
        trials=tuple(trials),
        importances={bad: 0.7, "C": 0.3},
        best_run={bad: bad},
        tracking={bad: {bad: bad}},
        error=bad,
    )


def check_svg(drawing: str) -> None:
    """Check that a drawing is XML of harmless elements only."""
    drawing.encode()
    for element in ET.fromstring(drawing).iter():
        assert element.tag.removeprefix("{http://www.w3.org/2000/svg}") in TAGS
        assert not any(name.startswith("on") or "href" in name for name in element.attrib)


class Page(HTMLParser):
    """Checks that a page has harmless elements only, and that they close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Check one element."""
        assert tag in PAGE_TAGS
        fields = dict(attrs)
        assert set(fields) <= {"style", "class", "src", "alt", "scope"}
        assert fields.get("scope", "col") == "col"
        if tag == "img":
            kind, data = (fields["src"] or "").split(",")
            assert kind == "data:image/svg+xml;base64"
            check_svg(base64.b64decode(data).decode())
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that the innermost element closes."""
        assert self.open.pop() == tag


def check_page(page: str) -> None:
    """Check that a card is harmless and whole."""
    parser = Page()
    parser.feed(page)
    parser.close()
    assert parser.open == []


def check_text(text: str) -> None:
    """Check that text holds lines that a terminal can show and nothing that steers it."""
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", text)
    assert max(map(columns, text.splitlines()), default=0) < 2500


def test_drawings(hostile: Pipeline, bad: str) -> None:
    """The picture stays XML with the elements that we draw."""
    check_svg(graph_svg(hostile, dict.fromkeys(hostile.stages, bad), seconds={bad: 1.0}, parameters=True))


def test_pages(hostile: Pipeline, run: RunResult, bad: str) -> None:
    """The cards hold no element that a name brought."""
    check_page(graph_html(hostile, dict.fromkeys(hostile.stages, bad), dict.fromkeys(hostile.stages, bad)))
    check_page(run_html(run, hostile))


def test_terminal(hostile: Pipeline, run: RunResult, bad: str) -> None:
    """Text holds no order to the terminal and no endless line."""
    for text in (graph_text(hostile), run_text(run), diagnostics_text(hostile.diagnostics, bad)):
        check_text(text)


def test_sweeps(sweep: SweepState) -> None:
    """A sweep's card and text, and its pictures, are as harmless; with two objectives too."""
    both = replace(sweep, objectives=sweep.objectives * 2, trials=tuple(replace(trial, values=trial.values * 2) for trial in sweep.trials))
    for state in (sweep, both):
        check_page(sweep_html(state))
        check_text(sweep_text(state))


def test_groups_and_features(bad: str) -> None:
    """Columns, groups, metrics and features of data stay text on cards, in pictures and on a terminal."""
    for found in (slices(bad), explanation(bad)):
        page = found._repr_mimebundle_()
        check_page(page["text/html"])
        check_text(page["text/plain"])


def test_comparisons(bad: str) -> None:
    """Names, values and code of two runs stay text, and code keeps its lines."""
    compared = comparison(bad)
    check_page(comparison_html(compared))
    check_text(comparison_text(compared))


def test_validations(bad: str) -> None:
    """Columns, values, notes and names of suites stay text, whether an expectation is met, fails or raises."""
    check = Check(expectation=bad, about=bad, wanted={bad: bad, "set": [bad]}, severity=bad, met=False, observed=bad, notes=bad)
    counted = replace(check, unexpected=3, looked_at=9, examples=(bad, bad))
    checks = (
        check,
        counted,
        replace(check, reason=bad),
        replace(check, met=True),
        replace(check, met=True, reason=bad),
        replace(counted, unexpected=0),
    )
    for reason in ("", bad):
        found = Validation(name=bad, rows=9, checks=checks, reason=reason, digests={})
        check_page(validation_html(found))
        check_text(validation_text(found))


def test_code_keeps_its_blanks_and_its_limit(bad: str) -> None:
    """A line of code is indented as it is, and is cut too."""
    assert verbatim("    if x:\treturn", 40) == "    if x:   return"
    assert len(verbatim(f"    {bad}", 30)) <= 30 + 3 * bad.count("\t")
    check_text(verbatim(bad, 300))


def test_stage_lines(run: RunResult, bad: str) -> None:
    """A stage's line stays one line."""
    for stage in run.stages.values():
        line = stage_line(stage, (bad,))
        check_text(line)
        assert len(line.splitlines()) == 1


def test_flowcharts(hostile: Pipeline) -> None:
    """A name stays inside its quotes, with no character that Mermaid reads as more than text."""
    label = r"(?:[\w ,.:+()→…-]|#\d+;)*"
    for line in graph_mermaid(hostile).splitlines()[1:]:
        assert re.fullmatch(rf'    s\d\["{label}"\]|    s\d -- "{label}" --> s\d|    s\d -\.-> s\d', line)


def test_cutting_keeps_to_its_limit(bad: str) -> None:
    """What is cut fits, is not much longer in characters than in columns, and says that it was cut."""
    short = cut(bad, 30)
    assert columns(short) <= 30
    assert len(short) <= 121
    assert short == clean(bad) or short.endswith("…")
