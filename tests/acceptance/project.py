"""A project folder for one test: notebooks built from cells, the command run as a user runs it, a kernel driven as JupyterLab drives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.forked import MARK_CHARACTERS, Fork, Template

__all__ = ["COMMANDS", "PIPELINE", "PROGRAMS", "Cell", "Outcome", "Project", "cell", "notebook_json", "text_of"]

Cell = Mapping[str, Any]
TIMEOUT_S = 180
COMMANDS = Template("command", seed="0")  # the seed that stages run with
PROGRAMS = Template("program")


def cell(source: str, *tags: str, kind: str = "code", options: Mapping[str, Any] | None = None) -> Cell:
    """Make one cell; `options` goes to its metadata as JupyterLab's property panel would write it."""
    metadata: dict[str, Any] = {"tags": list(tags)} if tags else {}
    if options is not None:
        metadata["nbmlops"] = dict(options)
    made: dict[str, Any] = {"cell_type": kind, "metadata": metadata, "source": source}
    return made | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def notebook_json(cells: Sequence[Cell | str]) -> dict[str, Any]:
    """Make a whole notebook, a string standing for an untagged code cell."""
    made = [dict(item) if isinstance(item, Mapping) else dict(cell(item)) for item in cells]
    for index, item in enumerate(made):
        item.setdefault("id", f"cell-{index}")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": made, "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}


# Four stages in a row; square feeds features only, shift feeds evaluate only, C feeds train only.
PIPELINE: tuple[Cell | str, ...] = (
    cell("n = 3\nC = 0.5", "parameters"),
    "def square(x):\n    return x * x\n\n\ndef shift(x):\n    return x + 1",
    "%%mlstage ingest\ndata = list(range(n))",
    "%%mlstage features\nX = [square(v) for v in data]",
    "%%mlstage train\nmodel = [C * v for v in X]\nprint('trained')",
    "%%mlstage evaluate --metrics scores\nscores = {'total': shift(sum(model))}",
    "print('report', scores)\nmodel",
)


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """The one JSON object that `--json` promises."""
        found = json.loads(self.out)
        assert isinstance(found, dict), self.out
        return found

    @property
    def statuses(self) -> dict[str, str]:
        """Every stage's status by name."""
        return {item["name"]: item["status"] for item in self.data["stages"]}

    def stage(self, name: str) -> dict[str, Any]:
        """Return one element of `stages`."""
        return next(item for item in self.data["stages"] if item["name"] == name)

    @property
    def ran(self) -> list[str]:
        """Names of the stages that ran."""
        return [name for name, status in self.statuses.items() if status == "ran"]


@dataclass
class Project:
    """A folder with a `pyproject.toml`, so that it is a project of its own."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "pyproject.toml").touch()

    def write(self, cells: Sequence[Cell | str], name: str = "nb.ipynb") -> Path:
        """Write a notebook and return its path."""
        path = self.folder / name
        path.write_text(json.dumps(notebook_json(cells)), encoding="utf-8")
        return path

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of every command: no tracker, and a mark by which to find what was left behind."""
        inherited = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST" and not name.startswith("NBMLOPS_")}
        return {**inherited, "NBMLOPS_TRACKERS": "", "NBMLOPS_TEST_MARK": self.mark, **(extra or {})}

    def start(self, *words: object, env: Mapping[str, str] | None = None, module: str = "nbmlops") -> subprocess.Popen[str]:
        """Start a command in the project's folder, in a session of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *map(str, words)],
            cwd=self.folder,
            env=self.environment(env),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def fork(self, *words: object, env: Mapping[str, str] | None = None, module: str = "nbmlops", template: Template | None = None) -> Fork | None:
        """Fork a command off a process that has its imports loaded; None if its environment says what only a new interpreter reads."""
        environment = self.environment(env)
        forked = template or (COMMANDS if module == "nbmlops" else PROGRAMS)
        if not forked.fits(environment):
            return None
        return forked.start(module, [str(word) for word in words], self.folder, environment, piped=True)

    def call(self, *words: object, env: Mapping[str, str] | None = None, module: str = "nbmlops", template: Template | None = None) -> Outcome:
        """Run a command to its end, forked if it can be; what it started is ended too if it takes too long."""
        return self.finish(self.fork(*words, env=env, module=module, template=template) or self.start(*words, env=env, module=module))

    def finish(self, process: subprocess.Popen[str] | Fork, timeout_s: float = TIMEOUT_S) -> Outcome:
        """Wait for a command and return how it ended."""
        try:
            out, err = process.communicate(timeout_s) if isinstance(process, Fork) else process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.kill_left_over()
            process.kill()
            out, err = process.communicate(timeout_s) if isinstance(process, Fork) else process.communicate()
            raise AssertionError(f"still running after {timeout_s} s\n{out}\n{err}") from None
        assert process.returncode is not None
        return Outcome(process.returncode, out, err)

    def run(self, *words: object, notebook: str = "nb.ipynb", env: Mapping[str, str] | None = None) -> Outcome:
        """Run `nbmlops run nb.ipynb ... --json`."""
        return self.call("run", notebook, *words, "--json", env=env)

    def value(self, run_id: str, stage: str, name: str) -> Any:
        """Return an artifact of plain data."""
        target = self.folder / f"{stage}-{name}.out.json"
        done = self.call("store", "get", run_id, stage, name, "-o", target, "--as", "json")
        assert done.code == 0, done.err
        return json.loads(target.read_text(encoding="utf-8"))

    def processes(self) -> dict[int, str]:
        """Return the command lines of all live processes that this project's commands started."""
        found = {}
        needle = f"NBMLOPS_TEST_MARK={self.mark}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            try:
                if needle not in (entry / "environ").read_bytes() and (entry / "comm").read_text().strip() != self.mark[:MARK_CHARACTERS]:
                    continue
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except OSError:
                continue
            if state != "Z":
                found[int(entry.name)] = line
        return found

    def wait_for_process(self, text: str, timeout_s: float = 60) -> int:
        """Wait until a process of this project has `text` in its command line."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            for pid, line in self.processes().items():
                if text in line:
                    return pid
            time.sleep(0.05)
        raise AssertionError(f"no process {text!r} after {timeout_s} s: {self.processes()}")

    def left_after(self, seconds: float) -> dict[int, str]:
        """Return the processes that are still there after at most `seconds`."""
        end = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.05)
        return left

    def kill_left_over(self) -> None:
        """End whatever this project's commands left behind."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def text_of(output: Mapping[str, Any]) -> str:
    """Return the plain text of one notebook output."""
    found = output.get("text") or output.get("data", {}).get("text/plain") or "\n".join(output.get("traceback", ()))
    return found if isinstance(found, str) else "".join(found)
