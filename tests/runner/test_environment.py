"""What surrounds a notebook: digests of files, local modules, installed distributions."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from blake3 import blake3

from nbmlops.runner.environment import Distributions, LocalModules, file_digest, local_module_path, python_version


def test_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    """The digest is blake3, so that equal files of a project and of the store are seen to be equal."""
    (tmp_path / "f").write_bytes(b"data")
    assert file_digest(tmp_path / "f") == blake3(b"data").hexdigest()


def test_what_is_no_file_has_no_digest(tmp_path: Path) -> None:
    """Absent, and something below a file, are both no file."""
    (tmp_path / "f").touch()
    assert [file_digest(path) for path in (tmp_path / "gone", tmp_path / "f" / "below")] == [None, None]


def test_digest_of_a_folder_is_that_of_the_names_in_it(tmp_path: Path) -> None:
    """A stage that lists a folder depends on which files are there; hidden ones do not count."""
    (tmp_path / "a").touch()
    before = file_digest(tmp_path)
    (tmp_path / ".hidden").touch()
    (tmp_path / "a").write_text("other")
    assert file_digest(tmp_path) == before
    (tmp_path / "b").touch()
    assert file_digest(tmp_path) != before


def test_python_counts_by_minor_version() -> None:
    """A bug-fix release of Python keeps the records."""
    assert python_version() == f"{sys.version_info[0]}.{sys.version_info[1]}"


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
    return LocalModules(tmp_path, tmp_path)


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
    assert set(LocalModules(tmp_path, tmp_path).fingerprints(["a"])[0]) == {"a.py", "b.py"}


def test_file_seen_imported_is_followed(modules: LocalModules) -> None:
    """A module found by a computed name is given by its file."""
    assert set(modules.fingerprints([], ["one.py"])[0]) == {"one.py", "two.py"}


def test_module_outside_the_project_is_not_local(tmp_path: Path) -> None:
    """What is installed counts by version, not by source."""
    assert local_module_path(json, tmp_path) is None
    assert local_module_path(pytest, Path("/")) is None
    assert local_module_path(None, tmp_path) is None


def test_versions_of_what_modules_belong_to(tmp_path: Path) -> None:
    """A submodule counts for its distribution, whose name may differ; the standard library has none."""
    found = Distributions(tmp_path / "d.json").versions({"numpy.linalg", "sklearn", "json", "no_such_module"})
    import numpy as np

    assert set(found) == {"numpy", "scikit-learn"}
    assert found["numpy"] == np.__version__


def test_answer_is_kept_until_a_folder_changes(tmp_path: Path) -> None:
    """The table is read from our file while it is of the same folders, and not otherwise."""
    cache = tmp_path / "d.json"
    Distributions(cache).version("numpy")
    data = json.loads(cache.read_text())
    data["table"]["versions"]["numpy"] = "0.0"
    cache.write_text(json.dumps(data))
    assert Distributions(cache).version("numpy") == "0.0"
    data["stamp"] = []
    cache.write_text(json.dumps(data))
    assert Distributions(cache).version("numpy") not in {None, "0.0"}


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_damaged_answer_is_found_out_again(tmp_path: Path, text: str) -> None:
    """A cache that cannot be read costs time, nothing else."""
    (tmp_path / "d.json").write_text(text)
    assert Distributions(tmp_path / "d.json").version("numpy") is not None


def test_cache_that_cannot_be_kept_is_done_without(tmp_path: Path) -> None:
    """A read-only place is no error."""
    (tmp_path / "file").touch()
    assert Distributions(tmp_path / "file" / "d.json").version("numpy") is not None
