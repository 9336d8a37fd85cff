"""The journal of a sweep: repaired when it is opened, and opened by Optuna itself."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from nbmlops.errors import MissingDependency, StoreError
from nbmlops.sweeps.storage import open_storage, repair_journal, without_password


def filled(path: Path, trials: int = 3) -> optuna.Study:
    study = optuna.create_study(study_name="s", storage=open_storage(None, path), load_if_exists=True)
    for _ in range(trials):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        study.tell(trial, trial.params["x"])
    return study


@pytest.mark.parametrize("tail", [b'{"op_code":4,"wor', b"\x00\xff garbage", b'{"op_code":4\n'], ids=["half a line", "no text", "half, ended"])
def test_a_torn_tail_is_cut_off_and_what_follows_is_kept(tmp_path: Path, tail: bytes) -> None:
    """What a kill has left at the end does not swallow the trials after it."""
    path = tmp_path / "s.journal"
    before = [trial.params for trial in filled(path).trials]
    path.write_bytes(path.read_bytes() + tail)
    study = filled(path, trials=2)
    again = optuna.load_study(study_name="s", storage=open_storage(None, path))
    assert [trial.params for trial in again.trials][:3] == before
    assert len(again.trials) == len(study.trials) == 5


def test_a_whole_journal_is_left_alone(tmp_path: Path) -> None:
    """Nothing is cut from a journal that ends well, nor from one that is not there."""
    path = tmp_path / "s.journal"
    assert repair_journal(path) == 0
    filled(path)
    data = path.read_bytes()
    assert repair_journal(path) == 0
    assert path.read_bytes() == data


def test_optuna_reads_the_journal_with_its_own_backend(tmp_path: Path) -> None:
    """`optuna-dashboard` and every other tool of Optuna's can open it."""
    from optuna.storages.journal import JournalFileBackend

    path = tmp_path / "s.journal"
    filled(path)
    study = optuna.load_study(study_name="s", storage=optuna.storages.JournalStorage(JournalFileBackend(str(path))))
    assert len(study.trials) == 3


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.db", "nonsense", "redis://127.0.0.1:1/0"])
def test_a_storage_that_cannot_be_opened_is_told_in_one_line(url: str, tmp_path: Path) -> None:
    """The line names the storage and the remedy; a missing driver is the pip command."""
    with pytest.raises((StoreError, MissingDependency)) as raised:
        open_storage(url, tmp_path / "s.journal")
    assert "\n" not in str(raised.value)
    assert "sqlite:///sweeps.db" in str(raised.value) or "pip install" in str(raised.value)


def test_passwords_are_not_told() -> None:
    """A URL in a message keeps its password to itself."""
    assert without_password("cannot open postgresql://me:secret@host/db now") == "cannot open postgresql://***@host/db now"
