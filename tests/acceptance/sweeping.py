"""A sweep as a user runs it, and notebooks whose stages leave a mark outside the project each time that they run."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.acceptance.project import PROGRAMS, Cell, Outcome, Project, cell

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

__all__ = ["PARAMETERS", "SPACE", "Sweeping", "loss", "score", "strict"]

PARAMETERS = cell("x = 0.5  # how far\nn = 3", "parameters")
SPACE = ("--space", "x=float(0, 1)", "--space", "n=int(1, 5)")


def score(parameters: Mapping[str, Any]) -> float:
    """Compute what the notebook of `Sweeping.curve` computes."""
    x, n = parameters["x"], parameters["n"]
    return float(-((x - 0.3) ** 2) + n * 0.01)


def loss(parameters: Mapping[str, Any]) -> float:
    """Compute the other metric of the same notebook."""
    return float(parameters["x"] * parameters["n"] + 6)


def strict(text: str) -> dict[str, Any]:
    """Read the one JSON object that `--json` promises; NaN and Infinity are no JSON."""

    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is no JSON")

    found = json.loads(text, parse_constant=refuse)
    assert isinstance(found, dict), text
    return found


@dataclass
class Sweeping:
    """A project, and a folder beside it in which its stages leave marks."""

    project: Project

    def __post_init__(self) -> None:
        self.marks.mkdir(exist_ok=True)

    @property
    def marks(self) -> Path:
        """Where the marks are."""
        return self.project.folder.parent / "marks"

    @property
    def setup(self) -> str:
        """A setup cell with the function `mark`."""
        return f"import os, time\n\n\ndef mark(name):\n    os.mkdir(f'{self.marks}/{{name}}@{{time.monotonic_ns()}}')"

    def marked(self, prefix: str = "") -> list[str]:
        """Return what was marked, in order, with what follows the prefix."""
        found = [item.name.rpartition("@") for item in self.marks.iterdir()]
        return [name.removeprefix(prefix) for name, _, _ in sorted(found, key=lambda item: int(item[2])) if name.startswith(prefix)]

    def records(self) -> list[str]:
        """Return the names of all records of stages."""
        return sorted(item.name for item in (self.project.folder / ".nbmlops").glob("records/*.json"))

    def wait_for_marks(self, prefix: str, count: int, process: subprocess.Popen[str], timeout_s: float = 60) -> None:
        """Wait until `count` marks are there."""
        end = time.monotonic() + timeout_s
        while len(self.marked(prefix)) < count:
            assert process.poll() is None, f"ended with {process.returncode} after the marks {self.marked()}\n{process.communicate()}"
            assert time.monotonic() < end, self.marked()
            time.sleep(0.01)

    def write(self, *cells: Cell | str, parameters: Cell | str = PARAMETERS) -> Path:
        """Write a notebook of parameters, setup and these cells."""
        return self.project.write([parameters, self.setup, *cells])

    def curve(self, *more: str, first: str = "") -> Path:
        """Write a notebook with a shared stage, one that both parameters touch, and one that only n touches; `first` begins train."""
        return self.write(
            "%%mlstage load\nmark('load')\ndata = [1, 2, 3]",
            "%%mlstage grow\nmark(f'grow {n}')\ngrown = data * n",
            f"%%mlstage train --metrics m\nmark(f'train {{x!r}} {{n}}')\n{first}\nmodel = {{'x': x, 'size': len(grown)}}\n"
            "m = {'score': -((x - 0.3) ** 2) + n * 0.01, 'loss': x * n + sum(data)}",
            *more,
            "print('report', model, m)",
        )

    def start(self, *words: object, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start `nbmlops sweep nb.ipynb ... --json`, without trackers if there is no `env`."""
        return self.project.start(*_words(words, env), env=env)

    def call(self, *words: object, env: Mapping[str, str] | None = None) -> Outcome:
        """Do the same to its end."""
        return self.project.call(*_words(words, env), env=env)

    def sweep(self, *words: object, env: Mapping[str, str] | None = None, code: int | None = 0) -> dict[str, Any]:
        """Run a sweep to its end and return its JSON."""
        done = self.call(*words, env=env)
        assert "Traceback" not in done.err, done.err
        assert code in (None, done.code), f"exit {done.code}\n{done.err}"
        return strict(done.out)

    def refused(self, *words: object, parts: tuple[str, ...] = (), code: int = 2) -> str:
        """Check the whole contract of an error: exit code, one line with these parts, a JSON error with a fix, and that nothing ran."""
        before = self.marked(), self.records()
        done = self.project.call(*_words(words, None), template=PROGRAMS)
        is_error(done, parts, code)
        assert (self.marked(), self.records()) == before
        return done.err


def _words(words: tuple[object, ...], env: Mapping[str, str] | None) -> tuple[object, ...]:
    return ("sweep", "nb.ipynb", *words, *([] if env else ["--no-track"]), "--json")


def is_error(done: Outcome, parts: tuple[str, ...], code: int) -> None:
    """Check that a command ended with one line on stderr, and the JSON error of the contract."""
    assert (done.code, "Traceback" in done.err) == (code, False), f"exit {done.code}\n{done.err}"
    lines = done.err.strip().splitlines()
    assert len(lines) == 1, done.err
    data = strict(done.out)
    assert {"error", "diagnostics"} <= set(data), data
    assert {"code", "message", "cell", "fix"} <= set(data["error"]), data
    assert data["error"]["code"].startswith("NB")
    assert data["error"]["message"]
    assert data["error"]["fix"], data
    for part in parts:
        assert part in lines[0], lines[0]
