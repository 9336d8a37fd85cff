"""How stages hang together: the names that `--if` may read, the folders that they list."""

from __future__ import annotations

from tests.pipeline.checks.found import codes_of
from tests.pipeline.written import cell, pipeline_of


def test_condition_on_an_unknown_name_is_an_error() -> None:
    """It is told before a run, with the nearest name."""
    found = pipeline_of(cell("large = False", "parameters"), "%%mlstage a --if lrge\nx = 1").diagnostics
    assert [(item.code, item.severity, item.cell, item.line, item.fix) for item in found] == [("NB207", "error", 1, 1, "did you mean large?")]


def test_condition_on_a_variable_is_an_error() -> None:
    """A stage's variables are not there yet when it is decided whether it runs."""
    assert codes_of("%%mlstage a\nn = 1", "%%mlstage b --if 'n > 0'\nx = n") == ["NB207 1:1"]


def test_condition_on_a_parameter_is_fine() -> None:
    """Also on one that a run gives a value for."""
    assert codes_of(cell("large = False", "parameters"), "%%mlstage a --if large\nx = 1") == []
    computed = [cell("import os\nlarge = len(os.name)", "parameters"), "%%mlstage a --if large\nx = 1"]
    assert codes_of(*computed) == ["NB207 1:1"]
    assert pipeline_of(*computed, parameters={"large": True}).errors == ()


def test_condition_on_a_metric_is_left_to_the_run() -> None:
    """The keys of a dict of metrics are known when the stage has run."""
    assert codes_of("%%mlstage a --metrics m\nm = {'auc': 0.5}", "%%mlstage b --if 'auc > 0.4'\nx = 1") == []


def test_folder_that_is_listed_before_it_is_written_into() -> None:
    """The next run lists what this one writes; what lies deeper is not shown by the listing."""
    listing = "%%mlstage a --file data\nnames = 1"
    assert codes_of(listing, "%%mlstage b\nopen('data/w.txt', 'w').write('x')") == ["NB324 0:None"]
    assert codes_of("%%mlstage b\nopen('data/w.txt', 'w').write('x')", listing) == []
    assert codes_of(listing, "%%mlstage b\nopen('data/deep/w.txt', 'w').write('x')") == []
