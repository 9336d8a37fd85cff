"""No name leads out of the store or the project: of stages, notebooks, artifacts, runs, trackers, whoever has made them up.

100,000 names in `make test` in all, 100,000 each way in `make chaos`.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

from nbmlops.errors import NbmlopsError
from nbmlops.notebook.values import STAGE_NAME
from nbmlops.session.execution import executed_name
from nbmlops.settings import Settings
from nbmlops.store.objects import Objects, quarantine_path, split_path
from nbmlops.store.records import is_name
from nbmlops.store.remote import RemoteBlobs
from nbmlops.store.store import Store, index_path, record_path, run_path, snapshot_path
from nbmlops.tracking.mlflow_store import artifact_location
from nbmlops.tracking.outbox import Outbox
from nbmlops.tracking.wandb import WandbTracker, wandb_id
from tests.chaos.wreck import CHAOS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMES = 100_000 if CHAOS else 6_000
ROOT = Path("/store/.nbmlops")
HEX = "0123456789abcdef" * 4
# climbing, absolute, of another system, encoded, with a meaning to a URL or a shell, without end, of no character, not what it looks like
PARTS = (
    *("..", "../", "/", "./", "//", ".", "/etc/passwd", "~", "~root/"),
    *("..\\", "\\..\\", "C:\\", "\\\\host\\share", "CON", "nul", "COM1", "a:b", "x.", "x "),
    *("%2e%2e", "%2f", "%00", "%252e", "a#b", "a?b", "a&b=c", "*", "$(id)", "`id`", "; rm -rf .", "|", "'", '"', "-rf", "--store"),
    *("\0", "\n", "\r", "\t", "\x1b[2J", "\x7f", "\u0085", "\u202e", "\u200b", "\ufeff", "\u2028", "\udcff", "\udce2\udc80"),
    *("é", "e\u0301", "\u017f", "\u212a", "\uff10", "\uff41", "\u0663", "数", "😀", "ß", "İ"),
    *("a", "B", "_", "-", "7", "train", "Train", HEX, HEX.upper(), HEX[:-1] + "g", "x" * 300, "数" * 100, ".json", ".ipynb", ".tmp-"),
)


def hostile_names() -> Iterator[str]:
    """Yield names put together from parts that have led somewhere else in other programs, each alone first."""
    yield ""
    yield from PARTS
    chance = random.Random(36)
    for _ in range(NAMES - len(PARTS) - 1):
        yield "".join(chance.choices(PARTS, k=chance.randint(1, 4)))


class _Folder(RemoteBlobs):
    """A store elsewhere of which only the paths are asked for."""

    def __init__(self) -> None:
        self.url, self._root = "s3://bucket/store", "/store/.nbmlops/"


OUTBOX = Outbox(ROOT / "outbox")
WANDB = WandbTracker(Path("/store"))
REMOTE = _Folder()
OBJECTS = Objects(REMOTE)
# how each kind of name becomes a path: by the functions that do it, guarded by what their callers ask first
WAYS: dict[str, Callable[[str], object]] = {
    "any path in a store": lambda name: ROOT.joinpath(*split_path(name)),
    "any path in a store elsewhere": REMOTE._full,
    "a stage key": lambda name: ROOT / record_path(name) if is_name(name) else None,
    "a run id": lambda name: ROOT / run_path(name) if is_name(name) else None,
    "a digest": lambda name: ROOT / OBJECTS.path(name),
    "a damaged object": lambda name: ROOT / quarantine_path(OBJECTS.path(name)),
    "a notebook's digest": lambda name: ROOT / snapshot_path(name),
    "a notebook's suffix": lambda name: ROOT / snapshot_path(HEX, name),
    "a stage of a notebook": lambda name: ROOT / index_path(f"stage:{name}"),
    "a stage": lambda name: ROOT / name if STAGE_NAME.fullmatch(name) else None,
    "a run's journal": OUTBOX._journal_path,
    "a run that is delivered": OUTBOX._delivered_path,
    "a run's owner": OUTBOX._owner_path,
    "a tracker": lambda name: OUTBOX._progress_path(name, "run"),
    "a run of a tracker": lambda name: OUTBOX._progress_path("mlflow", name),
    "a run of W&B's": lambda name: WANDB.folder / "unfinished" / wandb_id(OUTBOX._journal_path(name).stem),
    "an experiment of MLflow's": lambda name: unquote(urlsplit(artifact_location(ROOT, name) or "").path),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_name_leads_out(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is refused, or becomes one path inside."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    make, root = WAYS[way], str(ROOT)
    refused = 0
    for name in hostile_names():
        try:
            made = make(name)
        except (NbmlopsError, KeyError):
            made = None
        if made is None:
            refused += 1
            continue
        path = os.fspath(made)  # type: ignore[call-overload]
        assert os.path.normpath(path) == path.rstrip("/"), name
        assert path.startswith(root + os.sep), name
        assert "\0" not in path, name
    assert refused < NAMES


def test_no_name_of_a_notebook_is_too_long_for_its_run() -> None:
    """The executed notebook is named after a file, which can have any name but `/` and NUL."""
    for name in hostile_names():
        stem = name.replace("/", "_").replace("\0", "_")
        made = executed_name(stem, "0" * 16)
        assert len(os.fsencode(made)) <= 255
        assert made.startswith(stem[:40])


def test_a_store_that_is_asked_for_any_name_stays_whole(tmp_path: Path) -> None:
    """What is no key, digest or id is no error and no file anywhere."""
    store = Store(str(tmp_path / "store"), settings=Settings(project_root=tmp_path, store=str(tmp_path / "store")))
    before = set(tmp_path.rglob("*"))
    for _, name in zip(range(2000), hostile_names(), strict=False):
        assert store.record(name) is None
        assert store.run(name) is None
        assert store.history(name, name) == ()
        with pytest.raises(KeyError):
            store.read_snapshot(name)
        with pytest.raises(KeyError):
            store.objects.view(name)
    assert set(tmp_path.rglob("*")) == before
