"""Data validation as a gate: in a run, and in a kernel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nbmlops.settings import load_settings
from nbmlops.store.store import Store
from tests.acceptance.kernel import Kernel
from tests.acceptance.project import Outcome, Project, cell

if TYPE_CHECKING:
    from pathlib import Path

    from nbmlops.store.records import StageRecord

SUITE = """%%mlexpect flights --on flights
expect_column_values_to_be_between distance 1 6000
expect_column_values_to_be_in_set(column='origin', value_set=['EWR', 'JFK'], severity='warning', notes='<i>no</i>')"""
CONTRACT = '{"name": "contract", "expectations": [{"type": "expect_column_to_exist", "kwargs": {"column": "origin"}}]}'
CELLS = [
    "%load_ext nbmlops\nimport pandas as pd\nimport nbmlops",
    cell("longest = 200", "parameters"),
    "%%mlstage load\nflights = pd.DataFrame({'distance': [10, longest], 'origin': ['EWR', '<b>LGA</b>']})",
    SUITE,
    "%%mlstage check\nnbmlops.validate(flights, 'flights')\nnbmlops.validate(flights, 'contract')\nchecked = len(flights)",
    "%%mlstage train\ntotal = checked + 1",
]


def write(project: Project) -> Path:
    """Write the notebook, and the suite that is written by hand."""
    (project.folder / "expectations").mkdir()
    (project.folder / "expectations" / "contract.json").write_text(CONTRACT)
    return project.write(CELLS)


def state_of(project: Project, path: Path, stage: str) -> str:
    """Return what `status` says of a stage."""
    return str(project.call("status", path, "--json").stage(stage)["state"])


def outputs_of(project: Project, index: int) -> list[dict[str, Any]]:
    """Return the outputs of a cell of the executed notebook."""
    cells = json.loads((project.folder / "out.ipynb").read_text(encoding="utf-8"))["cells"]
    found: list[dict[str, Any]] = next(item for item in cells if item["source"] == CELLS[index])["outputs"]
    return found


def record_of(store: Store, run: Outcome, stage: str) -> StageRecord:
    """Return what the store has recorded of a stage."""
    record = store.record(run.stage(stage)["key"])
    assert record is not None
    return record


def test_a_suite_gates_what_depends_on_its_frame(project: Project) -> None:
    """Good data pass with a mark, are reused, and count the suite's file; a bad parameter refuses, and nothing below it runs."""
    path = write(project)
    first = project.run("out.ipynb")
    assert first.code == 0, first.err
    assert set(first.statuses.values()) == {"ran"}
    store = Store(load_settings(project.folder).store, settings=load_settings(project.folder))
    record = record_of(store, first, "check")
    gate, other = record.evidence
    assert (gate["name"], gate["judge"], gate["value"], gate["threshold"], gate["passed"]) == ("expectations:flights", "expectations", 1, 2, True)
    assert "<b>LGA</b>" in gate["warning"]
    assert gate["digests"]["frame"] == record_of(store, first, "load").outputs["flights"].digest
    assert json.loads(bytes(store.objects.view(gate["report"])))["statistics"]["successful_expectations"] == 1
    # neither the frame nor the process counts as changed, and of files the suite alone is read
    assert (record.effects.mutated, record.effects.left_behind, record.effects.environment) == ((), (), ())
    assert (record.effects.files_read, record.effects.files_absent) == (("expectations/contract.json", "expectations/flights.json"), ())
    assert other["name"] == "expectations:contract"
    shown, _ = outputs_of(project, 4)
    page = "".join(shown["data"]["text/html"])
    assert "&lt;b&gt;LGA&lt;/b&gt;" in page
    assert "&lt;i&gt;no&lt;/i&gt;" in page
    assert not {"<b>", "<i>"} & set(page.split("LGA"))
    suite, contract = project.folder / "expectations" / "flights.json", project.folder / "expectations" / "contract.json"
    assert state_of(project, path, "check") == "fresh"
    contract.write_text(CONTRACT.replace("origin", "distance"))
    assert state_of(project, path, "check") == "stale"
    contract.write_text(CONTRACT)
    suite.unlink()
    again = project.run("out.ipynb")
    assert set(again.statuses.values()) == {"reused"}
    assert suite.exists()
    refused = project.run("out.ipynb", "-p", "longest", 9000)
    assert refused.code == 3
    assert refused.statuses == {"load": "ran", "expect-flights": "refused", "check": "not-run", "train": "not-run"}
    (gate,) = refused.stage("expect-flights")["gates"]
    assert not gate["passed"]
    assert "1 of 2 values, such as 9000" in gate["reason"]
    assert "not met" in str(outputs_of(project, 3))


def test_a_kernel_shows_the_table_and_stops_below_it(project: Project) -> None:
    """The cell writes and validates, is reused when it runs again, and a refusal is one line under the table."""
    kernel = Kernel(project, write(project))
    try:
        done = kernel.run_cells(CELLS)
        assert all(item.ok for item in done), [item.text for item in done]
        assert "not reproducible" not in "".join(item.text for item in done)
        assert "passed, with warnings, 1 of 2 expectations met" in done[3].text
        assert "reused" in kernel.run(SUITE, cell_id="cell-3").last_line
        assert "reused" in kernel.run(CELLS[4], cell_id="cell-4").last_line
        batch = project.run("out.ipynb")
        assert set(batch.statuses.values()) == {"reused"}, batch.err
        assert "expect_column_values_to_be_unique" in kernel.complete("%%mlexpect flights\nexpect_column_values_to_be_u")
        assert "--on" in kernel.complete("%%mlexpect flights --")
        stop = kernel.run("nbmlops.validate(flights.assign(distance=0), 'flights')")
        assert not stop.ok
        assert stop.outputs[0]["data"]["text/html"].startswith('<div class="nbmlops-card"><p>flights: refused')
        assert stop.last_line.startswith("NB635: flights is refused: expect_column_values_to_be_between(distance): 2 of 2 values")
        wrong = kernel.run("%%mlexpect flights\nexpect_column_to_exits a", cell_id="cell-3")
        assert "NB632: line 2: there is no expectation 'expect_column_to_exits'; did you mean expect_column_to_exist" in wrong.text
        (project.folder / "expectations" / "mine.json").write_text("{}")
        assert "no cell has written" in kernel.run("%%mlexpect mine\nexpect_column_to_exist a").last_line
        assert (project.folder / "expectations" / "mine.json").read_text() == "{}"
    finally:
        kernel.close()
