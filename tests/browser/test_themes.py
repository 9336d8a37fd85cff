"""The panels in JupyterLab's light and dark theme: whatever they say can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.test_panel import FEED as SWEEP
from tests.browser.test_promotion import FEED as PROMOTION

if TYPE_CHECKING:
    from tests.acceptance.project import Project
    from tests.browser.lab import LabServer, NotebookPage

pytestmark = pytest.mark.browser

LEAST = 4.5  # what WCAG 2 asks of text that is not large
CONTRASTS = """panel => {
    const luminance = colour => {
        const [r, g, b] = colour.map(value => value / 255).map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
    const rgba = text => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = text;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, alpha] = canvas.getImageData(0, 0, 1, 1).data;
        return [r, g, b, alpha / 255];
    };
    const over = ([r, g, b, alpha], below) => [r, g, b].map((value, place) => alpha * value + (1 - alpha) * below[place]);
    const ground = node => {
        const own = rgba(getComputedStyle(node).backgroundColor);
        return own[3] === 1 ? own.slice(0, 3) : over(own, node.parentElement ? ground(node.parentElement) : [255, 255, 255]);
    };
    const opacity = node => node === null ? 1 : getComputedStyle(node).opacity * opacity(node.parentElement);
    const found = [];
    for (const node of [panel, ...panel.querySelectorAll('*')]) {
        const text = node.matches('input, select, textarea') ? node.value || node.placeholder
            : [...node.childNodes].filter(child => child.nodeType === 3).map(child => child.data).join(' ');
        if (!text || !text.trim() || !node.checkVisibility() || node.matches(':disabled, :disabled *, option, style, script')) continue;
        const below = ground(node), colour = rgba(getComputedStyle(node).color);
        const shown = over([...colour.slice(0, 3), colour[3] * opacity(node)], below);
        const [dark, light] = [luminance(shown), luminance(below)].sort((a, b) => a - b);
        found.push({text: text.trim().slice(0, 60), contrast: (light + 0.05) / (dark + 0.05), ground: luminance(below)});
    }
    return found;
}"""


@pytest.mark.thorough
def test_every_text_of_the_panels_can_be_read_in_both_themes(server: LabServer, notebook: NotebookPage, project: Project) -> None:
    """Its computed colour has the contrast that WCAG asks for, on the ground that it stands on, which is the theme's."""
    notebook.open(server.url(project.write([SWEEP, PROMOTION])))
    notebook.run("SweepPanel")
    notebook.run("PromotionPanel")
    page = notebook.page
    panels = {"sweep": page.locator(".nbmlops-sweep"), "promotion": page.locator(".nbmlops-promotion")}
    expect(panels["promotion"].get_by_role("button", name="Refresh", exact=True)).to_be_enabled()
    panels["promotion"].get_by_role("textbox", name="Reason").fill("more data")
    for theme, is_light in (("JupyterLab Light", "true"), ("JupyterLab Dark", "false")):
        notebook.theme(theme)
        expect(page.locator("body")).to_have_attribute("data-jp-theme-light", is_light, timeout=60_000)
        for name, panel in panels.items():
            texts: list[dict[str, Any]] = panel.evaluate(CONTRASTS)
            assert len(texts) > 20, (theme, name, texts)
            assert {item["ground"] > 0.5 for item in texts} == {is_light == "true"}, (theme, name)
            assert [item for item in texts if item["contrast"] < LEAST] == [], (theme, name)
