"""A small pipeline that is run for real, killed, and looked at for what must hold whatever happens."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbmlops.settings import Settings
from nbmlops.store.store import Store
from nbmlops.store.verify import verify_store
from tests.acceptance.project import Cell, Outcome, Project, cell

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from tests.acceptance.forked import Fork

__all__ = ["CHAOS", "SHORT", "Wreck", "value_of"]

CHAOS = "NBMLOPS_TEST_CHAOS" in os.environ
CELLS = (
    cell("p = 1", "parameters"),
    "%%mlstage a\na = p",
    "%%mlstage b\nb = a + 1",
    "%%mlstage c\nc = a * 2\nprint('c is', c)",
    "%%mlstage d\nd = b + c\nopen('d.txt', 'w').write(str(d))",
    "%%mlstage e --metrics m\nm = {'value': d * 3 + int(open('d.txt').read())}",
    "%%mlstage f\nf = [m, b]",
    "print(f)",
)
UPSTREAM = {"a": "", "b": "a", "c": "a", "d": "abc", "e": "abcd", "f": "abcde"}
# the same values, by stages that between them pass every point: runs of it are many
SHORT = (
    cell("p = 1", "parameters"),
    "%%mlstage a\nimport packaging  # so that the installed distributions are asked for\na = p",
    "%%mlstage d\nd = 3 * a + 1\nprint('d is', d)\nopen('d.txt', 'w').write(str(d))",
    "%%mlstage e --metrics m\nm = {'value': d * 3 + int(open('d.txt').read())}\nf = [m, a]",
    "print(f)",
)


def value_of(p: int) -> int:
    """Return what stage e makes of a parameter."""
    return ((p + 1) + 2 * p) * 4


@dataclass
class Wreck:
    """One project, run again and again with other parameters.

    Parameters
    ----------
    folder : Path
    variables : mapping of str to str
        What every command gets in its environment.
    url : str
        Where the store is; "" is the project's own.
    words : tuple of str
        What every run of this parameter is told besides.
    cells : tuple
        The notebook; its stages are some of `UPSTREAM`.
    """

    folder: Path
    variables: Mapping[str, str]
    url: str = ""
    words: tuple[str, ...] = ()
    cells: tuple[Cell | str, ...] = CELLS
    finished: set[str] = field(default_factory=set)
    p: int = 0

    def __post_init__(self) -> None:
        self.project = Project(self.folder)
        self.project.write(self.cells)

    @property
    def store(self) -> Store:
        """The project's store, looked at from here."""
        url = self.url or str(self.folder / ".nbmlops")
        return Store(url, settings=Settings(project_root=self.folder, store=url, trusted_stores=(url,)))

    def begin(self) -> None:
        """Take a parameter that makes every stage stale."""
        self.p += 1
        self.words = ()
        self.finished.clear()

    def start(self, *words: object, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a run with the parameter of now."""
        return self.project.start(*self._words(words), env=self._environment(env))

    def fork(self) -> Fork | subprocess.Popen[str]:
        """Start a run that begins with its imports loaded, so that it is met at its work; in `make chaos` it may be met at any time."""
        return (None if CHAOS else self.project.fork(*self._words(()), env=self._environment(None))) or self.start()

    def finish(self, process: Fork | subprocess.Popen[str]) -> Outcome:
        """Wait for a run, and check what holds after any end."""
        done = self.project.finish(process)
        self.check(done)
        return done

    def run(self, *words: object, env: Mapping[str, str] | None = None) -> Outcome:
        """Run with the parameter of now, and check what holds after any end."""
        done = self.call(*words, env=env)
        self.check(done)
        return done

    def call(self, *words: object, env: Mapping[str, str] | None = None) -> Outcome:
        """Run with the parameter of now."""
        return self.project.call(*self._words(words), env=self._environment(env))

    def _words(self, words: tuple[object, ...]) -> tuple[object, ...]:
        store = ("--store", self.url) if self.url else ()
        return ("run", "nb.ipynb", "out.ipynb", "--json", "-p", "p", self.p, *store, *self.words, *words)

    def _environment(self, env: Mapping[str, str] | None) -> dict[str, str]:
        return {**self.variables, "NBMLOPS_TRUSTED_STORES": self.url, **(env or {})}

    def check(self, done: Outcome) -> None:
        """Check that nothing is alive, nothing damaged, nothing finished lost, and nothing told that is not so."""
        assert self.project.left_after(5) == {}
        report = verify_store(self.store, repair=False)
        assert report.ok, report.problems
        written = self.folder / "out.ipynb"
        assert not written.exists() or json.loads(written.read_text(encoding="utf-8"))["cells"]
        started = {line.split()[0] for line in done.err.splitlines() if " ... " in line} & UPSTREAM.keys()
        assert not started & self.finished, f"{started & self.finished} ran again, although finished\n{done.err}"
        # a stage starts when all that it reads is recorded
        self.finished |= {name for other in started for name in UPSTREAM[other]}
        if done.out and "stages" in done.data:  # else it was killed, or ended before there was a run to tell of
            self.finished |= {name for name, status in done.statuses.items() if status in {"ran", "reused"}}
        if done.code == 0:
            assert set(done.statuses.values()) <= {"ran", "reused"}, done.statuses
            assert done.stage("e")["metrics"] == {"value": value_of(self.p)}
            assert (self.folder / "d.txt").read_text() == str(3 * self.p + 1)
            self.finished |= UPSTREAM.keys()

    def complete(self, **variables: str) -> Outcome:
        """Run to the end without a fault, and check every value."""
        done = self.run(env=variables)
        assert done.code == 0, done.err
        return done

    def outbox(self) -> dict[str, Any]:
        """Return what the tracker was told of each run, by id; of one that still waits, None."""
        from nbmlops.tracking.outbox import Outbox

        told: dict[str, Any] = dict.fromkeys(Outbox(self.store.local_path("outbox")).undelivered())
        folder = self.folder / "diary"
        return told | ({path.name: path.read_text() for path in folder.iterdir() if path.name not in told} if folder.exists() else {})
