"""Settings: where they come from, which source wins, and what is refused."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from nbmlops.errors import UsageError
from nbmlops.settings import Settings, find_project_root, load_settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a project without any setting, in the file or the environment."""
    for name in [name for name in os.environ if name.startswith("NBMLOPS_")]:
        monkeypatch.delenv(name)
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


def table(root: Path, text: str) -> None:
    """Write the project's table."""
    (root / "pyproject.toml").write_text(f"[tool.nbmlops]\n{text}\n", encoding="utf-8")


def test_defaults_put_the_store_into_the_project(root: Path) -> None:
    """Without any setting, the store lies in the project root and MLflow is the tracker."""
    settings = load_settings(root)
    assert (settings.project_root, settings.store, settings.trackers) == (root, str(root / ".nbmlops"), ("mlflow",))


def test_option_wins_over_variable_wins_over_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source hides the one below it."""
    table(root, "workers = 2")
    assert load_settings(root).workers == 2
    monkeypatch.setenv("NBMLOPS_WORKERS", "3")
    assert load_settings(root).workers == 3
    assert load_settings(root, workers=4).workers == 4
    assert load_settings(root, workers=None).workers == 3


READ = [
    ("workers = 4", "workers", 4),
    ('store = "s3://bucket/store"', "store", "s3://bucket/store"),
    ('trackers = ["mlflow", "wandb"]', "trackers", ("mlflow", "wandb")),
    ('trackers = "mlflow, wandb"', "trackers", ("mlflow", "wandb")),
    ("trackers = []", "trackers", ()),
    ("output-limit-bytes = 100", "output_limit_bytes", 100),
]


@pytest.mark.parametrize(("text", "name", "value"), READ)
def test_file_is_read(root: Path, text: str, name: str, value: object) -> None:
    """Numbers, texts and lists come out in the setting's type; a hyphen may stand for an underscore."""
    table(root, text)
    assert getattr(load_settings(root), name) == value


VARIABLES = [("NBMLOPS_TRACKERS", "", "trackers", ()), ("NBMLOPS_TRACKERS", "a,b", "trackers", ("a", "b")), ("NBMLOPS_SEED", " 7 ", "seed", 7)]


@pytest.mark.parametrize(("variable", "text", "name", "value"), VARIABLES)
def test_variable_is_read(root: Path, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, name: str, value: object) -> None:
    """A variable's text becomes the setting's type; an empty list is a list."""
    monkeypatch.setenv(variable, text)
    assert getattr(load_settings(root), name) == value


BAD = [
    ("worker = 4", "unknown setting 'worker'"),
    ('workers = "many"', "a whole number"),
    ("workers = true", "a whole number"),
    ("workers = 1.5", "a whole number"),
    ("workers = -1", "from 0"),
    ("store = 3", "a string"),
    ("trackers = [1]", "a list of strings"),
    ("trackers = {}", "a list of strings"),
    ("workers = ", "cannot be read"),
]


@pytest.mark.parametrize(("text", "expected"), BAD)
def test_bad_setting_is_refused(root: Path, text: str, expected: str) -> None:
    """A setting that cannot be meant is one line, with the code NB005."""
    table(root, text)
    with pytest.raises(UsageError, match=expected) as caught:
        load_settings(root)
    assert caught.value.code == "NB005"
    assert "\n" not in str(caught.value)


def test_bad_variable_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which variable is wrong."""
    monkeypatch.setenv("NBMLOPS_WORKERS", "two")
    with pytest.raises(UsageError, match="NBMLOPS_WORKERS"):
        load_settings(root)


def test_bad_option_is_refused(root: Path) -> None:
    """An option is checked like any other setting."""
    with pytest.raises(UsageError, match="seed"):
        load_settings(root, seed=-1)


@pytest.mark.parametrize("marker", ["pyproject.toml", ".git", ".nbmlops"])
def test_root_is_the_nearest_marked_folder(tmp_path: Path, marker: str) -> None:
    """The search goes upward and stops at the first marker."""
    inner = tmp_path / "outer" / "inner"
    (inner / "notebooks").mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    (inner / marker).touch()
    assert find_project_root(inner / "notebooks") == inner


def test_zero_workers_is_one_per_usable_cpu(root: Path) -> None:
    """0 stands for the CPUs that this process may use, not those of the machine."""
    assert load_settings(root).worker_count == len(os.sched_getaffinity(0))
    assert Settings(project_root=root, store="s", workers=3).worker_count == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('promotion_aliases = ["v1"]', "'promotion_aliases' names 'v1'"),
        ('promotion_aliases = ["a.b"]', "'promotion_aliases' names 'a.b'"),
        ('promotion_aliases = ["latest"]', "'promotion_aliases' names 'latest'"),
        ("promotion_aliases = []", "'promotion_aliases' is empty"),
        ('champion_absent = "maybe"', "'champion_absent' is 'maybe'"),
        ("promotion_approver = 3", "'promotion_approver' is 3"),
    ],
)
def test_settings_of_promotion_that_cannot_be_meant(root: Path, text: str, told: str) -> None:
    """Aliases that MLflow keeps for itself or does not take, and words that mean nothing."""
    table(root, text)
    with pytest.raises(UsageError, match=told):
        load_settings(root)


@pytest.mark.parametrize(
    ("text", "approvers"),
    [
        ("promotion_approver = true", ("yes",)),
        ("promotion_approver = false", ()),
        ('promotion_approver = "no"', ()),
        ('promotion_approver = ["Ada", "Bob"]', ("Ada", "Bob")),
        ('promotion_approver = "Ada, Bob"', ("Ada", "Bob")),
    ],
)
def test_a_second_person_is_a_truth_or_names(root: Path, text: str, approvers: tuple[str, ...]) -> None:
    """``yes`` stands for anybody but who promotes."""
    table(root, text)
    assert load_settings(root).promotion_approver == approvers


def test_expressions_in_a_variable_may_hold_commas(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Semicolons stand between them."""
    monkeypatch.setenv("NBMLOPS_PROMOTION_REQUIRE", "max(a, b) > 1; c < 2")
    assert load_settings(root).promotion_require == ("max(a, b) > 1", "c < 2")
