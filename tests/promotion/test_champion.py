"""Gates that compare with the champion, in a run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from nbmlops.errors import GateRefused, TrackerUnavailable, UsageError
from nbmlops.runner.gate import NoChampion
from nbmlops.session.champion import Champion, registered_names
from tests.acceptance.project import Project, cell
from tests.pipeline.written import pipeline_of
from tests.promotion.office import MODEL, Office
from tests.servers import free_port

if TYPE_CHECKING:
    from nbmlops.promotion.base import ModelVersion

NOTEBOOK = (
    cell("auc = 0.5", "parameters"),
    "%%mlstage train --metrics scores --require 'roc_auc >= champion.roc_auc - 0.01'\nscores = {'roc_auc': auc}",
    "%%mlstage after\ny = scores",
)


class Answers:
    """Promotions that count how often they are asked."""

    def __init__(self, answer: ModelVersion | Exception | None) -> None:
        self.answer, self.asked = answer, list[str]()

    def champion(self, model: str) -> ModelVersion | None:
        """Answer."""
        self.asked.append(model)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def champion(office: Office, answers: Any, *cells: Any, **options: Any) -> Champion:
    return Champion(office.settings(**options), pipeline_of(*cells), answers)


def test_a_run_is_refused_by_the_champion_of_the_day(office: Office) -> None:
    """Asked in a process of its own: exit 3, with both sides in the evidence; a better one passes, and so does the same stage after a rollback."""
    (office.root / "pyproject.toml").write_text(f'[tool.nbmlops]\nmodel = "{MODEL}"\n')
    office.desk().promote(MODEL, 2, "champion", "x")
    project = Project(office.root)
    project.write(NOTEBOOK)
    worse = project.run("-p", "auc", 0.72)
    assert (worse.code, worse.statuses) == (3, {"train": "refused", "after": "not-run"})
    gate = worse.stage("train")["gates"][0]
    assert (gate["passed"], gate["value"], gate["threshold"]) == (False, 0.72, pytest.approx(0.74))


@pytest.mark.thorough
def test_without_a_registry_the_gate_refuses(office: Office) -> None:
    """With the reason; what ran is kept."""
    (office.root / "pyproject.toml").write_text(f'[tool.nbmlops]\nmodel = "{MODEL}"\n')
    project = Project(office.root)
    project.write(NOTEBOOK)
    down = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = project.run("-p", "auc", 0.9, env=down)
    assert done.code == 3
    assert "the champion's roc_auc cannot be told: the registry cannot be used now" in done.stage("train")["gates"][0]["reason"]
    again = project.run("-p", "auc", 0.9)
    assert (again.code, again.statuses["train"]) == (0, "reused")


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("nbmlops.register_model(model, 'a')", ["a"]),
        ("register_model(model, name='a', example=x)", ["a"]),
        ("nbmlops.register_model(model, 'a')\nnbmlops.register_model(model, 'b')", ["a", "b"]),
        ("nbmlops.register_model(model, name)", []),
        ("other.register(model, 'a')", []),
    ],
)
def test_the_notebook_says_which_model(code: str, names: list[str]) -> None:
    """By the names that it registers under, where they are literal."""
    assert list(registered_names(pipeline_of("import nbmlops", f"%%mlstage a\n{code}"))) == names


def test_the_model_is_asked_for_once_and_named_by_setting_or_notebook(office: Office) -> None:
    """Every gate of a command compares with the same version."""
    version = office.registry.version(MODEL, 2)
    answers = Answers(version)
    asking = champion(office, answers, "import nbmlops", "%%mlstage a\nnbmlops.register_model(m, 'x')", model="y")
    assert [asking.metric("roc_auc"), asking.metric("seconds")] == [0.75, 3.0]
    assert answers.asked == ["y"]
    assert champion(office, answers, "import nbmlops", "%%mlstage a\nnbmlops.register_model(m, 'x')").metric("roc_auc") == 0.75
    assert answers.asked == ["y", "x"]


def test_what_cannot_be_told_refuses(office: Office) -> None:
    """No name, two names, a registry that is down, a model that is not there, no such metric, no evidence."""
    version = office.registry.version(MODEL, 2)
    none = ("import nbmlops", "%%mlstage a\nx = 1")
    two = ("import nbmlops", "%%mlstage a\nnbmlops.register_model(m, 'x')\nnbmlops.register_model(m, 'z')")
    cases: list[tuple[Any, tuple[str, ...], str]] = [
        (version, none, "no register_model"),
        (version, two, "registers 2 models: x, z"),
        (TrackerUnavailable("the registry is down"), ("import nbmlops", "%%mlstage a\nnbmlops.register_model(m, 'x')"), "the registry is down"),
        (UsageError("no model is registered"), ("import nbmlops", "%%mlstage a\nnbmlops.register_model(m, 'x')"), "no model is registered"),
        (version, ("import nbmlops", "%%mlstage a\nnbmlops.register_model(m, 'x')"), "has no metric 'nothing'"),
        (replace(version, evidence=None), ("import nbmlops", "%%mlstage a\nnbmlops.register_model(m, 'x')"), "has no evidence"),
    ]
    for answer, cells, told in cases:
        answers = Answers(answer)
        asking = champion(office, answers, *cells)
        for _ in range(2):
            with pytest.raises(GateRefused, match=told):
                asking.metric("nothing")
        assert len(answers.asked) <= 1


def test_no_champion_yet(office: Office) -> None:
    """Comparisons pass, or refuse by setting."""
    with pytest.raises(NoChampion):
        champion(office, Answers(None), "x = 1", model="m").metric("roc_auc")
    with pytest.raises(GateRefused, match="there is no champion yet"):
        champion(office, Answers(None), "x = 1", model="m", champion_absent="refuse").metric("roc_auc")
