"""Gates in real runs: what they refuse stays refused, what depends on it waits, and the evidence stands wherever one looks."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nbmlops.errors import GateRefused
from nbmlops.runner.results import StageResult
from nbmlops.session.reproducing import _judged, is_reproducible
from nbmlops.session.verifying.verdict import StageVerdict
from nbmlops.settings import Settings
from nbmlops.store.gc import collect
from nbmlops.store.store import Store
from nbmlops.store.verify import verify_store
from tests.acceptance.kernel import Kernel
from tests.acceptance.project import Cell, Project, text_of
from tests.pipeline.written import pipeline_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def counted(project: Project, name: str) -> str:
    """Return code that leaves a mark each time it runs, by a way that nbmlops does not see: the file is not to be its input."""
    return f"import ctypes\nctypes.CDLL(None).system(b'echo {name} >> {project.folder.parent / 'log'}')"


def times(project: Project, name: str) -> int:
    """Return how often a stage has run."""
    log = project.folder.parent / "log"
    return log.read_text().split().count(name) if log.exists() else 0


def store_of(project: Project) -> Store:
    """Open the project's store."""
    settings = Settings(project_root=project.folder, store=str(project.folder / ".nbmlops"))
    return Store(settings.store, settings=settings)


def shown(output: str) -> list[dict[str, Any]]:
    """Return every output of an executed notebook."""
    cells = json.loads(Path(output).read_text(encoding="utf-8"))["cells"]
    return [item for cell in cells for item in cell.get("outputs", ())]


def gated(project: Project, least: float) -> list[Cell | str]:
    return [
        f'%%mlstage train --metrics m --require "auc >= {least}"\n{counted(project, "train")}\nm = {{"auc": 0.5}}\nmodel = [1, 2]',
        f"%%mlstage deploy\n{counted(project, 'deploy')}\nserved = model",
        f"%%mlstage apart\n{counted(project, 'apart')}\nother = 3",
        "print(served, other)",
    ]


def said_by_status(project: Project) -> list[str]:
    """Return the state of each stage as ``status`` tells it."""
    return [item["state"] for item in project.call("status", "nb.ipynb", "--json").data["stages"]]


def test_a_refused_gate_stops_what_depends_on_it_until_it_is_loosened(project: Project) -> None:
    """Refused again without running again; a looser gate goes on from what was computed, a stricter one refuses what went through."""
    for least, code, statuses in (
        (0.9, 3, ["refused", "not-run", "ran"]),
        (0.9, 3, ["refused", "not-run", "reused"]),
        (0.4, 0, ["reused", "ran", "reused"]),
        (0.4, 0, ["reused", "reused", "reused"]),
        (0.9, 3, ["refused", "not-run", "reused"]),
    ):
        project.write(gated(project, least))
        done = project.run()
        assert (done.code, done.data["status"], list(done.statuses.values())) == (code, "refused" if code else "done", statuses)
        (gate,) = done.stage("train")["gates"]
        assert (gate["name"], gate["value"], gate["threshold"], gate["passed"]) == (f"auc >= {least}", 0.5, least, not code)
        assert gate["digests"] == {"stage": done.stage("train")["key"]}
        record = store_of(project).run(done.data["run_id"])
        assert record is not None
        kept = next(stage for stage in record.stages if stage["name"] == "train")
        if code:
            assert kept["gates"] == [gate]
            assert "auc >= 0.9 (0.5) does not hold" in done.err
            told = [text_of(item) for item in shown(done.data["output"]) if item["output_type"] == "error"]
            assert told == ["GateRefused: auc >= 0.9 does not hold: it is 0.5"]
        assert said_by_status(project) == (["refused", "unknown", "fresh"] if code else ["fresh"] * 3)
    assert project.call("why", "nb.ipynb", "train").out.startswith("--require auc >= 0.9 does not hold\n")
    assert [times(project, name) for name in ("train", "deploy", "apart")] == [1, 1, 1]


def test_code_may_refuse(project: Project) -> None:
    """GateRefused ends a stage as refused, with what it had found before; there is no record to go on from, and branches apart go on."""
    code = (
        "from nbmlops.errors import GateRefused\nfrom nbmlops.runner.logged import add_evidence\n"
        "add_evidence({'name': 'rows', 'judge': 'test', 'value': 3, 'threshold': 5, 'passed': False})\n"
        "raise GateRefused('3 rows are too few', fix='load more')"
    )
    cells: list[Cell | str] = [
        f"%%mlstage check\n{counted(project, 'check')}\nx = 1\n{code}",
        "%%mlstage after\ny = x",
        "%%mlstage apart\nz = 2",
        "print(y, z)",
    ]
    project.write(cells)
    for number in (1, 2):
        done = project.run()
        assert (done.code, list(done.statuses.values())) == (3, ["refused", "not-run", "ran" if number == 1 else "reused"])
        assert times(project, "check") == number
        assert [gate["name"] for gate in done.stage("check")["gates"]] == ["rows"]
        assert "3 rows are too few; load more" in done.err
        assert any("3 rows are too few" in text_of(item) for item in shown(done.data["output"]))


def test_data_volume(project: Project) -> None:
    """rows.NAME counts what the stage makes, read later or not: enough rows pass, too few exit 3, and what has no rows says so."""
    project.write(
        [
            '%%mlstage enough --require "rows.data >= 3"\ndata = [1, 2, 3]',
            '%%mlstage few --require "rows.part >= 100"\npart = data[:2]',
            '%%mlstage none --require "rows.single > 0"\nsingle = 7',
            "print(data, single)",
        ]
    )
    done = project.run()
    assert (done.code, list(done.statuses.values())) == (3, ["ran", "refused", "refused"])
    assert [(done.stage(name)["gates"][0]["value"], done.stage(name)["gates"][0]["threshold"]) for name in ("enough", "few")] == [(3, 3), (2, 100)]
    assert "which has no rows" in done.stage("none")["gates"][0]["reason"]


REPRODUCIBLE: list[Cell | str] = [
    "import uuid",
    "%%mlstage load --require reproducible\nx = [1, 2, 3]\nopen('out.txt', 'a').write('x')",
    '%%mlstage model --require "reproducible and rows.y > 2"\ny = [v * 2 for v in x]\nt = open("out.txt").read()',
    "%%mlstage dice --require reproducible\nu = str(uuid.uuid4())",
    "%%mlstage after\nw = u",
    "print(y, w, t)",
]


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, list[Any]]]:
    """Run a notebook with gates on reproducibility twice, then once with one stage forced."""
    project = Project(tmp_path_factory.mktemp("repeated") / "project")
    project.write(REPRODUCIBLE)
    yield project, [project.run(), project.run(), project.run("--force-stage", "model")]
    project.kill_left_over()


def test_what_repeats_passes_and_what_does_not_is_refused(repeated: tuple[Project, list[Any]]) -> None:
    """A stage with inputs and files is repeated from the same ones; one that draws unseeded entropy is refused, with the cause in the line."""
    _, (first, *_) = repeated
    assert (first.code, list(first.statuses.values())) == (3, ["ran", "ran", "refused", "not-run"]), first.err
    assert "dice: --require reproducible" in first.err
    assert "differs between two runs under equal conditions: randomness without a seed" in first.err
    assert "model: second time, for --require reproducible of model" in first.err
    assert first.stage("model")["gates"][0]["passed"] is True


def test_what_is_known_is_not_found_out_again(repeated: tuple[Project, list[Any]]) -> None:
    """Reused stages are not repeated, and refused ones are refused by the same cause; one that is forced is."""
    _, (first, second, forced) = repeated
    assert (second.code, list(second.statuses.values())) == (3, ["reused", "reused", "refused", "not-run"])
    assert "time, for --require" not in second.err
    assert [second.stage(name)["gates"] for name in ("model", "dice")] == [first.stage(name)["gates"] for name in ("model", "dice")]
    assert (forced.statuses["model"], "model: second time" in forced.err, "dice: second time" in forced.err) == ("ran", True, False)


def test_the_stage_command_repeats_too(repeated: tuple[Project, list[Any]]) -> None:
    """Where the store knows the stage and not whether it repeats; exit 3 where it is known not to."""
    project, (first, *_) = repeated
    verdict = project.folder / ".nbmlops" / "verdicts" / f"{first.stage('model')['key']}.json"
    verdict.unlink()
    codes = {name: project.call("stage", "nb.ipynb", name, "--result", "result.json").code for name in ("model", "dice")}
    assert codes == {"model": 0, "dice": 3}
    assert verdict.exists()


def test_a_verdict_is_about_the_outputs_that_were_repeated(repeated: tuple[Project, list[Any]]) -> None:
    """Of a record with others under the same key nothing is known."""
    project, (first, *_) = repeated
    store = store_of(project)
    record = store.record(first.stage("model")["key"])
    assert record is not None
    result = StageResult.of_record(record, "reused", "")
    assert is_reproducible(store, result)
    other = {name: replace(artifact, digest="0" * 64) for name, artifact in result.outputs.items()}
    with pytest.raises(GateRefused, match="has not been repeated yet"):
        is_reproducible(store, replace(result, outputs=other))


def test_repetitions_that_agree_with_each_other_and_not_with_the_run_refuse(repeated: tuple[Project, list[Any]]) -> None:
    """Of the same key, that is: with other inputs nothing follows."""
    project, (first, *_) = repeated
    record = store_of(project).record(first.stage("model")["key"])
    assert record is not None
    result = StageResult.of_record(record, "ran", "")
    digests = {name: artifact.digest for name, artifact in result.outputs.items()}
    for key, outputs, same in (
        (record.key, digests, True),
        (record.key, digests | {"y": "0" * 64}, False),
        ("other", digests | {"y": "0" * 64}, True),
    ):
        judged = _judged(result, StageVerdict(name="model", same=True, key=key, outputs=outputs))
        assert (judged["same"], "y of this run differs" in judged["cause"]) == (same, not same)


def test_a_stage_that_is_interrupted_while_it_is_repeated_is_kept(project: Project) -> None:
    """Ctrl-C ends the repetitions, leaves no process, and costs the stage no second run."""
    project.write([f"%%mlstage slow --require reproducible\n{counted(project, 'slow')}\nimport time\ntime.sleep(0.5)\nx = 1", "print(x)"])
    running = project.start("run", "nb.ipynb", "--json")
    assert running.stderr is not None
    line = next(line for line in running.stderr if "first time" in line)
    assert "slow: first time, for --require reproducible of slow" in line
    running.send_signal(signal.SIGINT)
    assert project.finish(running).code == 130
    assert project.left_after(30) == {}
    before = times(project, "slow")
    done = project.run()
    assert (done.code, done.statuses) == (0, {"slow": "reused"}), done.err
    assert times(project, "slow") == before + 2


def test_a_kernel_goes_by_what_batch_has_found(repeated: tuple[Project, list[Any]]) -> None:
    """A stage of a kernel is not repeated there: what is known passes or refuses, else it says what to do; a later cell knows of a refusal."""
    project, _ = repeated
    kernel = Kernel(project, project.folder / "nb.ipynb")
    try:
        kernel.run("%load_ext nbmlops")
        done = [kernel.run(str(source), None, f"cell-{number}") for number, source in enumerate(REPRODUCIBLE)]
        assert (done[1].ok, done[2].ok) == (True, True), done[2].text
        assert "NB701: stage 'dice' was refused" in done[3].text
        assert "NB410" in done[4].text
        assert "stage dice [5] was refused, since --require reproducible does not hold" in done[4].text
        new = kernel.run("%%mlstage fresh --require reproducible\nk = 5", None, "cell-new")
        assert "has not been repeated yet" in new.text
        refusing = kernel.run("%%mlstage guard\nfrom nbmlops.errors import GateRefused\nq = 1\nraise GateRefused('too few')", None, "cell-guard")
        assert (refusing.ok, "too few" in refusing.text) == (False, True)
        assert "NB410: stage guard [9]" in kernel.run("%%mlstage user\nr = q", None, "cell-user").text
    finally:
        kernel.close()


DATA = """%%mlstage data
draw = np.random.default_rng(1)
df = pd.DataFrame({"a": draw.normal(size=900), "b": draw.normal(size=900)})
df["origin"] = draw.choice(["EWR", "JFK", "LGA"], 900)
y = (df["a"] + draw.normal(size=900) > 0).astype(int)
model = LogisticRegression().fit(df[["a", "b"]], y)"""
JUDGE = """%%mlstage judge --require "gap_roc_auc_by_origin <= 0.3 and worst_roc_auc_by_origin > 0.5"
score = model.predict_proba(df[["a", "b"]])[:, 1]
groups = nbmlops.slices(y, score, by=df[["origin"]])
why = nbmlops.explain(model, df[["a", "b"]], y)
groups"""
SLICED: list[Cell | str] = [
    "import numpy as np\nimport pandas as pd\nfrom sklearn.linear_model import LogisticRegression\n\nimport nbmlops",
    DATA,
    JUDGE,
    '%%mlstage single --require "gap_roc_auc_by_origin <= 0.3"\nnbmlops.slices(y * 0, score, by=df[["origin"]])\nlast = 1',
    "%%mlstage table\nrows = dict(zip(why.frame['feature'], why.frame['importance'])), list(groups['origin']['rows'])",
    "why\nprint(rows, last, df, y, score)",
]


def test_slices_and_explanations_in_a_run(project: Project) -> None:
    """Their metrics may be required, NaN among them refuses; both are artifacts of later stages, and show as tables in the executed notebook."""
    project.write(SLICED)
    done = project.run()
    assert (done.code, list(done.statuses.values())) == (3, ["ran", "ran", "refused", "ran"]), done.err
    metrics = done.stage("judge")["metrics"]
    assert set(metrics) == {"gap_roc_auc_by_origin", "worst_roc_auc_by_origin"}
    assert done.stage("judge")["gates"][0]["passed"] is True
    importances, sizes = project.value(done.data["run_id"], "table", "rows")
    assert importances["a"] > importances["b"]
    assert sum(sizes) == 900
    pages = ["".join(item.get("data", {}).get("text/html", "")) for item in shown(done.data["output"])]
    assert any("group performance by origin" in page and "<table>" in page for page in pages)
    record = store_of(project).record(done.stage("judge")["key"])
    assert record is not None
    assert (record.remarks, record.effects.random, record.effects.mutated, record.effects.left_behind) == ((), (), (), ())
    again = project.run()
    assert list(again.statuses.values()) == ["reused", "reused", "refused", "reused"]


def test_reading_does_not_see_slices_change_anything() -> None:
    """What is judged and explained stays its stage's own, and the metrics of slices need no other announcement."""
    pipeline = pipeline_of(*SLICED)
    assert [item for item in pipeline.diagnostics if item.severity != "info"] == []
    assert dict(pipeline.stages["judge"].inputs) == {"df": "data", "model": "data", "y": "data"}
    assert set(pipeline.stages["judge"].wants) == {"groups", "score", "why"}


def test_gc_drops_what_is_known_of_records_that_are_gone(repeated: tuple[Project, list[Any]]) -> None:
    """And `store verify` knows the folder: it finds a verdict that was tampered with, and one under another's name."""
    project, _ = repeated
    store = store_of(project)
    folder = project.folder / ".nbmlops" / "verdicts"
    assert verify_store(store, repair=False).ok
    path = next(folder.iterdir())
    path.with_name(f"{'0' * 64}.json").write_bytes(path.read_bytes())
    assert [problem.path for problem in verify_store(store, repair=True).problems] == [f"verdicts/{'0' * 64}.json"]
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"true", b"null").replace(b"false", b"true"))
    assert [problem.path for problem in verify_store(store, repair=False).problems] == [f"verdicts/{path.name}"]
    assert store.verdict(path.stem) is None
    path.write_bytes(whole)
    (project.folder / ".nbmlops" / "records" / path.name).unlink()
    for old in (project.folder / ".nbmlops").rglob("*"):
        os.utime(old, (1e9, 1e9), follow_symlinks=False)
    collect(store, store.settings, dry_run=False)
    assert not path.exists()
    assert list(folder.iterdir())
