"""Notebooks of Kale run unchanged: both generations of tags, in batch, through papermill and in a kernel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.kernel import Kernel
from tests.acceptance.project import Cell, Project, cell
from tests.acceptance.top_to_bottom import printed, printed_in

if TYPE_CHECKING:
    from collections.abc import Iterator


def shop(word: str) -> tuple[Cell | str, ...]:
    """Make a notebook as Kale's extension writes them, with `word` naming steps: several cells to a step, the rest of Kale's tags."""
    return (
        cell("# A small shop", kind="markdown"),
        cell("import statistics", "imports"),
        cell("import math"),
        cell("days = 4  # how many days are looked at\nrate = 0.5\nname = 'shop'", "pipeline-parameters"),
        cell("def total(values):\n    return sum(values) * rate", "functions"),
        cell("sales = [10 * day for day in range(1, days + 1)]", f"{word}:load", "limit:cpu:1"),
        cell("print(name, len(sales), 'days')"),
        cell("print('only looking', sales)\nsales = None", "skip"),
        cell("sales.append(int(math.sqrt(100)))"),
        cell("mean = statistics.mean(sales)\nprint(mean)", f"{word}:average", "prev:load", "label:team:blue"),
        cell("income = total(sales)\nprint(income)", "prev:load", f"{word}:income"),
        cell("share = mean / income", f"{word}:compare", "prev:average", "prev:income", "cache:enabled"),
        cell("print(round(share, 3))", f"{word}:"),
        cell("print(income)\nprint(share)", "pipeline-metrics"),
    )


STAGES = ["load", "average", "income", "compare", "pipeline-metrics"]


@pytest.mark.parametrize("word", ["step", "block"])
def test_notebook_runs_unchanged(project: Project, word: str) -> None:
    """Every cell prints what it prints from top to bottom, the metrics are those of the metrics cell, and nothing runs twice."""
    project.write(shop(word))
    first = project.run("out.ipynb")
    assert (first.code, list(first.statuses)) == (0, STAGES), first.err
    assert printed_in(project.folder / "out.ipynb") == printed(shop(word), project.folder / "oracle")
    assert first.stage("pipeline-metrics")["metrics"] == {"income": 55.0, "share": 22 / 55.0}
    again = project.run("-p", "days", "4")
    assert again.ran == [], again.data["stages"]


def test_generations_share_their_results(project: Project) -> None:
    """Kale's newer words for the same cells change no key."""
    project.write(shop("block"))
    assert project.run().code == 0
    project.write(shop("step"))
    assert project.run().ran == []


def test_parameters_are_those_of_the_parameters_cell(project: Project) -> None:
    """They have types, defaults and help; changing one runs what uses it."""
    project.write(shop("step"))
    assert project.run().code == 0
    changed = project.run("-p", "rate", "1")
    assert changed.ran == ["income", "compare", "pipeline-metrics"]
    assert changed.stage("pipeline-metrics")["metrics"]["income"] == 110.0
    assert project.run("-p", "rats", "1").data["error"]["fix"] == "did you mean 'rate'?"
    assert project.run("-p", "days", "many").data["error"]["code"] == "NB007"
    assert project.call("graph", "nb.ipynb", "--format", "json").data["parameters"][0]["help"] == "how many days are looked at"


def test_graph_shows_edges_and_options(project: Project) -> None:
    """The steps that `prev:` names come first, what reading found is added, and every tag's meaning is among the options."""
    project.write(shop("step"))
    graph = project.call("graph", "nb.ipynb", "--format", "json").data
    found = {stage["name"]: stage for stage in graph["stages"]}
    assert {name: stage["options"] for name, stage in found.items()} == {
        "load": {"cpus": 1.0},
        "average": {"after": ["load"], "tags": ["label:team:blue"]},
        "income": {"after": ["load"]},
        "compare": {"after": ["average", "income"]},
        "pipeline-metrics": {"metrics": ["income", "share"]},
    }
    assert found["load"]["cells"] == [5, 6, 8]
    assert ["income", "pipeline-metrics"] in graph["edges"]
    assert "label:team:blue" in project.call("graph", "nb.ipynb").out
    assert graph["diagnostics"] == []


def test_other_verbs_know_the_steps(project: Project) -> None:
    """`check`, `status`, `why` and `run --stage` answer for steps as for stages."""
    project.write(shop("step"))
    assert project.call("check", "nb.ipynb", "--json").data == {"diagnostics": []}
    assert project.run("--stage", "average").statuses == {"load": "ran", "average": "ran"}
    states = {item["name"]: item["state"] for item in project.call("status", "nb.ipynb", "--json").data["stages"]}
    assert (states["average"], states["income"]) == ("fresh", "stale")
    assert "rate 0.5 -> 2" in project.call("why", "nb.ipynb", "income", "-p", "rate", "2").out or project.run().code == 0


def test_papermill_gives_the_same_run(project: Project) -> None:
    """Since papermill knows no `pipeline-parameters`, it puts its own cell on top; the values reach the steps all the same."""
    project.write(shop("step"))
    done = project.call("nb.ipynb", "out.ipynb", "--engine", "nbmlops", "-p", "days", "2", module="papermill")
    assert done.code == 0, done.err
    shown = printed_in(project.folder / "out.ipynb")
    assert "shop 2 days\n" in shown
    assert project.run("-p", "days", "2").ran == []


def test_executed_notebook_runs_again(project: Project) -> None:
    """The cell that shows the given values stands below Kale's parameters and overrides them; the steps around it stay whole."""
    project.write(shop("step"))
    assert project.run("again.ipynb", "-p", "days", "2").code == 0
    again = project.run(notebook="again.ipynb")
    assert (again.code, again.ran) == (0, []), again.err


def test_parameters_in_several_cells_are_overridden_in_all(project: Project) -> None:
    """An executed notebook says again what was given, after the last of the cells that assign parameters."""
    project.write([cell("n = 1", "pipeline-parameters"), cell("m = 1"), cell("x = n + m\nprint(x)", "step:a")])
    done = project.run("again.ipynb", "-p", "n", "10", "-p", "m", "20")
    assert done.code == 0, done.err
    assert "30\n" in printed_in(project.folder / "again.ipynb")
    assert project.run(notebook="again.ipynb").ran == []


def test_blocks_below_a_step_run_before_it(project: Project) -> None:
    """As in Kale, parameters, imports and functions may stand anywhere; the functions may need imports further down."""
    project.write(
        [
            cell("def area(r, factor=math.pi):\n    return round(factor * r * r, places)", "functions"),
            cell("a = area(1)\nprint(a)", "step:one"),
            cell("import math", "imports"),
            cell("places = 2", "pipeline-parameters"),
            cell("b = area(2)\nprint(b, a)", "step:two", "prev:one"),
            cell("print(b)", "pipeline-metrics"),
        ]
    )
    done = project.run("out.ipynb")
    assert done.code == 0, done.err
    assert printed_in(project.folder / "out.ipynb")[1:5:3] == ["3.14\n", "12.57 3.14\n"]
    assert project.run("-p", "places", "3").stage("pipeline-metrics")["metrics"] == {"b": 12.566}
    assert project.run().ran == []


def test_class_of_a_block_below_the_steps_comes_back(project: Project) -> None:
    """An instance that one step makes is one for the next, although the class stands below the first."""
    project.write(
        [
            cell("p = Point(3)", "step:one"),
            cell("class Point:\n    def __init__(self, x):\n        self.x = x", "functions"),
            cell("print(type(p) is Point, p.x)", "step:two", "prev:one"),
        ]
    )
    done = project.run("out.ipynb")
    assert done.code == 0, done.err
    assert printed_in(project.folder / "out.ipynb")[2] == "True 3\n"


def test_hidden_read_of_a_block_below_is_part_of_the_key(project: Project) -> None:
    """What only running shows is seen of a cell further down too."""
    step = cell("x = math.floor(2.5) * eval('sca' + 'le')\nprint(x)", "step:a")
    for scale in (2, 3):
        project.write([step, cell(f"import math\nscale = {scale}", "functions")])
        assert project.run("out.ipynb").code == 0
        assert printed_in(project.folder / "out.ipynb")[0] == f"{2 * scale}\n"


def test_block_below_that_redefines_what_a_step_uses_is_told(project: Project) -> None:
    """Kale would run the later one before every step; the value here is that of the notebook from top to bottom."""
    cells = [
        cell("def price():\n    return 1", "functions"),
        cell("a = price()\nprint(a)", "step:one"),
        cell("def price():\n    return 2", "functions"),
        cell("b = price()\nprint(b)", "step:two", "prev:one"),
    ]
    project.write(cells)
    done = project.run("out.ipynb")
    assert printed_in(project.folder / "out.ipynb") == printed(cells, project.folder / "oracle")
    assert [(item["code"], item["stage"]) for item in done.data["diagnostics"]] == [("NB124", "one")]


def test_order_that_can_be_meant_two_ways_is_refused(project: Project) -> None:
    """A step needs the block below it, and another one would get another value if that block ran first."""
    project.write(
        [
            cell("scale = 1", "functions"),
            cell("a = scale", "step:one"),
            cell("b = math.pi * scale", "step:two"),
            cell("import math\nscale = 2", "functions"),
        ]
    )
    done = project.run()
    assert (done.code, done.data["error"]["code"]) == (2, "NB123")


# name, cells, the step that is told, what its step prints
DIFFERENT = {
    "bound in a step that prev does not name": (
        [
            cell("x = 1", "step:load"),
            cell("x = 2", "step:a", "prev:load"),
            cell("print(x)", "step:b", "prev:load"),
        ],
        "b",
    ),
    "changed in place by two steps without an order": (
        [
            cell("x = [1]", "step:load"),
            cell("x += [2]", "step:a", "prev:load"),
            cell("x += [3]", "step:b", "prev:load"),
            cell("print(x)", "step:c", "prev:a", "prev:b"),
        ],
        "b",
    ),
    "a setup object that a step fills": (
        [
            cell("seen = {}", "functions"),
            cell("seen['a'] = 1", "step:a"),
            cell("print(seen)", "step:b", "prev:a"),
        ],
        "b",
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_value_that_kale_would_take_from_elsewhere_is_told(project: Project, name: str) -> None:
    """The value is that of the notebook from top to bottom, and a warning says that Kale's is another."""
    cells, stage = DIFFERENT[name]
    project.write(cells)
    done = project.run("out.ipynb")
    assert done.code == 0, done.err
    assert printed_in(project.folder / "out.ipynb") == printed(cells, project.folder / "oracle")
    assert [item["stage"] for item in done.data["diagnostics"] if item["code"] == "NB124"] == [stage]


def test_prev_alone_orders_steps(project: Project) -> None:
    """A step that reads nothing of another waits for it if a tag says so."""
    project.write(
        [
            cell("import time\nwith open('log.txt', 'a') as file:\n    time.sleep(0.5)\n    file.write('a')", "step:a"),
            cell("import subprocess\nsubprocess.run('printf b >> log.txt', shell=True, check=True)", "step:b", "prev:a"),
        ]
    )
    assert project.run("--workers", "2").code == 0
    assert (project.folder / "log.txt").read_text(encoding="utf-8") == "ab"


@pytest.mark.parametrize("change", ["x = 2", "x.append(2)", "extend()"])
def test_step_that_must_come_between_two_cells_of_another_is_refused(project: Project, change: str) -> None:
    """What a step reads of one cell of a step, a later cell of that step must not change: the step runs as one."""
    project.write(
        [
            cell("def extend():\n    globals()['x'].append(2)", "functions"),
            cell("x = [1]", "step:a"),
            cell("y = len(x)", "step:b", "prev:a"),
            cell(change, "step:a"),
            cell("print(x, y)", "step:c", "prev:a", "prev:b"),
        ]
    )
    done = project.run()
    if done.code == 2:
        assert done.data["error"]["code"] == "NB202"
    else:
        assert (done.code, done.statuses["b"]) == (1, "not-run")
        assert "which a cell above it reads" in done.stage("a")["error"]["message"]


def test_step_between_two_cells_of_another_that_leave_it_alone(project: Project) -> None:
    """Cells of one step may stand apart; a record made before another step stood between them is not trusted for it."""
    apart = [cell("x = [1]", "step:a"), cell("x.append(2)\nz = 3", "step:a"), cell("print(x, z)", "step:c")]
    project.write(apart)
    assert project.run().code == 0
    project.write([apart[0], cell("y = len(x)", "step:b"), *apart[1:]])
    assert project.run().code == 1
    fine = [cell("x = [1]", "step:a"), cell("y = len(x)", "step:b"), cell("z = 3", "step:a"), cell("print(x, y, z)", "step:c")]
    project.write(fine)
    assert project.run("out.ipynb").code == 0
    assert printed_in(project.folder / "out.ipynb")[-1] == "[1] 1 3\n"


REFUSED = {
    "NB120": [cell("x = 1", "step:Load")],
    "NB121": [cell("x = 1", "step:load"), cell("", "notebook:other")],
    "NB122": [cell("x = 1", "step:load"), cell("print('x is', x)", "pipeline-metrics")],
    "NB125": [cell("x = 1", "step:load", "prev:train"), cell("y = 1", "step:train")],
    "NB126": [cell("x = 1", "step:load"), "%%mlstage train\ny = x"],
    "NB201": [cell("y = x", "step:load")],
    "NB202": [cell("x = 1", "step:a"), cell("y = x", "step:b"), cell("z = y", "step:a")],
    "NB204": [cell("x = 1", "step:load"), cell("n = x", "functions"), cell("y = n", "step:train")],
    "NB205": [cell("x = 1", "step:load"), cell("y = 1", "step:train", "prev:loda")],
}


@pytest.mark.parametrize("code", REFUSED)
def test_notebook_that_cannot_be_meant_is_refused(project: Project, code: str) -> None:
    """Nothing runs, and `check` says the same."""
    project.write(REFUSED[code])
    done = project.run()
    assert (done.code, done.data["error"]["code"]) == (2, code)
    listed = project.call("check", "nb.ipynb", "--json")
    assert (listed.code, [item["code"] for item in listed.data["diagnostics"] if item["severity"] == "error"]) == (1, [code])


def test_metric_that_is_no_number_fails_the_metrics(project: Project) -> None:
    """The steps are kept."""
    project.write([cell("x = [1]", "step:a"), cell("print(x)", "pipeline-metrics")])
    done = project.run()
    assert (done.code, done.statuses) == (1, {"a": "ran", "pipeline-metrics": "failed"})
    assert "x is a list, no number" in done.stage("pipeline-metrics")["error"]["message"]


def test_secret_of_a_step_is_not_shown(project: Project) -> None:
    """`secret:NAME:KEY:VARIABLE` passes the variable on and masks its value."""
    project.write([cell("import os", "imports"), cell("print('key', os.environ['DB_PASSWORD'])", "step:a", "secret:db:password:DB_PASSWORD")])
    assert project.run("out.ipynb", env={"DB_PASSWORD": "correct-horse"}).code == 0
    assert "correct-horse" not in (project.folder / "out.ipynb").read_text(encoding="utf-8")


def test_step_without_cache_runs_every_time(project: Project) -> None:
    """`cache:disabled` is `--no-cache`, also where the notebook's metadata say it for every step."""
    project.write([cell("x = 1", "step:a", "cache:disabled"), cell("y = x", "step:b")])
    assert project.run().code == 0
    assert project.run().ran == ["a"]
    path = project.folder / "nb.ipynb"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["metadata"]["kubeflow_notebook"] = {"steps_defaults": ["cache:disabled"]}
    path.write_text(json.dumps(data), encoding="utf-8")
    assert project.run().ran == ["a", "b"]


# -- in a kernel


@pytest.fixture
def kernel(project: Project) -> Iterator[Kernel]:
    """Start a kernel whose front end tells it the notebook and the cells' metadata."""
    started = Kernel(project, project.folder / "nb.ipynb")
    yield started
    started.close()


def in_lab(word: str = "step") -> list[Cell | str]:
    """Return the notebook as it stands in JupyterLab; nobody runs the cell that Kale skips, which would change what a step made."""
    cells = ["%load_ext nbmlops", *shop(word)]
    return [item for item in cells if isinstance(item, str) or "skip" not in item["metadata"].get("tags", ())]


def test_kernel_and_batch_share_what_they_computed(project: Project, kernel: Kernel) -> None:
    """Steps are stage cells in the kernel too; what ran there as a whole is reused in batch."""
    path = project.write(in_lab())
    done = kernel.run_cells(in_lab())
    assert all(item.ok for item in done), [item.text for item in done]
    shown = [item.last_line.split("  ")[0] for item in done if "→" in item.text or "first run" in item.text]
    assert shown == ["load", "load", "load", "average", "income", "compare", "compare", "pipeline-metrics"]
    assert "nothing to report" in kernel.run("%mlcheck").text
    batch = project.run(notebook=path.name)
    assert batch.code == 0, batch.err
    assert batch.stage("pipeline-metrics")["metrics"] == {"income": 55.0, "share": 22 / 55.0}
    assert {name for name, status in batch.statuses.items() if status == "reused"} == {"average", "income", "pipeline-metrics"}


def test_kernel_reuses_what_batch_computed(project: Project, kernel: Kernel) -> None:
    """A step of one cell is not computed again; those of several cells run."""
    project.write(in_lab("block"))
    assert project.run().code == 0
    done = [item.text for item in kernel.run_cells(in_lab("block"))]
    assert [text.count("reused from run") for text in done] == [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1]


def test_value_changed_by_hand_is_told(project: Project, kernel: Kernel) -> None:
    """A cell that is no part of the notebook changed what a step made."""
    project.write(in_lab())
    assert all(item.ok for item in kernel.run_cells(in_lab()))
    kernel.run("sales.append(1)")
    again = kernel.run("mean = statistics.mean(sales)\nprint(mean)", {"tags": ["step:average", "prev:load", "label:team:blue"]}, "cell-9")
    assert "not reproducible, NB403: 'sales' was changed after stage load" in again.text


def test_wrong_tag_is_told_in_the_kernel(project: Project, kernel: Kernel) -> None:
    """The cell does not run."""
    project.write([*in_lab()[:7], cell("x = 1", "step:Load")])
    kernel.run("%load_ext nbmlops")
    done = kernel.run("x = 1", {"tags": ["step:Load"]}, "cell-7")
    assert not done.ok
    assert "NB120" in done.text
    assert "write step:load" in done.text


def test_line_below_a_step_is_no_part_of_it(project: Project, kernel: Kernel) -> None:
    """`%mlrun` and notes stay what they are."""
    cells = [*in_lab(), "%mlcheck"]
    project.write(cells)
    done = kernel.run_cells(cells)
    assert done[-1].text.strip().endswith("nothing to report")
