"""What surrounds a notebook: digests of files, local modules, installed distributions."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3

from nbmlops.runner.environment import EVERY_VARIABLE, Distributions, file_digest, python_version, variable_digest

if TYPE_CHECKING:
    from pathlib import Path


def test_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    """The digest is blake3, so that equal files of a project and of the store are seen to be equal."""
    (tmp_path / "f").write_bytes(b"data")
    assert file_digest(tmp_path / "f") == blake3(b"data").hexdigest()


def test_what_is_no_file_has_no_digest(tmp_path: Path) -> None:
    """Absent, and something below a file, are both no file."""
    (tmp_path / "f").touch()
    assert [file_digest(path) for path in (tmp_path / "gone", tmp_path / "f" / "below")] == [None, None]


def test_digest_of_a_folder_is_that_of_the_names_in_it(tmp_path: Path) -> None:
    """A stage that lists a folder depends on which files are there; what tools leave there does not count."""
    (tmp_path / "a").touch()
    before = file_digest(tmp_path)
    (tmp_path / ".ipynb_checkpoints").touch()
    (tmp_path / "a").write_text("other")
    assert file_digest(tmp_path) == before
    (tmp_path / ".hidden").touch()
    assert file_digest(tmp_path) != before


def test_python_counts_by_minor_version() -> None:
    """A bug-fix release of Python keeps the records."""
    assert python_version() == f"{sys.version_info[0]}.{sys.version_info[1]}"


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


def make_distribution(folder: Path, version: str, *, editable: bool = False) -> None:
    """Write what an installer leaves of a distribution with one module."""
    info = folder / f"made_kit-{version}.dist-info"
    info.mkdir(parents=True)
    (folder / "made_kit.py").touch()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: made-kit\nVersion: {version}\n")
    (info / "top_level.txt").write_text("made_kit\n")
    (info / "direct_url.json").write_text(json.dumps({"url": "file:///x", "dir_info": {"editable": editable}}))


def test_upgrade_in_a_folder_of_the_search_path_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder on the search path need not be called site-packages."""
    monkeypatch.syspath_prepend(str(tmp_path / "libs"))
    make_distribution(tmp_path / "libs", "1.0")
    assert Distributions(tmp_path / "d.json").versions(["made_kit"]) == {"made-kit": "1.0"}
    (tmp_path / "libs" / "made_kit-1.0.dist-info" / "METADATA").unlink()
    make_distribution(tmp_path / "libs", "2.0")
    assert Distributions(tmp_path / "d.json").versions(["made_kit"])["made-kit"] == "2.0"


@pytest.mark.parametrize("editable", [False, True])
def test_version_stands_for_the_code_unless_it_can_be_edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, editable: bool) -> None:
    """In editable mode the source changes while the version does not."""
    monkeypatch.syspath_prepend(str(tmp_path / "libs"))
    make_distribution(tmp_path / "libs", "1.0", editable=editable)
    found = Distributions(tmp_path / "d.json")
    assert (found.provides("made_kit"), found.provides("json"), found.provides("nowhere")) == (not editable, True, False)


def test_whole_environment_has_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """It changes with any variable but those that a shell sets for itself."""
    before = variable_digest(EVERY_VARIABLE)
    monkeypatch.setenv("SHLVL", "77")
    assert variable_digest(EVERY_VARIABLE) == before
    monkeypatch.setenv("A_NEW_ONE", "1")
    assert variable_digest(EVERY_VARIABLE) != before
    assert (variable_digest("A_NEW_ONE") is None, variable_digest("NOT_SET")) == (False, None)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_damaged_answer_is_found_out_again(tmp_path: Path, text: str) -> None:
    """A cache that cannot be read costs time, nothing else."""
    (tmp_path / "d.json").write_text(text)
    assert Distributions(tmp_path / "d.json").version("numpy") is not None


def test_cache_that_cannot_be_kept_is_done_without(tmp_path: Path) -> None:
    """A read-only place is no error."""
    (tmp_path / "file").touch()
    assert Distributions(tmp_path / "file" / "d.json").version("numpy") is not None
