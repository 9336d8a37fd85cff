"""`nbmlops sweep`: what it runs, what it answers, and that the same words give the same trials."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import nbmlops
from tests.acceptance.project import Project, cell
from tests.acceptance.sweeping import SPACE, Sweeping, loss, score, strict

if TYPE_CHECKING:
    from collections.abc import Iterator

N = 12


@pytest.fixture
def sweeping(project: Project) -> Sweeping:
    """Give an empty project whose stages can leave marks."""
    return Sweeping(project)


@pytest.fixture
def curve(sweeping: Sweeping) -> Sweeping:
    """Give a project with the notebook of three stages, not run yet."""
    sweeping.curve()
    return sweeping


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sweeping, dict[str, Any]]]:
    """Give a project with a finished sweep of 12 trials, two stages at once, and its answer."""
    sweeping = Sweeping(Project(tmp_path_factory.mktemp("sweep") / "project"))
    sweeping.curve()
    yield sweeping, sweeping.sweep("--trials", N, "--maximize", "score", *SPACE, "--workers", 2, "--seed", 1)
    sweeping.project.kill_left_over()


def outcomes(data: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return what a user sees of each trial: number, state, parameters, values."""
    return [(item["number"], item["state"], item["parameters"], item["values"]) for item in data["trials"]]


def states(data: dict[str, Any]) -> list[str]:
    """Return the trials' states by number."""
    return [item["state"] for item in data["trials"]]


def test_answer_has_every_field_of_the_contract(swept: tuple[Sweeping, dict[str, Any]]) -> None:
    """`sweep --json` prints the fields of the command contract; the name is the notebook's."""
    _, data = swept
    assert {"name", "best", "trials", "tracking"} <= set(data)
    assert (data["name"], data["tracking"]) == ("nb", {})
    assert {"number", "parameters", "values", "run_id", "output"} <= set(data["best"])
    for item in data["trials"]:
        assert {"number", "state", "parameters", "values", "seconds", "ran", "reused"} <= set(item)
        assert isinstance(item["seconds"], float)


def test_as_many_trials_as_were_asked_for(swept: tuple[Sweeping, dict[str, Any]]) -> None:
    """N trials, numbered from 0, all complete, no two with the same parameters."""
    _, data = swept
    assert [(item["number"], item["state"]) for item in data["trials"]] == [(number, "COMPLETE") for number in range(N)]
    assert len({json.dumps(item["parameters"], sort_keys=True) for item in data["trials"]}) == N


def test_parameters_lie_within_their_ranges(swept: tuple[Sweeping, dict[str, Any]]) -> None:
    """Each trial has a float of the one range and an int of the other."""
    _, data = swept
    for item in data["trials"]:
        assert set(item["parameters"]) == {"x", "n"}
        x, n = item["parameters"]["x"], item["parameters"]["n"]
        assert (type(x), type(n)) == (float, int)
        assert 0 <= x <= 1
        assert 1 <= n <= 5


def test_values_are_those_of_the_notebook(swept: tuple[Sweeping, dict[str, Any]]) -> None:
    """A trial's value is what the cells compute for its parameters, to the last bit."""
    _, data = swept
    assert [item["values"] for item in data["trials"]] == [[score(item["parameters"])] for item in data["trials"]]


def test_best_is_what_one_computes_by_hand(swept: tuple[Sweeping, dict[str, Any]]) -> None:
    """The best trial is the one with the largest score of all."""
    _, data = swept
    number = max(range(N), key=lambda index: score(data["trials"][index]["parameters"]))
    found = data["best"]
    assert (found["number"], found["parameters"]) == (number, data["trials"][number]["parameters"])
    assert found["values"] == [score(found["parameters"])]


def test_each_stage_ran_once_for_each_value_of_what_it_reads(swept: tuple[Sweeping, dict[str, Any]]) -> None:
    """Load ran once in all, grow once for each n, train once for each trial."""
    sweeping, data = swept
    trials = [item["parameters"] for item in data["trials"]]
    assert Counter(sweeping.marked("load")) == {"": 1}
    assert Counter(sweeping.marked("grow ")) == Counter({str(item["n"]) for item in trials})
    assert Counter(sweeping.marked("train ")) == Counter(f"{item['x']!r} {item['n']}" for item in trials)


def test_ran_and_reused_are_told_truly(swept: tuple[Sweeping, dict[str, Any]]) -> None:
    """Every stage is in `ran` or `reused` of every trial, and ran as often as the stages say; what no parameter touches may run before all trials."""
    sweeping, data = swept
    for item in data["trials"]:
        assert sorted(item["ran"] + item["reused"]) == ["grow", "load", "train"]
        assert "train" in item["ran"]
    told = Counter(name for item in data["trials"] for name in item["ran"])
    assert told | Counter(load=1) == Counter(name.split()[0] for name in sweeping.marked())


def test_best_trial_is_a_full_run_with_its_notebook(swept: tuple[Sweeping, dict[str, Any]]) -> None:
    """The best trial's run exists, its notebook shows its parameters and values, and its artifacts can be taken."""
    sweeping, data = swept
    found = data["best"]
    text = Path(found["output"]).read_text(encoding="utf-8")
    assert "report {" in text
    assert repr(found["parameters"]["x"]) in text
    assert str(score(found["parameters"])) in text
    value = sweeping.project.value(found["run_id"], "train", "model")
    assert value == {"x": found["parameters"]["x"], "size": 3 * found["parameters"]["n"]}


@pytest.mark.thorough
def test_run_with_the_best_parameters_is_that_run(swept: tuple[Sweeping, dict[str, Any]]) -> None:
    """`nbmlops run` with the best parameters reuses all, and names the run that the sweep made."""
    sweeping, data = swept
    found = data["best"]
    words = [word for name, value in found["parameters"].items() for word in ("-p", name, str(value))]
    done = sweeping.project.run(*words)
    assert done.code == 0, done.err
    assert set(done.statuses.values()) == {"reused"}
    assert done.data["run_id"] == found["run_id"]


@pytest.mark.parametrize("count", [N, 5])
def test_same_command_again_runs_nothing(swept: tuple[Sweeping, dict[str, Any]], count: int) -> None:
    """A sweep that has its trials already answers with them, and runs nothing; N counts in all."""
    sweeping, data = swept
    marks = sweeping.marked()
    again = sweeping.sweep("--trials", count, "--maximize", "score", *SPACE, "--workers", 2, "--seed", 1)
    assert (outcomes(again), again["best"]) == (outcomes(data), data["best"])
    assert sweeping.marked() == marks


OTHER = {
    "space": ("--maximize", "score", "--space", "x=float(0, 2)", "--space", "n=int(1, 5)"),
    "fewer": ("--maximize", "score", "--space", "x=float(0, 1)"),
    "objective": ("--maximize", "loss", *SPACE),
    "direction": ("--minimize", "score", *SPACE),
    "second objective": ("--maximize", "score", "--minimize", "loss", *SPACE),
}


@pytest.mark.parametrize("name", OTHER)
def test_name_of_another_sweep_is_refused(swept: tuple[Sweeping, dict[str, Any]], name: str) -> None:
    """Another space or objective under a name that is taken: one line that names the sweep and the option --name."""
    swept[0].refused("--trials", N + 2, *OTHER[name], parts=("nb", "--name"))


def test_human_text_goes_to_stderr(swept: tuple[Sweeping, dict[str, Any]]) -> None:
    """Without --json stdout is empty, and stderr names the best value, its parameters and its notebook."""
    sweeping, data = swept
    done = sweeping.project.call("sweep", "nb.ipynb", "--trials", N, "--maximize", "score", *SPACE, "--no-track")
    assert (done.code, done.out) == (0, ""), done.err
    assert {str(data["best"]["number"]), data["best"]["output"]} <= set(done.err.split()), done.err


@pytest.mark.thorough
def test_quiet_prints_nothing(swept: tuple[Sweeping, dict[str, Any]]) -> None:
    """With -q a sweep that goes well prints nothing."""
    done = swept[0].project.call("sweep", "nb.ipynb", "--trials", N, "--maximize", "score", *SPACE, "--no-track", "-q")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_same_seed_same_trials_in_one_command_or_two(sweeping: Sweeping) -> None:
    """One worker: 5 trials and then 14 equal 14 at once, failures among them; another seed gives others."""
    sweeping.curve(first="assert n != 2")
    words = ("--maximize", "score", *SPACE, "--workers", 1)
    once = sweeping.sweep("--trials", 14, *words, "--seed", 3, "--name", "once")
    first = sweeping.sweep("--trials", 5, *words, "--seed", 3, "--name", "twice")
    assert outcomes(first) == outcomes(once)[:5]
    both = sweeping.sweep("--trials", 14, *words, "--seed", 3, "--name", "twice")
    assert outcomes(both) == outcomes(once)
    assert set(states(once)) == {"COMPLETE", "FAIL"}
    other = sweeping.sweep("--trials", 5, *words, "--seed", 4, "--name", "other")
    assert outcomes(other) != outcomes(first)


@pytest.fixture(scope="module")
def pareto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sweeping, dict[str, Any]]]:
    """Give the answer of a sweep that makes one metric large and another small, and whose stages report all the same."""
    sweeping = Sweeping(Project(tmp_path_factory.mktemp("pareto") / "project"))
    sweeping.curve(first="import nbmlops\nfor step in range(3):\n    nbmlops.report(x, step)")
    words = ("--trials", 14, "--maximize", "score", "--minimize", "loss", *SPACE)
    yield sweeping, sweeping.sweep(*words, "--workers", 2, "--sampler", "random", "--pruner", "median", "--seed", 2)
    sweeping.project.kill_left_over()


@pytest.mark.thorough
def test_pareto_front_is_what_one_computes_by_hand(pareto: tuple[Sweeping, dict[str, Any]]) -> None:
    """With two objectives the front holds exactly the trials that no other beats in both, and `best` is one of them."""
    _, data = pareto
    points = {item["number"]: (score(item["parameters"]), -loss(item["parameters"])) for item in data["trials"]}
    beaten = {
        index
        for one, other in combinations(points, 2)
        for index, by in ((one, other), (other, one))
        if all(a <= b for a, b in zip(points[index], points[by], strict=True)) and points[index] != points[by]
    }
    assert [item["values"] for item in data["trials"]] == [[score(item["parameters"]), loss(item["parameters"])] for item in data["trials"]]
    front = [item["number"] if isinstance(item, dict) else item for item in data["front"]]
    assert sorted(front) == sorted(set(points) - beaten)
    assert data["best"] is None or data["best"]["number"] in front


@pytest.mark.thorough
def test_report_prunes_nothing_with_several_objectives(pareto: tuple[Sweeping, dict[str, Any]]) -> None:
    """Optuna cannot prune by one number what has two objectives: every trial is complete."""
    assert states(pareto[1]) == ["COMPLETE"] * 14


def test_edited_notebook_is_refused_and_nothing_lost(curve: Sweeping) -> None:
    """Values of two versions of a stage are not compared: refused with the stage's name; a comment changes nothing; undone, the sweep goes on."""
    words = ("--maximize", "score", *SPACE, "--workers", 1)
    first = curve.sweep("--trials", 3, *words)
    curve.curve(first="x = x / 2")
    curve.refused("--trials", 5, *words, parts=("train", "--name"))
    curve.curve(first="# only a comment")
    again = curve.sweep("--trials", 5, *words)
    assert outcomes(again)[:3] == outcomes(first)
    assert states(again) == ["COMPLETE"] * 5


@pytest.mark.thorough
def test_edited_data_is_refused_and_nothing_lost(sweeping: Sweeping) -> None:
    """The same for a file that a stage reads."""
    data = sweeping.project.folder / "data.txt"
    data.write_text("4", encoding="utf-8")
    sweeping.write("%%mlstage load\nvalue = int(open('data.txt').read())", "%%mlstage train --metrics m\nmark('train')\nm = {'score': x * value + n}")
    words = ("--maximize", "score", *SPACE, "--workers", 1)
    first = sweeping.sweep("--trials", 3, *words)
    data.write_text("5", encoding="utf-8")
    sweeping.refused("--trials", 5, *words, parts=("data.txt", "--name"))
    data.write_text("4", encoding="utf-8")
    again = sweeping.sweep("--trials", 5, *words)
    assert outcomes(again)[:3] == outcomes(first)
    assert [item["values"] for item in again["trials"]] == [[item["parameters"]["x"] * 4 + item["parameters"]["n"]] for item in again["trials"]]


@pytest.mark.thorough
def test_other_fixed_parameter_is_refused(curve: Sweeping) -> None:
    """A parameter set with -p belongs to the sweep: with another value its name is refused."""
    words = ("--maximize", "score", "--space", "x=float(0, 1)", "--workers", 1)
    first = curve.sweep("--trials", 2, *words, "-p", "n", 4)
    assert [item["values"] for item in first["trials"]] == [[score({**item["parameters"], "n": 4})] for item in first["trials"]]
    curve.refused("--trials", 4, *words, "-p", "n", 2, parts=("n", "--name"))


METRICS = {
    "raises": "raise ValueError('too far')",
    "killed": "os.kill(os.getpid(), 9)",
    "nan": "value = float('nan')",
    "text": "value = 'large'",
    "none": "value = None",
    "missing": "names = ['other']",
    "refused": "value = -1.0",
}


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Give the answer of a sweep in which one trial goes wrong in each of these ways, by grid."""
    sweeping = Sweeping(Project(tmp_path_factory.mktemp("failing") / "project"))
    cases = "\n".join(f"if case == {name!r}:\n    {code}" for name, code in METRICS.items())
    sweeping.write(
        f"%%mlstage train --metrics m --require 'score >= 0'\nmark(case)\nvalue, names = x, ['score']\n{cases}\nm = dict.fromkeys(names, value)",
        parameters=cell("x = 0.5\ncase = 'good'", "parameters"),
    )
    choices = ", ".join(["good", *METRICS])
    words = ("--trials", 2 * (1 + len(METRICS)), "--maximize", "score", "--sampler", "grid", "--workers", 2)
    yield sweeping.sweep(*words, "--space", f"case=choice({choices})", "--space", "x=choice(0.25, 0.75)")
    sweeping.project.kill_left_over()


@pytest.mark.parametrize("name", METRICS)
def test_trial_that_goes_wrong_has_failed(failing: dict[str, Any], name: str) -> None:
    """A stage that raises or dies, a metric that is NaN, no number or absent, a gate that refuses: the trial is FAIL, with no value and a reason."""
    found = [item for item in failing["trials"] if item["parameters"]["case"] == name]
    assert [(item["state"], item["values"]) for item in found] == [("FAIL", [])] * 2
    assert all(item["error"] for item in found)


def test_other_trials_go_on_after_a_failure(failing: dict[str, Any]) -> None:
    """Failed trials count as finished, the others are complete, and the best is one of these."""
    found = [item for item in failing["trials"] if item["parameters"]["case"] == "good"]
    assert [item["state"] for item in found] == ["COMPLETE"] * 2
    assert len(failing["trials"]) == 2 * (1 + len(METRICS))
    assert (failing["best"]["parameters"], failing["best"]["values"]) == ({"case": "good", "x": 0.75}, [0.75])


def test_all_trials_fail(sweeping: Sweeping) -> None:
    """A sweep without one complete trial ends with exit 1, no best, and the line that raised."""
    sweeping.write("%%mlstage train --metrics m\nm = {'score': x / 0}")
    done = sweeping.project.finish(sweeping.start("--trials", 3, "--maximize", "score", *SPACE))
    assert (done.code, "Traceback" in done.err) == (1, False), done.err
    assert "ZeroDivisionError" in done.err
    data = strict(done.out)
    assert (states(data), data["best"]) == (["FAIL"] * 3, None)


def test_metric_that_no_stage_logs(sweeping: Sweeping) -> None:
    """A metric's name that cannot be known before a stage runs: the first trial tells, exit 2 with what there was; the right name may follow."""
    sweeping.write("%%mlstage train --metrics m\nmark('train')\nm = {name: x for name in ['accuracy', 'loss']}")
    done = sweeping.project.finish(sweeping.start("--trials", 5, "--maximize", "accurate", *SPACE, "--workers", 1))
    assert (done.code, "Traceback" in done.err) == (2, False), done.err
    assert "'accurate'" in done.err.splitlines()[-1]
    assert "'accuracy'" in done.err.splitlines()[-1]
    assert strict(done.out)["error"]["fix"]
    assert len(sweeping.marked("train")) == 1
    assert states(sweeping.sweep("--trials", 2, "--maximize", "accuracy", *SPACE, "--workers", 1)) == ["COMPLETE"] * 2


def test_metric_that_the_first_trial_lacks(sweeping: Sweeping) -> None:
    """Which trial comes first decides nothing: one without the metric is FAIL, and the others go on."""
    sweeping.write("%%mlstage train --metrics m\nm = {'score' if n > 1 else 'other': x}")
    words = ("--trials", 2, "--maximize", "score", "--space", "n=choice(1, 2)", "--sampler", "grid", "--workers", 1)
    for seed in range(3):  # either order of the grid
        data = sweeping.sweep(*words, "--seed", seed, "--name", f"seed-{seed}")
        assert {item["parameters"]["n"]: item["state"] for item in data["trials"]} == {1: "FAIL", 2: "COMPLETE"}


@pytest.mark.thorough
def test_infinite_value_is_never_best_by_accident(sweeping: Sweeping) -> None:
    """A metric of -inf is worse than every number, and the answer is still JSON."""
    sweeping.write("%%mlstage train --metrics m\nm = {'score': x if n > 1 else -float('inf')}")
    words = ("--trials", 4, "--maximize", "score", "--sampler", "grid", "--space", "n=choice(1, 2)", "--space", "x=choice(-1.0, 1.0)")
    data = sweeping.sweep(*words)
    assert len(data["trials"]) == 4
    assert data["best"]["parameters"] == {"n": 2, "x": 1.0}


@pytest.mark.thorough
def test_log_metric_is_an_objective(sweeping: Sweeping) -> None:
    """A metric of `nbmlops.log_metric` is the last value of its name; a stage that reused is asked for it too."""
    sweeping.write(
        "import nbmlops",
        "%%mlstage train\nmark('train')\nfor step in range(3):\n    nbmlops.log_metric('score', n * step, step)\nmodel = n",
        "%%mlstage show\nshown = model + x",
    )
    data = sweeping.sweep("--trials", 4, "--maximize", "score", "--sampler", "grid", "--space", "n=choice(1, 2)", "--space", "x=choice(0.1, 0.2)")
    assert [item["values"] for item in data["trials"]] == [[2.0 * item["parameters"]["n"]] for item in data["trials"]]
    assert len(sweeping.marked("train")) == 2


@pytest.mark.thorough
def test_condition_of_a_stage_without_its_metric(sweeping: Sweeping) -> None:
    """A trial whose metric stage is skipped by --if has no value: FAIL, and the others go on."""
    sweeping.write("%%mlstage load\ndata = n", "%%mlstage train --metrics m --if 'n > 1'\nm = {'score': data * x}")
    data = sweeping.sweep("--trials", 2, "--maximize", "score", "--sampler", "grid", "--space", "n=choice(1, 2)")
    assert {item["parameters"]["n"]: (item["state"], item["values"]) for item in data["trials"]} == {1: ("FAIL", []), 2: ("COMPLETE", [1.0])}


# who catches all catches these
SWALLOW = [pytest.param("Exception", marks=pytest.mark.thorough), "BaseException"]


@pytest.fixture(scope="module", params=SWALLOW)
def pruned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sweeping, dict[str, Any]]]:
    """Give a sweep of a loop that reports 8 times, and catches whatever is raised within it."""
    sweeping = Sweeping(Project(tmp_path_factory.mktemp("pruned") / "project"))
    sweeping.write(
        "import nbmlops",
        f"%%mlstage train --metrics m\nfor step in range(8):\n    try:\n        mark(f'{{n}} {{step}}')\n        nbmlops.report(n * step, step)\n"
        f"    except {request.param}:\n        pass\nmodel = n\nm = {{'score': n * 7}}",
        "%%mlstage after\nmark(f'after {model}')\nresult = model",
    )
    words = ("--trials", 12, "--maximize", "score", "--space", "n=int(1, 12)", "--sampler", "grid", "--workers", 1)
    yield sweeping, sweeping.sweep(*words)
    sweeping.project.kill_left_over()


def test_report_prunes(pruned: tuple[Sweeping, dict[str, Any]]) -> None:
    """Trials below the median end early as PRUNED, whatever their loop catches; the others report 8 times; nothing after a pruned stage runs."""
    sweeping, data = pruned
    assert Counter(states(data)).keys() == {"COMPLETE", "PRUNED"}
    assert states(data)[:5] == ["COMPLETE"] * 5
    for item in data["trials"]:
        n = item["parameters"]["n"]
        steps = len([name for name in sweeping.marked(f"{n} ") if name.isdigit()])
        if item["state"] == "COMPLETE":
            assert (steps, item["values"]) == (8, [7.0 * n])
        else:
            assert 1 <= steps < 8
            assert f"after {n}" not in sweeping.marked()
    assert data["best"]["parameters"] == {"n": 12}


def test_pruned_stage_is_not_a_result(pruned: tuple[Sweeping, dict[str, Any]]) -> None:
    """A later run with a pruned trial's parameters computes the stage in full, and outside of a sweep a report is a metric."""
    sweeping, data = pruned
    n = next(item["parameters"]["n"] for item in data["trials"] if item["state"] == "PRUNED")
    before = len(sweeping.marked(f"{n} "))
    done = sweeping.project.run("-p", "n", n)
    assert done.code == 0, done.err
    assert done.statuses == {"train": "ran", "after": "ran"}
    assert len(sweeping.marked(f"{n} ")) == before + 8
    assert done.stage("train")["metrics"] == {"score": 7 * n, "reported": 7 * n}


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["none", "percentile", "hyperband", "halving"])
def test_other_pruners(sweeping: Sweeping, name: str) -> None:
    """Every pruner of the contract runs; `none` prunes nothing."""
    sweeping.write("import nbmlops", "%%mlstage train\nfor step in range(9):\n    nbmlops.report(n, step)\nnbmlops.log_metric('score', n)")
    words = ("--trials", 9, "--maximize", "score", "--space", "n=choice(9, 8, 7, 6, 5, 4, 3, 2, 1)", "--sampler", "grid", "--workers", 1)
    found = states(sweeping.sweep(*words, "--pruner", name))
    assert len(found) == 9
    assert set(found) <= ({"COMPLETE"} if name == "none" else {"COMPLETE", "PRUNED"})


def test_pruning_of_a_real_model(project: Project) -> None:
    """partial_fit of scikit-learn: bad learning rates are pruned, a good one is best, and its model is handed out in Python."""
    path = project.write(
        [
            cell("eta = 0.1  # sweep: float(1e-7, 1.0, log)\nepochs = 12", "parameters"),
            "import nbmlops\nfrom sklearn.datasets import load_digits\nfrom sklearn.linear_model import SGDClassifier",
            "%%mlstage load\nX, y = load_digits(return_X_y=True)\nX = X / 16",
            (
                "%%mlstage train --metrics m\nmodel = SGDClassifier(learning_rate='constant', eta0=eta, random_state=0)\n"
                "for epoch in range(epochs):\n"
                "    model.partial_fit(X[:1000], y[:1000], classes=range(10))\n    nbmlops.report(model.score(X[1000:], y[1000:]), epoch)\n"
                "m = {'accuracy': model.score(X[1000:], y[1000:])}"
            ),
            "print(model)",
        ]
    )
    sweep = nbmlops.sweep(path, trials=16, maximize="accuracy", seed=1, workers=1, track=False, trackers=())
    assert {item.state for item in sweep.trials} == {"COMPLETE", "PRUNED"}
    model = sweep.best_run["model"]
    assert (type(model).__name__, model.eta0) == ("SGDClassifier", sweep.best.parameters["eta"])
    X, y = sweep.best_run["X"], sweep.best_run["y"]  # noqa: N806 - the notebook's name
    assert sweep.best.values[0] == model.score(X[1000:], y[1000:]) > 0.9
    assert model.t_ == 12 * 1000 + 1


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["random", "tpe", "nsga2"])
def test_samplers(curve: Sweeping, name: str) -> None:
    """Every sampler that needs no other package runs and keeps the ranges."""
    data = curve.sweep("--trials", 4, "--maximize", "score", *SPACE, "--sampler", name, "--seed", 1)
    assert states(data) == ["COMPLETE"] * 4
    assert all(0 <= item["parameters"]["x"] <= 1 for item in data["trials"])


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "module"), [("cmaes", "cmaes"), ("gp", "torch")])
def test_sampler_whose_package_is_absent(curve: Sweeping, name: str, module: str) -> None:
    """A sampler that needs a package that is not here: one line with the pip command; where it is here, it runs."""
    try:
        __import__(module)
    except ImportError:
        curve.refused("--trials", 3, "--maximize", "score", *SPACE, "--sampler", name, parts=(name, "pip install"))
    else:
        assert states(curve.sweep("--trials", 3, "--maximize", "score", *SPACE, "--sampler", name)) == ["COMPLETE"] * 3


@pytest.mark.thorough
def test_grid_takes_every_combination_once_and_ends(curve: Sweeping) -> None:
    """A grid of six ends after six trials, though twenty were asked for, each combination once; again it runs nothing."""
    words = ("--trials", 20, "--maximize", "score", "--sampler", "grid", "--space", "x=float(0, 1, step=0.5)", "--space", "n=int(1, 2)")
    data = curve.sweep(*words, "--workers", 2)
    assert sorted((item["parameters"]["x"], item["parameters"]["n"]) for item in data["trials"]) == [(x, n) for x in (0.0, 0.5, 1.0) for n in (1, 2)]
    marks = curve.marked()
    assert outcomes(curve.sweep(*words, "--workers", 2)) == outcomes(data)
    assert curve.marked() == marks


@pytest.mark.thorough
def test_journal_is_optunas_and_repaired(curve: Sweeping) -> None:
    """Optuna itself reads the journal; a tail torn by a power cut is repaired, and the sweep goes on without a double."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    words = ("--maximize", "score", *SPACE, "--workers", 1, "--seed", 5)
    first = curve.sweep("--trials", 4, *words)
    (path,) = (curve.project.folder / ".nbmlops").rglob("*.journal")
    copy = curve.project.folder.parent / "copy.journal"
    shutil.copy(path, copy)
    study = optuna.load_study(study_name="nb", storage=optuna.storages.JournalStorage(JournalFileBackend(str(copy))))
    assert [item.values for item in study.trials] == [item["values"] for item in first["trials"]]
    content = path.read_bytes().rstrip(b"\n")
    last = content.rindex(b"\n") + 1
    path.write_bytes(content[: (last + len(content)) // 2] + b'\x00\x00{"op')
    data = curve.sweep("--trials", 6, *words)
    finished = [item for item in data["trials"] if item["state"] == "COMPLETE"]
    assert len(finished) == 6
    assert outcomes(data)[:3] == outcomes(first)[:3]
    assert len({json.dumps(item["parameters"], sort_keys=True) for item in finished}) == 6


@pytest.mark.thorough
def test_database_as_storage(curve: Sweeping) -> None:
    """A sweep in SQLite: Optuna reads the same trials there, and the next command continues it."""
    import optuna

    words = ("--maximize", "score", *SPACE, "--workers", 2, "--storage", "sqlite:///sweeps.db")
    first = curve.sweep("--trials", 2, *words)
    data = curve.sweep("--trials", 4, *words)
    assert outcomes(data)[:2] == outcomes(first)
    storage = optuna.storages.RDBStorage(f"sqlite:///{curve.project.folder}/sweeps.db")
    try:
        trials = optuna.load_study(study_name="nb", storage=storage).trials
    finally:
        storage.engine.dispose()
    assert [(item.number, item.state.name, item.values) for item in trials] == [
        (item["number"], item["state"], item["values"]) for item in data["trials"]
    ]


def test_trials_that_write_files_side_by_side(sweeping: Sweeping) -> None:
    """A stage writes a file that the next one reads, in two trials at once: each value is that of its own trial, and the best run's file stays."""
    sweeping.write(
        "%%mlstage write\nopen('out.txt', 'w').write(repr(x))\ntime.sleep(0.1)\ndone = True",
        "%%mlstage read --metrics m\nassert done\nfirst = open('out.txt').read()\ntime.sleep(0.1)\nassert open('out.txt').read() == first\n"
        "m = {'score': float(first)}",
    )
    data = sweeping.sweep("--trials", 6, "--maximize", "score", "--space", "x=float(0, 1)", "--workers", 2)
    assert [(item["state"], item["values"]) for item in data["trials"]] == [("COMPLETE", [item["parameters"]["x"]]) for item in data["trials"]]
    assert float((sweeping.project.folder / "out.txt").read_text(encoding="utf-8")) == data["best"]["parameters"]["x"]


def test_two_stages_of_a_trial_at_once(sweeping: Sweeping) -> None:
    """Trials whose stages could run side by side, with as many workers as one trial has stages: every trial is complete."""
    sweeping.write(*(f"%%mlstage s{index} --metrics m{index}\nm{index} = {{'score{index}': x + {index}}}" for index in range(3)))
    for workers in (2, 3):
        words = ("--trials", 8, "--maximize", "score1", "--space", "x=float(0, 1)", "--workers", workers, "--name", f"w{workers}")
        data = sweeping.sweep(*words, "--seed", workers)
        assert [(item["state"], item["error"]) for item in data["trials"]] == [("COMPLETE", None)] * 8
