"""A real ipykernel, driven as JupyterLab drives it: every cell with its metadata in the request."""

from __future__ import annotations

import queue
import secrets
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file
from jupyter_client.manager import KernelManager

from tests.acceptance.forked import Fork, Template
from tests.acceptance.project import Cell, Project, notebook_json, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["KERNELS", "Executed", "Kernel"]

REPLY_S = 120
KERNELS = Template("kernel")


@dataclass(frozen=True)
class Executed:
    """What one execution gave: the reply, and its outputs in order."""

    reply: dict[str, Any]
    outputs: list[dict[str, Any]]
    replaced: list[dict[str, Any]] = field(default_factory=list)  # what other output has taken the place of

    @property
    def text(self) -> str:
        """The plain text of all outputs."""
        return "\n".join(text_of(item) for item in self.outputs)

    @property
    def last_line(self) -> str:
        """The last line that the cell shows."""
        return self.text.strip().splitlines()[-1]

    @property
    def ok(self) -> bool:
        """Whether the cell raised nothing."""
        return bool(self.reply["status"] == "ok")


class Kernel:
    """A kernel in a project's folder; with `notebook` it is told its file as Jupyter Server tells it.

    It is a fork of a process that has ipykernel loaded, unless the environment says what an interpreter reads when it begins.
    """

    def __init__(self, project: Project, notebook: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        told = {"JPY_SESSION_NAME": str(notebook)} if notebook else {}
        environment = project.environment({**told, **(env or {})})
        self._manager: KernelManager | None = None
        self._process: Fork | None = None
        if KERNELS.fits(environment):
            self._connection = Path(tempfile.mkdtemp()) / "kernel.json"
            write_connection_file(str(self._connection), key=secrets.token_hex(16).encode())
            # it ends with its parent; the variable that says so was read when the template was loaded
            words = ["-f", str(self._connection), f"--IPKernelApp.parent_handle={KERNELS.pid}"]
            self._process = KERNELS.start("ipykernel_launcher", words, project.folder, {**environment, "JPY_PARENT_PID": str(KERNELS.pid)})
            self._client = BlockingKernelClient(connection_file=str(self._connection))
            self._client.load_connection_file()
        else:
            self._manager = KernelManager(kernel_name="python3")
            self._manager.start_kernel(cwd=str(project.folder), env=environment)
            self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._wait_until_ready()

    def close(self) -> None:
        """End the kernel."""
        self._client.stop_channels()
        if self._manager is not None:
            self._manager.shutdown_kernel(now=True)
        if self._process is not None:
            self._process.kill()
            self._process.wait(REPLY_S)
            shutil.rmtree(self._connection.parent, ignore_errors=True)

    def run(self, source: str, metadata: Mapping[str, Any] | None = None, cell_id: str | None = "") -> Executed:
        """Execute one cell and return what it gave; metadata goes with the request as JupyterLab sends it, without an id as nbclient does."""
        content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False, "stop_on_error": True}
        sent = {"trusted": True, "deletedCells": [], "recordTiming": False, **(metadata or {}), **({} if cell_id is None else {"cellId": cell_id})}
        message = self._client.session.msg("execute_request", content, metadata=sent)
        self._client.shell_channel.send(message)
        return self._gather(message["header"]["msg_id"])

    def run_cells(self, cells: Sequence[Cell | str]) -> list[Executed]:
        """Execute the code cells of a notebook in order, as "Run All" does."""
        made = [item for item in notebook_json(cells)["cells"] if item["cell_type"] == "code"]
        done = []
        for item in made:
            done.append(self.run(item["source"], item["metadata"], item["id"]))
            if not done[-1].ok:
                break
        return done

    def value(self, expression: str) -> str:
        """Return the repr of an expression in the kernel."""
        return text_of(self.run(expression).outputs[-1])

    def complete(self, code: str) -> list[str]:
        """Return the completions at the end of `code`."""
        reply = self._client.complete(code, len(code), reply=True, timeout=REPLY_S)
        return [str(item) for item in reply["content"]["matches"]]

    def inspect(self, code: str) -> str:
        """Return the help that Shift-Tab shows."""
        reply = self._client.inspect(code, len(code), detail_level=0, reply=True, timeout=REPLY_S)
        return str(reply["content"]["data"].get("text/plain", ""))

    def _wait_until_ready(self) -> None:
        """Ask until an answer comes on both channels; `wait_for_ready` of the client would then listen for a fifth of a second more."""
        end = time.monotonic() + REPLY_S
        while True:
            asked = self._client.kernel_info()
            with suppress(queue.Empty):
                while self._client.get_shell_msg(timeout=1)["parent_header"].get("msg_id") != asked:
                    continue
                while True:
                    message = self._client.get_iopub_msg(timeout=0.1)  # what was said before it was subscribed to does not come
                    if message["parent_header"].get("msg_id") == asked and message["content"].get("execution_state") == "idle":
                        return
            assert time.monotonic() < end, f"the kernel has not answered for {REPLY_S} s"

    def _gather(self, request: str) -> Executed:
        outputs: list[dict[str, Any]] = []
        replaced: list[dict[str, Any]] = []
        end = time.monotonic() + REPLY_S
        while True:
            message = self._client.get_iopub_msg(timeout=max(0.1, end - time.monotonic()))
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            if kind in {"stream", "display_data", "execute_result", "error"}:
                outputs.append({"output_type": kind, **content})
            if kind == "update_display_data":
                for output in outputs:
                    if output.get("transient", {}).get("display_id") == content["transient"]["display_id"]:
                        replaced.append(dict(output))
                        output.update(data=content["data"], metadata=content["metadata"])
        while (reply := self._client.get_shell_msg(timeout=REPLY_S))["parent_header"].get("msg_id") != request:
            continue
        return Executed(reply["content"], outputs, replaced)
