"""A JupyterLab server and a Chromium for the module, a tab for each test."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, expect, sync_playwright

from tests.acceptance.project import Project
from tests.browser.lab import TIMEOUT_S, LabServer, NotebookPage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker of these tests."""
    config.addinivalue_line("markers", "browser: drives JupyterLab in Chromium")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """Give a running JupyterLab."""
    made = LabServer(tmp_path_factory.mktemp("lab"))
    made.start()
    yield made
    made.stop()


# not for the whole session: while Playwright runs, no other test of this process can use asyncio
@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    """Give a headless Chromium; its tabs share one cache, so that JupyterLab loads once."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("there is no Chromium for the browser tests; install it: apt-get install chromium", pytrace=False)
    expect.set_options(timeout=15_000)  # for a page that has done its work; waiting for servers and kernels has its own limit
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program)
        context = started.new_context(viewport={"width": 1400, "height": 1600})
        context.set_default_timeout(TIMEOUT_S * 1000)
        yield context
        started.close()


@pytest.fixture
def notebook(browser: BrowserContext) -> Iterator[NotebookPage]:
    """Give an empty tab; at its end nothing may have been asked of another machine, and no script of the page have failed."""
    page = browser.new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield NotebookPage(page)
    page.close()
    foreign = [url for url in asked if urlsplit(url).scheme not in {"data", "blob"} and urlsplit(url).hostname != "127.0.0.1"]
    assert (foreign, errors) == ([], [])


@pytest.fixture
def project(server: LabServer, tmp_path: Path) -> Iterator[Project]:
    """Give an empty project in the folder that JupyterLab shows."""
    made = Project(server.root / tmp_path.name)
    yield made
    made.kill_left_over()
