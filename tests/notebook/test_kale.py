"""What the cells of a notebook with Kale's tags are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nbmlops.notebook.document import parse_document
from nbmlops.notebook.kale import METRICS_STAGE, speaks_kale, stage_of, tags_written_out
from nbmlops.notebook.roles import Role, RoledCell, assign_roles

if TYPE_CHECKING:
    from collections.abc import Mapping

Row = tuple[str, ...]  # a cell's source, then its tags


def read(*rows: Row | str, metadata: Mapping[str, Any] | None = None, options: Mapping[int, Any] | None = None) -> tuple[RoledCell, ...]:
    """Give the roles of a notebook's cells."""
    return assign_roles(document(*rows, metadata=metadata, options=options))


def document(*rows: Row | str, metadata: Mapping[str, Any] | None = None, options: Mapping[int, Any] | None = None) -> Any:
    """Make a document of code cells; a string is an untagged one."""
    cells = [
        {
            "cell_type": "code",
            "id": f"c{index}",
            "source": row if isinstance(row, str) else row[0],
            "metadata": {"tags": [] if isinstance(row, str) else list(row[1:]), "nbmlops": (options or {}).get(index, {})},
        }
        for index, row in enumerate(rows)
    ]
    return parse_document({"nbformat": 4, "nbformat_minor": 5, "metadata": dict(metadata or {}), "cells": cells})


def shape(cells: tuple[RoledCell, ...]) -> list[str]:
    """Give each cell as its stage, or its role."""
    return [roled.stage or roled.role.value for roled in cells]


# the tags of the cells, "-" for an untagged one; what they are
SHAPES: list[tuple[str, list[str]]] = [
    ("step:a / step:b", ["a", "b"]),
    ("block:a / block:b", ["a", "b"]),
    ("step:a / - / -", ["a", "a", "a"]),
    ("step:a / - / step:b / -", ["a", "a", "b", "b"]),
    ("step:a / step:b / step:a", ["a", "b", "a"]),
    ("step:a / block:a", ["a", "a"]),
    ("step:a / skip / -", ["a", "skip", "a"]),
    ("step:a / skip,prev:a / - / skip / -", ["a", "skip", "a", "skip", "a"]),
    ("step:a / block:", ["a", "a"]),
    ("step:a / step:", ["a", "a"]),
    ("imports / - / step:a", ["setup", "setup", "a"]),
    ("functions / - / step:a / -", ["setup", "setup", "a", "a"]),
    ("functions / skip / - / step:a", ["setup", "skip", "setup", "a"]),
    ("imports / block: / step:a", ["setup", "setup", "a"]),
    ("pipeline-parameters / - / step:a", ["parameters", "parameters", "a"]),
    ("parameters / - / step:a", ["parameters", "parameters", "a"]),
    ("pipeline-parameters / injected-parameters / - / step:a", ["parameters", "injected", "parameters", "a"]),
    ("step:a / injected-parameters / -", ["a", "injected", "a"]),
    ("setup / - / step:a", ["setup", "setup", "a"]),
    ("step:a / imports / - / functions / -", ["a", "setup", "setup", "setup", "setup"]),
    ("- / step:a", ["report", "a"]),
    ("skip / - / step:a", ["skip", "report", "a"]),
    ("skip,step:a / step:b", ["skip", "b"]),
    ("step:a,skip / step:b", ["skip", "b"]),
    ("step:a,imports / step:b", ["setup", "b"]),
    ("block:imports / - / block:skip / step:b", ["setup", "setup", "skip", "b"]),
    ("step:_a / step:b", ["step_a", "b"]),
    ("step:_ / step:b", ["step_", "b"]),
    ("step:a,hide-input / raises-exception", ["a", "a"]),
    ("step:a,block:a / -", ["a", "a"]),
]


@pytest.mark.parametrize(("tags", "expected"), SHAPES, ids=[tags for tags, _ in SHAPES])
def test_cells_belong_where_kale_puts_them(tags: str, expected: list[str]) -> None:
    """Untagged cells belong to the tagged cell above them; `skip` is transparent, the first special tag decides alone."""
    rows = [(f"x = f({place})", *(cell.split(",") if cell != "-" else ())) for place, cell in enumerate(tags.split(" / "))]
    found = read(*rows)
    assert shape(found) == expected
    assert [roled.error for roled in found] == [None] * len(rows)


def test_cells_above_the_first_tag_are_read_by_our_own_rules() -> None:
    """Kale ignores them; here imports above the first tag are setup, and what computes is a report cell."""
    assert shape(read("import math", "print(1)", ("x = 1", "step:a"))) == ["setup", "report", "a"]


def test_untagged_cells_that_do_nothing_are_no_part_of_a_step() -> None:
    """A comment or `%mlrun` below a step neither changes its key nor runs in it."""
    assert shape(read(("x = 1", "step:a"), "# a note", "%mlrun", "", "y = 2")) == ["a", "skip", "skip", "skip", "a"]


@pytest.mark.parametrize(
    "rows",
    [
        [("import math", "imports")],
        [("n = 1", "pipeline-parameters"), ("%%mlstage a\nx = n",)],
        [("x = 1", "stage:a"), ("import math", "imports")],
        [("x = 1", "Step: 1"), ("%%mlstage a\nx = 1",)],
        [("x = 1", "hide-input")],
        [("x = 1", "stepwise"), ("x = 1", "my:step:a")],
    ],
)
def test_notebook_without_steps_of_kale_is_not_in_its_dialect(rows: list[Row]) -> None:
    """Words such as `imports` say nothing by themselves."""
    assert not speaks_kale(document(*rows))


def test_options_of_a_step() -> None:
    """Kale's limits, image, secrets and cache become the options of the stage; what only Kubernetes understands is kept as it is."""
    tags = [
        "limit:cpu:500m",
        "limit:memory:4Gi",
        "limit:nvidia.com/gpu:2",
        "image:registry/team/image:1.2",
        "secret:db:password:DB_PASSWORD",
        "cache:disabled",
        "report:enabled",
        "label:team:a:b",
        "annotation:example.com/owner:me",
        "limit:ephemeral-storage:1Gi",
    ]
    directive = read(("x = 1", "step:a", *tags))[0].directive
    assert directive is not None
    assert directive.given_options() == {
        "cpus": 0.5,
        "memory": 4 * 1024**3,
        "gpus": 2,
        "image": "registry/team/image:1.2",
        "secret": ["DB_PASSWORD"],
        "no-cache": True,
        "tags": [tags[2], tags[4], *tags[6:]],
    }
    assert directive.result_options() == {}


@pytest.mark.parametrize(
    ("tag", "field", "value"),
    [
        ("limit:cpu:2", "cpus", 2.0),
        ("limit:cpu:1.5", "cpus", 1.5),
        ("limit:cpu:250m", "cpus", 0.25),
        ("limit:memory:512Mi", "memory_bytes", 512 * 1024**2),
        ("limit:memory:1G", "memory_bytes", 10**9),
        ("limit:memory:2k", "memory_bytes", 2000),
        ("limit:memory:2Ki", "memory_bytes", 2048),
        ("limit:memory:1e9", "memory_bytes", 10**9),
        ("limit:memory:1E", "memory_bytes", None),
        ("limit:memory:1000000", "memory_bytes", 10**6),
        ("limit:amd.com/gpu:1", "gpus", 1),
        ("limit:gpu:0", "gpus", 0),
        ("cache:enabled", "cache", True),
    ],
)
def test_amounts_are_those_of_kubernetes(tag: str, field: str, value: object) -> None:
    """`m` is a thousandth, `Mi` a power of 1024, `G` one of 1000; more than any machine has is refused."""
    roled = read(("x = 1", "step:a", tag))[0]
    assert (roled.error is None) is (value is not None)
    assert value is None or (roled.directive is not None and getattr(roled.directive, field) == value)


def test_options_on_a_later_cell_of_a_step_count() -> None:
    """The cells of a step share what any of them says."""
    cells = read(("x = 1", "step:a"), ("y = 1", "step:a", "cache:disabled"), ("z = 1", "block:", "image:b"))
    assert [roled.directive.given_options() for roled in cells if roled.directive] == [{"image": "b", "no-cache": True}] * 3


def test_defaults_of_the_notebook_yield_to_those_of_a_step() -> None:
    """`steps_defaults` in the notebook's metadata are the options of every step that does not say otherwise."""
    metadata = {"kubeflow_notebook": {"experiment_name": "e", "steps_defaults": ["limit:cpu:2", "label:team:x", "cache:disabled"]}}
    first, second = read(("x = 1", "step:a"), ("y = 1", "step:b", "limit:cpu:4", "cache:enabled"), metadata=metadata)
    assert first.directive is not None
    assert second.directive is not None
    assert (first.directive.cpus, first.directive.cache, first.directive.kept_tags) == (2.0, False, ("label:team:x",))
    assert (second.directive.cpus, second.directive.cache, second.directive.kept_tags) == (4.0, True, ("label:team:x",))


def test_options_in_a_cells_metadata_are_added() -> None:
    """What our own stages say in their metadata, a step of Kale may say too; where both speak, it wins."""
    roled = read(("x = 1", "step:a", "limit:cpu:2"), options={0: {"metrics": "x", "retries": 2, "cpus": 3}})[0]
    assert roled.directive is not None
    assert (roled.directive.metrics, roled.directive.retries, roled.directive.cpus) == (("x",), 2, 3.0)


def test_previous_steps_come_first() -> None:
    """Every `prev:` of every cell of a step counts, each once."""
    cells = read(
        ("x = 1", "step:a"),
        ("x = 1", "step:_b"),
        ("x = 1", "step:c", "prev:a"),
        ("x = 1", "block:", "prev:_b", "prev:a"),
        ("x = 1", "prev:c", "step:d"),
    )
    assert [roled.directive.after for roled in cells if roled.directive] == [(), (), ("a", "step_b"), ("a", "step_b"), ("c",)]


def test_metrics_cells_are_a_stage_of_their_own() -> None:
    """Every name that a `pipeline-metrics` cell prints is a metric, of all such cells together."""
    cells = read(("x = 1\nB = 2", "step:a"), ("print(x)\n\n# and\nB", "pipeline-metrics"), "print(x)")
    assert shape(cells) == ["a", METRICS_STAGE, METRICS_STAGE]
    assert [roled.directive.metrics for roled in cells if roled.directive] == [(), ("x", "B"), ("x", "B")]


def test_blocks_that_run_before_every_step_are_known() -> None:
    """`setup`, our own word, is none of them: it runs where it stands."""
    cells = read(("import math", "imports"), ("n = 1", "pipeline-parameters"), ("k = 1", "functions"), ("s = 1", "setup"), ("x = 1", "step:a"))
    assert [roled.prelude for roled in cells] == ["imports", "pipeline-parameters", "functions", None, None]


# the tags of a second cell, below one with the tag step:load; code and what is said
REFUSED: list[tuple[str, str, str]] = [
    ("step:Train", "NB120", "write step:train"),
    ("step:train-model", "NB120", "write step:train_model"),
    ("step:1st", "NB120", "write step:NAME with lower-case letters"),
    ("step: train", "NB120", "write step:train"),
    ("prev:Load,step:a", "NB120", "write prev:load"),
    ("prev:,step:a", "NB120", "'prev:' is no name of a step"),
    ("step :train", "NB120", "did you mean step:train?"),
    ("Step:train", "NB120", "did you mean step:train?"),
    ("BLOCK:train", "NB120", "did you mean block:train?"),
    ("blocks:train", "NB120", "did you mean block:train?"),
    ("steps:train", "NB120", "did you mean step:train?"),
    ("pre:load,step:a", "NB120", "did you mean prev:load?"),
    ("limits:cpu:1,step:a", "NB120", "did you mean limit:cpu:1?"),
    ("import", "NB120", "did you mean imports?"),
    ("Functions", "NB120", "did you mean functions?"),
    ("pipeline_parameters", "NB120", "did you mean pipeline-parameters?"),
    ("pipeline-metric", "NB120", "did you mean pipeline-metrics?"),
    ("Skip", "NB120", "did you mean skip?"),
    ("step", "NB120", "write step:NAME"),
    ("step:a,step:b", "NB120", "2 steps: a, b"),
    ("step:a,block:b", "NB120", "2 steps: a, b"),
    ("step:a,limit:cpu:lots", "NB120", "'limit:cpu:lots' has a value"),
    ("step:a,limit:cpu:0", "NB120", "give a number above 0"),
    ("step:a,limit:memory:500m", "NB120", "at least one byte"),
    ("step:a,limit:nvidia.com/gpu:half", "NB120", "give a whole number"),
    ("step:a,limit:cpu", "NB120", "is no limit"),
    ("step:a,limit:cpu:1,limit:cpu:2", "NB120", "has the tags 'limit:cpu:1' and 'limit:cpu:2'"),
    ("step:load,limit:cpu:2", "NB120", "has the tags 'limit:cpu:1' in cell 0 and 'limit:cpu:2'"),
    ("step:a,secret:db:password", "NB120", "write secret:NAME:KEY:VARIABLE"),
    ("step:a,secret:db:password:1X", "NB120", "write secret:NAME:KEY:VARIABLE"),
    ("step:a,cache:off", "NB120", "write cache:enabled or cache:disabled"),
    ("step:a,report:yes", "NB120", "write report:enabled or report:disabled"),
    ("step:a,image:", "NB120", "give an image reference"),
    ("step:a,label:team", "NB120", "write label:KEY:VALUE"),
    ("step:a,annotation:-x:y", "NB120", "write annotation:KEY:VALUE"),
    ("step:" + "a" * 64, "NB120", "more than 63 characters"),
    ("notebook:other", "NB121", "puts another notebook's pipeline here"),
    ("notebook:", "NB121", "run that notebook by itself"),
    ("step:a,prev:loda", "NB205", "did you mean prev:load?"),
    ("step:a,prev:zzz", "NB205", "the steps are: load, a"),
    ("step:a,prev:a", "NB205", "names the step itself"),
    ("stage:a", "NB126", "give it the tag step:NAME instead"),
]


@pytest.mark.parametrize(("tags", "code", "part"), REFUSED, ids=[tags[:40] for tags, _, _ in REFUSED])
def test_tags_that_cannot_be_meant_are_refused(tags: str, code: str, part: str) -> None:
    """The error names the cell and the tag, and says what to write."""
    error = read(("x = 1", "step:load", "limit:cpu:1"), ("y = 2", *tags.split(",")))[1].error
    assert error is not None
    assert (error.code, error.cell) == (code, 1)
    assert part in str(error)


@pytest.mark.parametrize(
    ("rows", "cell", "code", "part"),
    [
        ([("x = 1", "imports"), ("y", "limit:cpu:1"), ("z", "step:a")], 1, "NB120", "'limit:cpu:1' stands on a cell of no step"),
        ([("x = 1", "prev:a"), ("z", "step:a")], 0, "NB120", "'prev:a' stands on a cell of no step"),
        ([("x", "step:a", "prev:b"), ("y", "step:b")], 0, "NB125", "step 'b' begins further down, in cell 1"),
        ([("x", "step:_a"), ("y", "step:step_a")], 1, "NB120", "are both called 'step_a' here"),
        ([("x", "step:a"), ("%%mlstage b\ny",)], 1, "NB126", "is a stage of nbmlops"),
        ([("x", "step:a"), ("print('acc', x)", "pipeline-metrics")], 1, "NB122", "write print(NAME)"),
        ([("x", "step:a"), ("print(x)\nprint(x, x)", "pipeline-metrics")], 1, "NB122", "more than the names of metrics"),
        ([("x", "step:a"), ("print(round(x))", "pipeline-metrics")], 1, "NB122", "more than the names of metrics"),
        ([("x", "step:a"), ("score = x", "pipeline-metrics")], 1, "NB122", "compute them in a step"),
        ([("x", "step:a"), ("print(x, end='')", "pipeline-metrics")], 1, "NB122", "more than the names of metrics"),
        ([("x = (", "step:a"), ("print(x", "pipeline-metrics")], 1, "NB109", "does not parse"),
        ([("x", "Step:a"), ("y", "Step:b")], 1, "NB120", "did you mean step:b?"),
    ],
)
def test_cells_that_cannot_be_meant_are_refused(rows: list[Row], cell: int, code: str, part: str) -> None:
    """What no cell alone would tell."""
    error = read(*rows)[cell].error
    assert error is not None
    assert (error.code, error.cell) == (code, cell)
    assert part in str(error)


def test_wrong_defaults_of_the_notebook_are_told_at_its_first_step() -> None:
    """The notebook's metadata have no cell of their own."""
    cells = read("x = f()", ("x = 1", "step:a"), metadata={"kubeflow_notebook": {"steps_defaults": ["limit:cpu"]}})
    assert cells[0].error is None
    assert "which the notebook's metadata give to every step" in str(cells[1].error)


def test_line_of_what_is_no_metric() -> None:
    """The diagnostic points at the line, not at the cell."""
    roled = read(("x = 1", "step:a"), ("print(x)\nprint(1)", "pipeline-metrics"))[1]
    assert (roled.role, roled.error_line) == (Role.STAGE, 2)


@pytest.mark.parametrize(
    ("tags", "stage"),
    [
        (["step:a", "prev:b"], "a"),
        (["block:_a"], "step_a"),
        (["pipeline-metrics"], METRICS_STAGE),
        (["imports"], None),
        (["skip", "step:a"], None),
        ([], None),
        (["step:A"], ""),
        (["step:a", "step:b"], ""),
    ],
)
def test_stage_of_one_cell(tags: list[str], stage: str | None) -> None:
    """What a kernel can tell of a cell by its tags alone."""
    assert stage_of(tags) == stage


@pytest.mark.parametrize(
    ("source", "tags", "expected"),
    [
        ("x = 1", (), ("step:a",)),
        ("x = 1", ("hide-input",), ("hide-input", "step:a")),
        ("x = 1", ("step:b",), ("step:b",)),
        ("x = 1", ("imports",), ("imports",)),
        ("# note", (), ()),
        ("%%mlstage b\nx = 1", (), ()),
    ],
)
def test_tags_of_untagged_cells_written_out(source: str, tags: Row, expected: Row) -> None:
    """A cell that a kernel sees alone carries what the notebook's order says of it."""
    assert tags_written_out(source, tags, "step:a") == expected
