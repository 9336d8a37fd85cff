"""Folders that are no part of the store itself: whose they are."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from nbmlops.store.replacing import make_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("above", "expected"), [(0o755, 0o700), (0o2770, 0o2770)], ids=["own", "shared"])
def test_all_folders_that_are_made_are_as_private_as_the_first(tmp_path: Path, above: int, expected: int) -> None:
    """Whatever the umask, nobody else gets in; the group does where it may write to the folder above."""
    tmp_path.chmod(above)
    before = os.umask(0)
    try:
        make_folder(tmp_path / "a" / "b")
        make_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")} == {expected}


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    """What cannot be made is told, not passed over."""
    (tmp_path / "a").touch()
    with pytest.raises(NotADirectoryError):
        make_folder(tmp_path / "a" / "b")
