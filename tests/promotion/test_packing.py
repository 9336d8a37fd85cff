"""A model packed by `nbmlops.register_model`, in a forked child, with real MLflow and skops."""

from __future__ import annotations

import json
import random
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import nbmlops
from nbmlops.errors import NbmlopsError, NotStorable, UsageError
from nbmlops.promotion.packing import EVALUATION_FILE
from nbmlops.runner.logged import Logbook, logging_to
from nbmlops.settings import Settings
from nbmlops.store.fingerprint import value_fingerprint
from nbmlops.store.serializers import Context
from nbmlops.store.store import Store

TREES = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
X = pd.DataFrame(np.random.default_rng(0).random((80, 3)), columns=list("abc"))
Y = (X["a"] > 0.5).astype(int)


@pytest.fixture(scope="module", autouse=True)
def _preloaded() -> None:
    """Import what the server that stages are forked from imports: each child would do it again."""
    import nbmlops.promotion.preloaded  # noqa: F401


class Stage:
    """A stage that runs, in a namespace of its own."""

    def __init__(self, folder: Path, code: str = "", by_reference: tuple[str, ...] = ()) -> None:
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        exec(code, self.namespace)
        self.store = Store(str(folder / "store"), settings=Settings(project_root=folder, store=str(folder / "store")))
        context = Context(namespace=self.namespace, by_reference=frozenset(by_reference), local_roots=(folder,))
        self.logbook = Logbook("train", store=self.store, context=context)

    def register(self, model: object, name: str = "flight-delay", **options: Any) -> dict[str, Any]:
        """Register a model and return the request that is left with the stage."""
        with logging_to(self.logbook):
            nbmlops.register_model(model, name, **options)
        return self.logbook.models[-1]

    def folder(self, request: dict[str, Any], at: Path) -> Path:
        """Write a request's files."""
        for name, digest in request["files"].items():
            (at / name).parent.mkdir(parents=True, exist_ok=True)
            (at / name).write_bytes(self.store.objects.view(digest))
        return at


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Give a stage that runs."""
    return Stage(tmp_path)


def fitted(**options: Any) -> LogisticRegression:
    """Return a small model."""
    return LogisticRegression(**options).fit(X, Y)


@pytest.mark.parametrize(
    "model", [make_pipeline(FunctionTransformer(), LogisticRegression()), HistGradientBoostingClassifier(max_iter=2, random_state=0)]
)
def test_the_same_model_has_the_same_files(stage: Stage, tmp_path: Path, model: Any) -> None:
    """However often it is fitted and packed; skops itself writes addresses in memory, and times. It is read as before."""
    import skops.io

    requests = [stage.register(model.fit(X, Y), serialization="skops", skops_trusted_types=[TREES, "numpy.dtype"]) for _ in range(2)]
    assert requests[0]["files"]["model.skops"] == requests[1]["files"]["model.skops"]
    folder = stage.folder(requests[0], tmp_path / "model")
    read = skops.io.load(folder / "model.skops", trusted=skops.io.get_untrusted_types(file=folder / "model.skops"))
    assert np.array_equal(read.predict_proba(X), model.predict_proba(X))


def test_a_model_has_signature_example_and_the_installed_versions(stage: Stage, tmp_path: Path) -> None:
    """Requirements are exact; MLflow loads the folder, and the model answers as before."""
    import mlflow
    import sklearn

    model = fitted()
    request = stage.register(model, example=X.head())
    folder = stage.folder(request, tmp_path / "model")
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert {f"scikit-learn=={sklearn.__version__}", f"pandas=={pd.__version__}", f"mlflow=={mlflow.__version__}"} <= set(lines)
    assert all("==" in line for line in lines)
    info = mlflow.models.Model.load(str(folder))
    assert info.signature.inputs.input_names() == ["a", "b", "c"]
    assert info.signature.outputs is not None
    pd.testing.assert_frame_equal(info.load_input_example(str(folder)), X.head())
    assert (mlflow.sklearn.load_model(str(folder)).predict_proba(X) == model.predict_proba(X)).all()
    assert (request["flavor"], "model.skops" in request["files"]) == ("sklearn", True)


def test_the_digest_is_that_of_the_model(stage: Stage) -> None:
    """Equal for one that was made anew and registered otherwise; another for another state, which needs another name in the same stage."""
    first = stage.register(fitted(), example=X.head(), metrics={"auc": 1.0})
    again = stage.register(fitted(), serialization="cloudpickle")
    assert first["digest"] == again["digest"]
    with pytest.raises(UsageError, match="registers two different models as 'flight-delay'"):
        stage.register(fitted(C=0.5))
    assert stage.register(fitted(C=0.5), "other")["digest"] != first["digest"]


def test_what_functions_of_the_notebook_do_is_part_of_the_model(tmp_path: Path) -> None:
    """Also those of setup cells, which artifacts hold by their name alone; the pickled model runs without the notebook."""
    digests = []
    for factor in (1, 2, 2):
        stage = Stage(tmp_path, f"def clean(a):\n    return a * {factor}", ("clean",))
        model = make_pipeline(FunctionTransformer(stage.namespace["clean"]), LogisticRegression()).fit(X, Y)
        digests.append(stage.register(model, serialization="cloudpickle")["digest"])
    assert digests[0] != digests[1] == digests[2]


def test_modules_of_the_project_travel_with_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their source is in the folder, and in the digest."""
    monkeypatch.syspath_prepend(tmp_path)
    digests = []
    for factor in (1, 2):
        (tmp_path / "own_steps.py").write_text(f"def clean(a):\n    return a * {factor} + 0\n")
        monkeypatch.delitem(sys.modules, "own_steps", raising=False)
        stage = Stage(tmp_path, "from own_steps import clean")
        model = make_pipeline(FunctionTransformer(stage.namespace["clean"]), LogisticRegression()).fit(X, Y)
        request = stage.register(model, serialization="cloudpickle")
        digests.append(request["digest"])
    assert digests[0] != digests[1]
    assert "code/own_steps.py" in request["files"]


def test_skops_says_which_types_to_trust(stage: Stage, tmp_path: Path) -> None:
    """The message holds the very words; with them it is kept, and answers as before."""
    import mlflow.sklearn

    model = HistGradientBoostingClassifier(max_iter=3, random_state=0).fit(X, Y)
    with pytest.raises(NotStorable) as refused:
        stage.register(model, example=X.head())
    assert refused.value.code == "NB646"
    assert f"skops_trusted_types=['{TREES}']" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert stage.logbook.models == []
    folder = stage.folder(stage.register(model, example=X.head(), skops_trusted_types=[TREES]), tmp_path / "model")
    assert (mlflow.sklearn.load_model(str(folder)).predict_proba(X) == model.predict_proba(X)).all()


def test_a_lambda_is_refused_and_kept_by_cloudpickle(stage: Stage, tmp_path: Path) -> None:
    """What only the notebook has is in no skops file, whatever is trusted; cloudpickle must be asked for."""
    import mlflow.sklearn

    stage.namespace["f"] = eval("lambda a: a * 2", stage.namespace)
    model = make_pipeline(FunctionTransformer(stage.namespace["f"]), LogisticRegression()).fit(X, Y)
    for trusted in (None, ["__main__.<lambda>"]):
        with pytest.raises(NotStorable, match="which the notebook defines; give register_model serialization=") as refused:
            stage.register(model, skops_trusted_types=trusted)
        assert refused.value.code == "NB646"
    folder = stage.folder(stage.register(model, serialization="cloudpickle"), tmp_path / "model")
    assert (mlflow.sklearn.load_model(str(folder)).predict_proba(X) == model.predict_proba(X)).all()


def test_nothing_is_changed_printed_or_drawn(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither model nor example, nor random states, nor the environment; a child's imports are not ours, and no file is left."""
    import os

    class Chatty(LogisticRegression):
        def predict(self, rows: Any) -> Any:
            sys.stdout.write("predicting")
            np.random.rand()  # noqa: NPY002 - the global state
            random.random()
            rows["d"] = 1
            self.asked_ = True
            return super().predict(rows[["a", "b", "c"]])

    Chatty.__module__ = "__main__"
    model, example = Chatty().fit(X, Y), X.head()
    context = stage.logbook.context
    assert context is not None

    def state() -> tuple[Any, ...]:
        return (
            value_fingerprint(model, context),
            value_fingerprint(example, context),
            random.getstate(),
            json.dumps(np.random.get_state()[1].tolist()),  # noqa: NPY002
            dict(os.environ),
            Path.cwd(),
            threading.active_count(),
        )

    before = state()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        stage.register(model, example=example, serialization="cloudpickle")
    assert state() == before
    assert [str(item.message) for item in told] == []
    assert capfd.readouterr() == ("", "")
    assert list(stage.store.local_path("attempts").iterdir()) == []


def test_evaluation_and_metrics_are_kept(stage: Stage, tmp_path: Path) -> None:
    """The same bytes for the same values, NaN among the metrics."""
    options = {"evaluation": (Y, fitted().predict_proba(X)[:, 1]), "metrics": {"auc": np.float64("nan"), "loss": 1}}
    request = stage.register(fitted(), **options)
    assert (repr(request["metrics"]["auc"]), request["metrics"]["loss"]) == ("nan", 1.0)
    with np.load(stage.folder(request, tmp_path / "model") / EVALUATION_FILE) as kept:
        assert list(kept["metrics"]) == ["auc", "loss"]
        assert (kept["y_true"] == Y.to_numpy()).all()
        assert (kept["y_score"] == options["evaluation"][1]).all()
    assert stage.register(fitted(), **options)["files"][EVALUATION_FILE] == request["files"][EVALUATION_FILE]


def test_a_python_model_of_the_notebook(tmp_path: Path) -> None:
    """Any class becomes a model by way of MLflow's own."""
    import mlflow.pyfunc

    code = (
        "import mlflow.pyfunc\n\n\nclass Twice(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n        return model_input['a'] * 2"
    )
    stage = Stage(tmp_path, code)
    request = stage.register(stage.namespace["Twice"](), example=X.head())
    folder = stage.folder(request, tmp_path / "model")
    assert request["flavor"] == "pyfunc"
    assert (mlflow.pyfunc.load_model(str(folder)).predict(X) == X["a"] * 2).all()


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        pytest.param(fitted(), {"name": "a.b"}, "'a.b' cannot name a registered model", id="dot"),
        pytest.param(fitted(), {"name": "../x"}, "cannot name a registered model", id="path"),
        pytest.param(fitted(), {"name": 1}, "1 cannot name", id="no text"),
        pytest.param(object(), {}, "a builtins.object is no model that MLflow can keep", id="no model"),
        pytest.param(fitted(), {"serialization": "joblib"}, "serialization='joblib'", id="serialization"),
        pytest.param(fitted(), {"metrics": {"auc": "high"}}, "logs 'auc' as a str", id="metric"),
        pytest.param(fitted(), {"evaluation": ([1, 2], [0.5])}, r"\(2,\) true values and \(1,\) scores", id="lengths"),
        pytest.param(fitted(), {"evaluation": [[1]]}, "no pair of arrays", id="no pair"),
        pytest.param(fitted(), {"example": [["x", "y", "z"]]}, "cannot predict its example: ValueError", id="example"),
        pytest.param(fitted(), {"requirements": [1]}, "requirements of the model 'flight-delay' are not all texts", id="requirements"),
        pytest.param(
            make_pipeline(FunctionTransformer(kw_args={"lock": threading.Lock()}), LogisticRegression()),
            {"serialization": "cloudpickle"},
            "the model 'flight-delay' cannot be written: TypeError: cannot pickle '_thread.lock' object",
            id="lock",
        ),
    ],
)
def test_bad_input_is_one_line(stage: Stage, model: object, options: dict[str, Any], message: str) -> None:
    """With a code; nothing is left with the stage then."""
    with pytest.raises((UsageError, NotStorable), match=message) as refused:
        stage.register(model, **options)
    assert refused.value.code != NbmlopsError("").code
    assert "\n" not in str(refused.value)
    assert stage.logbook.models == []


def test_outside_a_stage_it_is_said_that_nothing_happens() -> None:
    """A warning, and the object says so too."""
    with pytest.warns(UserWarning, match="outside a stage: 'm' is not registered"):
        made = nbmlops.register_model(fitted(), "m")
    assert repr(made) == "<model m: not registered, for no stage runs>"
