"""The log of promotions: whatever is done to it past nbmlops is found."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3

from nbmlops.errors import Tampered
from nbmlops.promotion.log import Log, Reading, hash_of, sealed_event
from nbmlops.promotion.state import PromotionEvent
from nbmlops.promotion.told import HEAD, PENDING, chain_of, entry_tag, head_of, told_in, written
from nbmlops.settings import Settings
from nbmlops.store.gc import collect
from nbmlops.store.records import seal, unseal
from nbmlops.store.store import Store
from nbmlops.store.verify import verify_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODEL = "flight-delay"


def event(number: int, model: str = MODEL, reason: str = "better") -> PromotionEvent:
    """Make an act."""
    return PromotionEvent(
        act="promote",
        model=model,
        alias="champion",
        version=number,
        from_version=number - 1 or None,
        who="Ada",
        when="2026-11-26T00:00:00+00:00",
        reason=reason,
        evidence=({"name": "roc_auc >= 0.6", "passed": True, "value": float("nan")},),
    )


def store_at(path: Path) -> Store:
    return Store(str(path), settings=Settings(project_root=path.parent, store=str(path)))


def fill(store: Store, count: int = 4, model: str = MODEL, reason: str = "better") -> tuple[list[PromotionEvent], dict[str, str]]:
    """Write entries, and return them with what the registry is told."""
    log = Log(store, model)
    events: list[PromotionEvent] = []
    tags: dict[str, str] = {}
    for number in range(1, count + 1):
        events.append(sealed_event(event(number, model, reason), events[-1] if events else None))
        log.append(events[-1])
        tags |= {**written(entry_tag(number), events[-1], log.store_id()), HEAD: head_of(events[-1])}
    return events, tags


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store."""
    return store_at(tmp_path / ".nbmlops")


def files(store: Store, model: str = MODEL) -> list[Path]:
    return sorted((store.settings.project_root / ".nbmlops" / "promotions" / blake3(model.encode()).hexdigest()).glob("*.json"))


def broken(store: Store, tags: dict[str, str]) -> str:
    """Return what is found wrong."""
    log = Log(store, MODEL)
    return chain_of(log.read(), told_in(tags), MODEL, log.known_store_id()).broken


def test_a_whole_log_is_whole(store: Store) -> None:
    """Entries come back equal, in order, each with the hash of the one before; the store's own check knows them."""
    events, tags = fill(store)
    read = Log(store, MODEL).read()
    assert read.broken == ""
    assert list(map(repr, read.events)) == list(map(repr, events))
    assert [item.previous for item in read.events] == ["", *(item.hash for item in events[:-1])]
    assert broken(store, tags) == ""
    assert verify_store(store, repair=True).ok
    assert Log(store, "other").read() == Reading()


def edit(store: Store) -> None:
    path = files(store)[1]
    path.write_bytes(path.read_bytes().replace(b"better", b"bettex"))


def edit_and_seal(store: Store) -> None:
    path = files(store)[1]
    data = unseal(path.read_bytes())
    data["entry"]["reason"] = "worse"
    path.write_bytes(seal(data))


def edit_all_hashes(store: Store) -> None:
    """Rewrite an entry and every hash after it, as somebody may who knows how the log is made."""
    before = None
    for number, path in enumerate(files(store)):
        data = unseal(path.read_bytes())
        found = PromotionEvent.from_json(data["entry"])
        made = sealed_event(replace(found, reason="worse") if number == 1 else found, before)
        path.write_bytes(seal({**data, "entry": made.to_json()}))
        before = made


def edit_with_its_hash(store: Store) -> None:
    """Rewrite one entry so that it is whole in itself."""
    path = files(store)[1]
    data = unseal(path.read_bytes())
    found = PromotionEvent.from_json(data["entry"])
    changed = replace(found, reason="worse", hash="")
    path.write_bytes(seal({**data, "entry": replace(changed, hash=hash_of(changed)).to_json()}))


def remove_middle(store: Store) -> None:
    files(store)[1].unlink()


def remove_end(store: Store) -> None:
    files(store)[-1].unlink()


def remove_all(store: Store) -> None:
    for path in files(store):
        path.unlink()


def reorder(store: Store) -> None:
    one, two = files(store)[1:3]
    one_was = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(one_was)


def close_hole(store: Store) -> None:
    """Remove an entry and move the later ones up."""
    paths = files(store)
    for one, two in itertools.pairwise(paths[1:]):
        shutil.copy(two, one)
    paths[-1].unlink()


def swap_models(store: Store) -> None:
    fill(store, 4, "other")
    shutil.copy(files(store, "other")[1], files(store)[1])


def plant(store: Store) -> None:
    (files(store)[0].parent / "00000009.json").symlink_to(files(store)[0])


def unreadable(store: Store) -> None:
    files(store)[2].write_bytes(b"{}")


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (edit, "entry 2 was edited"),
        (edit_and_seal, "entry 2 was edited"),
        (edit_with_its_hash, "entry 3 does not follow entry 2"),
        (edit_all_hashes, "entry 2 is not the one that the registry tells of"),
        (remove_middle, "entry 2 is gone"),
        (remove_end, "entry 4, which this store wrote, is gone from its log"),
        (remove_all, "entry 1, which this store wrote, is gone from its log"),
        (reorder, "entry 2 is one of another place"),
        (close_hole, "entry 2 is one of another place"),
        (swap_models, "entry 2 is one of another place"),
        (plant, "entry 5 is gone"),
        (unreadable, "entry 3 was edited"),
    ],
    ids=lambda item: item.__name__ if callable(item) else "",
)
def test_each_kind_of_tampering_is_found(store: Store, act: Callable[[Store], None], told: str) -> None:
    """And where it is."""
    _, tags = fill(store)
    act(store)
    assert broken(store, tags).startswith(told)


def test_damage_is_no_reason_to_move_evidence_away(store: Store) -> None:
    """`store verify --repair` names a damaged entry and leaves it where it is."""
    fill(store)
    edit(store)
    before = files(store)[1].read_bytes()
    problem = next(item for item in verify_store(store, repair=True).problems if "promotions/" in item.path)
    assert (problem.repaired, files(store)[1].read_bytes()) == (False, before)


def test_a_swap_under_new_seals_is_found_by_the_model_in_the_entry(store: Store) -> None:
    """Somebody who gives an entry of another model the right place still leaves its name in it."""
    _, tags = fill(store)
    others, _ = fill(store, 4, "other")
    path = files(store)[1]
    path.write_bytes(seal({**unseal(path.read_bytes()), "entry": others[1].to_json()}))
    assert broken(store, tags) == "entry 2 is one of the model 'other'"


def drop_tag(tags: dict[str, str]) -> None:
    del tags[entry_tag(2)]


def drop_last_tags(tags: dict[str, str]) -> None:
    del tags[entry_tag(4)]
    tags[HEAD] = head_of(told_in(tags).events[3])


def drop_all_tags(tags: dict[str, str]) -> None:
    tags.clear()


def drop_head(tags: dict[str, str]) -> None:
    del tags[HEAD]


def move_head(tags: dict[str, str]) -> None:
    tags[HEAD] = f"4:{'0' * 64}"


def edit_tag(tags: dict[str, str]) -> None:
    tags[entry_tag(2)] = tags[entry_tag(2)].replace("better", "worse")


def tear_tag(tags: dict[str, str]) -> None:
    tags[entry_tag(2)] = tags[entry_tag(2)][:-9]


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (drop_tag, "the registry does not tell of entry 2"),
        (drop_last_tags, "the registry does not tell of entry 4"),
        (drop_all_tags, "the registry tells of no entry of this store's log"),
        (drop_head, "the registry's tag of the newest entry is gone"),
        (move_head, "the newest entry is not the one that the registry names"),
        (edit_tag, "entry 2 is not the one that the registry tells of"),
        (tear_tag, "the registry's tag of entry 2 was edited"),
    ],
    ids=lambda item: item.__name__ if callable(item) else "",
)
def test_tampering_with_tags_is_found(store: Store, act: Callable[[dict[str, str]], None], told: str) -> None:
    """The registry is no more above suspicion than a store."""
    _, tags = fill(store)
    act(tags)
    assert broken(store, tags).startswith(told)


def test_another_store_lacks_entries_and_is_not_accused(store: Store, tmp_path: Path) -> None:
    """What the registry alone tells of was written elsewhere, and continues the chain."""
    events, tags = fill(store)
    other = store_at(tmp_path / "other")
    log = Log(other, MODEL)
    log.store_id()
    chain = chain_of(log.read(), told_in(tags), MODEL, log.known_store_id())
    assert chain.broken == ""
    assert [item.hash for item in chain.missing] == [item.hash for item in events]
    forged = {**tags, **written(entry_tag(5), sealed_event(event(9), events[2]), "elsewhere")}
    assert "the registry's entry 5" in chain_of(log.read(), told_in(forged), MODEL, log.known_store_id()).broken


def test_the_next_entry_goes_behind_what_cannot_be_read(store: Store) -> None:
    """Whoever goes on from a broken log must not find the place taken, after an alias has moved."""
    events, tags = fill(store)
    files(store)[-1].write_bytes(b"{}")
    del tags[entry_tag(4)]
    chain = chain_of(Log(store, MODEL).read(), told_in(tags), MODEL, Log(store, MODEL).known_store_id())
    assert (chain.free, [item.position for item in chain.events]) == (5, [1, 2, 3])
    made = sealed_event(event(9), chain.last, chain.free)
    Log(store, MODEL).append(made)
    assert (made.position, made.previous) == (5, events[2].hash)


def test_a_registry_that_was_made_anew_is_told_again(store: Store) -> None:
    """It is said, and who goes on all the same tells it the log, if that is whole in itself."""
    events, _ = fill(store)
    chain = chain_of(Log(store, MODEL).read(), told_in({}), MODEL, Log(store, MODEL).known_store_id())
    assert chain.broken.startswith("the registry tells of no entry")
    assert [item.hash for item in chain.untold] == [item.hash for item in events]
    edit(store)
    assert chain_of(Log(store, MODEL).read(), told_in({}), MODEL, Log(store, MODEL).known_store_id()).untold == ()


def test_a_log_under_a_key_takes_no_other_seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With NBMLOPS_STORE_KEY an entry that somebody without it has written does not count as ours."""
    _, tags = fill(store_at(tmp_path / ".nbmlops"))
    monkeypatch.setenv("NBMLOPS_STORE_KEY", "secret")
    assert broken(store_at(tmp_path / ".nbmlops"), tags) == "entry 1 is not sealed with the key of NBMLOPS_STORE_KEY"


def test_an_entry_is_never_written_again(store: Store) -> None:
    """Another entry for a place that is taken is refused, and the first stays."""
    events, _ = fill(store)
    Log(store, MODEL).append(events[1])
    with pytest.raises(Tampered, match="is there already"):
        Log(store, MODEL).append(sealed_event(event(2, reason="other"), events[0]))
    assert repr(Log(store, MODEL).read().events) == repr(tuple(events))


def test_the_hash_is_of_all_but_itself() -> None:
    """Any field that differs makes another hash, `previous` and the position included."""
    base = sealed_event(event(1), None)
    changed = {"act": "rollback", "who": "Eve", "position": 2, "previous": "x", "version": None, "data": {"a": "b"}, "evidence": ()}
    assert len({hash_of(base), *(hash_of(replace(base, **{name: value})) for name, value in changed.items())}) == 1 + len(changed)
    assert hash_of(replace(base, hash="x")) == hash_of(base) == base.hash
    assert hash_of(PromotionEvent.from_json(json.loads(json.dumps(base.to_json())))) == base.hash


@pytest.mark.parametrize("length", [0, 1, 3000, 4000, 9000, 20_000])
def test_long_entries_go_through_several_tags(length: int) -> None:
    """MLflow's databases take 5,000 characters in a tag; what is only half there counts as not there."""
    entry = sealed_event(event(1, reason="ä" * length), None)
    tags = written(f"{PENDING}{'0' * 16}", entry, "s")
    assert all(len(value) < 5000 for value in tags.values())
    assert repr(told_in(tags).pending) == repr({"0" * 16: entry})
    for name in list(tags):
        assert told_in({key: value for key, value in tags.items() if key != name}).pending == {}


def test_gc_keeps_the_log_and_what_it_names(store: Store, tmp_path: Path) -> None:
    """However old: the entries, the run whose model was promoted, and what that has made."""
    import os
    import time

    from nbmlops.store.records import Artifact, RunRecord, StageRecord

    artifact = Artifact(name="model", digest=store.objects.put([b"model"]), format="json", size_bytes=5)
    report = store.objects.put([b"report"])
    for name in ("promoted", "other"):
        record = StageRecord(key=f"k{name}", stage="train", notebook="nb.ipynb", code="c", outputs={"model": artifact} if name == "promoted" else {})
        store.put_record(record)
        stages = ({"name": "train", "key": record.key},)
        store.put_run(RunRecord(run_id=name, notebook="nb.ipynb", notebook_digest="", status="done", started_s=1.0, stages=stages))
    Log(store, MODEL).append(sealed_event(replace(event(1), run_id="promoted", data={"data.csv": report}), None))
    for path in (tmp_path / ".nbmlops").rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - 7 * 86400,) * 2)
    collect(store, replace(store.settings, retention_runs=0, retention_days=0), dry_run=False)
    assert store.run_ids() == ["promoted"]
    assert sorted(store.objects.all()) == sorted([artifact.digest, report])
    assert store.record("kpromoted") is not None
    assert Log(store, MODEL).read().broken == ""
