"""A JupyterLab server and a Chromium for the module, a tab for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Route, expect, sync_playwright

from tests.acceptance.project import Project
from tests.browser.lab import TIMEOUT_S, LabServer, NotebookPage


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
def browser() -> Iterator[Browser]:
    """Give a headless Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("there is no Chromium for the browser tests; install it: apt-get install chromium", pytrace=False)
    expect.set_options(timeout=TIMEOUT_S * 1000)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program)
        yield started
        started.close()


@pytest.fixture
def notebook(browser: Browser) -> Iterator[NotebookPage]:
    """Give an empty tab; at its end nothing may have been asked of another machine, and no script of the page have failed."""
    context = browser.new_context(viewport={"width": 1400, "height": 1600})
    context.set_default_timeout(TIMEOUT_S * 1000)
    foreign: list[str] = []
    errors: list[str] = []

    def guard(route: Route) -> None:
        address = urlsplit(route.request.url)
        if address.scheme in {"data", "blob"} or address.hostname == "127.0.0.1":
            route.continue_()
        else:
            foreign.append(route.request.url)
            route.abort()

    context.route("**/*", guard)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield NotebookPage(page)
    context.close()
    assert (foreign, errors) == ([], [])


@pytest.fixture
def project(server: LabServer, tmp_path: Path) -> Iterator[Project]:
    """Give an empty project in the folder that JupyterLab shows."""
    made = Project(server.root / tmp_path.name)
    yield made
    made.kill_left_over()
