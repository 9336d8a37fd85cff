"""Where a sweep's space comes from, and what is refused before anything runs."""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING, Any

import pytest

import nbmlops
from nbmlops.errors import UsageError
from tests.acceptance.project import Project, cell
from tests.acceptance.sweeping import PARAMETERS, SPACE, Sweeping, is_error, score

if TYPE_CHECKING:
    from collections.abc import Iterator

# By parameter: its default, its range, and what is true of every value.
KINDS: dict[str, tuple[Any, str, Any]] = {
    "a": (0.5, "float(0.25, 0.75)", lambda v: type(v) is float and 0.25 <= v <= 0.75),
    "b": (0.5, "float(1e-4, 1, log)", lambda v: type(v) is float and 1e-4 <= v <= 1),
    "c": (0.5, "float(-1, 1, step=0.5)", lambda v: type(v) is float and v in {-1.0, -0.5, 0.0, 0.5, 1.0}),
    "d": (5, "int(-2, 2)", lambda v: type(v) is int and -2 <= v <= 2),
    "e": (16, "int(16, 256, log)", lambda v: type(v) is int and 16 <= v <= 256),
    "f": (16, "int(0, 100, step=25)", lambda v: type(v) is int and v in {0, 25, 50, 75, 100}),
    "g": (0.5, "choice(0.1, 1, 1e-3)", lambda v: type(v) is float and v in {0.1, 1.0, 0.001}),
    "h": ("sqrt", "choice(sqrt, log2, 'a, b')", lambda v: v in {"sqrt", "log2", "a, b"}),
    "i": (True, "choice(true, false)", lambda v: type(v) is bool),
    "j": ([8], "choice([8], [16, 8], [])", lambda v: v in ([8], [16, 8], [])),
    "k": (0.5, "float(1, 2)", lambda v: type(v) is float and 1 <= v <= 2),
}


@pytest.fixture
def sweeping(project: Project) -> Sweeping:
    """Give a project with the notebook of three stages, not run yet."""
    made = Sweeping(project)
    made.curve()
    return made


@pytest.mark.thorough
def test_every_kind_of_range(project: Project) -> None:
    """Each range gives values of its own and of the parameter's type, several of them, and the stage sees them as they are told."""
    sweeping = Sweeping(project)
    declared = "\n".join(f"{name} = {default!r}" for name, (default, _, _) in KINDS.items())
    names = ", ".join(KINDS)
    sweeping.write(f"%%mlstage train --metrics m\nseen = [{names}]\nm = {{'score': a}}", "print(seen)", parameters=cell(declared, "parameters"))
    space = [word for name, (_, expression, _) in KINDS.items() for word in ("--space", f"{name}={expression}")]
    data = sweeping.sweep("--trials", 16, "--maximize", "score", "--sampler", "random", "--seed", 1, "--workers", 1, *space)
    for name, (_, _, holds) in KINDS.items():
        values = [item["parameters"][name] for item in data["trials"]]
        assert all(map(holds, values)), (name, values)
        assert len({json.dumps(value) for value in values}) > 1, (name, values)
    assert sum(item["parameters"]["b"] < 0.01 for item in data["trials"]) > 2, "a logarithmic range has half of its values below its geometric mean"
    best = data["best"]
    assert project.value(best["run_id"], "train", "seen") == [best["parameters"][name] for name in KINDS]


def test_space_of_the_parameters_cell(project: Project) -> None:
    """Ranges behind `# sweep:` count, an option wins over one, and what notes no range keeps its default."""
    sweeping = Sweeping(project)
    declared = "x = 0.1  # sweep: float(0.01, 0.3, log)\nn: int = 3  # sweep: int(2, 4)\nkept = 7  # how many"
    sweeping.write("%%mlstage train --metrics m\nm = {'score': x * n + kept}", parameters=cell(declared, "parameters"))
    data = sweeping.sweep("--trials", 5, "--minimize", "score", "--workers", 1)
    for item in data["trials"]:
        assert set(item["parameters"]) == {"x", "n"}
        assert 0.01 <= item["parameters"]["x"] <= 0.3
        assert item["parameters"]["n"] in {2, 3, 4}
        assert item["values"] == [item["parameters"]["x"] * item["parameters"]["n"] + 7]
    data = sweeping.sweep("--trials", 3, "--minimize", "score", "--space", "x=float(5, 6)", "--name", "other")
    assert all(5 <= item["parameters"]["x"] <= 6 for item in data["trials"])


def test_space_of_annotations(project: Project) -> None:
    """A range may be the annotation of a parameter, alone or with its type."""
    sweeping = Sweeping(project)
    declared = 'from typing import Annotated\nx: Annotated[float, "float(0.01, 0.3, log)"] = 0.1\nn: "int(2, 4)" = 3'
    sweeping.write("%%mlstage train --metrics m\nm = {'score': x * n}", parameters=cell(declared, "parameters"))
    data = sweeping.sweep("--trials", 3, "--minimize", "score")
    assert all(set(item["parameters"]) == {"x", "n"} for item in data["trials"])
    assert all(0.01 <= item["parameters"]["x"] <= 0.3 and item["parameters"]["n"] in {2, 3, 4} for item in data["trials"])


def test_bad_range_of_the_parameters_cell(project: Project) -> None:
    """A range that cannot be meant is refused with its cell."""
    sweeping = Sweeping(project)
    sweeping.write(
        "%%mlstage train --metrics m\nmark('train')\nm = {'score': x}", parameters=cell("x = 0.1  # sweep: float(0.3, 0.01)", "parameters")
    )
    done = sweeping.call("--trials", 3, "--maximize", "score")
    is_error(done, ("'x'", "float(0.3, 0.01)", "cell 0"), 2)
    assert sweeping.marked() == []


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweeping]:
    """Give a project whose notebook never runs, since each command is refused."""
    made = Sweeping(Project(tmp_path_factory.mktemp("bad") / "project"))
    declared = "x = 0.5\nn = 3\nkind = 'a'\nflag = True"
    made.write(
        "%%mlstage train --metrics m\nmark('train')\nm = {'score': x * n, 'loss': n}", "print(kind, flag)", parameters=cell(declared, "parameters")
    )
    yield made
    made.project.kill_left_over()


GOOD = ("--trials", "3", "--maximize", "score")
X = ("--space", "x=float(0, 1)")
# By name: the words of the command, and what the one line must say.
BAD: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "unknown parameter": ((*GOOD, "--space", "xx=float(0, 1)"), ("'xx'", "x")),
    "unknown metric": (("--trials", "3", "--maximize", "scor", *X), ("'scor'", "score")),
    "no range": (GOOD, ("--space", "# sweep:")),
    "empty choice": ((*GOOD, "--space", "x=choice()"), ("x", "choice")),
    "empty range": ((*GOOD, "--space", "x="), ("x", "float(")),
    "no equals sign": ((*GOOD, "--space", "x"), ("x", "NAME=")),
    "reversed": ((*GOOD, "--space", "x=float(1, 0)"), ("'x'", "empty")),
    "log from 0": ((*GOOD, "--space", "x=float(0, 1, log)"), ("x", "log", "0")),
    "log from below 0": ((*GOOD, "--space", "n=int(-3, 8, log)"), ("n", "log")),
    "step and log": ((*GOOD, "--space", "x=float(0.1, 1, log, step=0.1)"), ("x", "log", "step")),
    "step of 0": ((*GOOD, "--space", "x=float(0, 1, step=0)"), ("x", "step")),
    "step below 0": ((*GOOD, "--space", "n=int(0, 4, step=-1)"), ("n", "step")),
    "not a number": ((*GOOD, "--space", "x=float(nan, 1)"), ("x", "nan")),
    "infinite": ((*GOOD, "--space", "x=float(0, inf)"), ("x", "inf")),
    "unknown kind": ((*GOOD, "--space", "x=floats(0, 1)"), ("floats", "float")),
    "unknown option": ((*GOOD, "--space", "x=float(0, 1, logg)"), ("logg", "log")),
    "too few numbers": ((*GOOD, "--space", "x=float(1)"), ("x", "float(")),
    "code": ((*GOOD, "--space", "x=float(0, __import__('os').getpid())"), ("x",)),
    "open bracket": ((*GOOD, "--space", "x=float(0, 1"), ("x",)),
    "fraction in an int": ((*GOOD, "--space", "n=int(1.5, 5)"), ("'n'", "1.5")),
    "number for a text": ((*GOOD, "--space", "kind=int(1, 5)"), ("'kind'",)),
    "text for a number": ((*GOOD, "--space", "n=choice(1, many)"), ("'n'", "many")),
    "int for a bool": ((*GOOD, "--space", "flag=int(0, 1)"), ("'flag'",)),
    "choice twice": ((*GOOD, "--space", "n=choice(1, 2, 1)"), ("'n'", "1")),
    "grid without a step": ((*GOOD, *X, "--sampler", "grid"), ("x", "grid", "step")),
    "named twice": ((*GOOD, *X, "--space", "x=float(0, 2)"), ("x", "twice")),
    "set and swept": ((*GOOD, *X, "-p", "x", "0.5"), ("'x'", "--space", "-p")),
    "no objective": (("--trials", "3", *X), ("--maximize", "--minimize")),
    "objective twice": ((*GOOD, "--minimize", "score", *X), ("score",)),
    "no trials": (("--trials", "0", "--maximize", "score", *X), ("--trials",)),
    "negative trials": (("--trials", "-3", "--maximize", "score", *X), ("--trials",)),
    "trials no number": (("--trials", "many", "--maximize", "score", *X), ("--trials", "many")),
    "trials not said": (("--maximize", "score", *X), ("--trials",)),
    "no workers": ((*GOOD, *X, "--workers", "-1"), ("--workers",)),
    "unknown sampler": ((*GOOD, *X, "--sampler", "tpee"), ("tpee", "tpe", "random")),
    "unknown pruner": ((*GOOD, *X, "--pruner", "medina"), ("medina", "median")),
    "seed no number": ((*GOOD, *X, "--seed", "x"), ("--seed",)),
    "unknown fixed parameter": ((*GOOD, *X, "-p", "m", "0.5"), ("'m'",)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_words(untouched: Sweeping, name: str) -> None:
    """One line that names what is wrong and what to write instead, exit 2, JSON, and nothing ran."""
    words, parts = BAD[name]
    untouched.refused(*words, parts=parts)


# By URL: the exit code, and the package that it needs; 1 for a service or a disk that fails, 2 for what is not installed.
STORAGES = {
    "sqlite:////no/such/folder/sweeps.db": (1, ""),
    "postgresql://127.0.0.1:9/none": (1, "psycopg"),
    "redis://127.0.0.1:9/0": (1, "redis"),
    "oracles://db/x": (1, ""),
    "nonsense": (1, ""),
}


@pytest.mark.parametrize("url", STORAGES)
def test_storage_that_cannot_be_opened(untouched: Sweeping, url: str) -> None:
    """A storage that cannot be opened is one line that names it, or the pip command of the package that it needs; nothing ran."""
    before = untouched.marked()
    code, package = STORAGES[url]
    done = untouched.call(*GOOD, *X, "--storage", url)
    if package and importlib.util.find_spec(package) is None:
        is_error(done, (url.partition(":")[0], "pip install", package), 2)
    else:
        is_error(done, (url.partition(":")[0],), code)
    assert "Warning" not in done.err
    assert untouched.marked() == before


def test_password_of_a_storage_is_not_shown(untouched: Sweeping) -> None:
    """A storage's URL may hold a password: no message repeats it."""
    done = untouched.call(*GOOD, *X, "--storage", "postgresql://me:s3cr3t-w0rd@127.0.0.1:9/none")
    assert done.code in {1, 2}
    assert "s3cr3t-w0rd" not in done.err + done.out


def test_refused_command_leaves_the_name_free(sweeping: Sweeping) -> None:
    """After a mistake the same name can be used for what was meant."""
    sweeping.refused("--trials", 3, "--maximize", "score", "--space", "x=float(0, 1, log)", parts=("x",))
    sweeping.refused("--trials", 3, "--maximize", "nothing", *SPACE, parts=("nothing",))
    assert len(sweeping.sweep("--trials", 2, "--maximize", "score", *SPACE)["trials"]) == 2


def python(sweeping: Sweeping, **options: Any) -> Any:
    """Sweep the notebook in this process."""
    return nbmlops.sweep(
        sweeping.project.folder / "nb.ipynb", **{"maximize": "score", "workers": 1, "seed": 1, "track": False, "trackers": (), **options}
    )


def test_space_of_optunas_distributions(sweeping: Sweeping) -> None:
    """Optuna's own distributions, a text and a list in one space; the best run hands out its model and its values."""
    from optuna.distributions import FloatDistribution

    sweep = python(sweeping, trials=4, space={"x": FloatDistribution(0.2, 0.4), "n": [1, 2]})
    assert all(0.2 <= item.parameters["x"] <= 0.4 and item.parameters["n"] in {1, 2} for item in sweep.trials)
    assert list(sweep.best.values) == [max(score(item.parameters) for item in sweep.trials)]
    assert sweep.best_run["model"] == {"x": sweep.best.parameters["x"], "size": 3 * sweep.best.parameters["n"]}


@pytest.mark.thorough
def test_space_of_a_callable(sweeping: Sweeping) -> None:
    """A callable suggests; a parameter that it leaves out in some trials keeps the notebook's default there; the same call continues."""

    def suggest(trial: Any) -> dict[str, Any]:
        n = trial.suggest_int("n", 1, 2)
        return {"n": n} if n == 1 else {"n": n, "x": trial.suggest_float("x", 0.6, 0.7)}

    first = [(item.number, item.parameters) for item in python(sweeping, trials=4, space=suggest).trials]
    sweep = python(sweeping, trials=8, space=suggest)
    assert [(item.number, item.parameters) for item in sweep.trials][:4] == first
    assert {item.parameters["n"] for item in sweep.trials} == {1, 2}
    for item in sweep.trials:
        x = item.parameters.get("x", 0.5)
        assert x == 0.5 if item.parameters["n"] == 1 else 0.6 <= x <= 0.7
        assert list(item.values) == [score({"n": item.parameters["n"], "x": x})]


def test_constraints_decide_what_may_be_best(sweeping: Sweeping) -> None:
    """The best trial is the best of those that no constraint rules out."""
    sweep = python(
        sweeping, trials=10, space={"x": "float(0, 1)"}, constraints=lambda metrics, parameters: [metrics["loss"] - 7.5, 0.1 - parameters["x"]]
    )
    feasible = [item for item in sweep.trials if item.parameters["x"] * 3 + 6 <= 7.5 and item.parameters["x"] >= 0.1]
    assert 0 < len(feasible) < 10
    assert sweep.best.number == max(feasible, key=lambda item: score({"n": 3, **item.parameters})).number


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"space": {"xx": "float(0, 1)"}}, "xx"),
        ({"space": {"x": []}}, "x"),
        ({"space": {"x": 3}}, "x"),
        ({"space": {"x": "float(0, 1)"}, "parameters": {"x": 0.1}}, "x"),
        ({"space": {"x": "float(0, 1)"}, "trials": 0}, "trials"),
        ({"space": {"x": "float(0, 1)"}, "maximize": ()}, "maximize"),
        ({"space": {"x": "float(0, 1)"}, "maximize": "nothing"}, "nothing"),
        ({"space": {"n": [1, object()]}}, "n"),
    ],
)
def test_mistakes_in_python(sweeping: Sweeping, options: dict[str, Any], part: str) -> None:
    """What cannot be meant is a UsageError that names it, and nothing has run."""
    with pytest.raises(UsageError, match=part) as raised:
        python(sweeping, **{"trials": 2, **options})
    assert "\n" not in str(raised.value)
    assert sweeping.marked() == []


def test_callable_that_gives_no_mapping(sweeping: Sweeping) -> None:
    """A callable that returns a value alone is told so before a trial runs."""
    with pytest.raises(UsageError, match="callable of the space gives no parameters"):
        python(sweeping, trials=2, space=lambda trial: trial.suggest_float("x", 0, 1))
    assert sweeping.marked("train") == []


def test_callable_that_raises(sweeping: Sweeping) -> None:
    """An exception of the user's own callable comes out as it is, or named, and no trial is left running."""

    def suggest(trial: Any) -> dict[str, Any]:
        raise ZeroDivisionError(f"of the user in trial {trial.number}")

    with pytest.raises((ZeroDivisionError, UsageError), match="of the user in trial 0"):
        python(sweeping, trials=2, space=suggest)
    assert sweeping.marked("train") == []


def test_callable_that_names_no_parameter(sweeping: Sweeping) -> None:
    """A name that the notebook does not declare cannot be known before the callable is asked: then it ends the sweep, with the nearest name."""
    with pytest.raises(UsageError, match=r"'xx'.*did you mean 'x'"):
        python(sweeping, trials=2, space=lambda trial: {"xx": trial.suggest_float("xx", 0, 1)})


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["../x", "a/b", "ü b", "x" * 300, ".", "-x"])
def test_any_name_is_kept_inside_the_store(untouched: Sweeping, name: str) -> None:
    """A name of any characters is refused in one line, or is the sweep's name in full; nothing is written outside the store."""
    before = set(untouched.project.folder.parent.rglob("*")) - set((untouched.project.folder / ".nbmlops").rglob("*"))
    done = untouched.call("--trials", 1, "--maximize", "score", *X, f"--name={name}")
    if done.code:
        is_error(done, ("name",), 2)
    else:
        assert done.data["name"] == name
    after = set(untouched.project.folder.parent.rglob("*")) - set((untouched.project.folder / ".nbmlops").rglob("*"))
    assert {item for item in after - before if item.parent != untouched.marks and item.name != ".nbmlops"} == set()


@pytest.mark.parametrize("notebook", ["missing.ipynb", "broken.ipynb"])
def test_notebook_with_an_error(sweeping: Sweeping, notebook: str) -> None:
    """A notebook that is not there or has an error is refused as `run` refuses it."""
    sweeping.project.write([PARAMETERS, "%%mlstage train --metrics m\nm = {'score': undefined_name}"], "broken.ipynb")
    done = sweeping.project.call("sweep", notebook, "--trials", 2, "--maximize", "score", *SPACE, "--no-track", "--json")
    assert (done.code, "Traceback" in done.err) == (2, False), done.err
    assert done.data["error"]["code"].startswith("NB1" if notebook == "missing.ipynb" else "NB2")
