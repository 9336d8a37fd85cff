"""The user's own modules: where they are, what they import, and what importing them does."""

from __future__ import annotations

import json
from importlib.machinery import EXTENSION_SUFFIXES
from typing import TYPE_CHECKING

import pytest

from nbmlops.runner.localmodules import LocalModules, local_module_path
from nbmlops.runner.ownsource import is_own_code

if TYPE_CHECKING:
    from pathlib import Path


def installed(name: str) -> bool:
    """Tell of the modules of these tests whether somebody else made them."""
    return name.partition(".")[0] in {"json", "numpy"}


@pytest.fixture
def modules(tmp_path: Path) -> LocalModules:
    """Make a project with a module, a package and a module that imports relatively."""
    files = {
        "one.py": "import two\nimport json",
        "two.py": "",
        "pack/__init__.py": "",
        "pack/inner.py": "from . import sister\nfrom .sub.leaf import f",
        "pack/sister.py": "",
        "pack/sub/__init__.py": "",
        "pack/sub/leaf.py": "from ..sister import g\nimport numpy",
        "space/plain.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return LocalModules(tmp_path, tmp_path, installed)


FOLLOWED = [
    (["two"], {"two.py"}, set()),
    (["one"], {"one.py", "two.py"}, {"json"}),
    (["pack"], {"pack/__init__.py"}, set()),
    (["pack.inner"], {"pack/__init__.py", "pack/inner.py", "pack/sister.py", "pack/sub/__init__.py", "pack/sub/leaf.py"}, {"numpy"}),
    (["pack.sister.g"], {"pack/__init__.py", "pack/sister.py"}, set()),
    (["space.plain"], {"space/plain.py"}, set()),
    (["nowhere.at_all"], set(), {"nowhere.at_all"}),
]


@pytest.mark.parametrize(("names", "local", "foreign"), FOLLOWED)
def test_imports_are_followed(modules: LocalModules, names: list[str], local: set[str], foreign: set[str]) -> None:
    """Local files transitively, relative imports and packages included; the rest by name."""
    found, others = modules.fingerprints(names)
    assert (set(found), others) == (local, foreign)


def test_circular_imports_end(tmp_path: Path) -> None:
    """Two modules that import each other are two files."""
    (tmp_path / "a.py").write_text("import b")
    (tmp_path / "b.py").write_text("import a")
    assert set(LocalModules(tmp_path, tmp_path, installed).fingerprints(["a"])[0]) == {"a.py", "b.py"}


def test_file_seen_imported_is_followed(modules: LocalModules) -> None:
    """A module found by a computed name is given by its file."""
    assert set(modules.fingerprints([], ["one.py"])[0]) == {"one.py", "two.py"}


def test_installed_module_is_not_the_users_own() -> None:
    """What is installed counts by version, not by source."""
    assert [local_module_path(item) for item in (json, pytest, None)] == [None, None, None]


def test_module_outside_the_project_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody installed it, so no version stands for its source."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "mine.py").write_text("X = 1")
    (tmp_path / "project").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "shared"))
    found, others = LocalModules(tmp_path / "project", tmp_path / "project", installed).fingerprints(["mine"])
    assert (set(found), others, is_own_code(tmp_path / "shared" / "mine.py")) == ({"../shared/mine.py"}, set(), True)


def test_compiled_module_is_followed(tmp_path: Path) -> None:
    """A compiled module of the project counts by its bytes, and is imported before a source of the same name."""
    (tmp_path / "fast.py").touch()
    path = tmp_path / f"fast{EXTENSION_SUFFIXES[0]}"
    path.write_bytes(b"1")
    before, _ = LocalModules(tmp_path, tmp_path, installed).fingerprints(["fast"])
    path.write_bytes(b"2")
    after, _ = LocalModules(tmp_path, tmp_path, installed).fingerprints(["fast"])
    assert set(before) == {path.name}
    assert before != after


ACTS = [
    ("def f():\n    return 1\nX = [1]\nX[0] = 2\nlog = make()", False),
    ("import pandas as pd\npd.DataFrame.extra = 1", True),
    ("import pandas as pd\npd.set_option('display.width', 10)", True),
    ("from plugs import register\n@register\ndef f():\n    pass", True),
    ("from functools import cache\n@cache\ndef f():\n    pass", False),
    ("if __name__ == '__main__':\n    main()", False),
    ("try:\n    import fast\nexcept ImportError:\n    print('slow')", False),
    ("for name in ['a']:\n    declare(name)", True),
    ("from base import Base\nclass A(Base):\n    pass", True),
    ("from other import Plain\nclass A(Plain):\n    pass", False),
    ("import inner", True),
]


@pytest.mark.parametrize(("source", "acts"), ACTS)
def test_module_that_does_more_than_define(tmp_path: Path, source: str, acts: bool) -> None:  # noqa: FBT001 - a table's column
    """A stage depends on such a module even if it uses none of its names."""
    files = {
        "m.py": source,
        "base.py": "class Base:\n    def __init_subclass__(cls):\n        pass",
        "other.py": "class Plain:\n    pass",
        "inner.py": "import sys\nsys.path.append('x')",
        "plugs.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert LocalModules(tmp_path, tmp_path, installed).acting(["m"]) == (["m"] if acts else [])
