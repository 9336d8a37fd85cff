"""The live panel of a sweep in JupyterLab, fed by a script in place of a sweep."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.acceptance.project import cell

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Locator

    from tests.acceptance.project import Project
    from tests.browser.lab import LabServer, NotebookPage

pytestmark = pytest.mark.browser

FEED = """
import threading
from nbmlops.sweeps.state import Objective, SweepState, TrialState
from nbmlops.widgets.sweep import SweepPanel

rates = [0.3, 0.05, 0.13, 0.01, 0.2, 0.08]
stop, step = threading.Event(), threading.Semaphore(0)

def trial(number, running):
    state = "RUNNING" if number in running else "FAIL" if number == 3 else "COMPLETE"
    values = (0.72 - abs(rates[number] - 0.13),) if state == "COMPLETE" else ()
    error = "ValueError: <b>bold</b>" if state == "FAIL" else ""
    return TrialState(number=number, state=state, parameters={"rate": rates[number], "leaves": 8 + number % 4}, values=values,
                      seconds=1.0 + number, ran=("train",), reused=("load",), error=error)

def sweep(count, status="running"):
    running = {count - 1} if status == "running" else set()
    return SweepState(name="flights", notebook="nb.ipynb", objectives=(Objective("roc_auc", "maximize"),), wanted=20, status=status,
                      space={"rate": "float(0.01, 0.3, log)", "leaves": "int(8, 12)"}, sampler="tpe", pruner="median",
                      trials=tuple(trial(number, running) for number in range(count)), seconds_left=90.0,
                      importances={"rate": 0.8, "leaves": 0.2} if count > 4 else {},
                      tracking={"mlflow": {"experiment": "flights", "command": "mlflow ui --backend-store-uri sqlite:///mlflow.db"}})

def set_parameters(number):
    globals()["rate"] = rates[number]
    return f"rate, leaves = {rates[number]}, {8 + number % 4}"

def run_trial(number):
    if number == 0:
        raise RuntimeError("no <i>disk</i> space")
    return f"runs/trial-{number}.ipynb"

panel = SweepPanel(sweep(1), on_stop=stop.set, on_run=run_trial, on_set=set_parameters)

def feed():
    for count in range(2, 7):
        step.acquire(timeout=60)
        panel.show(sweep(count))
    stop.wait()
    step.acquire(timeout=60)
    panel.show(sweep(6, "stopped"))

threading.Thread(target=feed, daemon=True).start()
panel
"""


SWEEP = (
    "%load_ext nbmlops",
    cell("rate = 0.1  # sweep: float(0.01, 0.3)\nsize = 2  # sweep: int(1, 9)", "parameters"),
    "%%mlstage load\nrows = [1, 2, 3]",
    "%%mlstage train --metrics score\nimport time\ntime.sleep(0.3)\nscore = rate * size * len(rows)",
    "import os\nos.environ['NBMLOPS_TRACKERS'] = 'mlflow'\n%mlsweep --trials 300 --maximize score --workers 2 --sampler random;",
    "print('set', rate, size)",
)


def test_sweep_is_stopped_and_mlflow_agrees(server: LabServer, notebook: NotebookPage, project: Project) -> None:
    """A real sweep moves its panel while the kernel is free, stops when asked, and MLflow has the trials that the panel has."""
    notebook.open(server.url(project.write(SWEEP)))
    notebook.run("%load_ext")
    notebook.run("%mlsweep")
    panel = notebook.page.locator(".nbmlops-sweep")
    expect(panel.locator(".status")).to_have_text(re.compile(r"^([3-9]|\d\d+) of 300 trials finished"), timeout=90_000)
    expect(panel.locator(".links")).to_contain_text("Open in MLflow: mlflow ui --backend-store-uri sqlite:///")
    press(panel, "Set as parameters: trial 0")
    code = panel.locator("tr[data-trial='0'] + tr.answer code")
    expect(code).to_have_text(re.compile(r"^rate, size = 0\.\d+, \d$"))
    notebook.run("print('set'")
    expect(notebook.output("print('set'")).to_have_text(re.sub(".*= (.*), ", r"set \1 ", code.inner_text()))

    press(panel, "Stop")
    press(panel, "Stop it")
    expect(panel.locator(".looks")).to_have_text("■ stopped", timeout=60_000)
    status = panel.locator(".status").inner_text()
    complete = re.search(r"(\d+) complete", status)
    assert complete, status
    done = project.call("track", "sync", env={"NBMLOPS_TRACKERS": "mlflow"})
    assert done.code == 0, done.err
    runs = mlflow_runs(project)
    assert [run.info.status for run in runs if run.data.tags["nbmlops.role"] == "sweep"] == ["KILLED"]
    trials = [run for run in runs if run.data.tags["nbmlops.role"] == "trial"]
    assert sum(run.info.status == "FINISHED" for run in trials) == int(complete[1])
    assert not [run for run in trials if run.info.status == "RUNNING"]


def mlflow_runs(project: Project) -> list[Any]:
    """Return every run in the project's database."""
    import mlflow

    api = mlflow.MlflowClient(tracking_uri=f"sqlite:///{project.folder}/mlflow.db")
    return list(api.search_runs([item.experiment_id for item in api.search_experiments()]))


@pytest.fixture
def path(project: Project) -> Path:
    """Write a notebook that shows the panel; its other cells let the scripted sweep go on, and are busy for a while."""
    return project.write(
        ["%load_ext nbmlops", FEED, "for _ in range(5): step.release()", "print('rate is', rate)", "import time; time.sleep(2); step.release()"]
    )


def order_of(panel: Locator) -> list[str]:
    """Return the trials in the order of the table."""
    return panel.locator("tbody tr[data-trial] th").all_inner_texts()


def press(panel: Locator, name: str) -> None:
    """Press the button that has exactly this name, of two the one in the table."""
    panel.get_by_role("button", name=name, exact=True).last.click()


def test_panel_follows_a_sweep(server: LabServer, notebook: NotebookPage, path: Path) -> None:
    """It moves, sorts, answers its buttons and stops; the saved notebook shows the sweep to those who open it without the kernel."""
    notebook.open(server.url(path))
    notebook.run("import threading")
    panel = notebook.page.locator(".nbmlops-sweep")
    expect(panel.get_by_role("button", name="Stop")).to_be_enabled()
    expect(panel.locator(".status")).to_have_text("0 of 20 trials finished")
    expect(panel.locator(".running")).to_contain_text("▶ trial 0")

    notebook.run("for _ in range(5)")
    expect(panel.locator(".status")).to_have_text("5 of 20 trials finished (4 complete, 1 failed)")
    expect(panel.locator(".best-line")).to_have_text("best trial 2: roc_auc 0.72 with rate 0.13, leaves 10")
    expect(panel.locator(".pictures img")).to_have_count(3)
    assert panel.locator(".pictures img").first.evaluate("image => image.complete && image.naturalWidth > 200")
    expect(panel.locator("tr[data-trial='3']")).to_contain_text("ValueError: <b>bold</b>")

    check_sorting(notebook, panel)
    check_trial_buttons(notebook, panel)
    check_stop(notebook, panel)
    check_saved(server, notebook, panel, path)


def check_sorting(notebook: NotebookPage, panel: Locator) -> None:
    """By any column, with the keyboard, and what has no value comes last."""
    assert order_of(panel) == ["5", "4", "3", "2", "1", "0"]
    heading = panel.get_by_role("columnheader", name="roc_auc")
    heading.get_by_role("button").focus()
    notebook.page.keyboard.press("Enter")
    expect(heading).to_have_attribute("aria-sort", "ascending")
    assert order_of(panel) == ["0", "1", "4", "2", "3", "5"]
    notebook.page.keyboard.press("Space")
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert order_of(panel) == ["2", "4", "1", "0", "3", "5"]


def check_trial_buttons(notebook: NotebookPage, panel: Locator) -> None:
    """They call the kernel, and its answer or error stands below the trial."""
    press(panel, "Set as parameters: trial 2")
    answer = panel.locator("tr[data-trial='2'] + tr.answer")
    expect(answer).to_contain_text("✓ trial 2: these variables are set in the kernel:")
    expect(answer.locator("code")).to_have_text("rate, leaves = 0.13, 10")
    press(panel, "Copy the parameters of trial 2")
    expect(answer.locator(".told")).to_have_text(re.compile("copied|selected"))
    notebook.run("print('rate is'")
    expect(notebook.output("print('rate is'")).to_have_text("rate is 0.13")
    press(panel, "Run as notebook: trial 1")
    expect(panel.locator("tr[data-trial='1'] + tr.answer")).to_have_text("✓ trial 1: runs/trial-1.ipynb ")
    press(panel, "Run as notebook: trial 0")
    expect(panel.locator("tr[data-trial='0'] + tr.answer")).to_have_text("✗ trial 0: RuntimeError: no <i>disk</i> space ")
    expect(panel.get_by_role("button", name="Run as notebook: trial 5")).to_be_disabled()


def check_stop(notebook: NotebookPage, panel: Locator) -> None:
    """Ask once; then say so until the kernel tells that the sweep has ended."""
    stop = panel.locator("button.stop")
    stop.focus()
    notebook.page.keyboard.press("Enter")
    expect(panel.get_by_role("button", name="Stop it")).to_be_focused()
    notebook.page.keyboard.press("Escape")
    expect(stop).to_be_focused()
    stop.click()
    press(panel, "Stop it")
    expect(stop).to_have_text("stopping…")
    expect(stop).to_be_disabled()
    notebook.run("time.sleep(2)")
    expect(panel.locator(".looks")).to_have_text("■ stopped")
    expect(stop).to_be_hidden()


def check_saved(server: LabServer, notebook: NotebookPage, panel: Locator, path: Path) -> None:
    """Show the card below the panel in its place once the kernel is gone, and no message that something is missing."""
    twin = notebook.page.locator(".nbmlops-twin")
    expect(twin).to_be_hidden()
    notebook.save(path)
    notebook.menu("Kernel", "kernelmenu:restart")
    notebook.page.click(".jp-Dialog .jp-mod-accept")
    expect(panel.locator(".note")).to_contain_text("The kernel that ran this sweep is gone")
    expect(panel.get_by_role("button", name="Set as parameters: trial 2", exact=True).last).to_be_disabled()
    notebook.open(server.url(path))
    expect(twin.locator("summary")).to_have_text("sweep flights of nb.ipynb: stopped, 6 of 20 trials (5 complete, 1 failed)")
    expect(twin.locator("tbody tr")).to_have_count(6)
    expect(notebook.page.get_by_text("Error displaying widget")).to_be_hidden()
    outputs = json.loads(path.read_text(encoding="utf-8"))["cells"][1]["outputs"]
    assert len(json.dumps(outputs)) < 30_000
    assert "".join(outputs[1]["data"]["text/plain"]).startswith("sweep flights of nb.ipynb: stopped")
