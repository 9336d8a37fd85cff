"""The demo's third chapter: a month that its suite refuses, and the story of who becomes champion, told by the real commands."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import nbmlops

if TYPE_CHECKING:
    import pandas as pd

    from nbmlops.gates.validation import Validation
    from tests.acceptance.project import Project

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "flight_delay_promotion.ipynb"
WRONG = ["in kilometres and UTC", "with a stray comma"]


def source_of(cell_id: str) -> str:
    """Return the source of one of the notebook's cells."""
    return next("".join(item["source"]) for item in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if item["id"] == cell_id)


@pytest.fixture(scope="module")
def setup() -> dict[str, Any]:
    """Give what the notebook's setup cells define, and the flights."""
    names: dict[str, Any] = {}
    for cell_id in ("parameters", "imports", "constants", "data-functions", "delivery-function", "judging-functions"):
        exec(source_of(cell_id), names)
    exec(source_of("ingest").split("\n", 1)[1], names)
    return names


def held(month: pd.DataFrame) -> Validation:
    """Hold a month to the notebook's suite."""
    return nbmlops.validate(month, ROOT / "notebooks" / "expectations" / "delivery.json", stop=False)


def refused(month: pd.DataFrame) -> set[str]:
    """Return the columns in which a month is refused."""
    found = held(month)
    assert not found.passed
    return {check.about for check in found.refusing}


def test_every_month_as_agreed_meets_the_suite(setup: dict[str, Any]) -> None:
    """The suite is about months as they are, not about September; July alone has a mark, for a flight of 17 miles that was cancelled."""
    flights = setup["flights"]
    found = {number: held(month) for number, month in flights.groupby("month") if number <= setup["newest_month"]}
    assert {number: result.passed for number, result in found.items()} == dict.fromkeys(range(1, 10), True)
    assert [number for number, result in found.items() if result.warning] == [7]


def test_wrong_deliveries_are_refused(setup: dict[str, Any]) -> None:
    """The unit shows in the mean, the time zone at night and at the month's end, the comma in the airports and airlines."""
    flights = setup["flights"]
    september = flights[flights["month"] == 9]
    assert setup["as_delivered"](september, "as agreed") is september
    metric, comma = (refused(setup["as_delivered"](september, how)) for how in WRONG)
    assert metric == {"distance", "hour", "month"}
    assert comma == {"origin", "distance", "carrier"}
    with pytest.raises(ValueError, match="choose 'as agreed'"):
        setup["as_delivered"](september, "late")


@pytest.mark.parametrize(
    ("interval", "words"),
    [((0.001, 0.003), "better than"), ((-0.003, -0.001), "worse than"), ((-0.001, 0.003), "not to be told from"), ((0, 0), "as the first one does")],
)
def test_verdict_follows_the_interval(setup: dict[str, Any], interval: tuple[float, float], words: str) -> None:
    """Better is said only where chance is excluded, and worse is said too."""
    assert words in setup["verdict"](sum(interval) / 2, *interval)


def test_wrong_month_stops_the_run(project: Project) -> None:
    """The stage that accepts a delivery is refused, nothing below it runs, and the notebook says why; the suite stays as it is in Git."""
    store, suite = str(project.folder / "store"), ROOT / "notebooks" / "expectations" / "delivery.json"
    before = suite.read_bytes()
    words = ("-p", "delivered", WRONG[0], "--store", store, "--no-track", "--json")
    done = project.call("run", NOTEBOOK, "out.ipynb", *words, env={"NBMLOPS_TRUSTED_STORES": store})
    assert done.code == 3, done.err
    assert done.ran == ["ingest", "receive", "expect-delivery"]
    assert {name for name, status in done.statuses.items() if status == "not-run"} == {"features", "split", "train", "judge", "yardstick"}
    [gate] = done.stage("accept")["gates"]
    assert (gate["name"], gate["value"], gate["threshold"], gate["passed"]) == ("expectations:delivery", 4, 8, False)
    assert "expect_column_mean_to_be_between" in (project.folder / "out.ipynb").read_text(encoding="utf-8")
    assert suite.read_bytes() == before


@pytest.mark.thorough
def test_whole_story(project: Project) -> None:
    """What `make promotion-demo` does: the exit codes, the aliases in MLflow, a log that verifies, and an answer that says what its numbers say."""
    folder = project.folder / "story"
    words = [sys.executable, ROOT / "notebooks" / "promotion_story.py", folder]
    told = subprocess.run(words, capture_output=True, text=True, check=False, timeout=900)
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.count("(exit 3, as it should)") == 3

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    aliases = client.get_registered_model("late-flights").aliases
    assert {alias: int(version) for alias, version in aliases.items()} == {"champion": 1}
    found = {int(item.version): item.tags for item in client.search_model_versions("name='late-flights'")}
    assert {number: tags["nbmlops.status"] for number, tags in found.items()} == {1: "done", 2: "refused", 3: "done"}
    auc = {number: float(tags["nbmlops.metric.roc_auc"]) for number, tags in found.items()}
    assert auc[2] < auc[1] < auc[3]

    settings = {"store": str(folder / "store"), "trusted_stores": (str(folder / "store"),)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        history = nbmlops.history("late-flights", **settings)
    acts = [(event.act, event.from_version, event.version) for event in history.events]
    assert acts == [("rollback", 3, 1), ("promote", 1, 3), ("promote", None, 1)]
    assert (history.broken, history.strayed) == ("", ())

    answer = next(text for text in shown(folder / "6.ipynb", "report-verdict", "text/markdown"))
    row = next(line for line in shown(folder / "6.ipynb", "report-difference", "text/plain")[-1].splitlines() if line.startswith("all test months"))
    difference, low, high = map(float, row.split()[3:])
    assert low > 0
    assert difference == pytest.approx(auc[3] - auc[1], abs=1e-4)
    assert f"better than the first one: {difference:+.4f} ROC AUC (95% interval {low:+.4f} to {high:+.4f})" in answer


def shown(path: Path, cell_id: str, kind: str) -> list[str]:
    """Return what a cell of an executed notebook shows in one form."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = next(item["outputs"] for item in cells if item.get("id") == cell_id)
    return ["".join(output["data"][kind]) for output in outputs if kind in output.get("data", {})]


def test_story_stops_where_a_step_differs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A command that does not exit as it should ends the story, which says so."""
    script = runpy.run_path(str(ROOT / "notebooks" / "promotion_story.py"))
    script["STORY"][:] = [("This is misuse.", 3, ["history", "--no-such"]), ("Nobody comes here.", 0, ["history", "--verify"])]
    assert script["tell"](tmp_path / "story") == 1
    told = capfd.readouterr()
    assert "that exited 2, and should exit 3" in told.err
    assert "Nobody" not in told.out
