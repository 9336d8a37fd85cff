"""A copy of the project: what is in it, what changed in it, and what reaches the project itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from nbmlops.errors import UsageError
from nbmlops.session.verifying import replica as module
from nbmlops.session.verifying.replica import Replica

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project with data, a link, a helper, and things that are no part of it."""
    root = tmp_path / "project"
    for folder in ("data", ".git", "mlruns", ".nbmlops", "venv", ".config"):
        (root / folder).mkdir(parents=True)
        (root / folder / "a.txt").write_text("a")
    (root / "venv" / "pyvenv.cfg").touch()
    (root / "link.txt").symlink_to("data/a.txt")
    (root / "away").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "e.txt").write_text("e")
    return root


def names(folder: Path) -> set[str]:
    """Return every file below a folder, relative to it, links to folders not followed."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file()}


def test_the_project_is_copied_without_stores_repositories_and_environments(project: Path, tmp_path: Path) -> None:
    """Data and hidden settings are there; what is large and no part of the computation is not."""
    made = Replica(project, tmp_path / "scratch" / "project")
    assert names(made.root) == {"data/a.txt", "link.txt", "away", ".config/a.txt"}
    assert (made.root / ".nbmlops").is_dir()


def test_links_lead_to_the_copy_or_out_of_the_project(project: Path, tmp_path: Path) -> None:
    """A link inside the project leads to the copied file, one that leaves it leads where it did."""
    made = Replica(project, tmp_path / "scratch" / "project")
    (made.root / "link.txt").write_text("changed")
    assert (project / "data" / "a.txt").read_text() == "a"
    assert (made.root / "away" / "e.txt").read_text() == "e"


def test_neighbours_are_found_by_relative_paths(project: Path, tmp_path: Path) -> None:
    """``../data`` leads where it leads from the project."""
    made = Replica(project, tmp_path / "scratch" / "project")
    assert (made.root / ".." / "elsewhere" / "e.txt").read_text() == "e"


def test_changes_are_seen_and_undone(project: Path, tmp_path: Path) -> None:
    """New, changed and deleted files are listed, and put back with what earlier stages wrote on top."""
    made = Replica(project, tmp_path / "scratch" / "project")
    (made.root / "data" / "a.txt").write_text("other")
    (made.root / "new.txt").write_text("new")
    (made.root / "link.txt").unlink()
    assert made.changed() == ("data/a.txt", "link.txt", "new.txt")
    made.restore({"out/b.txt": lambda path: path.write_text("b") and None})
    assert (made.root / "data" / "a.txt").read_text() == "a"
    assert names(made.root) == {"data/a.txt", "link.txt", "away", ".config/a.txt", "out/b.txt"}
    assert made.changed() == ()


def test_large_files_share_their_bytes(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file is a clone or a link of the project's own, with its time."""
    monkeypatch.setattr(module, "_COPIED_BYTES", 1)
    made = Replica(project, tmp_path / "scratch" / "project")
    copy, own = (root / "data" / "a.txt" for root in (made.root, project))
    assert copy.read_text() == "a"
    assert copy.stat().st_mtime_ns == own.stat().st_mtime_ns


def test_a_project_without_end_is_refused(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook in a home folder would have all of it copied: the message says how to make a project."""
    monkeypatch.setattr(module, "_MOST_FILES", 3)
    with pytest.raises(UsageError, match=r"pyproject\.toml") as caught:
        Replica(project, tmp_path / "scratch" / "project")
    assert caught.value.code == "NB012"


def test_special_files_are_left_out(project: Path, tmp_path: Path) -> None:
    """A pipe would be waited for."""
    os.mkfifo(project / "pipe")
    assert "pipe" not in names(Replica(project, tmp_path / "scratch" / "project").root)
