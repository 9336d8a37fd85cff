"""Only a store of the user's own, a named one or a keyed one may run code when read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbmlops.store.records import StageRecord
from nbmlops.store.store import Store
from nbmlops.store.trust import is_trusted

if TYPE_CHECKING:
    from nbmlops.settings import Settings


def _record(key: str) -> StageRecord:
    return StageRecord(key=key, stage="s", notebook="n.ipynb", code="c")


def test_the_projects_own_store_is_trusted(project: Settings, store: Store) -> None:
    """The store inside the project is trusted, before and after it is made."""
    assert is_trusted(project.store, project)
    store.objects.put([b"x"])
    assert Store(project.store, settings=project).trusted


@pytest.mark.parametrize("template", ["{0}", "file://{0}", "local://{0}"])
def test_a_store_elsewhere_is_not(project: Settings, tmp_path: Path, template: str) -> None:
    """A folder outside the project is not trusted, by whatever name, unless the setting names it."""
    url = template.format(tmp_path / "elsewhere")
    assert not Store(url, settings=project).trusted
    assert Store(url, settings=replace(project, trusted_stores=(str(tmp_path / "elsewhere"),))).trusted
    assert not is_trusted(url, replace(project, trusted_stores=(str(tmp_path / "else"),)))


def test_a_link_out_of_the_project_is_not(project: Settings, tmp_path: Path) -> None:
    """A store that is a link to another place is judged by that place."""
    (tmp_path / "elsewhere").mkdir()
    Path(project.store).symlink_to(tmp_path / "elsewhere")
    assert not is_trusted(project.store, project)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_store_that_others_may_write_to_is_not(project: Settings, mode: int) -> None:
    """Whoever may write to a store could plant a pickle in it."""
    Path(project.store).mkdir()
    Path(project.store).chmod(mode)
    assert not is_trusted(project.store, project)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to give a folder away")
def test_a_store_of_another_user_is_not(project: Settings) -> None:
    """A folder inside the project that another user owns is not trusted."""
    Path(project.store).mkdir(mode=0o700)
    os.chown(project.store, 12345, 12345)
    trust = Store(project.store, settings=project).trust
    assert not trust.trusted
    assert "another user" in trust.reason


def test_a_remote_store_is_not(project: Settings) -> None:
    """A URL is not trusted unless the setting names that very URL."""
    assert not is_trusted("s3://bucket/store", project)
    assert is_trusted("s3://bucket/store", replace(project, trusted_stores=("s3://bucket/store/",)))
    assert not is_trusted("s3://bucket/store", replace(project, trusted_stores=("s3://bucket",)))


def test_a_keyed_store_serves_what_its_key_sealed(project: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the key any store is trusted, and records not sealed with it are misses that stay where they are."""
    url = str(tmp_path / "shared")
    Store(url, settings=project).put_record(_record("unkeyed"))
    monkeypatch.setenv("NBMLOPS_STORE_KEY", "another key")
    Store(url, settings=project).put_record(_record("foreign"))
    monkeypatch.setenv("NBMLOPS_STORE_KEY", "the team's key")
    store = Store(url, settings=project)
    store.put_record(_record("ours"))
    assert store.trusted
    assert [store.record(key) is not None for key in ("unkeyed", "foreign", "ours")] == [False, False, True]
    assert {path.stem for path in (tmp_path / "shared" / "records").iterdir()} == {"unkeyed", "foreign", "ours"}
    assert not (tmp_path / "shared" / "quarantine").exists()


def test_without_the_key_a_keyed_store_is_untrusted_but_readable(project: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lacks the key may read plain data, and no pickles."""
    url = str(tmp_path / "shared")
    monkeypatch.setenv("NBMLOPS_STORE_KEY", "the team's key")
    Store(url, settings=project).put_record(_record("ours"))
    monkeypatch.delenv("NBMLOPS_STORE_KEY")
    store = Store(url, settings=project)
    assert store.record("ours") is not None
    assert not store.trusted


def test_an_empty_key_is_no_key(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set to nothing trusts nobody."""
    monkeypatch.setenv("NBMLOPS_STORE_KEY", "")
    assert not is_trusted("memory://shared", project)
