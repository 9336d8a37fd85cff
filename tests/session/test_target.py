"""What OUTPUT may be: a run writes over nothing that a run has not written."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from nbmlops.errors import StoreError, UsageError
from nbmlops.runner.executed import write_notebook
from nbmlops.session.target import target_of

EXECUTED = {"cells": [], "metadata": {"papermill": {}}}


def test_a_link_is_followed(tmp_path: Path) -> None:
    """The notebook is written where the link leads, and that is where the answer says that it is."""
    (tmp_path / "link.ipynb").symlink_to("real.ipynb")
    assert target_of(tmp_path / "link.ipynb", None) == tmp_path.resolve() / "real.ipynb"


@pytest.mark.parametrize(("text", "taken"), [("", True), (json.dumps(EXECUTED), True), ('{"metadata": {"nbmlops": {"run": {}}}}', True)])
def test_what_a_run_has_written_is_replaced(tmp_path: Path, text: str, *, taken: bool) -> None:
    """An earlier output, or an empty file that was made for it, has nothing that would be lost."""
    (tmp_path / "out.ipynb").write_text(text)
    assert (target_of(tmp_path / "out.ipynb", None).name == "out.ipynb") is taken


@pytest.mark.parametrize("text", ["a,b\n1,2\n", '{"cells": [], "metadata": {}}', '{"metadata": {"nbmlops": {"store": "x"}}}', "[]", '{"cells": ['])
def test_what_is_the_user_s_own_is_refused(tmp_path: Path, text: str) -> None:
    """`nbmlops run *.ipynb` with two notebooks would write the first over the second."""
    (tmp_path / "two.ipynb").write_text(text)
    with pytest.raises(UsageError, match="something of yours would be lost"):
        target_of(tmp_path / "two.ipynb", None)


def test_what_cannot_be_a_file_is_told(tmp_path: Path) -> None:
    """A device or a pipe, too long a name, a loop of links: one line, before anything runs."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for output in (tmp_path / "pipe", tmp_path / ("x" * 300), tmp_path / "loop", tmp_path, "a\0b"):
        with pytest.raises(UsageError) as refused:
            target_of(output, None)
        assert (refused.value.code, len(str(refused.value).splitlines())) == ("NB009", 1)


def test_a_device_stays_one(tmp_path: Path) -> None:
    """Where root may, a file of ours took the place of /dev/null."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="a device or a pipe"):
        write_notebook(tmp_path / "pipe", EXECUTED)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
