"""papermill as a peer: in a process that has it imported, and what its notebooks say."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Cost, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.peers import Peers

__all__ = ["Papermill", "own_jupyter", "papermill", "printed"]

_DRIVER = Path(__file__).with_name("papermill_driver.py")


class Papermill:
    """A process that executes notebooks with papermill, one after the other, each in a kernel of its own.

    Parameters
    ----------
    process : subprocess.Popen of str
        Runs `papermill_driver.py`, with both streams piped.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._line()  # it is ready

    @property
    def pid(self) -> int:
        """The process that its kernels are children of."""
        return self._process.pid

    def execute(self, notebook: Path, output: Path, parameters: Mapping[str, Any] | None = None) -> Cost:
        """Execute a notebook and return what that cost, its kernel included."""
        assert self._process.stdin is not None  # noqa: S101 - it is piped
        self._process.stdin.write(json.dumps([str(notebook), str(output), dict(parameters or {})]) + "\n")
        self._process.stdin.flush()
        return Cost(*json.loads(self._line()))

    def _line(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 - it is piped
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("papermill failed; what it said stands above")
        return line


@contextmanager
def papermill(peers: Peers, folder: Path) -> Iterator[Papermill]:
    """Give a process with papermill imported, whose notebooks run in `folder`."""
    words = [peers.command("python"), "-P", str(_DRIVER)]  # its folder has modules with the names of libraries
    environment = {**clean_environment(), **own_jupyter(folder)}
    with subprocess.Popen(words, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        yield Papermill(process)
        assert process.stdin is not None  # noqa: S101 - it is piped
        process.stdin.close()


def own_jupyter(folder: Path) -> dict[str, str]:
    """Return the variables that keep the user's kernels, start-up files and settings out of it."""
    place = folder / "jupyter"
    place.mkdir(exist_ok=True)
    return {name: str(place / name.lower()) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")}


def printed(notebook: Path) -> str:
    """Return what the cells of an executed notebook printed, one after the other."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", ()) if output.get("name") == "stdout"]
    return "".join("".join(output["text"]) for output in outputs)
