"""A stage's key changes if and only if an input of it changes: one notebook that has inputs of every kind, and edits of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from nbmlops.pipeline.effects import Effects
from nbmlops.runner.stagekey import stage_key
from tests.runner.bench import cell

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.project import Cell
    from tests.runner.bench import Bench

TEXTS = {
    "parameters": "n = 3\nrate = 0.5\nunused = 1",
    "helpers": (
        "LIMIT = 4\nOTHER = 1\n\ndef clean(v):\n    return trim(v)\n\ndef trim(v):\n    return v[:LIMIT]\n\ndef unused_one(v):\n    return OTHER"
    ),
    "classes": "class Base:\n    k = 1\n\nclass Model(Base):\n    def run(self, v, times=2):\n        return v * times * self.k",
    "imports": "import os\nimport tool_of_keys\nimport library_of_keys",
    "first": "%%mlstage first\ny = [n]",
    "main": (
        "%%mlstage main --env DECLARED --file extra.txt\n'''Make it.'''\nx = clean(Model().run(y, 3))\n"
        "x += open('in.txt').read() + os.environ.get('WHO', '')\nz = tool_of_keys.f(rate) + library_of_keys.K"
    ),
    "beside": "%%mlstage beside\nw = 1",
}
FILES = {
    "in.txt": "1", "extra.txt": "1", "seen.txt": "1", "unread.txt": "1",
    "tool_of_keys.py": "import deeper_of_keys\n\ndef f(v):\n    return deeper_of_keys.g(v)\n",
    "deeper_of_keys.py": "def g(v):\n    return v\n", "unused_of_keys.py": "K = 1\n",
}  # fmt: skip
SEEN = Effects(files_read=("seen.txt",), files_absent=("none.txt",), environment=("SEEN",))


class Scene:
    """The notebook in its project, with a library beside it; what it is made of may be edited."""

    def __init__(self, bench: Bench, libraries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench, self.libraries, self.monkeypatch = bench, libraries, monkeypatch
        self.texts, self.order = dict(TEXTS), list(TEXTS)
        self.more: list[Cell] = []
        self.trial: dict[str, Any] = {}
        for name, text in FILES.items():
            bench.write(name, text)
        for name in ("WHO", "DECLARED", "SEEN", "UNREAD", "TOKEN"):
            monkeypatch.setenv(name, "1")
        self.install("1.0")

    def install(self, version: str) -> None:
        """Install another version of the library."""
        for old in self.libraries.glob("*.dist-info"):
            old.rename(self.libraries / f"gone-{old.name}.old")
        made = self.libraries / f"library_of_keys-{version}.dist-info"
        made.mkdir(parents=True)
        (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: library-of-keys\nVersion: {version}\n", encoding="utf-8")
        (made / "RECORD").write_text("library_of_keys.py,,\n", encoding="utf-8")
        (self.libraries / "library_of_keys.py").write_text("K = 1\n", encoding="utf-8")

    def edit(self, part: str, old: str, new: str) -> None:
        """Replace text of one cell."""
        assert old in self.texts[part]
        self.texts[part] = self.texts[part].replace(old, new)

    def cells(self) -> list[Cell | str]:
        """Return the notebook's cells."""
        tags = {"parameters": "parameters", "helpers": "setup", "classes": "setup", "imports": "setup"}
        return [*self.more, *(cell(self.texts[part], *([tags[part]] if part in tags else [])) for part in self.order)]

    def keys(self, stage: str = "main") -> tuple[str, str]:
        """Return the keys of the stage that has every input, and of the one that has none."""
        input_of = self.trial.get("identity", "identity of y")
        planner = self.bench.planner(*self.cells(), **{name: value for name, value in self.trial.items() if name != "identity"})
        stages = planner.pipeline.stages
        main, beside = stages[stage], stages["beside"]
        assert main.inputs == {"y": "first"}
        return stage_key(planner.parts(main, {"y": input_of}, SEEN, {})), stage_key(planner.parts(beside, {}, Effects(), {}))


@pytest.fixture
def scene(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Make the notebook and its surroundings."""
    libraries = tmp_path / "site-packages"
    libraries.mkdir()
    monkeypatch.syspath_prepend(libraries)
    bench.cache = tmp_path / "cache"
    return Scene(bench, libraries, monkeypatch)


INPUTS: dict[str, Any] = {
    "code": lambda s: s.edit("main", "Model().run(y, 3)", "Model().run(y, 4)"),
    "order of statements": lambda s: s.edit("main", "x = clean", "q = 1\nx = clean"),
    "docstring": lambda s: s.edit("main", "Make it.", "Make another."),
    "option": lambda s: s.edit("main", "--env DECLARED", "--env DECLARED --seed 5"),
    "value of a parameter": lambda s: s.edit("parameters", "rate = 0.5", "rate = 0.25"),
    "type of a parameter": lambda s: (s.edit("parameters", "rate = 0.5", "rate = 1.0"), s.keys(), s.edit("parameters", "rate = 1.0", "rate = 1")),
    "parameter of the run": lambda s: s.trial.update(parameters={"rate": 0.125}),
    "helper": lambda s: s.edit("helpers", "return trim(v)", "return trim(v)[:9]"),
    "helper of the helper": lambda s: s.edit("helpers", "v[:LIMIT]", "v[: LIMIT + 1]"),
    "constant of the helper's helper": lambda s: s.edit("helpers", "LIMIT = 4", "LIMIT = 5"),
    "type of a constant": lambda s: s.edit("helpers", "LIMIT = 4", "LIMIT = 4.0"),
    "default argument": lambda s: s.edit("classes", "times=2", "times=3"),
    "base class": lambda s: s.edit("classes", "k = 1", "k = 2"),
    "local module": lambda s: s.bench.write("tool_of_keys.py", FILES["tool_of_keys.py"].replace("g(v)", "g(v) + 1")),
    "module of the module": lambda s: s.bench.write("deeper_of_keys.py", "def g(v):\n    return -v\n"),
    "literal file": lambda s: s.bench.write("in.txt", "2"),
    "literal file that is gone": lambda s: (s.bench.folder / "in.txt").unlink(),
    "declared file": lambda s: s.bench.write("extra.txt", "2"),
    "file seen opened": lambda s: s.bench.write("seen.txt", "2"),
    "file that was not there": lambda s: s.bench.write("none.txt", ""),
    "variable in the code": lambda s: s.monkeypatch.setenv("WHO", "2"),
    "variable that is gone": lambda s: s.monkeypatch.delenv("WHO"),
    "declared variable": lambda s: s.monkeypatch.setenv("DECLARED", "2"),
    "variable seen read": lambda s: s.monkeypatch.setenv("SEEN", "2"),
    "version of a library": lambda s: s.install("1.1"),
    "input": lambda s: s.trial.update(identity="another"),
}
NOTHING: dict[str, Any] = {
    "comment": lambda s: s.edit("main", "x = clean", "# why\nx = clean"),
    "formatting": lambda s: s.edit("main", "Model().run(y, 3)", "Model().run(\n    y,\n    3,\n)"),
    "blank lines": lambda s: s.edit("main", "\nz = ", "\n\n\nz = "),
    "comment in a helper": lambda s: s.edit("helpers", "return trim(v)", "return trim(v)  # short"),
    "helper that is not used": lambda s: s.edit("helpers", "return OTHER", "return -OTHER"),
    "constant that is not used": lambda s: s.edit("helpers", "OTHER = 1", "OTHER = 2"),
    "parameter that is not used": lambda s: s.edit("parameters", "unused = 1", "unused = 2"),
    "parameter that only another stage uses": lambda s: s.edit("parameters", "n = 3", "n = 4"),
    "help of a parameter": lambda s: s.edit("parameters", "rate = 0.5", "rate = 0.5  # per year"),
    "spelling of a parameter": lambda s: s.edit("parameters", "rate = 0.5", "rate = 5e-1"),
    "upstream code": lambda s: s.edit("first", "y = [n]", "y = [n + 0]"),
    "order of setup cells": lambda s: s.order.__setitem__(slice(1, 4), ["imports", "classes", "helpers"]),
    "order of unrelated stages": lambda s: s.order.__setitem__(slice(4, 7), ["beside", "first", "main"]),
    "markdown": lambda s: s.more.append(cell("# title", kind="markdown")),
    "report cell": lambda s: s.more.append(cell("print(1 + 1)")),
    "another stage": lambda s: s.more.append(cell("%%mlstage more\nv = 1")),
    "cell ids": lambda s: s.more.append({**cell("# note", kind="markdown"), "id": "another"}),
    "unrelated tag": lambda s: s.more.append(cell("print(2)", "hide-input")),
    "secret": lambda s: (s.edit("main", "--env", "--secret TOKEN --env"), s.monkeypatch.setenv("TOKEN", "2")),
    "retries and memory": lambda s: s.edit("main", "--env", "--retries 2 --memory 4GiB --timeout 5m --env"),
    "file that is not read": lambda s: s.bench.write("unread.txt", "2"),
    "variable that is not read": lambda s: s.monkeypatch.setenv("UNREAD", "2"),
    "module that is not imported": lambda s: s.bench.write("unused_of_keys.py", "K = 2\n"),
    "comment in a module": lambda s: s.bench.write("deeper_of_keys.py", "def g(v):\n    return v  # as it is\n"),
    "same bytes again": lambda s: s.bench.write("in.txt", "1"),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_key_changes_with_every_input(scene: Scene, kind: str) -> None:
    """What the stage depends on is in its key; the stage beside it, which does not, keeps its own."""
    before = scene.keys()
    INPUTS[kind](scene)
    after = scene.keys()
    assert (after[0] != before[0], after[1] == before[1]) == (True, True)


@pytest.mark.parametrize("kind", NOTHING)
def test_key_stays_with_everything_else(scene: Scene, kind: str) -> None:
    """What the stage does not depend on is not in its key."""
    before = scene.keys()
    NOTHING[kind](scene)
    assert scene.keys() == before


def test_name_of_a_stage_is_no_input(scene: Scene) -> None:
    """A stage under another name is served by the same record."""
    before = scene.keys()[0]
    scene.edit("main", "%%mlstage main", "%%mlstage renamed")
    assert scene.keys("renamed")[0] == before


def test_seed_is_an_input_of_every_stage(scene: Scene) -> None:
    """Another seed is another key, whether a stage draws or not: only running tells."""
    before = scene.keys()
    scene.trial.update(seed=7)
    after = scene.keys()
    assert after[0] != before[0]
    assert after[1] != before[1]


def test_python_is_an_input(scene: Scene) -> None:
    """The minor version is part of the key."""
    planner = scene.bench.planner(*scene.cells())
    parts = planner.parts(planner.pipeline.stages["main"], {"y": "identity of y"}, SEEN, {})
    assert parts["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert stage_key({**parts, "python": "2.7"}) != stage_key(parts)
