"""Pipelines, plans, runs and diagnostics on a terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nbmlops.pipeline.model import Diagnostic, Pipeline
from nbmlops.runner.plan import Plan, PlannedStage
from nbmlops.runner.results import RunResult, StageResult
from nbmlops.runner.task import StageError
from nbmlops.store.records import Artifact
from nbmlops.views.html import run_html
from nbmlops.views.text import diagnostics_text, failure_text, graph_text, run_text, status_text

TROUBLE = Diagnostic(code="NB203", severity="error", message="stage 'train' reads 'X'", fix="define it", cell=7, line=2, stage="train")


def artifact(name: str, size_bytes: int) -> Artifact:
    """Return an artifact of a given size."""
    return Artifact(name=name, digest="ab" * 32, format="npy", size_bytes=size_bytes)


@pytest.fixture
def run() -> RunResult:
    """Return a run in which one stage was reused, one ran, one failed and one did not run."""
    stages = [
        StageResult(name="load", status="reused", seconds=12.3, reason="reused from run 8f3a0c11", run_id="8f3a0c1122334455"),
        StageResult(
            name="fit",
            status="ran",
            seconds=4.2,
            reason="parameter C 0.5 -> 1.0",
            outputs={"model": artifact("model", 1_300_000)},
            metrics={"auc": 0.71234},
        ),
        StageResult(name="judge", status="failed", seconds=0.5, error=StageError(type="ValueError", message="no rows\nat all", cell=7)),
        StageResult(name="tell", status="not-run", reason="stage judge failed"),
    ]
    return RunResult(
        run_id="0c1d2e3f",
        status="failed",
        notebook="nb.ipynb",
        output="out.ipynb",
        parameters={},
        seconds=5,
        stages={stage.name: stage for stage in stages},
    )


def lines(text: str) -> list[str]:
    """Return the lines of a text with single blanks."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_graph_tells_who_provides_each_name_and_how_that_is_known(pipeline: Pipeline) -> None:
    """Each read has its provider, the provider's cell, and how it was inferred."""
    text = lines(graph_text(pipeline))
    assert "train cell 3 ← load" in text
    assert "reads rows from load (cell 2) named in its code" in text
    assert "C from parameters (cell 0) named in its code" in text
    assert "reads clean from setup (cell 1) named in its code" in text


def test_graph_tells_writes_options_and_order(pipeline: Pipeline) -> None:
    """What a stage hands on, what was asked for and what it merely follows are lines of its block."""
    text = lines(graph_text(pipeline))
    assert {"writes rows", "options --retries 2", "after evaluate --after"} <= set(text)
    assert "--require score > 1" in text
    assert "C float 1.0 strength" in text


def test_graph_ends_with_diagnostics(pipeline: Pipeline) -> None:
    """What is wrong stands last, with place and fix."""
    text = graph_text(replace(pipeline, diagnostics=(TROUBLE,)))
    assert text.endswith("diagnostics\n  cell 7, line 2: error NB203: stage 'train' reads 'X'; define it")


def test_graph_hides_a_default_that_looks_secret(pipeline_of) -> None:  # noqa: ANN001
    """A password in the parameters cell is not shown."""
    text = graph_text(pipeline_of("password = 'hunter22'\n", "%%mlstage a\nx = 1\n"))
    assert "hunter22" not in text
    assert "password  str  [secret]" in text


def test_graph_without_stages_says_what_to_do(pipeline_of) -> None:  # noqa: ANN001
    """A notebook without stages is told how to get one."""
    assert graph_text(pipeline_of("print(1)")).startswith("no stages: put %%mlstage NAME")


def test_status_tells_state_and_reason(pipeline: Pipeline) -> None:
    """A plan is a table with a line that counts."""
    states = {
        "load": ("fresh", "reused from run 8f3a"),
        "train": ("stale", "parameter C 0.5 -> 1.0"),
        "evaluate": ("unknown", "hangs on stage train"),
    }
    planned = {name: PlannedStage(stage=pipeline.stages[name], state=state, reasons=(why,)) for name, (state, why) in states.items()}  # type: ignore[arg-type]
    text = lines(status_text(Plan(pipeline=pipeline, stages=planned)))
    assert text[:3] == ["stage state reason", "load ✓ fresh reused from run 8f3a", "train ◐ stale parameter C 0.5 → 1.0"]
    assert text[-1] == "1 fresh, 1 stale, 1 unknown"


def test_status_says_when_nothing_would_run(pipeline: Pipeline) -> None:
    """If all is fresh, the last line says so."""
    planned = {name: PlannedStage(stage=stage, state="fresh") for name, stage in pipeline.stages.items()}
    assert status_text(Plan(pipeline=pipeline, stages=planned)).endswith("nothing to run: every stage is fresh")


def test_run_has_a_row_for_each_stage(run: RunResult) -> None:
    """Stage, status, time, reason and outputs with their sizes."""
    text = lines(run_text(run))
    assert text[0] == "run 0c1d2e3f of nb.ipynb: failed in 5.0 s (1 reused, 1 ran, 1 failed, 1 not run, saved 12 s)"
    assert "load ↺ reused (12 s) reused from run 8f3a0c11" in text
    assert "fit ✓ ran 4.2 s parameter C 0.5 → 1.0 model (1.3 MB)" in text
    assert "tell ○ not run stage judge failed" in text


def test_run_tells_errors_metrics_and_where_the_notebook_is(run: RunResult) -> None:
    """Below the table stands what a reader needs next."""
    text = lines(run_text(run))
    assert {"✗ judge: ValueError: no rows at all (cell 7)", "metrics auc 0.7123", "notebook out.ipynb"} <= set(text)


def test_failed_run_ends_with_the_line_and_the_commands_that_help(run: RunResult) -> None:
    """Where it raised, why the stage ran, and how to look at it in a kernel; a run that is done has none of it."""
    failed = run.stages["judge"]
    assert failed.error is not None
    error = replace(failed.error, traceback=("Cell 7 (judge), line 2", "----> 2 fit(rows)"))
    told = lines(failure_text(replace(run, stages={"judge": replace(failed, error=error)})))
    assert told[1:] == [
        "✗ judge: ValueError: no rows at all (cell 7)",
        "cell 7: fit(rows)",
        "nbmlops why nb.ipynb judge what decides about it",
        "%mlload judge --run 0c1d2e3f its inputs and its traceback, in a kernel",
    ]
    assert told[0].startswith("run 0c1d2e3f")
    assert lines(run_text(replace(run, stages={"judge": replace(failed, error=error)})))[-4:] == told[1:]
    assert failure_text(replace(run, status="done", stages={}, report=None)) == ""


def test_commands_that_help_ask_about_the_same_run(run: RunResult) -> None:
    """With its parameters and its store, quoted for the shell; in the kernel of the notebook by the magic."""
    given = ["-p", "n", "3", "-p", "note", "two words", "--store", "else where"]
    told = lines(failure_text(replace(run, notebook="it's mine.ipynb"), given))
    assert told[-2].startswith("""nbmlops why 'it'"'"'s mine.ipynb' judge -p n 3 -p note 'two words' --store 'else where' """)
    assert "%mlwhy judge -p n 3 what decides about it" in lines(run_text(run, given[:3], in_kernel=True))
    page = run_html(run, given=given[:3], in_kernel=True)
    assert "<code>%mlwhy judge -p n 3</code>" in page
    assert "<p>✗ judge: ValueError: no rows at all (cell 7)</p>" in page


def test_failed_report_cells_are_told_once(run: RunResult) -> None:
    """The headline counts them, and the diagnostic that the JSON has for them is not repeated."""
    report = StageResult(name="@report", status="failed", error=StageError(type="ValueError", message="no rows", cell=9))
    trouble = Diagnostic(code="NB214", severity="error", message="the report cell raised ValueError: no rows", fix="mend the cell", cell=9)
    done = replace(run, stages={"fit": run.stages["fit"]}, report=report, diagnostics=(trouble,))
    told = lines(run_text(done))
    assert told[0].endswith("(1 ran, report cells failed)")
    assert told[-2:] == ["✗ report cells: ValueError: no rows (cell 9)", "every stage is kept: mend the report cell, and run again"]
    assert sum("no rows" in line for line in told) == 1
    assert "every stage is kept" not in run_text(replace(run, report=report))


def test_run_tells_gates_with_the_value_judged(run: RunResult) -> None:
    """A gate that refuses is an error with its value; every gate is listed."""
    gates = (
        {"name": "auc >= 0.7", "value": 0.66123, "threshold": 0.7, "passed": False},
        {"name": "n > 1", "value": 2, "threshold": 1, "passed": True},
    )
    refused = StageResult(name="judge", status="refused", gates=gates)
    text = lines(run_text(replace(run, stages={"judge": refused})))
    assert {"✗ judge: --require auc >= 0.7 (0.66123) does not hold", "gates ✗ auc >= 0.7 (0.66123)", "✓ n > 1 (2)"} <= set(text)


def test_run_tells_why_a_gate_passes_or_not(run: RunResult) -> None:
    """The note where there is no champion, the mark of what only warns, what a number stood against; two stages that say the same are named."""
    ours = {"judge": "expectations", "value": 2, "threshold": 3}
    gates = (
        {"name": "auc >= champion.auc", "value": 0.7, "threshold": "champion.auc", "passed": True, "reason": "no champion yet"},
        {"name": "auc >= champion.auc - 0.1", "value": 0.6, "threshold": 0.65, "passed": False},
        {"name": "expectations:flights", **ours, "passed": True, "warning": "origin: 83 of 4,000 values"},
        {"name": "expectations:weather", **ours, "passed": False, "reason": "wind: 5 of 40 values"},
        {"name": "expectations:planes", "judge": "expectations", "value": 1, "threshold": 1, "passed": True},
    )
    stages = {"judge": StageResult(name="judge", status="refused", gates=gates), "again": StageResult(name="again", status="ran", gates=gates[4:])}
    text = lines(run_text(replace(run, stages=stages)))
    first = text.index("gates ✓ auc >= champion.auc (0.7; no champion yet)")
    assert text[first + 1 : first + 6] == [
        "✗ auc >= champion.auc - 0.1 (0.6 against 0.65)",
        "! expectations:flights (2 of 3; origin: 83 of 4,000 values)",
        "✗ expectations:weather (2 of 3; wind: 5 of 40 values)",
        "✓ expectations:planes (1 of 1) in judge",
        "✓ expectations:planes (1 of 1) in again",
    ]
    assert "✗ judge: expectations:weather (2 of 3; wind: 5 of 40 values) does not hold" in text
    passed = StageResult(name="judge", status="ran", gates=(gates[0], gates[2], gates[4]))
    registered = replace(run, status="done", stages={"judge": passed}, tracking={"registry": {"models": "flight-delay/2"}})
    assert "models registered flight-delay version 2: 3 gates hold, 1 with a warning" in lines(run_text(registered))


def test_run_with_nothing_to_do_names_its_equal(run: RunResult) -> None:
    """A run that was there already says which."""
    assert run_text(replace(run, nothing_to_do=True)).startswith("nothing to do: every stage is reused; this equals run 0c1d2e3f")


def test_run_shows_the_report_cells(run: RunResult) -> None:
    """Report cells have a row, under a name that no stage can have."""
    text = lines(run_text(replace(run, report=StageResult(name="@report", status="ran", seconds=1.5, reason="its record is gone"))))
    assert "report cells ✓ ran 1.5 s its record is gone" in text


def test_diagnostics_name_notebook_cell_and_fix() -> None:
    """Each diagnostic is one line that stands alone, errors first; the last line counts."""
    text = diagnostics_text([replace(TROUBLE, severity="warning", cell=None, line=None), TROUBLE], "nb.ipynb")
    assert text.splitlines() == [
        "nb.ipynb: cell 7, line 2: error NB203: stage 'train' reads 'X'; define it",
        "",
        "nb.ipynb: warning NB203: stage 'train' reads 'X'; define it",
        "",
        "1 error, 1 warning: nothing runs until the error is mended",
    ]


def test_run_leaves_infos_to_check(run: RunResult) -> None:
    """What is worth knowing is no trouble of this run."""
    told = run_text(replace(run, diagnostics=(replace(TROUBLE, severity="warning"), replace(TROUBLE, severity="info", code="NB309"))))
    assert "NB203" in told
    assert "NB309" not in told


def test_no_diagnostics_say_so() -> None:
    """Silence would look like a failure to check."""
    assert diagnostics_text([], "nb.ipynb") == "nb.ipynb: nothing to report"
