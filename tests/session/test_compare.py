"""What differs between runs: real ones of a small notebook, and records made up for what seldom happens."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

import nbmlops
from nbmlops.errors import UsageError
from nbmlops.session.comparing.compare import compare_runs
from nbmlops.session.comparing.comparison import ABSENT, Comparison
from nbmlops.session.pool import WarmWorkers
from nbmlops.session.sweep import SweepOptions
from nbmlops.settings import Settings
from nbmlops.store.records import Artifact, RunRecord, StageRecord
from nbmlops.store.store import Store, record_path, snapshot_path
from tests.acceptance.project import Project, cell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nbmlops.session.batch import Session
    from nbmlops.session.run import Run

CELLS = (
    cell("C = 0.5  # sweep: float(0.1, 0.9)\nn = 3\napi_token = 'abcdefgh'", "parameters"),
    "import math, json\n\n\ndef square(x):\n    return x * x\n\n\ndef shift(x):\n    return x + 1",
    "%%mlstage load\nrows = [int(line) for line in open('rows.txt')]",
    "%%mlstage train\nif C < 0:\n    raise ValueError('C is negative')\nmodel = [C * square(row) for row in rows[:n]]",
    "%%mlstage score --metrics scores\nscores = {'total': shift(sum(model)), 'odd': math.nan}",
    "%%mlstage note\nwith open('note.txt', 'w') as file:\n    file.write(api_token[:2] + str(len(rows)))",
)


def edited(*changes: tuple[str, str]) -> list[Any]:
    """Return the notebook's cells with texts replaced."""
    text = json.dumps(CELLS)
    for old, new in changes:
        assert json.dumps(old)[1:-1] in text, old
        text = text.replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1])
    return list(json.loads(text))


@dataclass(frozen=True)
class Runs:
    """The runs of one project."""

    project: Project
    session: Session
    base: Run
    parameter: Run
    failed: Run
    code: Run
    comment: Run
    data: Run

    def compare(self, *refs: Run | str) -> Comparison:
        """Compare runs of the project."""
        return self.session.compare(*refs)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Run a notebook six times, each after another change, and sweep it."""
    project = Project(tmp_path_factory.mktemp("compare") / "project")
    pool = WarmWorkers()

    def run(*changes: tuple[str, str], **parameters: Any) -> Run:
        made = nbmlops.open(project.write(edited(*changes)), trackers=(), workers=1)
        made.pool = pool
        return made.run(parameters)

    rows = project.folder / "rows.txt"
    rows.write_text("1\n2\n3\n")
    base, parameter, failed = run(), run(C=0.7), run(C=-1.0)
    code = run(("return x * x", "return x * x + 1"), ("'odd'", "'even'"))
    comment = run(("n = 3", "n = 3  # rows"), ("sum(model)", "sum( model )"))
    rows.write_text("1\n2\n4\n")
    data = run()
    session = nbmlops.open(project.write(CELLS), trackers=(), workers=1)
    session.pool = pool
    session.sweep(SweepOptions(trials=2, maximize=("total",), sampler="random", name="a/b", workers=1, track=False)).run()
    yield Runs(project, session, base, parameter, failed, code, comment, data)
    pool.close()
    project.kill_left_over()


def test_a_parameter(runs: Runs) -> None:
    """What it changes is there with both values, and why; what it does not change is equal."""
    found = runs.compare(runs.base, runs.parameter)
    assert found.parameters.differ == {"C": (0.5, 0.7)}
    assert found.parameters.equal == ("n", "api_token")
    assert found.metrics.differ == {"total": (8.0, pytest.approx(10.8))}
    assert found.metrics.equal == ("odd",)  # NaN in both
    assert {name: row.reasons[1] for name, row in found.stages.differ.items()} == {
        "train": ("parameter C 0.5 -> 0.7",),
        "score": ("input model changed",),
    }
    assert list(found.artifacts.differ) == ["model", "scores"]
    assert set(found.artifacts.equal) == {"rows", "note.txt"}
    assert (found.code.differ, set(found.code.equal)) == ({}, {"load", "train", "score", "note"})
    assert not any(section.unknown for section in found.sections.values())
    assert "python" in found.environment.equal


def test_json_is_that_of_the_contract(runs: Runs) -> None:
    """Each section maps a name to one value for each run."""
    data = runs.compare(runs.base, runs.parameter).to_json()
    assert data["parameters"] == {"C": [0.5, 0.7]}
    assert data["artifacts"]["model"]["digest"] == [run.stages["train"].outputs["model"].digest for run in (runs.base, runs.parameter)]
    assert data["artifacts"]["model"]["summary"] == ["3 items", "3 items"]
    assert data["stages"]["train"]["key"] == [runs.base.stages["train"].key, runs.parameter.stages["train"].key]
    assert (data["code"], data["environment"]) == ({}, {})
    assert [item["run_id"] for item in data["runs"]] == [runs.base.id, runs.parameter.id]


def test_code_of_stages_and_of_the_setup_they_use(runs: Runs) -> None:
    """A stage's diff holds its cells and the helpers that it calls, not others'."""
    found = runs.compare(runs.base, runs.code)
    assert list(found.code.differ) == ["train", "score"]
    train, score = found.code.differ.values()
    assert ("-    return x * x\n+    return x * x + 1" in train.setup, train.cells) == (True, "")
    assert "-scores = {'total': shift(sum(model)), 'odd': math.nan}\n+scores = {'total': shift(sum(model)), 'even': math.nan}" in score.cells
    assert score.setup == ""
    assert train.text.startswith(f"--- {runs.base.id[:8]} setup\n+++ {runs.code.id[:8]} setup\n@@ ")
    assert found.metrics.differ["even"][0] is ABSENT
    assert found.to_json()["runs"][0]["lacks"] == {"metrics": ["even"]}
    assert found.to_json()["metrics"]["even"][0] is None


def test_comments_and_formatting_are_told_as_such(runs: Runs) -> None:
    """They differ, and decide nothing: every stage is the same work."""
    found = runs.compare(runs.base, runs.comment)
    assert {name: diff.cosmetic for name, diff in found.code.differ.items()} == {"train": True, "score": True}
    assert not found.stages.differ
    assert not runs.compare(runs.base, runs.code).code.differ["train"].cosmetic


def test_a_data_file(runs: Runs) -> None:
    """The stage that reads it says so."""
    found = runs.compare(runs.base, runs.data)
    assert found.stages.differ["load"].reasons[1] == ("file rows.txt changed",)
    assert "rows" in found.artifacts.differ
    assert "note.txt" in found.artifacts.equal
    assert not found.code.differ


def test_a_run_that_failed(runs: Runs) -> None:
    """Its error is there; what it has not made is absent, not equal."""
    found = runs.compare(runs.base, runs.failed)
    assert set(found.stages.differ) == {"train", "score"}
    before, after = found.stages.differ["train"].sides
    assert (before.status, after.status, after.error) == ("ran", "failed", "ValueError: C is negative")  # type: ignore[union-attr]
    assert found.artifacts.differ["model"][1] is ABSENT
    assert found.metrics.differ["total"] == (8.0, ABSENT)
    assert set(found.stages.equal) == {"load", "note"}
    assert (found.runs[1].gone, found.notes) == ((), ())  # there never was a record
    assert not found.environment.unknown


def test_trials(runs: Runs) -> None:
    """A trial is named by its sweep and number, against another and against a run."""
    trials = runs.compare("a/b/0", "a/b/1")
    assert [(item.run.sweep, item.run.trial) for item in trials.runs] == [("a/b", 0), ("a/b", 1)]
    assert trials.labels == ("a/b/0", "a/b/1")
    assert list(trials.parameters.differ) == ["C"]
    assert list(trials.metrics.differ) == ["total"]
    assert set(trials.stages.equal) == {"load", "note"}
    mixed = runs.compare(trials.runs[1].run.run_id, runs.data)
    assert (mixed.runs[0].run.trial, mixed.parameters.differ["C"][1]) == (1, 0.5)


def test_three_runs_side_by_side(runs: Runs) -> None:
    """Each row has a value for each, and each diff is one against the first."""
    found = runs.compare(runs.base, runs.parameter, runs.code)
    assert found.parameters.differ == {"C": (0.5, 0.7, 0.5)}
    assert found.code.differ["train"].text.count(f"--- {runs.base.id[:8]} setup") == 1  # base and parameter have one notebook
    assert [len(lines) for lines in found.stages.differ["train"].reasons] == [0, 1, 1]


def test_at_the_top_of_the_package(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """No notebook is needed, only the project that one is in."""
    monkeypatch.chdir(runs.project.folder)
    found = nbmlops.compare(runs.base, runs.parameter.id[:12])
    assert repr(found) == f"<Comparison of {runs.base.id[:8]}, {runs.parameter.id[:8]}: 1 parameters, 1 metrics, 2 stages, 2 artifacts differ>"


@pytest.fixture
def copied(runs: Runs, tmp_path: Path) -> Store:
    """Give a copy of the store, to take something out of."""
    shutil.copytree(runs.project.folder / ".nbmlops", tmp_path / "copy")
    return Store(str(tmp_path / "copy"), settings=runs.session.settings)


def test_a_record_that_is_gone(runs: Runs, copied: Store) -> None:
    """It is said to be gone, and nothing is called equal that only it could tell."""
    key = runs.parameter.stages["note"].key
    (copied.local_path("") / record_path(str(key))).unlink()
    (copied.local_path("") / record_path(str(runs.parameter.stages["train"].key))).unlink()
    found = compare_runs(copied, runs.project.folder, [runs.base.id, runs.parameter.id])
    assert (found.runs[0].gone, found.runs[1].gone) == (("note",), ("train", "note"))
    assert len(found.notes) == 2
    assert "no longer holds the record of train, note" in found.notes[1]
    assert found.stages.differ["train"].reasons == ((), ())
    first, second = found.artifacts.differ["model"]
    assert (first.type, second.type, second.size_bytes is None) == ("list", None, False)  # type: ignore[union-attr]
    assert "note.txt" not in found.artifacts.equal
    assert "note" in found.stages.equal  # its key, which is in the run, says so


def test_a_file_of_which_only_one_record_is_left(runs: Runs, copied: Store) -> None:
    """Nobody knows whether the other run wrote it."""
    run = copied.run(runs.base.id)
    record = copied.record(str(runs.base.stages["note"].key))
    assert run is not None
    assert record is not None
    stages = [{**item, "key": "0" * 64} if item["name"] == "note" else item for item in run.stages]
    copied.put_run(replace(run, run_id="other", stages=tuple(stages)))
    found = compare_runs(copied, runs.project.folder, [runs.base.id, "other"])
    assert "of note is gone" in found.artifacts.unknown["note.txt"]
    assert "note" in found.stages.differ


def test_a_snapshot_that_is_gone(runs: Runs, copied: Store) -> None:
    """Keys still tell that code is equal; what changed has no diff, and is not called equal."""
    run = copied.run(runs.code.id)
    assert run is not None
    (copied.local_path("") / snapshot_path(run.notebook_digest)).unlink()
    found = compare_runs(copied, runs.project.folder, [runs.base.id, runs.code.id])
    assert (found.code.differ, set(found.code.equal)) == ({}, {"load", "note"})
    assert set(found.code.unknown) == {"train", "score"}
    assert found.code.unknown["train"] == f"the snapshot of the notebook of {runs.code.id[:8]} is gone, so there is no diff of what changed"


@pytest.mark.parametrize(
    ("refs", "code", "said"),
    [
        (["BASE"], "NB004", "compare takes two runs or more, not 1"),
        (["BASE", "nothing"], "NB004", "the store holds no run 'nothing'; name an id (nbmlops store ls) or SWEEP/NUMBER"),
        (["BASE", "BASE"], "NB004", "are the same run"),
        (["BASE", "nb.ipynb"], "NB004", "the store holds no run 'nb.ipynb'"),
        (["BASE", ""], "NB004", "the store holds no run ''"),
        (["BASE", "a/b/7"], "NB004", "the store holds no trial 7 of the sweep 'a/b'; it holds 2, from 0 to 1"),
        (["BASE", "a/c/0"], "NB004", "no trial of a sweep 'a/c'; did you mean 'a/b'?"),
        (["BASE", "a/b/" + "9" * 5000], "NB004", "the store holds no run"),
    ],
)
def test_what_cannot_be_meant(runs: Runs, refs: list[str], code: str, said: str) -> None:
    """One line with the remedy."""
    with pytest.raises(UsageError) as raised:
        runs.compare(*(runs.base.id if ref == "BASE" else ref for ref in refs))
    assert (raised.value.code, said in str(raised.value)) == (code, True), str(raised.value)


DIGESTS = ["1" * 64, "2" * 64]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store."""
    (tmp_path / "pyproject.toml").touch()
    return Store(str(tmp_path / ".nbmlops"), settings=Settings(project_root=tmp_path, store=str(tmp_path / ".nbmlops")))


def put(store: Store, run_id: str, *records: StageRecord, statuses: tuple[str, ...] = (), **fields: Any) -> None:
    """Store a run with the records of its stages."""
    stages = []
    for record, status in zip(records, statuses or ("ran",) * len(records), strict=True):
        store.put_record(record)
        outputs = {name: {"digest": item.digest, "format": item.format, "bytes": item.size_bytes} for name, item in record.outputs.items()}
        stages.append({"name": record.stage, "status": status, "key": record.key, "outputs": outputs, "metrics": dict(record.metrics)})
    about = {"notebook": "nb.ipynb", "notebook_digest": "", "status": "done", "started_s": 100.0, "seconds": 5.0} | fields
    store.put_run(RunRecord(run_id=run_id, stages=tuple(stages), **about))


def record(key: str, stage: str = "a", **fields: Any) -> StageRecord:
    """Return the record of a stage."""
    return StageRecord(**{"key": key, "stage": stage, "notebook": "nb.ipynb", "code": "c", "started_s": 101.0} | fields)


def compared(store: Store, *refs: str) -> Comparison:
    """Compare runs of a store."""
    return compare_runs(store, store.settings.project_root, refs)


def test_values_are_equal_only_in_their_type_too(store: Store) -> None:
    """1, 1.0, true and "1" are four values of a parameter; a metric is a number; None is not nothing."""
    put(store, "x", record("k", metrics={"m": 1, "nan": float("nan")}), parameters={"a": 1, "b": True, "c": None, "d": [1, 2], "e": float("nan")})
    put(store, "y", record("l", metrics={"m": 1.0, "nan": 0.5}), parameters={"a": 1.0, "b": 1, "d": [1, 2], "e": float("nan")})
    found = compared(store, "x", "y")
    assert list(found.parameters.differ) == ["a", "b", "c"]
    assert found.parameters.differ["c"] == (None, ABSENT)
    assert found.to_json()["runs"][1]["lacks"]["parameters"] == ["c"]
    assert found.parameters.equal == ("d", "e")
    assert (list(found.metrics.differ), found.metrics.equal) == (["nan"], ("m",))


def test_hidden_values_are_equal_only_if_records_prove_it(store: Store) -> None:
    """Two masks say nothing; digests under the project's key do."""
    put(store, "x", record("k", components={"values": {"token": "[secret] ab"}}), parameters={"token": "[secret]", "password": "[secret]"})
    put(store, "y", record("l", components={"values": {"token": "[secret] ab"}}), parameters={"token": "[secret]", "password": "[secret]"})
    put(store, "z", record("m", components={"values": {"token": "[secret] cd"}}), parameters={"token": "[secret]", "password": "[secret]"})
    found = compared(store, "x", "y")
    assert (found.parameters.equal, found.parameters.unknown) == (("token",), {"password": "its value is hidden as a secret"})
    assert list(compared(store, "x", "z").parameters.unknown) == ["token", "password"]


def test_versions_of_the_environment(store: Store) -> None:
    """Of every stage; two in one run are both told."""
    put(
        store,
        "x",
        record("k", components={"python": "3.11", "distributions": {"pandas": "3.0", "numpy": "2.0", "scipy": "1.0"}}),
        record("l", "b", components={"python": "3.11", "distributions": {"numpy": "2.1"}}, environment={"OMP_NUM_THREADS": "2", "threads": "2"}),
    )
    put(store, "y", record("m", components={"python": "3.12", "distributions": {"pandas": "3.0", "numpy": "2.1"}}))
    found = compared(store, "x", "y").environment
    assert found.differ == {
        "python": ("3.11", "3.12"),
        "numpy": ("2.0 (a); 2.1 (b)", "2.1"),
        "scipy": ("1.0", ABSENT),
        "OMP_NUM_THREADS": ("2", ABSENT),
    }
    assert found.equal == ("pandas",)


def test_versions_that_nobody_recorded(store: Store) -> None:
    """A stage without a record may have used the package too."""
    put(store, "x", record("k", components={"distributions": {"pandas": "3.0"}}))
    put(store, "y", record("l", "b"))
    (store.local_path("") / record_path("l")).unlink()
    found = compared(store, "x", "y").environment
    assert (found.differ, found.unknown) == ({}, {"pandas": "y has no record of b"})


def test_a_record_that_a_later_run_has_replaced(store: Store) -> None:
    """Only what its key is made of is the run's own."""
    artifact = Artifact(name="v", digest=DIGESTS[0], format="json", size_bytes=1, type="list")
    put(store, "x", record("k", outputs={"v": artifact}))
    put(store, "y", record("l", outputs={"v": artifact}))
    put(store, "late", record("k", outputs={"v": replace(artifact, digest=DIGESTS[1])}, started_s=900.0, run_id="late"), started_s=899.0)
    found = compared(store, "x", "y")
    assert [item.replaced for item in found.runs] == [("a",), ()]
    assert found.artifacts.equal == ("v",)  # as the runs themselves say
    forced = compared(store, "x", "late")
    assert (forced.stages.equal, list(forced.artifacts.differ)) == (("a",), ["v"])


def test_sets_in_another_order(store: Store) -> None:
    """Equal bytes are not all that a stage can see of a value."""
    artifact = Artifact(name="v", digest=DIGESTS[0], format="json", size_bytes=1, form=DIGESTS[0])
    put(store, "x", record("k", outputs={"v": artifact}))
    put(store, "y", record("l", outputs={"v": replace(artifact, form=DIGESTS[1])}))
    assert list(compared(store, "x", "y").artifacts.differ) == ["v"]


def test_names_of_several_stages(store: Store) -> None:
    """A metric is known by its name even where its stage was renamed; where two stages have it, by both."""
    put(store, "x", record("k", "a", metrics={"loss": 1.0}))
    put(store, "y", record("l", "b", metrics={"loss": 2.0}))
    put(store, "z", record("k", "a", metrics={"loss": 1.0}), record("l", "b", metrics={"loss": 2.0}))
    assert compared(store, "x", "y").metrics.differ == {"loss": (1.0, 2.0)}
    both = compared(store, "x", "z").metrics
    assert (both.equal, both.differ) == (("a.loss",), {"b.loss": (ABSENT, 2.0)})


def test_runs_of_different_notebooks(store: Store) -> None:
    """That is allowed, and said."""
    put(store, "x", record("k"))
    put(store, "y", record("l"), notebook="other.ipynb")
    assert compared(store, "x", "y").notes == ("these are runs of different notebooks: nb.ipynb, other.ipynb",)


def test_a_beginning_or_a_trial_of_several_runs(store: Store) -> None:
    """Which is meant is asked, not guessed: a sweep may have been begun anew under its name."""
    put(store, "x1", record("k"))
    put(store, "x2", record("l"), sweep="s", trial=0)
    put(store, "y", record("m"), sweep="s", trial=0, started_s=200.0)
    for ref, said in (("x", "2 runs begin with 'x': x1, x2"), ("s/0", "2 runs are trial 0 of a sweep 's': y of 1970-01-01 00:03:20 UTC, x2 of")):
        with pytest.raises(UsageError) as raised:
            compared(store, ref, "y")
        assert (raised.value.code, said in str(raised.value)) == ("NB806", True), str(raised.value)


def test_labels_are_never_the_same(store: Store) -> None:
    """Two ids that begin alike are told in full."""
    put(store, "0123456789", record("k"))
    put(store, "012345678x", record("l"))
    assert compared(store, "0123456789", "012345678x").labels == ("0123456789", "012345678x")
