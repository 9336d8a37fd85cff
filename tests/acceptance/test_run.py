"""`nbmlops run`: what runs, what is reused, and what the answer says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.project import PIPELINE, Project, cell

STAGES = ["ingest", "features", "train", "evaluate"]
REUSED = dict.fromkeys(STAGES, "reused")


def edited(index: int, old: str, new: str) -> list[Any]:
    """Return the four-stage notebook with one cell changed."""
    cells: list[Any] = list(PIPELINE)
    assert old in cells[index]
    cells[index] = cells[index].replace(old, new)
    return cells


def test_answer_has_every_field_of_the_contract(pipeline: Project) -> None:
    """`run --json` prints one object with the fields of the command contract."""
    done = pipeline.run()
    assert done.code == 0, done.err
    data = done.data
    fields = {"run_id", "status", "notebook", "output", "parameters", "seconds", "stages", "diagnostics", "tracking"}
    assert fields <= set(data)
    assert (data["status"], data["parameters"], data["tracking"]) == ("done", {"n": 3, "C": 0.5}, {})
    assert [item["name"] for item in data["stages"]] == STAGES
    for item in data["stages"]:
        assert {"name", "status", "key", "seconds", "reason", "outputs", "metrics", "gates", "error"} <= set(item)
        assert (item["status"], item["error"]) == ("ran", None)
    assert {"digest", "format", "bytes"} <= set(done.stage("train")["outputs"]["model"])
    assert done.stage("evaluate")["metrics"] == {"total": 3.5}


def test_values_are_those_of_one_pass_from_top_to_bottom(finished: Project) -> None:
    """The artifact that a stage hands on is the value that its cell computed."""
    again = finished.run()
    assert finished.value(again.data["run_id"], "train", "model") == [0.0, 0.5, 2.0]


def test_second_run_reuses_all_and_names_the_run_it_equals(pipeline: Project) -> None:
    """With nothing stale, run id and output are those of the first run."""
    first, second = pipeline.run(), pipeline.run()
    assert second.code == 0, second.err
    assert second.statuses == REUSED
    assert second.data["run_id"] == first.data["run_id"]
    assert second.data["output"] == first.data["output"]
    assert second.stage("evaluate")["metrics"] == {"total": 3.5}


def test_changed_parameter_runs_its_users_only_and_says_so(finished: Project) -> None:
    """A parameter makes stale what reads it and what follows from that, and the reason names both values."""
    done = finished.run("-p", "C", "1.0")
    assert done.statuses == {**REUSED, "train": "ran", "evaluate": "ran"}
    assert "parameter C 0.5 -> 1.0" in done.stage("train")["reason"]
    assert "model" in done.stage("evaluate")["reason"]
    assert done.stage("evaluate")["metrics"] == {"total": 6.0}


def test_why_names_the_parameter(finished: Project) -> None:
    """`why` answers before anything runs."""
    done = finished.call("why", "nb.ipynb", "train", "-p", "C", "1.0")
    assert done.code == 0, done.err
    assert "parameter C 0.5 -> 1.0" in done.out


def test_going_back_to_an_earlier_parameter_reuses_all(finished: Project) -> None:
    """What was computed once for these parameters is kept beside what was computed for others."""
    finished.run("-p", "C", "1.0")
    assert finished.run("-p", "C", "0.5").statuses == REUSED


def test_int_given_for_a_float_is_the_float(finished: Project) -> None:
    """`-p C 1` on a float parameter equals `-p C 1.0`."""
    finished.run("-p", "C", "1.0")
    done = finished.run("-p", "C", "1")
    assert (done.statuses, done.data["parameters"]["C"]) == (REUSED, 1.0)


def test_parameter_file_and_option_together(pipeline: Project) -> None:
    """`-f` sets parameters, `-p` wins over it."""
    (pipeline.folder / "p.yaml").write_text("n: 2\nC: 4.0\n", encoding="utf-8")
    assert pipeline.run("-f", "p.yaml", "-p", "C", "1e-3").data["parameters"] == {"n": 2, "C": 0.001}


@pytest.mark.parametrize(
    ("index", "old", "new"),
    [
        (4, "model =", "# a comment\nmodel  =  "),
        (1, "return x * x", "return (x * x)  # squared"),
        (2, "list(range(n))", "list(\n    range(n)\n)"),
    ],
)
def test_comment_and_layout_run_nothing(finished: Project, index: int, old: str, new: str) -> None:
    """Comments and formatting, in a stage or in a helper, change no result."""
    finished.write(edited(index, old, new))
    assert finished.run().statuses == REUSED


def test_markdown_and_moved_cells_run_nothing(finished: Project) -> None:
    """Text added above shifts every cell and makes nothing stale."""
    finished.write([cell("# Title", kind="markdown"), *PIPELINE])
    assert finished.run().statuses == REUSED


def test_edited_helper_runs_exactly_its_users(finished: Project) -> None:
    """Of two functions in one setup cell only the edited one's users run."""
    finished.write(edited(1, "x + 1", "x + 2"))
    done = finished.run()
    assert done.ran == ["evaluate"]
    assert "shift" in done.stage("evaluate")["reason"]


def test_early_cutoff(finished: Project) -> None:
    """A stage whose edited code gives an equal value makes nothing below it stale."""
    finished.write(edited(3, "square(v)", "square(v) * 1"))
    assert finished.run().ran == ["features"]


def test_renamed_stage_is_reused(finished: Project) -> None:
    """A stage's name is no part of its key."""
    finished.write(edited(4, "%%mlstage train", "%%mlstage fit"))
    assert set(finished.run().statuses.values()) == {"reused"}


def test_force_runs_all(finished: Project) -> None:
    """`--force` runs every stage again."""
    assert finished.run("--force").ran == STAGES


def test_force_stage_runs_that_stage(finished: Project) -> None:
    """`--force-stage` runs one stage; equal output stops there."""
    assert finished.run("--force-stage", "features").ran == ["features"]


def test_stage_option_runs_it_and_what_it_needs(pipeline: Project) -> None:
    """`--stage features` leaves train and evaluate alone."""
    done = pipeline.run("--stage", "features")
    assert done.code == 0, done.err
    assert done.ran == ["ingest", "features"]
    assert not {"ran", "reused"} & {done.statuses.get("train", "not-run"), done.statuses.get("evaluate", "not-run")}
    assert pipeline.run().ran == ["train", "evaluate"]


def test_status_tells_the_plan(finished: Project) -> None:
    """`status` says fresh, stale or unknown, and runs nothing."""
    done = finished.call("status", "nb.ipynb", "-p", "C", "2.0", "--json")
    states = {item["name"]: item["state"] for item in done.data["stages"]}
    assert states == {"ingest": "fresh", "features": "fresh", "train": "stale", "evaluate": "unknown"}
    assert finished.run("-p", "C", "2.0").ran == ["train", "evaluate"]


def test_graph_tells_reads_writes_and_edges(pipeline: Project) -> None:
    """`graph --json` shows parameters, what is read from where, and the edges."""
    data = pipeline.call("graph", "nb.ipynb", "--format", "json").data
    stages = {item["name"]: item for item in data["stages"]}
    assert {"name": "C", "from": "parameters"} in [{key: item[key] for key in ("name", "from")} for item in stages["train"]["reads"]]
    assert {"name": "square", "from": "setup"} in [{key: item[key] for key in ("name", "from")} for item in stages["features"]["reads"]]
    assert (stages["train"]["cells"], stages["train"]["writes"]) == ([4], ["model"])
    assert sorted(map(tuple, data["edges"])) == [("features", "train"), ("ingest", "features"), ("train", "evaluate")]
    assert {(item["name"], item["type"], item["default"]) for item in data["parameters"]} == {("n", "int", 3), ("C", "float", 0.5)}


@pytest.mark.parametrize("form", ["text", "svg", "html", "mermaid"])
def test_graph_formats(pipeline: Project, form: str) -> None:
    """Every format names every stage."""
    done = pipeline.call("graph", "nb.ipynb", "--format", form)
    assert done.code == 0, done.err
    assert all(name in done.out for name in STAGES)


def test_no_cache_stage_runs_every_time(project: Project) -> None:
    """`--no-cache` runs again; equal output leaves the rest reused."""
    project.write(["%%mlstage a --no-cache\nx = 1", "%%mlstage b\ny = x + 1"])
    project.run()
    assert project.run().statuses == {"a": "ran", "b": "reused"}


def test_input_file_and_environment_make_stale(project: Project) -> None:
    """What a stage opens, and the environment variables that it reads, are its inputs."""
    (project.folder / "in.txt").write_text("1", encoding="utf-8")
    project.write(["import os", "%%mlstage a\nx = open('in.txt').read()", "%%mlstage b\ny = os.environ.get('WHO', '-')"])
    project.run(env={"WHO": "me"})
    assert project.run(env={"WHO": "me"}).ran == []
    (project.folder / "in.txt").write_text("2", encoding="utf-8")
    done = project.run(env={"WHO": "you"})
    assert done.ran == ["a", "b"]
    assert "in.txt" in done.stage("a")["reason"]
    assert "WHO" in done.stage("b")["reason"]


def test_parallel_stages_overlap(project: Project) -> None:
    """Two stages that need nothing of each other run at once, and one after the other with one worker."""
    source = "%%mlstage {0} --metrics {0}\n{0} = {{'start': time.time()}}\ntime.sleep(2)\n{0}['end'] = time.time()"
    project.write(["import time", source.format("a"), source.format("b")])
    for workers, overlap in ((2, True), (1, False)):
        done = project.run("--workers", workers, "--force")
        a, b = done.stage("a")["metrics"], done.stage("b")["metrics"]
        assert (max(a["start"], b["start"]) < min(a["end"], b["end"])) is overlap


def test_one_stage_of_several_cells(project: Project) -> None:
    """Cells with one stage tag are one unit; options stand in the metadata."""
    project.write(
        [
            cell("x = 1", "stage:a", options={"metrics": "m"}),
            cell("y = x + 1\nm = {'y': y}", "stage:a"),
            "%%mlstage b\nz = y",
        ]
    )
    done = project.run()
    assert done.ran == ["a", "b"]
    assert done.stage("a")["metrics"] == {"y": 2}


def test_percent_script_is_a_notebook(project: Project) -> None:
    """A `.py` in jupytext's percent format runs like an `.ipynb`."""
    text = '# %% tags=["parameters"]\nn = 2\n\n# %%\n# %%mlstage a\nx = n + 1\n\n# %% tags=["stage:b"]\ny = x * 2\n\n# %%\nprint(y)\n'
    (project.folder / "nb.py").write_text(text, encoding="utf-8")
    done = project.run(notebook="nb.py")
    assert done.code == 0, done.err
    assert done.ran == ["a", "b"]
    assert project.value(done.data["run_id"], "b", "y") == 6


def test_quiet_run_says_only_what_went_wrong(project: Project) -> None:
    """For scripts: nothing of a run that is done, of another one how it failed."""
    project.write(["%%mlstage a\nx = 1", "%%mlstage b\ny = x / 0"])
    good = project.call("run", "nb.ipynb", "--stage", "a", "-q")
    assert (good.code, good.out, good.err) == (0, "", "")
    bad = project.call("run", "nb.ipynb", "--quiet")
    assert bad.code == 1
    assert bad.err.splitlines()[1] == "✗ b: ZeroDivisionError: division by zero (cell 1)"
    assert "cell 1: y = x / 0" in bad.err
    assert "nbmlops why nb.ipynb b" in bad.err


@pytest.mark.parametrize("name", ["本" + "数" * 82, "..%2e%2e#a?b $(touch x)\n;'\"\\..\\-rf"], ids=["long", "hostile"])
def test_name_of_a_notebook(project: Project, name: str) -> None:
    """Whatever a file can be called, its run is kept in the store, and its OUTPUT where it was asked for, and nothing is made beside them."""
    project.write(["%%mlstage a\nx = 1\nprint('hello')"], f"{name}.ipynb")
    done = project.run(notebook=f"./{name}.ipynb")
    assert done.code == 0, done.err
    kept = Path(done.data["output"])
    assert kept.parent == project.folder / ".nbmlops" / "runs"
    assert "hello" in kept.read_text(encoding="utf-8")
    again = project.run(f"./{name[::-1]}.ipynb", notebook=f"./{name}.ipynb")
    assert (again.code, again.ran) == (0, []), again.err
    made = {path.name for path in project.folder.iterdir()}
    assert made == {".nbmlops", "pyproject.toml", f"{name}.ipynb", f"{name[::-1]}.ipynb"}
