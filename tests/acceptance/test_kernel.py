"""Stages in a live kernel, and what kernel and batch share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.kernel import Executed, Kernel
from tests.acceptance.project import PIPELINE, Project, cell, text_of

LOAD = "%load_ext nbmlops"
CELLS = [LOAD, *PIPELINE]
Starter = Callable[..., Kernel]
STAGE_CELLS = {3: "ingest", 4: "features", 5: "train", 6: "evaluate"}


@pytest.fixture
def start(project: Project) -> Iterator[Starter]:
    """Start kernels that end with the test."""
    started: list[Kernel] = []

    def begin(*, notebook: str | None = "nb.ipynb", load: bool = False) -> Kernel:
        made = Kernel(project, project.folder / notebook if notebook else None)
        started.append(made)
        if load:
            made.run(LOAD)
        return made

    yield begin
    for kernel in started:
        kernel.close()


def assert_all_reused(done: list[Executed]) -> None:
    """Check that every stage cell of the pipeline notebook says that it was reused."""
    for index, name in STAGE_CELLS.items():
        assert re.search(rf"{name}\s+reused from run [0-9a-f]{{4}}", done[index].last_line), done[index].text


def test_batch_reuses_what_the_kernel_computed(project: Project, start: Starter) -> None:
    """All cells in a kernel, then `nbmlops run`: every stage is reused, values and outputs are the kernel's."""
    project.write(CELLS)
    done = start().run_cells(CELLS)
    assert all(item.ok for item in done), [item.text for item in done]
    batch = project.run("out.ipynb")
    assert batch.code == 0, batch.err
    assert set(batch.statuses.values()) == {"reused"}
    assert batch.stage("evaluate")["metrics"] == {"total": 3.5}
    assert "trained" in (project.folder / "out.ipynb").read_text(encoding="utf-8")


def test_kernel_reuses_what_batch_computed(project: Project, start: Starter) -> None:
    """`nbmlops run`, then all cells in a fresh kernel: every stage is reused, its outputs shown, its values there."""
    project.write(CELLS)
    assert project.run().code == 0
    kernel = start()
    done = kernel.run_cells(CELLS)
    assert_all_reused(done)
    assert "trained" in done[5].text
    assert kernel.value("model") == "[0.0, 0.5, 2.0]"
    assert "report {'total': 3.5}" in done[7].text


def test_kernel_reuses_what_another_kernel_computed(project: Project, start: Starter) -> None:
    """After a restart nothing is computed again, also where the notebook's file is not known."""
    project.write(CELLS)
    start(notebook=None).run_cells(CELLS)
    assert_all_reused(start(notebook=None).run_cells(CELLS))


def test_last_line_of_a_stage_that_ran(project: Project, start: Starter) -> None:
    """One line: name, ran, time, outputs with sizes, and why."""
    project.write(CELLS)
    kernel = start()
    done = kernel.run_cells(CELLS)
    assert re.match(r"train\s+ran [\d.]+ m?s\s+→ model \([\d.]+ \w?B\)", done[5].last_line), done[5].text
    kernel.run("C = 1.0", {"tags": ["parameters"]}, "cell-1")
    again = kernel.run(str(CELLS[5]), cell_id="cell-5")
    assert re.search(r"· .*parameter C 0\.5 → 1\.0", again.last_line), again.text


def test_last_line_comes_last(start: Starter) -> None:
    """Also after the value that the cell shows."""
    kernel = start(notebook=None, load=True)
    done = kernel.run("%%mlstage a\nx = 1\nprint('shown')\nx + 1")
    assert [item["output_type"] for item in done.outputs][:2] == ["stream", "execute_result"]
    assert re.match(r"a\s+ran", done.last_line), done.outputs


def test_running_a_cell_twice_reuses(start: Starter) -> None:
    """The second execution is reused, and shows what the first showed."""
    kernel = start(notebook=None, load=True)
    first = kernel.run("%%mlstage a\nx = [1]\nprint('shown')\nx")
    second = kernel.run("%%mlstage a\nx = [1]\nprint('shown')\nx")
    assert "reused" in second.last_line
    assert first.text.strip().splitlines()[:-1] == second.text.strip().splitlines()[:-1]


def test_edited_cell_runs_again(start: Starter) -> None:
    """An edit runs the stage, a comment does not."""
    kernel = start(notebook=None, load=True)
    kernel.run("%%mlstage a\nx = 1")
    assert "reused" in kernel.run("%%mlstage a\nx = 1  # one").last_line
    assert re.match(r"a\s+ran", kernel.run("%%mlstage a\nx = 2").last_line)
    assert kernel.value("x") == "2"


@pytest.mark.parametrize("cell_ids", [("", "", ""), ("f", "s", "f"), ("f", "s", "g")], ids=["console", "edited", "defined below"])
def test_helper_that_was_defined_anew(start: Starter, cell_ids: tuple[str, str, str]) -> None:
    """A stage runs with the function that is live, wherever it was defined anew, and the line names it."""
    kernel = start(notebook=None, load=True)
    stage = "%%mlstage a\nx = clean(1)"
    kernel.run("def clean(v):\n    return v + 1", cell_id=cell_ids[0])
    kernel.run(stage, cell_id=cell_ids[1])
    kernel.run("def clean(v):\n    return v + 2", cell_id=cell_ids[2])
    done = kernel.run(stage, cell_id=cell_ids[1])
    assert kernel.value("x") == "3"
    assert "clean" in done.last_line


def test_constant_that_was_bound_anew(start: Starter) -> None:
    """The same for a constant."""
    kernel = start(notebook=None, load=True)
    kernel.run("K = 1")
    kernel.run("%%mlstage a\nx = K")
    kernel.run("K = 2")
    done = kernel.run("%%mlstage a\nx = K")
    assert (kernel.value("x"), "K" in done.last_line) == ("2", True)


def test_value_changed_by_hand_is_not_reproducible(project: Project, start: Starter) -> None:
    """A stage on hidden state runs on the live value, says so with the variable, and batch never uses its result."""
    project.write(CELLS)
    kernel = start()
    kernel.run_cells(CELLS[:4])
    kernel.run("data.append(9)")
    done = kernel.run(str(CELLS[4]), cell_id="cell-4")
    assert "not reproducible" in done.text
    assert "data" in done.text
    assert kernel.value("X") == "[0, 1, 4, 81]"
    batch = project.run()
    assert batch.stage("evaluate")["metrics"] == {"total": 3.5}


def test_value_bound_by_hand_is_not_reproducible(project: Project, start: Starter) -> None:
    """The same when the name is bound to another value, and for what follows from it."""
    project.write(CELLS)
    kernel = start()
    kernel.run_cells(CELLS[:4])
    kernel.run("data = [5]")
    assert "not reproducible" in kernel.run(str(CELLS[4]), cell_id="cell-4").text
    kernel.run(str(CELLS[5]), cell_id="cell-5")
    kernel.run(str(CELLS[6]), cell_id="cell-6")
    assert project.run().stage("evaluate")["metrics"] == {"total": 3.5}


def test_value_changed_and_put_right_is_reproducible(project: Project, start: Starter) -> None:
    """After the stage that makes the value has run again, all is as in batch."""
    project.write(CELLS)
    kernel = start()
    kernel.run_cells(CELLS)
    kernel.run("data.append(9)")
    kernel.run(str(CELLS[3]), cell_id="cell-3")
    done = kernel.run(str(CELLS[4]), cell_id="cell-4")
    assert "reused" in done.last_line
    assert "not reproducible" not in done.text
    assert kernel.value("data, X") == "([0, 1, 2], [0, 1, 4])"


def test_cell_run_out_of_order(project: Project, start: Starter) -> None:
    """A stage whose input does not exist yet says which; the file of the notebook tells which stage makes it."""
    project.write(CELLS)
    kernel = start()
    kernel.run_cells(CELLS[:3])
    done = kernel.run(str(CELLS[4]), cell_id="cell-4")
    assert not done.ok
    assert "data" in done.text
    assert done.text.count("Traceback") <= 1


def test_error_shows_the_users_traceback_once(start: Starter) -> None:
    """One error output, the user's line in it, no frame of ours."""
    kernel = start(notebook=None, load=True)
    done = kernel.run("%%mlstage a\nprint('so far')\ndef f(v):\n    return v / 0\n\nx = f(1)")
    assert not done.ok
    errors = [item for item in done.outputs if item["output_type"] == "error"]
    assert [(item["ename"], item["evalue"]) for item in errors] == [("ZeroDivisionError", "division by zero")]
    text = re.sub(r"\x1b\[[0-9;]*m", "", text_of_error(errors[0]))
    assert text.count("Traceback (most recent call last)") == 1
    assert "return v / 0" in text
    assert "nbmlops/" not in text
    assert "so far" in done.text


def text_of_error(output: dict[str, object]) -> str:
    """Join an error's traceback."""
    lines = output["traceback"]
    assert isinstance(lines, list)
    return "\n".join(lines)


def test_failed_stage_leaves_no_value_of_before(start: Starter) -> None:
    """After a failure the stage is not taken for done: it runs again."""
    kernel = start(notebook=None, load=True)
    kernel.run("%%mlstage a\nx = 1")
    assert not kernel.run("%%mlstage a\nx = 2\nraise ValueError('no')").ok
    assert re.match(r"a\s+(ran|reused)", kernel.run("%%mlstage a\nx = 1").last_line)
    assert kernel.value("x") == "1"


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("%%mlstage a --retry 3\nx = 1", ["--retries"]),
        ("%%mlstage 1a\nx = 1", ["1a"]),
        ("%%mlstage\nx = 1", ["name"]),
        ("%%mlstage a\nx = nothing_here", ["nothing_here"]),
        ("%mlwhy nothing_here", ["nothing_here"]),
        ("%mlload nothing_here", ["nothing_here"]),
        ("%mlrun none.ipynb", ["none.ipynb"]),
        ("%mlstatus -p", ["-p"]),
        ("%mlpipeline use none.ipynb", ["none.ipynb"]),
    ],
)
def test_users_mistake_is_one_line(project: Project, start: Starter, source: str, parts: list[str]) -> None:
    """No traceback for a mistake in a magic; what is wrong is named."""
    project.write(CELLS)
    done = start(load=True).run(source)
    assert not done.ok
    assert all(part in done.text for part in parts), done.text
    assert "nothing_here" in source or "Traceback" not in done.text


def test_tag_only_cells_are_stages(project: Project, start: Starter) -> None:
    """A cell with only a tag is a stage, with options from its metadata; one of several cells is kept by batch alone."""
    cells = [
        LOAD,
        cell("C = 0.5", "parameters"),
        cell("model = [C]", "stage:train"),
        cell("m = {'total': sum(model)}", "stage:evaluate", options={"metrics": ["m"], "require": ["total > 0"]}),
        cell("n = model[0]", "stage:evaluate"),
        cell("print(n)"),
    ]
    project.write(cells)
    done = start().run_cells(cells)
    assert re.match(r"train\s+ran", done[2].last_line), done[2].text
    assert "evaluate" in done[4].last_line
    batch = project.run()
    assert batch.statuses == {"train": "reused", "evaluate": "ran"}, batch.out
    again = start().run_cells(cells)
    assert re.match(r"train\s+reused", again[2].last_line), again[2].text


def test_completion(project: Project, start: Starter) -> None:
    """Options and stage names complete."""
    project.write(CELLS)
    kernel = start()
    kernel.run_cells(CELLS)
    assert {"--require", "--retries"} <= set(kernel.complete("%%mlstage train --re"))
    assert "train" in kernel.complete("%mlwhy tr")
    assert "features" in kernel.complete("%%mlstage other --after fea")
    assert "--metrics" in kernel.inspect("%%mlstage")


def test_verbs_in_the_kernel(project: Project, start: Starter) -> None:
    """The read-only verbs answer from the kernel's notebook."""
    project.write(CELLS)
    kernel = start()
    kernel.run_cells(CELLS)
    status = kernel.run("%mlstatus -p C 2.0").text
    assert re.search(r"features\W+fresh", status), status
    assert re.search(r"train\W+stale", status), status
    assert "parameter C 0.5 -> 2.0" in kernel.run("%mlwhy train -p C 2.0").text.replace("→", "->")
    graph = kernel.run("%mlgraph")
    assert graph.ok
    assert all(name in graph.text for name in STAGE_CELLS.values())
    assert kernel.run("%mlcheck").ok
    assert kernel.value("data") == "[0, 1, 2]"


SERVERS = """
import pathlib
def read(path):
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""
def servers():
    mine = f" {os.getpid()} ".encode()
    found = [path for path in pathlib.Path("/proc").iterdir() if path.name.isdecimal() and b"executors.zygote" in read(path / "cmdline")]
    return [path.name for path in found if mine in read(path / "stat")]
"""


def test_mlrun_again_has_the_same_workers(project: Project, start: Starter) -> None:
    """What the pipeline imports is imported once for all runs of a kernel."""
    project.write(CELLS)
    kernel = start(load=True)
    assert kernel.run("import os").ok
    assert kernel.run("%mlrun --force").ok
    assert kernel.run(SERVERS).ok
    first = kernel.value("servers()")
    assert kernel.run("%mlrun --force").ok
    assert (len(first) > 2, kernel.value("servers()")) == (True, first)


def test_mlrun_runs_the_file_and_mlload_brings_its_values(project: Project, start: Starter) -> None:
    """`%mlrun` reuses the kernel's stages; `%mlload` puts stored outputs into the kernel."""
    project.write(CELLS)
    kernel = start()
    kernel.run_cells(CELLS)
    done = kernel.run("run = %mlrun -p C 4.0")
    assert done.ok, done.text
    assert kernel.value("' '.join(s.status for s in run.stages.values())") == "'reused reused ran ran'"
    assert kernel.value("model, run['model']") == "([0.0, 0.5, 2.0], [0.0, 4.0, 16.0])"
    assert kernel.run("%mlload train").ok
    assert kernel.value("model") == "[0.0, 4.0, 16.0]"


def test_mlrun_shows_how_the_run_stands_where_somebody_looks_on(project: Project, start: Starter) -> None:
    """One output, drawn anew, that becomes the result; without a front end there is the result alone."""
    project.write([LOAD, "%%mlstage a\nx = 1"])
    kernel = start(load=True)
    done = kernel.run("run = %mlrun", cell_id="c1")
    (shown,) = [item for item in done.outputs if item["output_type"] == "display_data"]
    assert all(re.match(r"\d of \d done", text_of(item)) for item in done.replaced)
    assert done.replaced
    assert re.match(r"run \w+ of .*: done in ", text_of(shown))
    assert "text/html" in shown["data"]
    alone = kernel.run("run = %mlrun --force", cell_id=None)
    assert (len(alone.outputs), alone.replaced) == (1, [])
    assert ": done in " in alone.text


def test_mlload_of_a_failed_stage(project: Project, start: Starter) -> None:
    """Its inputs come into the kernel, and its traceback is shown; of a refused one its outputs too, and why it failed is told by `%mlwhy`."""
    project.write([LOAD, "%%mlstage a\nx = {1, 2}", "%%mlstage b\ny = len(x) / 0", "%%mlstage c --metrics m --require 'm > 2'\nm = len(x)"])
    assert project.run().code == 1
    kernel = start(load=True)
    shown = kernel.run("%mlload b")
    assert "ZeroDivisionError" in shown.text
    assert kernel.value("x") == "{1, 2}"
    assert "it failed: ZeroDivisionError: division by zero (cell 2)" in kernel.run("%mlwhy b").text
    assert "loaded x, m, the inputs and outputs of stage c, which was refused in run " in kernel.run("%mlload c").text
    assert kernel.value("m") == "2"
    assert "it was refused: m > 2" in kernel.run("%mlwhy c").text
    path = project.folder / "nb.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace("x = {1, 2}", "x = {1, 2} / 0"), encoding="utf-8")
    assert project.run().code == 1
    assert "the inputs of stage b, which failed" in kernel.run("%mlload b").text  # in the run before: this one did not come to it


def test_stage_process_state_does_not_leak(project: Project, start: Starter) -> None:
    """Names that nbmlops needs for itself do not appear in the user's namespace."""
    project.write(CELLS)
    kernel = start()
    kernel.run("before = set(globals())")
    kernel.run_cells(CELLS)
    new = kernel.value("sorted(n for n in set(globals()) - before if not n.startswith('_'))")
    assert new == "['C', 'X', 'before', 'data', 'model', 'n', 'scores', 'shift', 'square']"


def test_interrupted_stage(start: Starter) -> None:
    """A stage that was interrupted is not taken for done."""
    kernel = start(notebook=None, load=True)
    done = kernel.run("%%mlstage a\nx = 1\nraise KeyboardInterrupt")
    assert not done.ok
    assert re.match(r"a\s+ran", kernel.run("%%mlstage a\nx = 1\n# again\nx = x + 0").last_line)


def test_large_and_unstorable_values_stay_usable(start: Starter) -> None:
    """In the kernel a value that cannot be stored costs reuse, not the stage."""
    kernel = start(notebook=None, load=True)
    first = kernel.run("%%mlstage a\nimport threading\nlock = threading.Lock()\nx = 1")
    assert first.ok, first.text
    assert kernel.value("(x, lock.locked())") == "(1, False)"
    again = kernel.run("%%mlstage a\nimport threading\nlock = threading.Lock()\nx = 1")
    assert again.ok
    assert kernel.value("(x, lock.locked())") == "(1, False)"


def test_stage_of_several_cells_is_computed_cell_by_cell(start: Starter) -> None:
    """A cell that is a part of a stage is never served the result of the whole."""
    kernel = start(notebook=None, load=True)
    tagged = {"tags": ["stage:a"]}
    kernel.run("x = 1", tagged, cell_id="one")
    kernel.run("x = x + 1", tagged, cell_id="two")
    kernel.run("x = 2", tagged, cell_id="one")
    kernel.run("x = x + 1", tagged, cell_id="two")
    assert kernel.value("x") == "3"


def test_name_that_in_leaves_out_is_told(start: Starter) -> None:
    """A value that batch would not have is read: nothing is reused, and the line says so."""
    kernel = start(notebook=None, load=True)
    kernel.run("%%mlstage a\nx = 1\ny = 2")
    assert "not reproducible" in kernel.run("%%mlstage b --in x\nz = x + y").last_line
    kernel.run("%%mlstage a\nx = 1\ny = 3")
    kernel.run("%%mlstage b --in x\nz = x + y")
    assert kernel.value("z") == "4"


def test_state_that_a_stage_changes_in_a_setup_class_is_told(start: Starter) -> None:
    """Batch makes the class anew for each stage: a record of this kernel must not stand for that."""
    kernel = start(notebook=None, load=True)
    kernel.run("class M:\n    seen = []")
    assert "not reproducible" in kernel.run("%%mlstage a\nM.seen.append(1)").last_line


def test_condition_holds_in_the_kernel_too(start: Starter) -> None:
    """A stage whose --if is false is skipped, as in batch."""
    kernel = start(notebook=None, load=True)
    kernel.run("flag = False")
    assert "skipped" in kernel.run("%%mlstage a --if flag\nx = 1").last_line
    assert kernel.value("'x' in globals()") == "False"


def test_semicolon_hides_the_last_value(start: Starter) -> None:
    """As in any cell, a semicolon at the end keeps the value from being shown."""
    kernel = start(notebook=None, load=True)
    assert "4321" in kernel.run("%%mlstage a\n4300 + 21").text
    assert "4322" not in kernel.run("%%mlstage b\n4300 + 22;").text
