"""How registered models stood, below the cells that show nothing else."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from nbmlops.notebook.document import parse_document
from nbmlops.pipeline.source import read_source
from nbmlops.session.stood import Standings, Stood, models_shown
from nbmlops.settings import Settings
from nbmlops.views.stood import stood_html, stood_text
from tests.acceptance.project import Cell, cell, notebook_json
from tests.servers import free_port
from tests.views.models import hostile_model
from tests.views.xss import PAYLOADS

if TYPE_CHECKING:
    from pathlib import Path

    from nbmlops.notebook.roles import RoledCell


def read(*cells: Cell | str) -> tuple[RoledCell, ...]:
    """Return a notebook's cells."""
    return read_source(parse_document(notebook_json(cells))).cells


@pytest.mark.parametrize(
    ("source", "model"),
    [
        ("%mlpromote flight-delay", "flight-delay"),
        ("# who is in use\n%load_ext nbmlops\n\n%mlpromote 'flight-delay' ;", "flight-delay"),
        ("%mlpromote flight-delay 2 --to champion --reason x", None),
        ("%mlpromote $name", None),
        ("%mlpromote --help", None),
        ("%mlpromote a\n%mlpromote b", None),
        ("%mlpromote a\n%mlhistory a", None),
        ("%mlmodels a", None),
        (cell("%mlpromote flight-delay", "skip"), None),
        (cell("%mlpromote flight-delay", kind="markdown"), None),
    ],
)
def test_which_cells_show_a_model(source: Cell | str, model: str | None) -> None:
    """Those that hold the magic with a name and nothing else, and that their author does not skip."""
    assert models_shown(read("x = 1", source)) == ({} if model is None else {1: model})


def test_a_registry_that_does_not_answer_is_waited_for_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one line, and the process that asks is gone."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        standings = Standings(Settings(project_root=tmp_path, store=str(tmp_path / "store")), read("%mlpromote other", "%mlpromote m"))
        standings.ask()
        (output,) = standings.outputs(0.2)[1]
    assert output["text"] == "! how m stands is not shown: the registry has not answered in time\n"
    for thread in threading.enumerate():
        if thread.name == "nbmlops-standings":
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.thorough
def test_a_registry_that_is_down_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the password of its address."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    standings = Standings(Settings(project_root=tmp_path, store=str(tmp_path / "store")), read("%mlpromote m"))
    standings.ask()
    told = standings.outputs(120)[0][0]["text"]
    assert told.startswith("! how m stands is not shown: the registry cannot be used now")
    assert "secret" not in told
    assert told.count("\n") == 1


def test_no_database_is_made_to_look(tmp_path: Path) -> None:
    """A project that tracks nothing stays as it is."""
    standings = Standings(Settings(project_root=tmp_path, store=str(tmp_path / "store")), read("%mlpromote m"))
    standings.ask()
    assert standings.outputs(60)[0][0]["text"] == "! how m stands is not shown: no model is registered yet\n"
    assert list(tmp_path.iterdir()) == []


def test_notebooks_without_such_a_cell_ask_nobody(tmp_path: Path) -> None:
    """Nothing is started."""
    standings = Standings(Settings(project_root=tmp_path, store=str(tmp_path / "store")), read("x = 1"))
    before = threading.active_count()
    standings.ask()
    assert (threading.active_count(), standings.outputs(0)) == (before, {})


def test_the_card_says_when_and_has_no_place_of_this_machine() -> None:
    """What people and registries have written is text."""
    stood = Stood(hostile_model(PAYLOADS[0]), 1.0)
    assert "as it stood at 1970-01-01 00:00:01 UTC" in stood_text(stood)
    assert "1970-01-01 00:00:01 UTC" in stood_html(stood)
    assert PAYLOADS[0] not in stood_html(stood)
    assert stood._repr_mimebundle_() == {"text/plain": stood_text(stood), "text/html": stood_html(stood)}
