"""The live panel of a registered model in JupyterLab."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.acceptance.project import cell
from tests.servers import mlflow_server
from tests.views.xss import PAYLOADS

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from tests.acceptance.project import Project
    from tests.browser.lab import LabServer, NotebookPage

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
FEED = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from dataclasses import replace
from nbmlops.errors import LostRace
from nbmlops.widgets.promotion import PromotionPanel
from tests.views.models import event, made_model

state = made_model()
calls = []

def act(kind, version, alias, reason, expected, **more):
    global state
    calls.append((kind, version, alias, reason, more.get("override", "")))
    if state.aliases.get(alias) != expected.holder:
        raise LostRace(f"{{alias}} means version {{state.aliases[alias]}} now", code="NB655", fix="look again")
    made = replace(event(len(state.events) + 1, kind, version, expected.holder, reason=reason), alias=alias, **more)
    state = replace(state, aliases={{**state.aliases, alias: version}}, events=(made, *state.events))
    return made

def promote(version, alias, reason, *, override, approver, expected):
    return act("override" if override else "promote", version, alias, reason, expected, override=override)

def rollback(alias, reason, *, approver, expected):
    return act("rollback", 2, alias, reason, expected)

panel = PromotionPanel(state, on_promote=promote, on_rollback=rollback, on_refresh=lambda: state)
panel
"""
OTHER = "# grace is faster\nact('promote', 2, 'champion', 'grace was here', state.expected('champion', 2));"
CELLS = ("%load_ext nbmlops", FEED, "print('asked', calls)", OTHER, "import os; print(os.getpid())")


def button(panel: Locator, name: str) -> Locator:
    """Return the button that has exactly this name."""
    return panel.get_by_role("button", name=name, exact=True)


def field(panel: Locator, name: str) -> Locator:
    """Return the field for text whose label begins so."""
    return panel.get_by_role("textbox", name=name)


def test_panel_asks_before_it_acts(server: LabServer, notebook: NotebookPage, project: Project) -> None:
    """A refused version needs an override, the keyboard does everything, who is slower is told, and the saved notebook shows the model."""
    path = project.write(CELLS)
    notebook.open(server.url(path))
    notebook.run("from nbmlops.widgets.promotion")
    panel = notebook.page.locator(".nbmlops-promotion")
    expect(button(panel, "Refresh")).to_be_enabled()
    expect(panel.locator(".stands")).to_have_text("champion is version 1, challenger is version 2; 3 versions")
    expect(panel.get_by_role("table", name="metrics").locator("tbody tr")).to_contain_text(["▼ -0.0238", "✓ better", "≈ unclear", "? not told"])
    expect(panel.get_by_role("table", name="gates").locator("tbody tr td:nth-child(2)")).to_have_text(["✓ passed", "⚠ warning", "✗ refused"])
    check_override(notebook, panel)
    check_keyboard(notebook, panel)
    check_lost_race(notebook, panel)
    check_silent(notebook, panel)
    check_saved(server, notebook, path)


def check_override(notebook: NotebookPage, panel: Locator) -> None:
    """Without a reason, and for a refused version without a stated override, nothing can be pressed."""
    promote = button(panel, "Promote …")
    expect(promote).to_be_disabled()
    field(panel, "Reason").fill("more data")
    expect(promote).to_be_disabled()
    expect(panel.locator(".hint")).to_have_text(re.compile("Version 3 is refused: only a stated override promotes it"))
    panel.get_by_text("Override: promote").click()
    field(panel, "Override because").fill("   ")
    expect(promote).to_be_disabled()
    field(panel, "Override because").fill("the month is a hard one")
    promote.click()
    question = panel.get_by_role("group", name="Promote version 3 to champion?")
    expect(question).to_be_focused()
    expect(question.locator("li")).to_have_text(
        [
            "Alias champion moves from version 1 to version 3 of flight-delay.",
            "Reason: more data",
            "Gates: 1 holds, 1 holds with a warning, 1 refuses.",
            "Against it: gate roc_auc >= champion.roc_auc - 0.01 refuses: 0.7312 is below 0.745",
            "Overridden because: the month is a hard one",
        ]
    )
    button(panel, "Promote version 3 all the same").click()
    expect(panel.locator(".answer")).to_have_text(
        re.compile(r"^✓ alias champion of flight-delay moved from version 1 to version 3, with an override")
    )
    expect(panel.locator(".answer")).to_be_focused()
    expect(panel.get_by_role("table", name="what was done").locator("tbody tr").first).to_contain_text("! promoted, overridden")
    expect(field(panel, "Reason")).to_have_value("")
    notebook.run("print('asked'")
    expect(notebook.output("print('asked'")).to_have_text("asked [('override', 3, 'champion', 'more data', 'the month is a hard one')]")


def check_keyboard(notebook: NotebookPage, panel: Locator) -> None:
    """Choose, write, confirm and cancel without a mouse; no key reaches the notebook."""
    keys = notebook.page.keyboard
    panel.get_by_role("combobox", name="Version").focus()
    keys.press("ArrowDown")
    expect(panel.get_by_role("combobox", name="Version")).to_have_value("2")
    for _ in range(12):
        keys.press("Tab")
        if field(panel, "Reason").evaluate("field => field === document.activeElement"):
            break
    count = notebook.cell("print('asked'").locator(".jp-InputPrompt").inner_text()
    keys.type("dd back")
    keys.press("Shift+Enter")
    keys.type("to two")
    expect(field(panel, "Reason")).to_have_value("dd back\nto two")
    expect(notebook.page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(len(CELLS))
    expect(notebook.cell("print('asked'").locator(".jp-InputPrompt")).to_have_text(count)
    keys.press("Tab")  # the second person
    keys.press("Tab")
    promote = button(panel, "Promote …")
    expect(promote).to_be_focused()
    keys.press("Enter")
    question = panel.get_by_role("group", name="Promote version 2 to champion?")
    expect(question).to_be_focused()
    keys.press("Escape")
    expect(question).to_be_hidden()
    expect(promote).to_be_focused()
    keys.press("Tab")
    expect(button(panel, "Roll back …")).to_be_focused()
    keys.press("Space")
    expect(panel.get_by_role("group", name="Roll champion back?").locator("li")).to_contain_text(
        ["moves back from version 3 to version 1", "dd back"]
    )
    keys.press("Escape")
    expect(button(panel, "Roll back …")).to_be_focused()


def check_lost_race(notebook: NotebookPage, panel: Locator) -> None:
    """Who confirms what has changed meanwhile is told who was faster, and asked again with what would happen now."""
    panel.get_by_role("combobox", name="Version").select_option("1")
    field(panel, "Reason").fill("the old one")
    notebook.run("grace is faster")
    button(panel, "Promote …").click()
    expect(panel.locator(".question li").first).to_contain_text("moves from version 3 to version 1")
    button(panel, "Promote version 1").click()
    expect(panel.locator(".answer")).to_contain_text(
        "meanwhile the alias has been moved: champion means version 2 of flight-delay now, by ada: grace was here"
    )
    again = panel.locator(".question")
    expect(again).to_be_focused()
    expect(again.locator("li").nth(0)).to_have_text("! It is not what you have seen any more: read it again.")
    expect(again.locator("li").nth(1)).to_have_text("Alias champion moves from version 2 to version 1 of flight-delay.")
    button(panel, "Promote version 1").click()
    expect(panel.locator(".answer")).to_contain_text("✓ alias champion of flight-delay moved from version 2 to version 1")


def check_silent(notebook: NotebookPage, panel: Locator) -> None:
    """While the kernel does not answer, the confirm step stays off and says why."""
    panel.get_by_role("combobox", name="Version").select_option("2")
    field(panel, "Reason").fill("while it is stopped")
    notebook.run("os.getpid()")
    pid = int(notebook.output("os.getpid()").inner_text())
    os.kill(pid, signal.SIGSTOP)  # a running cell does not do it: JupyterLab asks newer kernels past it
    try:
        button(panel, "Promote …").click()
        expect(panel.locator(".note")).to_contain_text("The kernel does not answer: a cell runs in it")
        expect(button(panel, "Promote version 2")).to_be_disabled()
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(button(panel, "Promote version 2")).to_be_enabled(timeout=60_000)
    expect(panel.locator(".note")).to_have_text("")
    button(panel, "Cancel").click()
    expect(button(panel, "Promote …")).to_be_focused()


def check_saved(server: LabServer, notebook: NotebookPage, path: Path) -> None:
    """Show the card in the panel's place once the kernel is gone."""
    twin = notebook.page.locator(".nbmlops-twin")
    expect(twin).to_be_hidden()
    notebook.save(path)
    notebook.menu("Kernel", "kernelmenu:restart")
    notebook.page.click(".jp-Dialog .jp-mod-accept")
    expect(notebook.page.locator(".nbmlops-promotion .note")).to_contain_text("The kernel that asked the registry is gone")
    notebook.open(server.url(path))
    expect(twin.locator(":scope > summary")).to_have_text("model flight-delay: champion is version 1, challenger is version 2; 3 versions")
    expect(twin.get_by_text("grace was here")).to_be_visible()
    expect(notebook.page.get_by_text("Error displaying widget")).to_be_hidden()
    outputs = json.loads(path.read_text(encoding="utf-8"))["cells"][1]["outputs"]
    assert "".join(outputs[1]["data"]["text/plain"]).startswith("flight-delay: champion = version 1")


TRAIN = (
    cell("quality = 0.7", "parameters"),
    "import nbmlops",
    (
        "%%mlstage train --require 'quality >= champion.quality'\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "model = LogisticRegression(C=quality).fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])\n"
        "nbmlops.log_metric('quality', quality)\n"
        "nbmlops.register_model(model, 'flight-delay')"
    ),
)


def test_promote_by_mouse_and_roll_back_by_keyboard(
    server: LabServer, notebook: NotebookPage, project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """On a real MLflow server, whose API agrees after each act; the log has both with their reasons, and what is refused takes an override."""
    folder = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(folder, f"sqlite:///{folder}/mlflow.db") as url:
        project.write(TRAIN, "train.ipynb")
        environment = {"NBMLOPS_TRACKERS": "mlflow", "NBMLOPS_TRACK_WAIT_S": "120", "MLFLOW_TRACKING_URI": url}
        for quality in ("0.7", "0.8"):
            done = project.run("-p", "quality", quality, notebook="train.ipynb", env=environment)
            assert done.code == 0, done.err
        before = f"import os\nos.environ['MLFLOW_TRACKING_URI'] = {url!r}"
        notebook.open(server.url(project.write(["%load_ext nbmlops", before, "%mlpromote flight-delay"])))
        notebook.run("%load_ext")
        notebook.run("import os")
        notebook.run("%mlpromote")
        panel = notebook.page.locator(".nbmlops-promotion")
        expect(panel.locator(".stands")).to_have_text("champion is no version, challenger is no version; 2 versions", timeout=60_000)
        for version, before_it in (("1", "is set to"), ("2", "moves from version 1 to")):
            promote_by_mouse(panel, version, before_it)
            assert champion(url) == int(version)
        expect(panel.locator(".links a")).to_have_attribute("href", re.compile(f"^{url}/"))

        panel.get_by_role("combobox", name="Version").select_option("1")
        field(panel, "Reason").fill("it is refused")
        expect(panel.locator(".verdict")).to_contain_text("✗ version 1 is refused")
        expect(button(panel, "Promote …")).to_be_disabled()

        keys = notebook.page.keyboard
        field(panel, "Reason").focus()
        keys.press("Control+A")
        keys.type("alarms since noon")
        back = button(panel, "Roll back …")
        for _ in range(8):
            keys.press("Tab")
            if back.evaluate("node => node === document.activeElement"):
                break
        keys.press("Enter")
        expect(panel.get_by_role("group", name="Roll champion back?")).to_be_focused()
        expect(button(panel, "Roll back to version 1")).to_be_enabled(timeout=60_000)
        keys.press("Tab")
        keys.press("Enter")
        expect(panel.locator(".answer")).to_contain_text("moved from version 2 to version 1 · entry 3 of the log", timeout=120_000)
        assert champion(url) == 1
        rows = panel.get_by_role("table", name="what was done").locator("tbody tr")
        expect(rows).to_contain_text(["alarms since noon", "version 2 is better", "version 1 is better"])
        found = project.call("history", "flight-delay", "--verify", "--json", env=environment)
        assert found.code == 0, found.err
        told = [(event["act"], event["version"], event["from_version"], event["reason"]) for event in found.data["events"]]
        assert sorted(told) == sorted(
            [("promote", 1, None, "version 1 is better"), ("promote", 2, 1, "version 2 is better"), ("rollback", 1, 2, "alarms since noon")]
        )
        batch = project.call("--execute", "--to", "notebook", "--output", "batch.ipynb", "nb.ipynb", env=environment, module="nbconvert")
        assert batch.code == 0, batch.err
        data = [item["data"] for item in json.loads((project.folder / "batch.ipynb").read_text(encoding="utf-8"))["cells"][2]["outputs"]]
        assert [sorted(item) for item in data] == [["text/html", "text/plain"]]
        assert "alarms since noon" in "".join(data[0]["text/html"])


def promote_by_mouse(panel: Locator, version: str, move: str) -> None:
    """Choose a version, say why, and confirm."""
    panel.get_by_role("combobox", name="Version").select_option(version)
    field(panel, "Reason").fill(f"version {version} is better")
    button(panel, "Promote …").click()
    expect(panel.locator(".question li").first).to_have_text(f"Alias champion {move} version {version} of flight-delay.")
    button(panel, f"Promote version {version}").click(timeout=60_000)
    expect(panel.locator(".answer")).to_have_text(re.compile(rf"^✓ .* to version {version} · entry \d of the log"), timeout=120_000)


def champion(url: str) -> int:
    """Return which version MLflow says it is."""
    with urllib.request.urlopen(f"{url}/api/2.0/mlflow/registered-models/alias?name=flight-delay&alias=champion", timeout=60) as answer:
        return int(json.load(answer)["model_version"]["version"])


HOSTILE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from dataclasses import replace
from nbmlops.widgets.promotion import PromotionPanel
from tests.views.models import hostile_model
from tests.views.xss import PAYLOADS
models = [replace(hostile_model(text), notes=(text, f"number {{number}}.")) for number, text in enumerate(PAYLOADS)]
after = iter(models[1:])
panel = PromotionPanel(models[0], on_promote=print, on_rollback=print, on_refresh=lambda: next(after))
panel
"""
FOREIGN = (
    "script, img, svg, math, iframe, object, embed, video, audio, picture, marquee, form, meta, base, link, body, noscript, template, b, image, area"
)
LOOK = """
async (panel, [count, foreign]) => {
  const found = [];
  for (let number = 0; number < count; number += 1) {
    if (number) panel.querySelector(".bar .actions > button").click();
    while (!panel.querySelector(".notes").textContent.includes(`number ${number}.`) || panel.querySelector(".bar .actions > button").disabled) {
      await new Promise((go) => setTimeout(go, 10));
    }
    for (const item of panel.querySelectorAll("details")) item.open = true;
    const nodes = [...panel.querySelectorAll("*")];
    found.push({
      title: panel.querySelector(".title").textContent,
      foreign: [...panel.querySelectorAll(foreign)].map((node) => node.outerHTML),
      handlers: nodes.flatMap((node) => [...node.attributes]).map((item) => item.name).filter((name) => name.startsWith("on")),
      links: [...panel.querySelectorAll("a")].map((link) => link.protocol),
      seen: panel.innerText,
    });
  }
  return found;
}
"""


def test_sixty_payloads_are_text(server: LabServer, notebook: NotebookPage, project: Project) -> None:
    """As name, alias, metric, gate, reason, card, person and address; written into the reason field too."""
    dialogs: list[str] = []
    asked: list[str] = []
    page = notebook.page
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    notebook.open(server.url(project.write([HOSTILE])))
    notebook.run_all()
    panel = page.locator(".nbmlops-promotion")
    expect(button(panel, "Refresh")).to_be_enabled()
    found = panel.evaluate(LOOK, [len(PAYLOADS), FOREIGN])
    for payload, view in zip(PAYLOADS, found, strict=True):
        text = re.sub(r"[\x00-\x1f]", "\N{REPLACEMENT CHARACTER}", payload.strip().replace("\t", " "))
        assert text.startswith(view["title"].rstrip("…")), payload
        assert view["title"], payload
        assert view["seen"].count(text[:20].rstrip()) > 10, payload
        assert (view["foreign"], view["handlers"]) == ([], []), payload
        assert set(view["links"]) <= {"http:", "https:"}, payload
    twin = page.locator(".nbmlops-twin")
    assert twin.evaluate("twin => twin.querySelectorAll('script, img, svg, iframe, a').length") == 0

    written = " ".join(PAYLOADS[:20])
    field(panel, "Reason").fill(written)
    field(panel, "Override because").fill(written)
    button(panel, "Promote …").click()
    expect(panel.locator(".question")).to_contain_text(f"Overridden because: {written}")
    assert panel.locator(".question").locator(FOREIGN).count() == 0
    assert dialogs == []
    assert [url for url in asked if ":9/" in url] == []
