"""A process for `verify`: its clock, and what it may write."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROLOGUE = """
import os, sys, datetime, time, sqlite3
from pathlib import Path
from nbmlops.runner.rehearsal import Rehearsal, rehearse
project, scratch = Path(sys.argv[1]), Path(sys.argv[2])
rehearse(Rehearsal(project=str(project), scratch=str(scratch){}))
"""


def run(tmp_path: Path, code: str, conditions: str = "") -> str:
    """Run code in such a process, in the copy; return what it prints."""
    project = tmp_path / "project"
    copy = project / ".nbmlops" / "copy"
    copy.mkdir(parents=True)
    (project / "own.txt").write_text("own")
    (copy / "hard.txt").hardlink_to(project / "own.txt")
    (copy / "soft.txt").symlink_to(project / "own.txt")
    command = [sys.executable, "-c", PROLOGUE.format(conditions) + code, str(project), str(copy)]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (project / "own.txt").read_text() == "own"
    return done.stdout.strip()


@pytest.mark.parametrize(
    "act",
    [
        "open(project / 'own.txt', 'w')",
        "open(project / 'new.txt', 'x')",
        "(project / 'own.txt').open('a')",
        "os.open(str(project / 'own.txt'), os.O_WRONLY)",
        "(project / 'own.txt').unlink()",
        "(project / 'own.txt').rename('mine.txt')",
        "Path('hard.txt').rename(project / 'own.txt')",
        "(project / 'new').mkdir()",
        "os.truncate(project / 'own.txt', 0)",
        "os.chmod(project / 'own.txt', 0)",
        "open('../../own.txt', 'w')",
    ],
)
def test_the_project_cannot_be_changed(tmp_path: Path, act: str) -> None:
    """By whatever name it is reached."""
    code = f"try:\n    {act}\nexcept PermissionError as error:\n    print(error)"
    assert "relative to the notebook" in run(tmp_path, code)


@pytest.mark.parametrize("name", ["hard.txt", "soft.txt"])
def test_a_linked_file_becomes_a_copy_before_it_is_written(tmp_path: Path, name: str) -> None:
    """Large files are links to the project's own until then."""
    assert run(tmp_path, f"open({name!r}, 'a').write('+')\nprint(open({name!r}).read())") == "own+"


def test_a_linked_database_becomes_a_copy(tmp_path: Path) -> None:
    """SQLite opens its file itself."""
    assert run(tmp_path, "sqlite3.connect('hard.txt')\nprint(os.stat('hard.txt').st_nlink)") == "1"


def test_reading_the_project_is_free(tmp_path: Path) -> None:
    """An absolute path to data is read as in a run."""
    assert run(tmp_path, "print(open(project / 'own.txt').read(), os.listdir(project))") == "own ['.nbmlops', 'own.txt']"


def test_links_are_removed_without_what_they_lead_to(tmp_path: Path) -> None:
    """Removing a link of the copy is no change to the project."""
    assert run(tmp_path, "os.remove('soft.txt')\nos.remove('hard.txt')\nprint(os.listdir())") == "[]"


def test_the_clock_is_ahead(tmp_path: Path) -> None:
    """Every clock that Python code asks, and it goes on."""
    code = (
        "import pandas as pd\n"
        "years = {datetime.datetime.now().year, datetime.date.today().year, time.localtime().tm_year, pd.Timestamp.now().year}\n"
        "before, real = time.time(), datetime.date.fromtimestamp(os.stat('.').st_mtime).year\n"
        "time.sleep(0.01)\nprint(len(years), years.pop() > real, time.time() > before)"
    )
    assert run(tmp_path, code, ", shift_s=800 * 86400") == "1 True True"


def test_the_clock_stands_still(tmp_path: Path) -> None:
    """Two looks at it give one time."""
    code = "a = datetime.datetime.now()\ntime.sleep(0.01)\nprint(a == datetime.datetime.now(), int(time.time()))"
    assert run(tmp_path, code, ", clock_s=1e9") == "True 1000000000"
