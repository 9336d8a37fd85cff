"""From cells to stages: what each reads, hands on and uses, and what learnt effects change of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nbmlops.pipeline.effects import Effects
from tests.pipeline.written import cell, pipeline_of

if TYPE_CHECKING:
    from pathlib import Path

PARAMETERS = cell("n = 3\nC = 0.5", "parameters")

EDGES: list[tuple[str, list[Any], list[tuple[str, str]]]] = [
    ("a name", ["%%mlstage a\nx = 1", "%%mlstage b\ny = x"], [("a", "b")]),
    ("nothing", ["%%mlstage a\nx = 1", "%%mlstage b\ny = 1"], []),
    ("nearest definition", ["%%mlstage a\nx = 1", "%%mlstage b\nx = 2", "%%mlstage c\ny = x"], [("b", "c")]),
    ("may-definition", ["%%mlstage a\nx = 1", "%%mlstage b\nif 1 > 2:\n    x = 2", "%%mlstage c\ny = x"], [("a", "b"), ("b", "c")]),
    ("mutation by item", ["%%mlstage a\nx = {}", "%%mlstage b\nx['k'] = 1", "%%mlstage c\ny = x"], [("a", "b"), ("b", "c")]),
    ("setup shadows", ["%%mlstage a\nx = 1", cell("x = 2", "setup"), "%%mlstage b\ny = x"], []),
    ("free name of a helper", ["%%mlstage a\nk = 1", cell("def f():\n    return k", "setup"), "%%mlstage b\ny = f()"], [("a", "b")]),
    ("name in a query", ["%%mlstage a\nt = 1", "%%mlstage b\ny = df.query('x > @t')"], [("a", "b")]),
    ("shell command", ["%%mlstage a\nt = 1", "%%mlstage b\n!echo {t}"], [("a", "b")]),
    ("report in between", ["%%mlstage a\nx = 1", "x = print(x)", "%%mlstage b\ny = 1"], []),
    ("--after", ["%%mlstage a\nx = 1", "%%mlstage b --after a\ny = 1"], [("a", "b")]),
    ("file", ["%%mlstage a\nopen('f.txt', 'w').write('1')", "%%mlstage b\ny = open('f.txt').read()"], [("a", "b")]),
    ("file read before it is written", ["%%mlstage a\ny = open('f.txt').read()", "%%mlstage b\nopen('f.txt', 'w').write('1')"], [("a", "b")]),
    ("file written twice", ["%%mlstage a\nopen('f.txt', 'w').write('1')", "%%mlstage b\nopen('f.txt', 'w').write('2')"], [("a", "b")]),
    ("pattern over a written file", ["%%mlstage a --writes 'o/*.txt'\nx = 1", "%%mlstage b --file 'o/*.txt'\ny = 1"], [("a", "b")]),
    ("declared files", ["%%mlstage a --writes f.bin\nx = 1", "%%mlstage b --file ./f.bin\ny = 1"], [("a", "b")]),
    ("--in instead of reading", ["%%mlstage a\nx = z = 1", "%%mlstage b\nz = 2", "%%mlstage c --in x\ny = z"], [("a", "c")]),
    ("--out instead of binding", ["%%mlstage a --out p\np = q = 1", cell("q = 2", "setup"), "%%mlstage b\ny = p"], [("a", "b")]),
]


@pytest.mark.parametrize(("cells", "edges"), [row[1:] for row in EDGES], ids=[row[0] for row in EDGES])
def test_edges(cells: list[Any], edges: list[tuple[str, str]]) -> None:
    """A stage waits for those that provide what it reads, and for no other."""
    assert sorted(pipeline_of(*cells).edges) == edges


def test_stage_wants_what_later_cells_read() -> None:
    """Of the bound names, those that another stage or a report reads, and those that options name, are handed on."""
    stage = pipeline_of("%%mlstage a --metrics m\nx = y = z = tmp = 1\nm = {}", "%%mlstage b\nw = x", "print(y)").stages["a"]
    assert stage.wants == ("m", "x", "y")
    assert stage.binds == ("m", "tmp", "x", "y", "z")


def test_name_rebound_before_it_is_read_is_not_wanted() -> None:
    """A later definition hides the earlier one."""
    pipeline = pipeline_of("%%mlstage a\nx = 1", "%%mlstage b\nx = 2", "%%mlstage c\ny = x")
    assert (pipeline.stages["a"].wants, pipeline.stages["b"].wants) == ((), ("x",))


def test_read_says_where_from_and_how() -> None:
    """Each read names its provider, the cell and the way it was found."""
    stage = pipeline_of(PARAMETERS, cell("def f():\n    return C", "setup"), "%%mlstage a\nx = n", "%%mlstage b\ny = f(x)").stages["b"]
    assert [(item.name, item.kind, item.provider, item.cell, item.how) for item in stage.reads] == [
        ("C", "parameter", "parameters", 0, "free name of f"),
        ("f", "setup", "setup", 1, "name"),
        ("x", "stage", "a", 2, "name"),
    ]


def test_stage_uses_only_the_setup_that_it_reaches() -> None:
    """Definitions that a stage uses, transitively; not those beside them."""
    pipeline = pipeline_of(
        "import math, os", "def f():\n    return g()\n\ndef g():\n    return math.pi\n\ndef h():\n    return os.sep", "%%mlstage a\nx = f()"
    )
    used = {name for position in pipeline.stages["a"].setup for name in pipeline.setup[position].names}
    assert used == {"f", "g", "math"}


def test_configuration_before_a_stage_is_used_by_it() -> None:
    """`random.seed(0)` concerns every stage after it and none before."""
    pipeline = pipeline_of("import random", "%%mlstage a\nx = 1", cell("random.seed(0)", "setup"), "%%mlstage b\ny = 1")
    configures = {position for position, item in enumerate(pipeline.setup) if item.configures}
    assert not configures & set(pipeline.stages["a"].setup)
    assert configures <= set(pipeline.stages["b"].setup)


def test_process_runs_setup_before_it_and_its_own_cells() -> None:
    """Steps are in document order; no other stage and no report among them."""
    pipeline = pipeline_of(PARAMETERS, "import os", cell("x = 1", "stage:a"), "%%mlstage b\ny = 1", "print(1)", cell("z = x", "stage:a"), "import re")
    assert [(step.kind, step.cell) for step in pipeline.stages["a"].steps] == [("parameters", 0), ("setup", 1), ("stage", 2), ("stage", 5)]


def test_code_is_that_of_cells_and_options_not_of_the_name() -> None:
    """Renaming a stage, or giving it more retries, keeps its record."""
    codes = [pipeline_of(f"%%mlstage {line}\nx = 1").stages for line in ("a", "b --retries 3", "c --seed 1")]
    first, renamed, seeded = (next(iter(stages.values())).code for stages in codes)
    assert first == renamed != seeded


PATHS = [
    ("open('data/a.csv')", ("data/a.csv",)),
    ("open('./data//a.csv')", ("data/a.csv",)),
    ("open(path)", ("in/flights.csv",)),
    ("open(f'{folder}/b.csv')", ("in/b.csv",)),
    ("open(unknown)", ()),
    ("pd.read_csv('https://example.org/a.csv')", ()),
]


@pytest.mark.parametrize(("code", "expected"), PATHS)
def test_paths_are_folded_through_constants_and_parameters(code: str, expected: tuple[str, ...]) -> None:
    """A path that is literal, or made of literals, is an input file."""
    setup = cell("import pandas as pd\nfrom pathlib import Path\nfolder = 'in'\nunknown = input()", "setup")
    stage = pipeline_of(cell("path = 'in/x.csv'", "parameters"), setup, f"%%mlstage a\nx = {code}", parameters={"path": "in/flights.csv"}).stages["a"]
    assert stage.files_read == expected


def test_glob_is_the_files_that_match_now(tmp_path: Path) -> None:
    """`--file` with a pattern stands for the files that are there, and for those that a stage may still write."""
    for name in ("b.csv", "a.csv", "c.txt"):
        (tmp_path / name).touch()
    stage = pipeline_of("%%mlstage a --file '*.csv' --file gone.csv\nx = 1", path=tmp_path / "nb.ipynb").stages["a"]
    assert stage.files_read == ("*.csv", "a.csv", "b.csv", "gone.csv")


def test_environment_and_modules_of_a_stage() -> None:
    """Variables that the code names or `--env` declares, and the modules that it imports."""
    stage = pipeline_of("%%mlstage a --env HOME\nimport os, helpers.clean\nx = os.environ['USER'] + os.getenv('SHELL')").stages["a"]
    assert stage.environment == ("HOME", "SHELL", "USER")
    assert {"os", "helpers.clean"} <= set(stage.modules)


def test_injected_parameters_win() -> None:
    """The cell that papermill adds comes later, so its value is the one that is read."""
    pipeline = pipeline_of(cell("n = 1", "parameters"), cell("n = 2", "injected-parameters"), "%%mlstage a\nx = n")
    assert pipeline.stages["a"].reads[0].cell == 1


THREE = ("%%mlstage a\nx = [1]\nt = 2", "%%mlstage b\ny = work(x)", "%%mlstage c\nz = x", cell("def work(x): ...", "setup"))


def test_learnt_read_is_an_edge() -> None:
    """A name that a stage was seen to take links it to the provider."""
    cells = ("%%mlstage a\nt = 1", "%%mlstage b\ny = eval(text)", cell("text = 't'", "setup"))
    assert pipeline_of(*cells).edges == ()
    read = pipeline_of(*cells, effects={"b": Effects(reads=("t",))}).stages["b"].reads[-1]
    assert (read.name, read.provider, read.how) == ("t", "a", "learnt, seen when it ran")


def test_learnt_mutation_is_a_new_version() -> None:
    """An input that a stage was seen to change is read from that stage afterwards."""
    assert pipeline_of(*THREE).stages["c"].inputs == {"x": "a"}
    learnt = pipeline_of(*THREE, effects={"b": Effects(mutated=("x",))})
    assert learnt.stages["c"].inputs == {"x": "b"}
    assert "x" in learnt.stages["b"].wants


def test_learnt_write_is_a_version() -> None:
    """A name bound through `exec` is provided once it has been seen."""
    cells = ("%%mlstage a\nexec(input())", "%%mlstage b\ny = q")
    assert pipeline_of(*cells, effects={"a": Effects(writes=("q",))}).stages["b"].inputs == {"q": "a"}


def test_alias_brings_its_mates() -> None:
    """Who reads one name of an alias set loads all, so that they share state there too."""
    cells = ("%%mlstage a\ntrain = [1]\nboth = [train]", "%%mlstage b\ny = both")
    stage = pipeline_of(*cells, effects={"a": Effects(aliases=(("both", "train"),))}).stages["b"]
    assert {(item.name, item.how) for item in stage.reads} == {("both", "name"), ("train", "shares state with both")}


def test_learnt_file_is_an_edge() -> None:
    """A file that one stage was seen to write and another to read, or to miss, orders them."""
    cells = ("%%mlstage a\nwrite()", "%%mlstage b\ny = load()", cell("def write(): ...\ndef load(): ...", "setup"))
    written = Effects(files_written=("m.bin",))
    for seen in (Effects(files_read=("m.bin",)), Effects(files_absent=("m.bin",))):
        stage = pipeline_of(*cells, effects={"a": written, "b": seen}).stages["b"]
        assert (stage.upstream, stage.files_from) == (("a",), {"m.bin": "a"})


def test_building_is_pure() -> None:
    """The same cells give equal pipelines."""
    assert pipeline_of(*THREE) == pipeline_of(*THREE)
