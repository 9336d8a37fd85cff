"""JupyterLab as its user meets it: a server on a folder, and one notebook of it in a browser tab."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from playwright.sync_api import Locator, Page, expect

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["TIMEOUT_S", "LabServer", "NotebookPage"]

TIMEOUT_S = 120
_SETTINGS = {"@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False}}
_KEPT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")


class LabServer:
    """A JupyterLab with a home of its own, so that nobody's settings, extensions or IPython profile count.

    Parameters
    ----------
    folder : Path
        An empty folder; `root` below it is what the server shows.
    settings : mapping, optional
        JupyterLab settings by plugin, beside those that keep it quiet.
    """

    def __init__(self, folder: Path, settings: Mapping[str, object] | None = None) -> None:
        self.folder, self.root, self.home = folder, folder / "root", folder / "home"
        self.root.mkdir(parents=True)
        for plugin, values in {**_SETTINGS, **(settings or {})}.items():
            path = self.home / "settings" / f"{plugin}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values), encoding="utf-8")
        self._token = secrets.token_hex(16)
        self._port = _free_port()
        self.address = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        words = ["--no-browser", "--ip=127.0.0.1", f"--port={self._port}", "--allow-root", f"--ServerApp.root_dir={self.root}"]
        words += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={self._token}", "--ServerApp.terminals_enabled=False"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "jupyterlab", *words], env=self._environment(), stdout=log, stderr=log)
        end = time.monotonic() + TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise AssertionError(f"JupyterLab did not start:\n{self._log.read_text(encoding='utf-8')[-3000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End the server, which ends its kernels."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def url(self, path: Path) -> str:
        """Return where a notebook below `root` opens, in a workspace that holds nothing else."""
        return f"{self.address}/lab/tree/{path.relative_to(self.root)}?reset&token={self._token}"

    @property
    def _log(self) -> Path:
        return self.folder / "jupyterlab.log"

    def _environment(self) -> dict[str, str]:
        places = {"HOME": "", "IPYTHONDIR": "ipython", "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
        places |= {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return kept | {"NBMLOPS_TRACKERS": ""} | {name: str(self.home / place) for name, place in places.items()}

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/api/status?token={self._token}", timeout=5):
                return True
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False


class NotebookPage:
    """One notebook in one tab.

    Parameters
    ----------
    page : Page
        A tab that shows nothing yet.
    """

    def __init__(self, page: Page) -> None:
        self.page = page

    def open(self, url: str) -> None:
        """Open a notebook and wait for its kernel."""
        self.page.goto(url, timeout=TIMEOUT_S * 1000)
        self._idle()

    def cell(self, source: str) -> Locator:
        """Return the one code cell whose source contains a text."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").filter(has=self.page.locator(".jp-InputArea", has_text=source))

    def output(self, source: str) -> Locator:
        """Return what the cell whose source contains a text shows below it."""
        return self.cell(source).locator(".jp-OutputArea-output")

    def menu(self, menu: str, command: str) -> None:
        """Choose an entry of the main menu by its command."""
        self.page.click(f".lm-MenuBar-item:has-text('{menu}')")
        self.page.click(f".lm-Menu-item[data-command='{command}']")

    def theme(self, name: str) -> None:
        """Choose JupyterLab's theme."""
        self.page.click(".lm-MenuBar-item:has-text('Settings')")
        self.page.hover(".lm-Menu-item[data-type='submenu']:has-text('Theme')")
        self.page.click(f".lm-Menu-item[data-command='apputils:change-theme']:has-text('{name}')")

    def run_all(self) -> None:
        """Run all cells, and wait until each has a number."""
        self.menu("Run", "runmenu:run-all")
        expect(self._prompts(r"\[\*\]|\[ \]")).to_have_count(0, timeout=TIMEOUT_S * 1000)

    def run(self, source: str) -> None:
        """Run the cell whose source contains a text, and wait until it has run."""
        self.cell(source).locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        expect(self._prompts(r"\[\*\]")).to_have_count(0, timeout=TIMEOUT_S * 1000)

    def run_from(self, cell: Locator) -> None:
        """Run a cell and all below it, and wait until none is left to run."""
        cell.locator(".cm-content").click()
        self.menu("Run", "notebook:run-all-below")
        expect(self._prompts(r"\[\*\]")).to_have_count(0, timeout=TIMEOUT_S * 1000)

    def restart(self) -> None:
        """Restart the kernel and clear what the cells show."""
        self.menu("Kernel", "kernelmenu:restart-and-clear")
        self.page.click(".jp-Dialog .jp-mod-accept")
        expect(self._prompts(r"\[\d+\]")).to_have_count(0, timeout=TIMEOUT_S * 1000)
        self._idle()

    def save(self, path: Path) -> None:
        """Save the notebook, and wait until its file has changed."""
        before = path.stat().st_mtime_ns
        self.menu("File", "docmanager:save")
        end = time.monotonic() + TIMEOUT_S
        while path.stat().st_mtime_ns == before:
            assert time.monotonic() < end, "the notebook was not saved"
            self.page.wait_for_timeout(50)  # time.sleep would stop Playwright from answering the page's requests

    def type_into(self, cell: Locator, text: str) -> None:
        """Put the cursor at the end of a cell and type."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+End")
        self.page.keyboard.type(text)

    def complete(self, cell: Locator, text: str) -> None:
        """Type at the end of a cell's first line, and press Tab."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+Home")
        self.page.keyboard.press("End")
        self.page.keyboard.type(text)
        self.page.keyboard.press("Tab")

    @property
    def offered(self) -> Locator:
        """What the open completer offers."""
        return self.page.locator(".jp-Completer-item .jp-Completer-match")

    def _idle(self) -> None:
        # the notebook's own indicator says idle while the kernel is still starting
        self.page.wait_for_selector(r"#jp-main-statusbar >> text=/\| Idle/")

    def _prompts(self, pattern: str) -> Locator:
        """Return the code cells' prompts that match; `[ ]` has not run, `[*]` waits or runs."""
        return self.page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt").filter(has_text=re.compile(pattern))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
