"""Promotions on a real MLflow database: who may, what is written down, and what is found that was tampered with."""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from blake3 import blake3

from nbmlops.errors import GateRefused, LostRace, NbmlopsError, Tampered, UsageError
from nbmlops.promotion.desk import before
from nbmlops.promotion.state import Expected, PromotionEvent
from nbmlops.session.promotions import Promotions
from nbmlops.store.records import RunRecord, StageRecord
from nbmlops.views.promotion import state_text
from tests.promotion.office import AGAINST_CHAMPION, MODEL, Office, evidence_of, register

if TYPE_CHECKING:
    from collections.abc import Callable


def test_promote_refuse_override_and_roll_back(office: Office) -> None:
    """Each act moves the alias, or changes nothing at all; the log has each that did, with all that it should name."""
    desk = office.desk()
    first = desk.promote(MODEL, 1, "champion", "the first")
    assert (first.act, first.version, first.from_version, first.who) == ("promote", 1, None, "Ada <ada@example.org>")
    assert (first.notebook, first.commit, first.run_id, first.environment) == ("nb.ipynb", "c0ffee", "run1", "e" * 64)
    assert (first.data, first.digest) == ({"data.csv": "d" * 64}, f"{1:064x}")
    assert desk.promote(MODEL, 2, "champion", "better").evidence[0]["threshold"] == pytest.approx(0.69)
    before_refusal = office.all()
    with pytest.raises(
        GateRefused, match=r"version 3 .* may not be champion: gate roc_auc >= champion\.roc_auc - 0\.01 of stage train does not hold"
    ):
        desk.promote(MODEL, 3, "champion", "please")
    with pytest.raises(GateRefused, match="version 4"):
        desk.promote(MODEL, 4, "champion", "NaN never passes")
    assert office.all() == before_refusal
    forced = desk.promote(MODEL, 3, "champion", "please", override="a drill")
    assert (forced.act, forced.override, forced.evidence[0]["passed"]) == ("override", "a drill", False)
    assert desk.promote(MODEL, 2, "challenger", "an override that nothing needs", override="x").act == "promote"
    back = [desk.rollback(MODEL, "", "no good") for _ in range(2)]
    assert [(item.act, item.version, item.from_version) for item in back] == [("rollback", 2, 3), ("rollback", 1, 2)]
    with pytest.raises(UsageError, match="champion of 'flight-delay' meant nothing before"):
        desk.rollback(MODEL, "champion", "further")
    history = desk.history(MODEL)
    assert (history.broken, history.notes) == ("", ())
    assert [item.act for item in history.events] == ["rollback", "rollback", "promote", "override", "promote", "promote"]
    assert office.registry.aliases(MODEL) == {"champion": 1, "challenger": 2}
    assert not [name for name in office.registry.tags(MODEL) if "claim" in name or "pending" in name]


def test_look(office: Office) -> None:
    """Candidates with their gates, what differs from the champion with an interval, cards, the log, the way to the registry."""
    desk = office.desk()
    desk.promote(MODEL, 1, "champion", "the first")
    state = desk.look(MODEL)
    assert state == type(state).from_json(state.to_json()) or "nan" in repr(state)
    assert [item.version.version for item in state.candidates] == [4, 3, 2, 1]
    assert state.champion is not None
    assert (state.champion.version.version, state.champion.card, state.champion.differences) == (1, "# card 1\n", ())
    assert [bool(item.refusals) for item in state.candidates] == [True, True, False, False]
    auc, seconds = state.candidates[2].differences
    assert (auc.verdict, auc.better, auc.note) == ("better", "higher", "no interval: the metric was not logged of the rows of the evaluation")
    assert (seconds.verdict, seconds.note) == ("", "the champion has none")
    assert state.events[0].reason == "the first"
    assert "mlflow ui" in state.opening["command"]
    assert state.expected("champion", 2) == Expected(holder=1, digest=f"{2:064x}")


MISUSE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "model": (
        lambda desk: desk.promote("flight-dealy", 1, "champion", "x"),
        r"no model is registered as 'flight-dealy'; did you mean 'flight-delay'",
    ),
    "model of a look": (lambda desk: desk.look("flight-dealy"), "did you mean 'flight-delay'"),
    "model of a history": (lambda desk: desk.history("flight-dealy"), "did you mean 'flight-delay'"),
    "model of a rollback": (lambda desk: desk.rollback("flight-dealy", "", "x"), "did you mean 'flight-delay'"),
    "no name": (lambda desk: desk.look(" "), "no model is registered as ' '"),
    "a path": (lambda desk: desk.history("../x"), r"no model is registered as '\.\./x'"),
    "an address": (lambda desk: desk.promote("models:/x", 1, "champion", "x"), "no model is registered as 'models:/x'"),
    "bytes": (lambda desk: desk.rollback("\udcff", "", "x"), r"no model is registered as '\\udcff'"),
    "version": (lambda desk: desk.promote(MODEL, 9, "champion", "x"), "has no version 9; it has 1, 2, 3, 4"),
    "alias": (lambda desk: desk.promote(MODEL, 1, "chapion", "x"), "'chapion' is no alias .* did you mean 'champion'"),
    "reason": (lambda desk: desk.promote(MODEL, 1, "champion", " \n"), "no reason is given"),
    "reason of a rollback": (lambda desk: desk.rollback(MODEL, "", ""), "no reason is given"),
}


@pytest.mark.parametrize("what", MISUSE)
def test_misuse_is_told_in_one_line_and_changes_nothing(office: Office, what: str) -> None:
    """With the name that was meant, where there is one like it."""
    act, told = MISUSE[what]
    now = office.all()
    with pytest.raises(UsageError, match=told) as caught:
        act(office.desk())
    assert "\n" not in str(caught.value)
    assert office.all() == now


def test_a_token_in_a_reason_is_kept_nowhere(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log keeps what is written for ever, and the registry shows it to everybody: neither what has a token's shape nor a variable called one."""
    token, password = "ghp_" + "a1" * 12, "correct-horse-battery"
    monkeypatch.setenv("DEPLOY_PASSWORD", password)
    event = office.desk().promote(MODEL, 3, "champion", f"fetched with {token} and {password}", override=f"{token} said so")
    assert (event.reason, event.override) == ("fetched with [secret] and [secret]", "[secret] said so")
    assert token not in str(office.all())
    assert password not in str(office.all())


@pytest.mark.parametrize("version", [True, 0, -1, "2", None, 2.0])
def test_what_is_no_version_or_no_text_is_told_before_anybody_is_asked(office: Office, version: Any) -> None:
    """In Python anything may be given."""
    with pytest.raises(UsageError, match="version is"):
        Promotions(office.settings()).promote(MODEL, version, "champion", "x")
    for given in ({"reason": None}, {"reason": "x", "override": True}, {"reason": "x", "approver": office.root}):
        with pytest.raises(UsageError, match="which is no text"):
            Promotions(office.settings()).promote(MODEL, np.int64(1), "champion", **given)  # type: ignore[arg-type]


def test_a_version_that_is_meant_already(office: Office) -> None:
    """There is nothing to promote."""
    office.desk().promote(MODEL, 1, "champion", "x")
    with pytest.raises(UsageError, match="champion means version 1 of 'flight-delay' already"):
        office.desk().promote(MODEL, 1, "champion", "x")


def test_what_was_looked_at_must_still_be_there(office: Office) -> None:
    """Who decided on an older state is told who has moved what; no override helps."""
    ada, bob = office.desk(), office.desk(".bob")
    seen = bob.look(MODEL).expected("champion", 2)
    ada.promote(MODEL, 1, "champion", "mine came first")
    now = office.all()
    with pytest.raises(
        LostRace, match=r"champion .* means version 1 now, not nothing that was looked at: Ada <.*> has moved it at .*mine came first"
    ):
        bob.promote(MODEL, 2, "champion", "x", override="mine is better", expected=seen)
    with pytest.raises(LostRace, match=r"version 2 .* is another model than the one that was looked at"):
        bob.promote(MODEL, 2, "champion", "x", expected=Expected(holder=1, digest="0" * 64))
    assert office.all() == now


def test_two_stores_share_one_log(office: Office) -> None:
    """Each goes on where the other was; what only the registry tells of is said, then taken over, and never called tampering."""
    ada, bob = office.desk(), office.desk(".bob")
    ada.promote(MODEL, 1, "champion", "one")
    ada.promote(MODEL, 2, "champion", "two")
    seen = bob.history(MODEL)
    assert (len(seen.events), seen.broken) == (2, "")
    assert seen.notes == ("2 entries are told by the registry alone, written in another store",)
    bob.promote(MODEL, 1, "challenger", "three")
    assert (office.log(".bob").read().events, office.log().read().events) == (bob.history(MODEL).events[::-1], ada.history(MODEL).events[1:][::-1])
    ada.rollback(MODEL, "champion", "four")
    for desk in (ada, bob):
        history = desk.history(MODEL)
        assert ([item.reason for item in history.events], history.broken) == (["four", "three", "two", "one"], "")


def test_an_alias_moved_past_nbmlops_is_told(office: Office) -> None:
    """It is no broken log, and the next act says truly what it came from; a rollback goes to what the log says."""
    desk = office.desk()
    desk.promote(MODEL, 1, "champion", "one")
    office.registry.move(MODEL, "champion", 3)
    assert desk.history(MODEL).strayed == ("champion means version 3, and by the log version 1: it was moved past nbmlops",)
    assert desk.rollback(MODEL, "", "not that").version == 1
    office.registry.move(MODEL, "champion", 3)
    assert desk.promote(MODEL, 2, "champion", "two").from_version == 3


def test_an_alias_taken_away_past_nbmlops_is_still_compared_with(office: Office) -> None:
    """By the log there is a champion: a version that is worse does not pass for want of one."""
    desk = office.desk()
    desk.promote(MODEL, 2, "champion", "one")
    office.registry.move(MODEL, "champion", None)
    assert desk.history(MODEL).strayed == ("champion means nothing, and by the log version 2: it was moved past nbmlops",)
    champion = desk.champion(MODEL)
    assert champion is not None
    assert champion.version == 2
    with pytest.raises(GateRefused, match=r"champion\.roc_auc"):
        desk.promote(MODEL, 3, "champion", "x")


def test_an_alias_that_means_a_version_that_is_gone(office: Office) -> None:
    """What would be compared with it refuses, an override goes on, and a rollback goes to what the log says."""
    desk = office.desk()
    desk.promote(MODEL, 1, "champion", "one")
    with sqlite3.connect(office.root / "mlflow.db") as database:
        database.execute("update registered_model_aliases set version = 77")
    database.close()
    assert [bool(item.refusals) for item in desk.look(MODEL).candidates] == [True, True, True, False]
    with pytest.raises(GateRefused, match="the champion, version 77 of 'flight-delay', has no evidence with roc_auc"):
        desk.promote(MODEL, 2, "champion", "x")
    assert desk.promote(MODEL, 2, "challenger", "x", override="the champion is gone").act == "override"
    assert desk.rollback(MODEL, "champion", "x").version == 1


EVIDENCE = {"run_id": "r", "stage": "s", "status": "done", "time_s": 1.0}


@pytest.mark.parametrize(
    "changes",
    [
        [],
        {"run_id": 1},
        {"time_s": "x"},
        {"gates": [1]},
        {"gates": {"a": {}}},
        {"metrics": [1]},
        {"metrics": {"roc_auc": None}},
        {"metrics": {"roc_auc": "0.9"}},
        {"files": "no"},
        {"data": {"a.csv": 1}},
    ],
)
def test_evidence_of_other_types_speaks_for_nothing(office: Office, changes: Any) -> None:
    """A tag that somebody has edited is no reason to break off."""
    text = json.dumps({**EVIDENCE, **changes} if changes else [])
    office.registry.set_tags(MODEL, {"nbmlops.evidence": text}, number=3)
    state = office.desk().look(MODEL)
    candidate = state.candidate(3)
    assert candidate is not None
    assert "no gate is known to hold" in candidate.refusals[0]
    assert "no evidence" in state_text(state)


def break_log(office: Office) -> None:
    path = office.entries()[0]
    path.write_bytes(path.read_bytes().replace(b"one", b"two"))


def test_nobody_promotes_on_a_broken_log_unless_they_say_so(office: Office) -> None:
    """Neither does anybody roll back by it; the override is recorded, and the break stays in sight."""
    desk = office.desk()
    desk.promote(MODEL, 1, "champion", "one")
    break_log(office)
    assert "entry 1 was edited" in desk.history(MODEL).broken
    now = office.all()
    with pytest.raises(Tampered, match="entry 1 was edited"):
        desk.promote(MODEL, 2, "champion", "x")
    with pytest.raises(Tampered, match="entry 1 was edited"):
        desk.rollback(MODEL, "champion", "x")
    with pytest.raises(Tampered, match="entry 1 was edited"):
        desk.promote(MODEL, 2, "champion", "x", override=" ")
    assert office.all() == now
    assert desk.promote(MODEL, 2, "champion", "x", override="the log was edited by hand").act == "override"
    history = desk.history(MODEL)
    assert ("entry 1 was edited" in history.broken, [item.position for item in history.events]) == (True, [2, 1])
    assert office.registry.aliases(MODEL) == {"champion": 2}


@pytest.fixture
def own(office: Office) -> Office:
    """Give a project with a version 5 whose files are its own, so that a test may change them."""
    register(office.registry, office.root / "packed", 5, evidence_of(5, {"roc_auc": 0.8}, [AGAINST_CHAMPION]))
    return office


def stored(office: Office, name: str) -> Path:
    """Return a file of version 5 where the registry keeps it."""
    client = office.registry.connect()
    model_id = client.get_model_version(MODEL, "5").source.removeprefix("models:/")
    return Path(client.get_logged_model(model_id).artifact_location.removeprefix("file://"), name)


FILES: dict[str, tuple[Callable[[Office], Any], str]] = {
    "edited": (
        lambda office: stored(office, "model.skops").write_bytes(b"model 6"),
        "the file model.skops of version 5 .* is not what was registered",
    ),
    "removed": (lambda office: stored(office, "model.skops").unlink(), "the file model.skops of version 5 .* is gone"),
    "added": (lambda office: stored(office, "model.skops").with_name("x.py").touch(), "the file x.py of version 5 .* was added"),
    "all removed": (lambda office: shutil.rmtree(stored(office, "model.skops").parent), "version 5|artifact"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_model_that_was_tampered_with_is_never_promoted(own: Office, what: str) -> None:
    """No override helps, nothing changes, and neither does a rollback bring it back."""
    act, told = FILES[what]
    own.desk().promote(MODEL, 5, "champion", "still good")
    own.desk().promote(MODEL, 1, "champion", "x", override="x")
    act(own)
    now = own.all()
    for alias in ("champion", "challenger"):
        with pytest.raises(NbmlopsError, match=told):
            own.desk().promote(MODEL, 5, alias, "x", override="I do not care")
    with pytest.raises(NbmlopsError, match=told):
        own.desk().rollback(MODEL, "champion", "x")
    assert own.all() == now


def recorded(own: Office, **changes: Any) -> None:
    """Let this person's store know the run that made version 5."""
    version = own.registry.version(MODEL, 5)
    assert version.evidence is not None
    model = {"name": MODEL, "digest": version.digest, "files": {}, "flavor": "sklearn", "metrics": {}}
    files = {path: digest for path, digest in version.evidence.files.items() if path == "model.skops"}
    store = own.desk().store
    digest = store.objects.put([b"model 5"])
    assert files == {"model.skops": digest}
    store.put_record(StageRecord(key="k5", stage="train", notebook="nb.ipynb", code="c", models=({**model, "files": files},)))
    stage = {"name": "train", "key": "k5", "metrics": {"roc_auc": 0.8}, "gates": [dict(gate) for gate in version.evidence.gates]}
    run = RunRecord(run_id="run5", notebook="nb.ipynb", notebook_digest="", status="done", started_s=1.0, stages=(stage | changes.pop("stage", {}),))
    store.put_run(replace(run, **changes))


def test_evidence_that_its_run_does_not_bear_out(own: Office) -> None:
    """Where the store has the run, what the registry's tags say of it must be what it says itself."""
    recorded(own)
    assert own.desk().promote(MODEL, 5, "champion", "as it was recorded").version == 5
    for changes, told in (
        ({"status": "refused"}, "ended as done, its record refused"),
        ({"stage": {"metrics": {"roc_auc": 0.4}}}, "says roc_auc 0.8, the record of run run5 0.4"),
        ({"stage": {"gates": [{**AGAINST_CHAMPION, "passed": False}]}}, "differ about the gate roc_auc >= champion"),
        ({"stage": {"gates": [{**AGAINST_CHAMPION, "judge": "require", "passed": True, "value": 0.4}]}}, "differ about the gate roc_auc"),
        ({"stage": {"gates": [{**AGAINST_CHAMPION, "judge": "other", "passed": True}]}}, "differ about the gate roc_auc"),
        ({"stage": {"gates": [{"name": "roc_auc >= 0.9", "passed": False}]}}, "lacks the gate roc_auc >= 0.9 of stage train"),
    ):
        recorded(own, **changes)
        with pytest.raises(Tampered, match=told):
            own.desk().promote(MODEL, 5, "challenger", "x", override="x")
        candidate = own.desk().look(MODEL).candidate(5)
        assert candidate is not None
        assert told.split(", ")[0] in " ".join(candidate.refusals)


def test_a_model_that_was_made_and_packed_again(own: Office) -> None:
    """The stage's record is that of the later files; the run's own record still has those that it registered."""
    evidence = own.registry.version(MODEL, 5).evidence
    assert evidence is not None
    model = {"name": MODEL, "digest": own.registry.version(MODEL, 5).digest, "flavor": "sklearn", "metrics": {}}
    recorded(own, stage={"models": [{**model, "files": {"model.skops": evidence.files["model.skops"]}}]})
    later = StageRecord(key="k5", stage="train", notebook="nb.ipynb", code="c", models=({**model, "files": {"model.skops": "7" * 64}},))
    own.desk().store.put_record(later)
    assert own.desk().promote(MODEL, 5, "champion", "as it was made").version == 5
    recorded(own)
    own.desk().store.put_record(later)
    with pytest.raises(Tampered, match="is not one that its run made"):
        own.desk().promote(MODEL, 5, "challenger", "x")


def test_files_and_evidence_tampered_with_together(own: Office) -> None:
    """Somebody who changes a file and its digest in the tag is found by the run's own record."""
    recorded(own)
    stored(own, "model.skops").write_bytes(b"model 6")
    version = own.registry.version(MODEL, 5)
    tags = own.registry.connect().get_model_version(MODEL, "5").tags
    assert version.evidence is not None
    changed = tags["nbmlops.evidence"].replace(version.evidence.files["model.skops"], blake3(b"model 6").hexdigest())
    own.registry.set_tags(MODEL, {"nbmlops.evidence": changed}, number=5)
    with pytest.raises(Tampered, match=r"the file model\.skops of version 5 .* is not one that its run made"):
        own.desk().promote(MODEL, 5, "champion", "x")
    own.registry.set_tags(MODEL, {"nbmlops.evidence": "{"}, number=5)
    with pytest.raises(GateRefused, match="no gate is known to hold"):
        own.desk().promote(MODEL, 5, "champion", "x")


@pytest.mark.parametrize(
    ("setting", "approver", "told"),
    [
        ((), "", ""),
        (("yes",), "", "asks for a second person; give --approver NAME"),
        (("yes",), "ada  <ADA@example.org>", "cannot be the second person too"),
        (("yes",), " ADA ", "cannot be the second person too"),
        (("yes",), "ada@example.org", "cannot be the second person too"),
        (("yes",), "Bob", ""),
        (("Bob", "Cy"), "", "one of: Bob, Cy"),
        (("Bob", "Cy"), "Bobb", "'Bobb' may not approve; did you mean 'Bob'"),
        (("Bob", "Cy"), "Bob", ""),
    ],
)
def test_a_second_person(office: Office, setting: tuple[str, ...], approver: str, told: str) -> None:
    """Where the project asks for one, it must be named, be somebody else, and be one who may."""
    desk = office.desk(promotion_approver=setting)
    if told:
        with pytest.raises(UsageError, match=told):
            desk.promote(MODEL, 1, "champion", "x", approver=approver, override="no override for this")
        assert office.registry.aliases(MODEL) == {}
    else:
        assert desk.promote(MODEL, 1, "champion", "x", approver=approver).approver == approver


def event(act: str, version: int, from_version: int | None, alias: str = "champion") -> PromotionEvent:
    return PromotionEvent(act=act, model=MODEL, alias=alias, version=version, from_version=from_version, who="", when="", reason="")


@pytest.mark.parametrize(
    ("events", "now", "expected"),
    [
        ([], 1, None),
        ([("promote", 1, None)], 1, None),
        ([("promote", 1, None), ("promote", 2, 1)], 2, 1),
        ([("promote", 1, None), ("override", 2, 1), ("promote", 3, 2), ("rollback", 2, 3)], 2, 1),
        ([("promote", 1, None), ("promote", 2, 1), ("rollback", 1, 2), ("promote", 3, 1)], 3, 1),
        ([("promote", 1, None), ("promote", 2, 1), ("promote", 1, 2)], 1, 2),
        ([("promote", 1, None), ("promote", 2, 1), ("rollback", 1, 2)], 1, None),
        ([("promote", 1, None), ("promote", 2, 1)], 7, 2),  # moved past nbmlops
        ([("promote", 1, None), ("promote", 2, 1), ("rollback", 2, 7)], 2, 1),
    ],
)
def test_what_an_alias_meant_before(events: list[tuple[str, int, int | None]], now: int, expected: int | None) -> None:
    """Each rollback goes one promotion further back."""
    others = [event("promote", 9, 8, "challenger")]
    assert before((*others, *(event(*item) for item in events), *others), "champion", now) == expected


def test_a_rollback_to_a_version_that_is_gone(office: Office) -> None:
    """It is refused, and says so."""
    desk = office.desk()
    desk.promote(MODEL, 1, "champion", "x")
    desk.promote(MODEL, 2, "champion", "x")
    office.registry.connect().delete_model_version(MODEL, "1")
    with pytest.raises(UsageError, match="version 1 of 'flight-delay', which champion meant before, is gone"):
        desk.rollback(MODEL, "champion", "x")


def test_a_renaming_is_named_and_counts_as_broken(office: Office) -> None:
    """Under both names, from any store, with the call that takes it back, which makes all whole again."""
    desk, elsewhere = office.desk(), office.desk("other")
    desk.promote(MODEL, 1, "champion", "the first")
    client = office.registry.connect()
    client.rename_registered_model(MODEL, "delays")
    back = f"it was renamed in MLflow; rename it back: MlflowClient().rename_registered_model('delays', {MODEL!r})"
    for found in (desk.history("delays"), elsewhere.history("delays")):
        assert found.broken == f"its entries are those of {MODEL!r}, all of them whole, and the registry has no model of that name: {back}"
        assert found.notes == ()
    assert desk.history(MODEL).broken == f"the registry tells of it under the name 'delays': {back}"
    for act in (lambda: desk.promote("delays", 2, "champion", "better"), lambda: desk.rollback("delays", "champion", "worse")):
        with pytest.raises(Tampered, match="was renamed in MLflow; rename it back") as refused:
            act()
        assert refused.value.code == "NB681"
    client.rename_registered_model("delays", MODEL)
    assert desk.history(MODEL).broken == ""
    assert desk.promote(MODEL, 2, "champion", "better").position == 2


@pytest.mark.parametrize("how", ["edited", "copied", *(pytest.param(how, marks=pytest.mark.thorough) for how in ("mixed", "cut"))])
def test_what_is_no_renaming_is_told_as_before(office: Office, how: str) -> None:
    """An entry that was edited under the other name, tags of a model that is still there, entries of two models, and an end that is gone."""
    desk = office.desk()
    desk.promote(MODEL, 1, "champion", "the first")
    desk.promote(MODEL, 2, "champion", "better")
    client = office.registry.connect()
    tags = dict(office.registry.tags(MODEL))
    if how == "copied":
        client.create_registered_model("delays")
        office.registry.set_tags("delays", tags)
    else:
        client.rename_registered_model(MODEL, "delays")
    if how in {"edited", "mixed"}:
        old, new = ("better", "worse") if how == "edited" else (MODEL, "others")
        office.registry.set_tags("delays", {"nbmlops.promotion.0002": tags["nbmlops.promotion.0002"].replace(old, new)})
    if how == "cut":
        office.registry.delete_tags("delays", ["nbmlops.promotion.0002"])
    broken = desk.history("delays").broken
    assert broken
    assert "renamed" not in broken
